"""The JSON files that stand beside a model: config.json and tokenizer_config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from heliograph.errors import BadModel
from heliograph.files import read_untrusted

_MOST = 16 << 20


def read_settings(path: Path) -> dict[str, Any]:
    """Read a JSON object, empty where there is no file. Raises BadModel."""
    try:
        values = json.loads(read_untrusted(path, _MOST, follow=True))
    except FileNotFoundError:
        return {}
    except OSError as error:
        problem, shown = "cannot be read", str(error.strerror)
    except (ValueError, RecursionError) as error:
        problem, shown = f"is not JSON: {error}", path.name
    else:
        if isinstance(values, dict):
            return values
        problem, shown = "is not a JSON object", type(values).__name__
    raise BadModel(file=path, field="(file)", problem=problem, value=shown, remedy="Save the model again.")

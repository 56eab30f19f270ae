"""Text to tokens, by the `tokenizers` library from a tokenizer.json alone: no code, no pickle is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from heliograph.errors import BadModel
from heliograph.evaluation.settings_file import read_settings
from heliograph.evaluation.task import TokenIds
from heliograph.files import sha256_file

_FILE = "tokenizer.json"
_SETTINGS = "tokenizer_config.json"
_REMEDY = "Save it with tokenizer.save_pretrained(FOLDER) of a fast tokenizer, which writes tokenizer.json."


def find_tokenizer(places: Sequence[Path]) -> Path:
    """Return the first of the folders that holds a tokenizer.json. Raises BadModel naming them all."""
    for folder in places:
        if (folder / _FILE).is_file():
            return folder
    raise BadModel(
        file=places[0],
        field=_FILE,
        problem="is missing here and in every other place that was looked at",
        value=", ".join(str(folder) for folder in places[1:]) or "no other place",
        remedy=f"{_REMEDY} Or name a folder that has one: `tokenizer:` in base_eval.yaml.",
    )


class LoadedTokenizer:
    """A tokenizer that adds nothing of its own: no special tokens, no padding, no truncation."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / _FILE
        self.sha256 = sha256_file(self.file)
        try:
            self._tokenizer = Tokenizer.from_file(str(self.file))
        except Exception as error:  # noqa: BLE001 - the library raises bare Exception for whatever is wrong
            raise self._bad("(file)", f"is no tokenizer: {error}", self.file.name, _REMEDY) from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        settings = folder / _SETTINGS
        self._settings = read_settings(settings)
        self.settings_sha256 = sha256_file(settings) if settings.is_file() else None

    def _bad(self, field: str, problem: str, value: object, remedy: str) -> BadModel:
        return BadModel(file=self.file, field=field, problem=problem, value=value, remedy=remedy)

    def check_vocabulary(self, n_embeddings: int) -> None:
        """Raise BadModel where a token has no embedding: then tokenizer and model do not belong together."""
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        token, largest = max(vocabulary.items(), key=lambda entry: entry[1], default=("", -1))
        if largest >= n_embeddings:
            raise self._bad(
                "vocab",
                f"goes up to id {largest}, and the model has embeddings for {n_embeddings} tokens only",
                token,
                "Save the tokenizer that the model was trained with beside it.",
            )

    def bos_id(self, model_config: Mapping[str, Any], n_embeddings: int) -> int | None:
        """Return the token that begins a sequence; None where nobody names one.

        The tokenizer's bos_token, else its eos_token (as lm-evaluation-harness chooses), else what the
        model's config.json names, in the same order.
        """
        for key in ("bos_token", "eos_token"):
            entry = self._settings.get(key)
            text = entry.get("content") if isinstance(entry, dict) else entry
            number = self._tokenizer.token_to_id(text) if isinstance(text, str) else None
            if number is not None and number < n_embeddings:
                return int(number)
        for key in ("bos_token_id", "eos_token_id"):
            number = model_config.get(key)
            if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < n_embeddings:
                return number
        return None

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the tokens of each text. Raises BadModel for a text that the vocabulary cannot express."""
        try:
            found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        except Exception:  # noqa: BLE001 - see __init__
            return [self._encode_one(text) for text in texts]
        return [list(encoding.ids) for encoding in found]

    def _encode_one(self, text: str) -> TokenIds:
        try:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        except Exception as error:  # noqa: BLE001 - see __init__
            problem = f"cannot tokenise a text of the data: {error}"
            remedy = "Train the tokenizer with a token for what is unknown, or on bytes."
            raise self._bad("(vocabulary)", problem, text, remedy) from None

"""What the fields of signals and events may hold. Whoever can write on the drive can write these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from heliograph.names import NAME_SCHEMA, ONE_LINE, whole

_EARLIEST_YEAR, _LATEST_YEAR = 1970, 9998  # beyond them a time zone leads out of the calendar

Name = Annotated[str, Meta(pattern=NAME_SCHEMA, description="letters, digits, . _ -")]
Timestamp = Annotated[
    datetime, Meta(tz=True, description="ISO 8601 with an offset, as in 2026-01-31T09:05:00Z")
]
Text = Annotated[str, Meta(min_length=1, max_length=4096, pattern=ONE_LINE)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Finite = Annotated[float, Meta(ge=-1e308, le=1e308)]
Amount = Annotated[float, Meta(ge=0, le=1e308)]
JobId = Annotated[
    str,
    Meta(
        pattern=whole(
            "[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
            "1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit",
        )
    ),
]
Token = Annotated[
    str,
    Meta(
        pattern=whole("[a-z0-9-]{4,64}", "4 to 64 small letters, digits and dashes"),
        description="names one attempt",
    ),
]
Stage = Annotated[
    str, Meta(pattern=whole("[a-z][a-z0-9_]{0,31}", "a stage's name: small letters, digits and underscores"))
]
Metrics = dict[Text, Finite | None]
ExitCode = Annotated[int, Meta(ge=-(2**31), lt=2**32)]
Message = Annotated[str, Meta(max_length=1 << 16)]
Restarts = Annotated[int, Meta(ge=0, le=1 << 31, description="how often Slurm started this job again before")]


def is_possible(moment: datetime) -> bool:
    """Tell whether something can have happened then, as far as every calendar can say."""
    return _EARLIEST_YEAR <= moment.year <= _LATEST_YEAR

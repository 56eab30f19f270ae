"""Whether the drive answers and is one: asked first where the drive itself is not examined."""

from __future__ import annotations

from heliograph.doctor.drive import look_at_identity
from heliograph.doctor.finding import Context, Step
from heliograph.drive import Drive


def steps(context: Context) -> list[Step]:
    return [Step("identity", lambda: [look_at_identity(Drive(context.drive))])]

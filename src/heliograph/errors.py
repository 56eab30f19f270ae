"""The error tree: a class's docstring is its message, its `exit_code` is the command's.

Every error that a user can cause or mend is one of these, is printed without a traceback, and says
what to do. Facts are passed by keyword and filled into the docstring:

    raise NotADrive(folder=folder)
"""

from __future__ import annotations

from typing import Any, ClassVar

_LONGEST_VALUE = 120
_LONGEST_PART = 300


def plain(text: str, longest: int | None = None) -> str:
    """Show hostile text on one line: what is not printable is escaped, what is too long is cut."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


def quote(value: object) -> str:
    """Show a hostile value in a message: escaped, on one line, at most 120 characters."""
    shown = ascii(value)
    return shown if len(shown) <= _LONGEST_VALUE else shown[: _LONGEST_VALUE - 1] + "…"


class HeliographError(Exception):
    """{reason}"""

    exit_code: ClassVar[int] = 1

    def __init__(self, **facts: Any) -> None:
        super().__init__(facts)
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error pass from one process to another: most take keywords, which pickle does not know."""
        return _rebuild, (type(self), self.facts, self.__dict__)

    def __str__(self) -> str:
        template = " ".join((type(self).__doc__ or "").split())
        return template.format(**self.facts)


def _rebuild(kind: type[HeliographError], facts: dict[str, Any], state: dict[str, Any]) -> HeliographError:
    error = kind.__new__(kind, facts)
    error.__dict__.update(state)
    return error


class UsageError(HeliographError):
    """{reason}. {remedy}"""

    exit_code = 2


# What somebody wrote is wrong: file, field, value, remedy ------------------------------------------


class BadInput(HeliographError):
    """{file}: {field}: {problem}, found {value}. {remedy}"""

    exit_code = 3

    def __init__(self, *, file: object, field: str, problem: str, value: object, remedy: str) -> None:
        super().__init__(
            file=plain(str(file)),
            field=plain(field, _LONGEST_VALUE),
            problem=plain(problem, _LONGEST_PART),
            value=quote(value),
            remedy=plain(remedy, _LONGEST_PART),
        )


class BadName(BadInput):
    """{file}: {field}: {problem}, found {value}. {remedy}"""


class BadSignal(BadInput):
    """{file}: {field}: {problem}, found {value}. {remedy}"""


class BadEvent(BadInput):
    """{file}: {field}: {problem}, found {value}. {remedy}"""


class BadConfig(BadInput):
    """{file}: {field}: {problem}, found {value}. {remedy}"""


class BadModel(BadInput):
    """{file}: {field}: {problem}, found {value}. {remedy}"""


class BadDataset(BadInput):
    """{file}: {field}: {problem}, found {value}. {remedy}"""


class BadResults(BadInput):
    """{file}: {field}: {problem}, found {value}. {remedy}"""


# The drive ------------------------------------------------------------------------------------------


class DriveError(HeliographError):
    """{folder}: {reason}. {remedy}"""

    exit_code = 4


class NoDrive(DriveError):
    """No drive was named. Give --drive FOLDER or set SHARED_DRIVE to the shared folder."""


class NotADrive(DriveError):
    """{folder} is not a heliograph drive (it has no .drive_id). Is the network drive mounted? To make
    a new drive there: heliograph init {folder}"""


class DriveUnavailable(DriveError):
    """{folder} does not answer: {reason}. Nothing is lost; it is tried again."""


class DriveBusy(DriveUnavailable):
    """{folder} has not answered yet: {reason}. Nothing is lost; it is asked again."""


class LeaseHeld(DriveError):
    """Another watcher serves this drive: host {host}, pid {pid}, last seen {age_s:.0f} s ago. One
    watcher a drive is enough; stop that one first, or wait until its lease ends."""


# State ----------------------------------------------------------------------------------------------


class StateError(HeliographError):
    """{database}: {reason}. {remedy}"""

    exit_code = 5


class NotPublished(StateError):
    """{database}: nothing is published on this drive yet. Start the watcher (heliograph watch), or run
    heliograph init first."""


class UnknownExperiment(StateError):
    """No experiment is called {name}. {remedy}"""

    exit_code = 3


class CannotRelease(StateError):
    """{name} cannot be released: {reason}. {remedy}."""

    exit_code = 3


class NoLog(StateError):
    """{what}. {remedy}"""

    exit_code = 3


# Executors ------------------------------------------------------------------------------------------


class ExecutorError(HeliographError):
    """{executor}: {reason}"""

    exit_code = 6


class SubmissionRefused(ExecutorError):
    """{executor} refused the job: {reason}"""

    def __init__(self, *, executor: str, reason: str, failure_class: str) -> None:
        super().__init__(executor=executor, reason=reason)
        self.failure_class = failure_class


class SubmissionDoubtful(ExecutorError):
    """{executor} may or may not have taken the job: {reason}. Its name is looked up before anything
    else is done."""


class PollFailed(ExecutorError):
    """{executor} did not tell how the jobs are: {reason}. Nothing is concluded from that."""


# Other parts ----------------------------------------------------------------------------------------


class MissingPart(HeliographError):
    """{part} is not installed, and {needed_for} needs it. {remedy}"""

    exit_code = 7


class TrackingError(HeliographError):
    """MLflow at {uri}: {reason}"""

    exit_code = 8


class StageFailed(HeliographError):
    """{stage} of {experiment} failed: {reason}"""

    exit_code = 9

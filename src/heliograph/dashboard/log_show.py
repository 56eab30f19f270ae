"""Printing logs, and following them: harmless on a terminal, byte for byte into a pipe, or as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from heliograph.dashboard.explaining import gather
from heliograph.dashboard.log_choice import LogChoice, is_over, next_choice
from heliograph.dashboard.reader import reading
from heliograph.dashboard.terminal import make_console
from heliograph.drive import Drive
from heliograph.errors import DriveUnavailable, NoLog, StateError
from heliograph.names import utc_now
from heliograph.state.explain_facts import Facts
from heliograph.state.log_files import read_end_bytes, shown_path
from heliograph.state.log_follow import Follower
from heliograph.state.log_text import readable
from heliograph.state.views import Snapshots

LOOK_EVERY_S = 1.0
_ASK_EVERY = 3
"""each so many looks, the databases are asked whether the attempt is over"""
_LEVELS = {"ERROR": "bold red", "CRITICAL": "bold red", "WARN": "yellow", "WARNING": "yellow", "DEBUG": "dim"}


class Printer(Protocol):
    """Takes a log piece by piece."""

    def title(self, text: str) -> None:
        """A log, or a part of one, begins here; or something is to be said of it."""
        ...

    def write(self, path: str, content: bytes, /) -> None:
        """Print a piece of one log."""
        ...

    def finish(self, choice: LogChoice, /) -> None:
        """Print what is still held back."""
        ...


class TerminalPrinter:
    """For people: whole lines, harmless, JSON lines readable."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rest: dict[str, bytes] = {}
        self._last: str | None = None

    def title(self, text: str) -> None:
        self._console.print(Text(f"── {text}", style="bold cyan"), soft_wrap=True)

    def write(self, path: str, content: bytes) -> None:
        if path != self._last:
            self.title(path)
            self._last = path
        *lines, rest = (self._rest.pop(path, b"") + content).split(b"\n")
        for line in lines:
            self._print(line)
        if rest:
            self._rest[path] = rest  # the line goes on with the next piece

    def finish(self, _: LogChoice) -> None:
        for rest in self._rest.values():
            self._print(rest)
        self._rest.clear()

    def _print(self, line: bytes) -> None:
        level, shown = readable(line.decode("utf-8", "backslashreplace"))
        self._console.print(Text(shown, style=_LEVELS.get(level, "")), soft_wrap=True)


class RawPrinter:
    """For pipes and files: byte for byte. What is said beside the logs goes to the error output."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def title(self, text: str) -> None:
        print(f"── {text}", file=sys.stderr)  # noqa: T201 - it is printing what this is for

    def write(self, _: str, content: bytes) -> None:
        self._out.write(content)
        self._out.flush()

    def finish(self, _: LogChoice) -> None:
        self._out.flush()


class LogFile(Struct, frozen=True, kw_only=True):
    """One log, as --json prints it."""

    path: str
    lines: list[str]


class LogsShown(Struct, frozen=True, kw_only=True):
    """The logs of one attempt, as --json prints them."""

    experiment: str
    stage: str
    attempt: int | None
    job_id: str | None
    files: list[LogFile]


class JsonPrinter:
    """For scripts: one object at the end, or, while following, one object a line of the logs."""

    def __init__(self, write: Callable[[str], object], *, following: bool) -> None:
        self._write = write
        self._following = following
        self._content: dict[str, bytes] = {}

    def title(self, text: str) -> None:
        if self._following:
            self._write(msgspec.json.encode({"note": text}).decode() + "\n")

    def write(self, path: str, content: bytes) -> None:
        content = self._content.pop(path, b"") + content
        if self._following:
            *lines, content = content.split(b"\n")
            for line in lines:
                self._print(path, line)
        self._content[path] = content

    def _print(self, path: str, line: bytes) -> None:
        told = {"path": path, "line": line.decode("utf-8", "backslashreplace")}
        self._write(msgspec.json.encode(told).decode() + "\n")
        sys.stdout.flush()

    def finish(self, choice: LogChoice) -> None:
        if self._following:
            for path, rest in self._content.items():
                if rest:
                    self._print(path, rest)
            self._content.clear()
            return
        attempt = choice.attempt
        texts = {path: raw.decode("utf-8", "backslashreplace") for path, raw in self._content.items()}
        shown = LogsShown(
            experiment=choice.experiment,
            stage=choice.stage,
            attempt=attempt.number if attempt else None,
            job_id=attempt.job_id if attempt else None,
            files=[LogFile(path=path, lines=_lines(text)) for path, text in texts.items()],
        )
        self._write(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n")


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def choose_printer(*, as_json: bool, following: bool) -> Printer:
    """Return what fits standard output."""
    if as_json:
        return JsonPrinter(sys.stdout.write, following=following)
    if sys.stdout.isatty():
        return TerminalPrinter(make_console())
    return RawPrinter(sys.stdout.buffer)


def show(drive: Drive, choice: LogChoice, printer: Printer, lines: int) -> None:
    """Print the ends of the logs. Raises NoLog where there is none, OSError for the drive's trouble."""
    paths = choice.paths(drive)
    if not paths:
        raise NoLog(
            what=f"There is no log yet: {choice.title}",
            remedy="It is written as soon as the work runs. heliograph why tells where that is.",
        )
    for path in paths:
        _print_end(drive, path, printer, lines)
    printer.finish(choice)


def _print_end(drive: Drive, path: Path, printer: Printer, lines: int) -> int:
    """Print the end of one log; return how far it was read."""
    kept, left_out = read_end_bytes(drive, path, lines)
    content = b"".join(kept)
    printer.write(shown_path(drive, path), content)
    return left_out + len(content)


def follow(
    snapshots: Snapshots,
    choice: LogChoice,
    printer: Printer,
    *,
    lines: int,
    forever: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Print the ends of the logs, then what comes; on into the next attempt's logs, until all is over."""
    drive = snapshots.drive
    follower = Follower(drive)
    for path in choice.paths(drive):
        follower.begin_at(path, _print_end(drive, path, printer, lines))
    looks, over = 0, False
    while True:
        _print_new(follower, choice, drive, printer)
        if over:
            break  # looked once more after the end was told: nothing of it is missed
        if looks % _ASK_EVERY == 0 and (facts := _ask(snapshots, choice)) is not None:
            following = next_choice(facts, choice)
            if following is not None:
                _print_new(follower, choice, drive, printer)  # what it wrote in its last moments
                printer.finish(choice)
                choice = following
                printer.title(choice.title)
                continue
            over = is_over(facts, choice) and not forever
        looks += 1
        if not over:
            sleep(LOOK_EVERY_S)
    printer.finish(choice)


def _print_new(follower: Follower, choice: LogChoice, drive: Drive, printer: Printer) -> None:
    for piece in follower.look(_paths(choice, drive)):
        shown = shown_path(drive, piece.path)
        if piece.note:
            printer.title(f"{shown}: {piece.note}")
        printer.write(shown, piece.content)


def _paths(choice: LogChoice, drive: Drive) -> list[Path]:
    try:
        return choice.paths(drive)
    except OSError:
        return []  # the drive is away for a moment


def _ask(snapshots: Snapshots, choice: LogChoice) -> Facts | None:
    """Ask what is published now; None while the drive does not tell."""
    try:
        with reading(snapshots):
            return gather(snapshots, choice.experiment, utc_now())
    except (DriveUnavailable, StateError):
        return None

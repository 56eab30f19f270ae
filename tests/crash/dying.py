"""Running something in a child process that dies at one of its durable steps."""

from __future__ import annotations

import logging
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from heliograph.durable import Hook, install_hook

DIED = 77
LONGEST_S = 100  # then the child is hung, and SIGALRM ends it


class Where(Struct, frozen=True):
    """Right before or right after the durable step of this number, counted from 0; `kind`: of such steps."""

    moment: str
    number: int
    kind: str | None = None

    def __str__(self) -> str:
        return f"{self.moment} {self.kind or 'step'} {self.number}"


class Ended(Struct, frozen=True):
    """How a child ended: at a step (`commit evaluation`), or, with None, because all was done."""

    step: str | None


class Deadly:
    """The hook that ends this very process, without any cleaning up, where it is told to."""

    def __init__(self, where: Where, tell: Callable[[str], object]) -> None:
        self._where = where
        self._tell = tell
        self._count = 0

    def __call__(self, moment: str, kind: str, what: str) -> None:
        if moment != self._where.moment or self._where.kind not in (None, kind):
            return
        if self._count == self._where.number:
            self._tell(f"{kind} {what}")
            os._exit(DIED)
        self._count += 1


def hook_for(text: str, reached: Path) -> Hook:
    """Return the hook for `after step 3`, `before commit 0` or `count`: nothing dies then, and each step is
    noted. What is reached stands in the file."""
    if text == "count":
        return Noting(reached)
    moment, kind, number = text.split()
    return Deadly(Where(moment, int(number), None if kind == "step" else kind), reached.write_text)


class Noting:
    """The hook that notes every step in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, moment: str, kind: str, what: str) -> None:
        if moment == "before":
            with self._file.open("a") as file:
                file.write(f"{kind} {what}\n")


class Watchful:
    """The hook that looks whether all is well, before and after every step."""

    def __init__(self, what_is_wrong: Callable[[], list[str]]) -> None:
        self._what_is_wrong = what_is_wrong

    def __call__(self, moment: str, kind: str, what: str) -> None:
        install_hook(None)  # looking has steps of its own
        problems = self._what_is_wrong()
        install_hook(self)
        assert problems == [], f"{moment} {kind} {what}: {problems}"


def in_child(
    action: Callable[[], object],
    log: Path,
    where: Where | None = None,
    what_is_wrong: Callable[[], list[str]] | None = None,
) -> Ended:
    """Do it in a forked child that dies there, if it is told where. Raises AssertionError with the log if it
    fails otherwise, or if something is wrong at one of its steps."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        hook: Hook | None = Watchful(what_is_wrong) if what_is_wrong else None
        if where:
            hook = Deadly(where, lambda step: os.write(writing, step.encode()))
        _be_child(action, log, hook)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        step = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status not in (0, DIED):
        raise AssertionError(f"it ended with {status}:\n{log.read_text()[-4000:]}")
    return Ended(step if status == DIED else None)


def _be_child(action: Callable[[], object], log: Path, hook: Hook | None) -> NoReturn:
    code = 1
    try:
        signal.alarm(LONGEST_S)
        logging.basicConfig(filename=log, level=logging.INFO, force=True)
        install_hook(hook)
        action()
        code = 0
    except BaseException:  # noqa: BLE001 - this is a process's main
        with log.open("a") as file:
            traceback.print_exc(file=file)
    finally:
        os._exit(code)

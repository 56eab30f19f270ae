"""Outside commands: run one, and give back what it said as a value that parsers can be tested with."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence

from msgspec import Struct

from heliograph.errors import BadName

_REAP_S = 1.0
_COMMAND_NOT_FOUND = 127  # as shells say it
_LONGEST_TEXT = 500


class Answer(Struct, frozen=True):
    """What a command answered. `returncode` is None when it had not answered in time and was ended."""

    command: str
    returncode: int | None
    stdout: str = ""
    stderr: str = ""

    @property
    def said(self) -> str:
        """The command's own words on one line, for people; never empty."""
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        if self.returncode is None:
            lines.insert(0, f"{self.command} did not answer in time")
        return "; ".join(lines)[:_LONGEST_TEXT] or f"{self.command} ended with code {self.returncode}, silent"


_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


def check_job_name(name: str) -> str:
    """Return `name` if no command and no answer can mistake it: no separator, no comma (squeue reads a list),
    no dash at its start; accounting keeps 255 letters. Raises BadName."""
    if _JOB_NAME.fullmatch(name):
        return name
    raise BadName(
        file="job",
        field="name",
        problem="not a job name",
        value=name,
        remedy="Use at most 255 letters, digits, dots, dashes and underscores, the first a letter or digit.",
    )


def run_command(argv: Sequence[str], environ: Mapping[str, str], timeout_s: float) -> Answer:
    """Run a command in a session of its own, so that Ctrl-C at our terminal does not end it half-way.

    A command that is hung on a dead drive cannot be ended even by SIGKILL, and waiting for it would hang us
    too: it is killed and left to be reaped later.
    """
    try:
        process = subprocess.Popen(
            argv,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError:
        return Answer(argv[0], _COMMAND_NOT_FOUND, "", f"{argv[0]}: command not found")
    except OSError as error:
        return Answer(argv[0], _COMMAND_NOT_FOUND, "", f"{argv[0]}: {error.strerror}")
    try:
        out, err = process.communicate(timeout=timeout_s)
        returncode: int | None = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = _reap(process)
        returncode = None
    return Answer(argv[0], returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def _reap(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    try:
        return process.communicate(timeout=_REAP_S)
    except subprocess.TimeoutExpired as error:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.poll()
        return error.output or b"", error.stderr or b""

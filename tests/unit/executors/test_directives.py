"""What the local executor makes of #SBATCH lines."""

from __future__ import annotations

import signal

import pytest

from heliograph.executors import directives as sbatch


@pytest.mark.parametrize(
    ("line", "option", "value"),
    [
        ("#SBATCH --output=/logs/%j.log", "output", "/logs/%j.log"),
        ("#SBATCH --output /logs/%j.log", "output", "/logs/%j.log"),
        ("#SBATCH --output='/shared drive/%j.log'", "output", "/shared drive/%j.log"),
        ("#SBATCH --output='/shared drive'/%j.log", "output", "/shared drive/%j.log"),
        ("#SBATCH -o /logs/%j.log", "output", "/logs/%j.log"),
        ("#SBATCH -o/logs/%j.log", "output", "/logs/%j.log"),
        ("#SBATCH -e err", "error", "err"),
        ("#SBATCH -t 5  # five minutes", "time", "5"),
        ("#SBATCH -J name --time=1:00", "job-name", "name"),
        ("#SBATCH --exclusive --time=1:00", "time", "1:00"),
        ("#SBATCH --exclusive", "exclusive", ""),
        ("#SBATCH --comment='never closed", "comment", "'never"),
    ],
)
def test_options(line: str, option: str, value: str) -> None:
    assert sbatch.parse_directives(f"#!/bin/bash\n{line}\necho\n")[option] == value


def test_of_equal_options_the_last_counts() -> None:
    assert sbatch.parse_directives("#!/bin/sh\n#SBATCH --time=1\n#SBATCH --time=2\n") == {"time": "2"}


def test_directives_end_at_the_first_command() -> None:
    script = "#!/bin/sh\n\n# a comment\n#SBATCH --time=1\necho\n#SBATCH --time=2\n"
    assert sbatch.parse_directives(script) == {"time": "1"}


@pytest.mark.parametrize("line", ["# SBATCH --time=1", "##SBATCH --time=1", " #SBATCH --time=1"])
def test_lines_that_are_none(line: str) -> None:
    assert sbatch.parse_directives(f"#!/bin/sh\n{line}\n") == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 300),
        ("5:30", 330),
        ("02:00:00", 7200),
        ("1-0", 86400),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("1-12:30:15", 131415),
        ("0", None),
        ("UNLIMITED", None),
        ("infinite", None),
    ],
)
def test_time_limits(text: str, seconds: int | None) -> None:
    assert sbatch.time_limit_s({"time": text}) == seconds


def test_no_time_limit() -> None:
    assert sbatch.time_limit_s({}) is None


@pytest.mark.parametrize("text", ["soon", "1:2:3:4", "-5", "1-", "1.5"])
def test_bad_time_limits(text: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        sbatch.time_limit_s({"time": text})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("B:USR1@120", (signal.SIGUSR1, 120)),
        ("B:SIGTERM", (signal.SIGTERM, 60)),
        ("B:10@5", (10, 5)),
        ("USR1@120", None),
        ("B:NOSUCH@5", None),
        ("B:_DFL", None),
        ("", None),
    ],
)
def test_warnings(text: str, told: tuple[int, int] | None) -> None:
    assert sbatch.warning({"signal": text}) == told


FACTS = {"j": "local-7", "x": "eval_a.t1", "u": "me", "N": "host"}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/logs/%j.log", "/logs/local-7.log"),
        ("%x-%u-%N", "eval_a.t1-me-host"),
        ("100%%-%j", "100%-local-7"),
        ("%a %Z %", "%a %Z %"),
    ],
)
def test_patterns(pattern: str, path: str) -> None:
    assert sbatch.fill(pattern, FACTS) == path


def test_without_error_both_outputs_are_one() -> None:
    assert sbatch.output_paths({"output": "%j.log"}, FACTS) == ("local-7.log", "local-7.log")
    assert sbatch.output_paths({"output": "%j.log", "error": "%j.err"}, FACTS) == (
        "local-7.log",
        "local-7.err",
    )
    assert sbatch.output_paths({}, FACTS) == ("slurm-local-7.out", "slurm-local-7.out")

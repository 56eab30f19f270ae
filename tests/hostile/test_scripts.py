"""No hostile text gets out of its place in a batch script: it is refused, or it stays one word.

Every text is tried in every field that reaches a script. What the schema lets pass is rendered, checked with
`bash -n`, and run for real with a program in place of the interpreter that writes down its arguments.
"""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest

from heliograph.config import Resources, StageSettings, parse_config
from heliograph.drive import Drive
from heliograph.errors import BadConfig, BadInput, BadName
from heliograph.executors.directives import parse_directives
from heliograph.names import is_name
from heliograph.stages.builtin import ANALYSIS, EVALUATION
from heliograph.stages.render import ScriptValues, build_script

TEXTS = (
    *(
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned",
        "&& touch pwned",
        "| touch pwned",
        "& touch pwned &",
    ),
    *(
        "'; touch pwned; '",
        '"; touch pwned; "',
        "\\'; touch pwned; \\'",
        "a\ntouch pwned",
        "a\r\ntouch pwned",
    ),
    *("a\n#SBATCH --account=other", "a\n\n#SBATCH --wrap=x", "a #SBATCH --x", "> pwned", "<(touch pwned)"),
    *(
        "${IFS}touch${IFS}pwned",
        "$HOME",
        "~root",
        "*",
        "?",
        "[a-z]",
        "{a,b}",
        "!touch",
        "\\",
        "a\\",
        "'",
        '"',
    ),
    *("a b", " ", "", "-rf", "--", "#", "a#b", "%j", "%%", "\x1b[31m", "\x7f", "é", "\u202e", "\u2028"),
    *("{{ 7 * 7 }}", "{% raw %}", "{# no #}", "$'\\n'", "EOF", "a=b", "--wrap=touch pwned", "x" * 3000),
)
RESOURCES = ("time", "mem", "gres", "partition", "account", "qos", "constraint", "exclude")
STUB = """#!/bin/bash
printf '%s\\0' "$@" > "$WORDS"
env -0 > "$WORDS.env"
"""


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    path.write_text(STUB)
    path.chmod(0o755)
    return path


def values(**changes: Any) -> ScriptValues:
    fields = {
        "experiment": "e1",
        "token": "0123456789ab",
        "attempt": 1,
        "signal_sha256": "a" * 64,
        "input_path": "/in",
        "resources": Resources(),
    }
    return ScriptValues(**(fields | changes))


def run(tmp_path: Path, script: str) -> list[str]:
    """Check and run a script; return the words that the command was given."""
    file = tmp_path / "script.sh"
    file.write_text(script)
    subprocess.run(["bash", "-n", str(file)], check=True)
    words = tmp_path / "words"
    environ = {"PATH": "/usr/bin:/bin", "WORDS": str(words), "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run(["bash", str(file)], cwd=tmp_path, env=environ, check=True, capture_output=True)
    assert not list(tmp_path.rglob("pwned"))
    return words.read_bytes().decode().split("\0")[:-1]


def directives(script: str) -> list[str]:
    """Return the directives that Slurm reads: up to the first line that is neither empty nor a comment."""
    head = itertools.takewhile(lambda line: not line.strip() or line.startswith("#"), script.split("\n"))
    return [line for line in head if line.startswith("#SBATCH")]


PLAIN_COUNT = len(directives(build_script(EVALUATION, StageSettings(), Drive("/drive"), values(), "/python")))
"""how many directives there are where nothing hostile is asked"""


@pytest.mark.parametrize("text", TEXTS)
def test_paths_and_variables_stay_one_word(tmp_path: Path, stub: Path, text: str) -> None:
    drive = Drive(tmp_path / "drive")
    drive.root.mkdir()
    given = values(input_path=f"/in/{text}", signal_sha256=text, variables={"MLFLOW_TRACKING_URI": text})
    script = build_script(EVALUATION, StageSettings(), drive, given, str(stub))
    assert len(directives(script)) == PLAIN_COUNT
    words = run(tmp_path, script)
    assert words[words.index("--signal-sha256") + 1] == text
    assert words[words.index("--input") + 1] == f"/in/{text}"
    assert words[-1] == f"/in/{text}", "and once more behind --, for the stage's own command"
    assert f"MLFLOW_TRACKING_URI={text}" in (tmp_path / "words.env").read_bytes().decode().split("\0")


@pytest.mark.parametrize("text", TEXTS)
def test_a_drive_under_a_hostile_path(tmp_path: Path, stub: Path, text: str) -> None:
    drive = Drive(tmp_path / f"drive{text[:200]}")
    try:
        script = build_script(ANALYSIS, StageSettings(), drive, values(), str(stub))
    except BadConfig:
        assert not text.isprintable() or "%" in text
        return
    (drive.root / "analysis").mkdir(parents=True)
    assert len(directives(script)) == PLAIN_COUNT
    words = run(tmp_path, script)
    assert words.count(str(drive.root)) == 2
    told = parse_directives(script)
    assert told["output"] == f"{drive.root}/logs/analysis/%j.log"


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("field", ["experiment", "token"])
def test_what_is_no_name_is_refused(tmp_path: Path, field: str, text: str) -> None:
    if is_name(text):
        return
    with pytest.raises(BadName):
        build_script(EVALUATION, StageSettings(), Drive(tmp_path), values(**{field: text}))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("field", RESOURCES)
def test_what_is_asked_of_slurm_stays_one_directive(
    tmp_path: Path, stub: Path, field: str, text: str
) -> None:
    try:
        resources = parse_config({field: text}, Resources, file="watcher.yaml")
    except BadInput:
        return
    drive = Drive(tmp_path / "drive")
    drive.root.mkdir()
    script = build_script(EVALUATION, StageSettings(), drive, values(resources=resources), str(stub))
    assert f"#SBATCH --{field}={text}" in directives(script)
    assert len(directives(script)) == PLAIN_COUNT + (field not in ("time", "mem"))
    assert parse_directives(script)[field] == text
    run(tmp_path, script)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("field", ["modules", "extra_directives"])
def test_what_the_administrator_lists_stays_one_word(
    tmp_path: Path, stub: Path, field: str, text: str
) -> None:
    listed = text if field == "modules" else f"--comment={text}"
    try:
        settings = parse_config({field: [listed]}, StageSettings, file="watcher.yaml")
    except BadInput:
        return
    drive = Drive(tmp_path / "drive")
    drive.root.mkdir()
    settings_and_module = f"module() {{ printf '%s' \"$2\" > {tmp_path}/module; }}\n"
    script = build_script(EVALUATION, settings, drive, values(), str(stub))
    assert len(directives(script)) == PLAIN_COUNT + (field == "extra_directives")
    run(tmp_path, script.replace("set -u\n", f"set -u\n{settings_and_module}", 1))
    if field == "modules":
        assert (tmp_path / "module").read_text() == text


def test_enough_of_the_texts_are_refused_and_some_are_not() -> None:
    """A schema that refused everything, or nothing, would prove nothing above."""

    def passes(field: str, text: str) -> bool:
        try:
            parse_config({field: text}, Resources, file="f")
        except BadInput:
            return False
        return True

    taken = [text for text in TEXTS if passes("partition", text)]
    assert taken == ["*", "[a-z]", "-rf", "--", "%j", "%%", "EOF", "a=b"]

"""Every durable step is marked, so that the crash matrix knows it: no effect outside `with durable(...)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from meta.project import PACKAGE, own_files

_OS = {
    *("replace", "rename", "renames", "mkdir", "makedirs", "unlink", "remove", "rmdir", "removedirs"),
    *("fsync", "fdatasync", "link", "symlink", "mkfifo", "truncate", "ftruncate"),
}
_SHUTIL = {"rmtree", "move", "copytree", "copy", "copy2", "copyfile"}
_METHODS = {
    *("rename", "mkdir", "unlink", "rmdir", "touch", "write_text", "write_bytes"),
    *("symlink_to", "hardlink_to", "backup", "executescript", "commit"),
}
_EXECUTOR = {"submit", "cancel", "poll", "find", "prune", "requeue", "release", "hold"}
_TEMPORARY = {"TemporaryDirectory", "NamedTemporaryFile", "mkdtemp", "mkstemp"}

ALLOWED = {
    # file and call, as patterns: why it needs no mark
    ("executors/local_supervisor.py", "*"): "a process of its own, stdlib only; its deaths: tests/contract",
    ("executors/local_records.py", "*"): "the supervisor's files, as above",
    ("doctor/*", "*"): "probes in a scratch folder; what dies there is removed by the next doctor",
    ("files.py", "shutil.rmtree"): "the folder aside, after an error, which is what counts then",
    ("runner/job_logs.py", "path.open"): "a log for people: dying before the cut leaves it whole",
    ("demo/*", "*"): "makes a folder of its own before anything runs",
    ("mlflow_server.py", "*"): "the server's own folder and log; MLflow looks after its database",
    ("files.py", "os.open"): "the temporary file: what is left of it is removed by the next watcher",
    ("files.py", "temporary.unlink"): "after an error, which is what counts then",
    ("state/views.py", "tempfile.TemporaryDirectory"): "a reader's scratch folder",
    ("state/rebuild.py", "tempfile.TemporaryDirectory"): "a reader's scratch folder",
    ("analysis/pipeline.py", "tempfile.TemporaryDirectory"): "R's scratch folder; it goes with the job",
    ("analysis/pipeline.py", "os.open"): "a lock on the local disk, empty",
    ("training/metrics.py", "*.open"): "for MLflow, and a lock; a cut last line is left out by readers",
    ("training/pulse.py", "self._path.open"): "a log for people",
    ("training/folders.py", "*.write_bytes"): "inside a temporary folder, synced by _sync_tree, then renamed",
    ("training/folders.py", "shutil.copytree"): "as above",
    ("training/folders.py", "shutil.rmtree"): "after an error, which is what counts then",
    ("training/staging.py", "shutil.copytree"): "inside a temporary folder of write_folder",
}


def unmarked(source: str) -> Iterator[tuple[int, str]]:
    """Line and function of each durable effect that is not inside `with durable(...)`."""
    tree = ast.parse(source)
    marked = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and any(_is_mark(item.context_expr) for item in node.items)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and id(node) not in marked and _is_effect(node):
            yield node.lineno, ast.unparse(node.func)


def _is_mark(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Call) and ast.unparse(expression.func).split(".")[-1] == "durable"


def _is_effect(call: ast.Call) -> bool:
    owner, _, name = ast.unparse(call.func).rpartition(".")
    if owner == "os":
        return name in _OS or (name == "open" and "O_CREAT" in ast.unparse(call))
    if owner == "shutil":
        return name in _SHUTIL
    if name in _EXECUTOR and "executor" in owner.lower():
        return True
    if name == "execute" and call.args:
        return ast.unparse(call.args[0]).strip("'\"").upper().startswith("COMMIT")
    if name == "replace" and owner:  # of a path: one argument; of a text: two; of a struct: by name
        return len(call.args) == 1 and not call.keywords
    opens = name == "open" and any(_is_writing_mode(argument) for argument in call.args[:2])
    return opens or name in _TEMPORARY or (bool(owner) and name in _METHODS)


def _is_writing_mode(argument: ast.expr) -> bool:
    mode = argument.value if isinstance(argument, ast.Constant) else None
    return isinstance(mode, str) and len(mode) < 4 and bool(set(mode) & set("wax+"))


def reason_for(path: Path, function: str) -> str | None:
    file = str(path.relative_to(PACKAGE))
    return next((why for (f, c), why in ALLOWED.items() if fnmatch(file, f) and fnmatch(function, c)), None)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("os.replace(a, b)", ["os.replace"]),
        ("with durable('rename', b):\n    os.replace(a, b)", []),
        ("with durable('rename', b):\n    pass\nos.replace(a, b)", ["os.replace"]),
        ("path.replace(target); text.replace('a', 'b'); moment.replace(tzinfo=UTC)", ["path.replace"]),
        ("self.executor(name).cancel(job, name)", ["self.executor(name).cancel"]),
        ("connection.execute('COMMIT'); connection.execute('SELECT 1')", ["connection.execute"]),
        ("path.open('ab'); path.open('rb'); open(path, 'w')", ["path.open", "open"]),
        ("os.open(p, os.O_RDONLY); os.open(p, os.O_CREAT)", ["os.open"]),
        ("process.poll(); text.find('a')", []),
    ],
)
def test_effects_are_told_from_other_calls(source: str, found: list[str]) -> None:
    assert [function for _, function in unmarked(source)] == found


@pytest.mark.parametrize(
    "path", own_files("src/heliograph/**.py"), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_every_durable_effect_is_marked(path: Path) -> None:
    assert [
        f"{path}:{line}: {function}"
        for line, function in unmarked(path.read_text(encoding="utf-8"))
        if reason_for(path, function) is None
    ] == []


def test_every_exception_is_still_needed() -> None:
    found = [
        (str(path.relative_to(PACKAGE)), function)
        for path in own_files("src/heliograph/**.py")
        for _, function in unmarked(path.read_text(encoding="utf-8"))
    ]
    unused = [key for key in ALLOWED if not any(fnmatch(f, key[0]) and fnmatch(c, key[1]) for f, c in found)]
    assert unused == []

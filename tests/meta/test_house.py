"""The house rules that can be counted."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from meta.project import ROOT, own_files

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
PROMISES = ("TO" + "DO", "FIX" + "ME", "X" + "XX")  # in pieces, because this file is searched too

CODE = own_files(
    "src/**.py", "tests/**.py", "tools/*", "examples/**.py", "benchmarks/**.py", "src/**.R", "src/**.sql"
)
FUNCTIONS = own_files("src/**.py", "tools/**.py", "examples/**.py")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions_of(source: str) -> Iterator[tuple[str, int]]:
    """Name and length of each function: lines from `def` to its end, without the docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
            about = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
            yield node.name, node.end_lineno - node.lineno + 1 - about


def test_the_length_of_a_function_leaves_out_its_docstring() -> None:
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    return [\n        1,\n    ]\n'
    assert list(functions_of(source)) == [("f", 4)]


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", FUNCTIONS, ids=name_of)
def test_functions_stay_short(path: Path) -> None:
    lengths = functions_of(path.read_text(encoding="utf-8"))
    assert {name: length for name, length in lengths if length > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_nothing_is_put_off(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [word for word in PROMISES if word in text] == []

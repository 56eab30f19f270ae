"""What the docs take from the code is up to date and complete; links lead somewhere."""

import re
import sys
from pathlib import Path

import pytest

from meta.project import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import generate_docs

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_generated_pages_are_up_to_date() -> None:
    stale = [str(path) for path, text in generate_docs.pages().items() if path.read_text() != text]
    assert stale == [], "run tools/generate_docs.py"


def test_every_setting_is_described() -> None:
    rows = [line for line in generate_docs.configuration_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert [row for row in rows if row.endswith("|  |")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target]
    assert [target for target in inside if not (page.parent / target).exists()] == []

"""Writing pages: a template, and the struct that says all that it shows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import jinja2
from msgspec import Struct

STATIC = Path(__file__).with_name("static")
REFRESH_S = 30


class TroublePage(Struct, frozen=True):
    """What is shown where there is nothing else to show: an error, said in a sentence."""

    status: int
    headline: str
    message: str


def static_version() -> str:
    """Return what changes when a static file does, so that browsers may keep them for long."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Pages:
    """Writes structs as HTML. What comes from them is escaped; what a template misses is an error."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {"version": static_version(), "refresh_s": REFRESH_S}

    def write(self, name: str, page: Struct, *, only_live: bool = False) -> str:
        """Write the page `name`, or only the part of it that is refreshed."""
        file = f"{name}_live.html" if only_live else f"{name}.html"
        return self._templates.get_template(file).render(page=page)

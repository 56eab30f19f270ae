"""The bytes of a data set: read as a stream, hashed as they are read, never held in memory as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from heliograph.drive import Drive
from heliograph.errors import BadDataset, BadSignal

LONGEST_DOCUMENT = 16 << 20  # bytes of one line or document; more is no sentence, and would fill the memory


class Line(Struct, frozen=True):
    """A line or document of a data set, and where it stands: FILE:NUMBER, or FILE for a whole one."""

    file: Path
    number: int | None
    raw: bytes

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}" if self.number is not None else str(self.file)

    @property
    def short_place(self) -> str:
        return f"{self.file.name}:{self.number}" if self.number is not None else self.file.name

    def bad(self, field: str, problem: str, value: object, remedy: str) -> BadDataset:
        """Return an error that names this line."""
        return BadDataset(file=self.place, field=field, problem=problem, value=value, remedy=remedy)

    def text(self) -> str:
        """Return the line as text, without its line end. Raises BadDataset where it is not UTF-8."""
        try:
            return self.raw.decode("utf-8")
        except UnicodeDecodeError as error:
            near = self.raw[max(0, error.start - 20) : error.start + 20]
            raise self.bad(
                "(line)",
                f"is not UTF-8 at byte {error.start + 1}",
                near,
                "Save the file as UTF-8, for instance: iconv -f LATIN1 -t UTF-8.",
            ) from None

    def fields(self) -> dict[str, Any]:
        """Return the JSON object that the line holds. Raises BadDataset."""
        try:
            values = msgspec.json.decode(self.text())
        except msgspec.DecodeError as error:
            remedy = "Each line is one JSON object; mend that line."
            raise self.bad("(line)", f"is not JSON: {error}", self.raw[:80], remedy) from None
        if not isinstance(values, dict):
            raise self.bad("(line)", "is not a JSON object", self.raw[:80], "Each line is one JSON object.")
        return values


def data_files(drive: Drive, root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files of a data set: `root` itself, or the folder's files with one of the suffixes.

    Raises BadDataset where there is none, or where one is no regular file of the drive.
    """
    if not root.is_dir():
        found = [root]
    else:
        named = (path for path in root.iterdir() if path.suffix in suffixes and not path.name.startswith("."))
        found = sorted(named, key=lambda path: path.name)
    for path in found:
        try:
            drive.inside(path, drive.root, field="data", file=root)
        except BadSignal:
            raise _bad_file(path, "is a symbolic link that leads out of the drive", path.name) from None
        if not path.is_file():
            raise _bad_file(path, "is no regular file", path.name)
    if not found:
        raise _bad_file(root, f"holds no file that ends in {' or '.join(suffixes)}", root.name)
    return found


def _bad_file(file: Path, problem: str, value: object) -> BadDataset:
    remedy = "Put the data on the drive, and name the file or its folder in the data set's YAML."
    return BadDataset(file=file, field="data", problem=problem, value=value, remedy=remedy)


class Reading:
    """One pass over the files of a data set. When it has been read to the end, `sha256` identifies it."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self._digests: dict[str, str] = {}

    def lines(self) -> Iterator[Line]:
        """Give every line that is not blank, without its line end."""
        for path in self.files:
            digest = hashlib.sha256()
            with _open(path) as file:
                for number, raw in enumerate(_raw_lines(file, path), start=1):
                    digest.update(raw)
                    if raw.strip():
                        yield Line(path, number, raw.rstrip(b"\r\n"))
            self._digests[path.name] = digest.hexdigest()

    def documents(self) -> Iterator[Line]:
        """Give every file as a whole."""
        for path in self.files:
            with _open(path) as file:
                raw = file.read(LONGEST_DOCUMENT + 1)
            _check_length(raw, path, None)
            self._digests[path.name] = hashlib.sha256(raw).hexdigest()
            yield Line(path, None, raw)

    def sha256(self) -> str:
        """Return the file's SHA-256; of several, that of the list which sha256sum prints in their folder."""
        if len(self.files) == 1:
            return self._digests[self.files[0].name]
        listing = "".join(f"{self._digests[path.name]}  {path.name}\n" for path in self.files)
        return hashlib.sha256(listing.encode()).hexdigest()


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except PermissionError:
        remedy = "Make it readable for the user who evaluates."
        problem = "may not be read"
        raise BadDataset(file=path, field="(file)", problem=problem, value=path.name, remedy=remedy) from None


def _raw_lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    number = 0
    while raw := file.readline(LONGEST_DOCUMENT + 1):
        number += 1
        _check_length(raw, path, number)
        yield raw


def _check_length(raw: bytes, path: Path, number: int | None) -> None:
    if len(raw) > LONGEST_DOCUMENT:
        line = Line(path, number, b"")
        remedy = "Split it into shorter documents."
        raise line.bad("(line)", f"is longer than {LONGEST_DOCUMENT >> 20} MiB", raw[:40], remedy)


class SeenIds:
    """Tells whether an id was seen before, in 8 bytes an id: a data set may have millions of items.

    Ids are compared by 64 bits of their BLAKE2b hash: of a million different ones, two are taken for the
    same with a probability of 3e-8.
    """

    _MOST_RECENT = 1 << 16

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._older: NDArray[np.uint64] = np.empty(0, np.uint64)

    def add(self, *parts: str) -> bool:
        """Remember an id; tell whether it is new."""
        raw = b"".join(len(part).to_bytes(8) + part.encode("utf-8", "surrogatepass") for part in parts)
        number = int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest())
        at = int(np.searchsorted(self._older, np.uint64(number)))
        if number in self._recent or (at < len(self._older) and int(self._older[at]) == number):
            return False
        self._recent.add(number)
        if len(self._recent) >= self._MOST_RECENT:
            recent = np.fromiter(self._recent, np.uint64, len(self._recent))
            self._older = np.sort(np.concatenate([self._older, recent]))
            self._recent.clear()
        return True

"""Is a .safetensors file whole? Told from its header and length, without torch, without reading weights.

Format (https://github.com/huggingface/safetensors#format): 8 bytes, the header's length N as a little-endian
unsigned integer; N bytes of JSON, {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ...}; then the
data, which the tensors cover without holes.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from heliograph.errors import BadModel
from heliograph.files import open_untrusted
from heliograph.problems import read_problem

# The safetensors library takes 100 MB. A header has some 100 bytes a tensor, and whoever has 300,000 tensors
# splits them into files; the watcher must not need a gigabyte for what somebody wrote there.
_MOST_HEADER = 32 << 20
_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
_Size = Annotated[int, Meta(ge=0, le=1 << 62)]


class _Tensor(Struct):
    dtype: Annotated[str, Meta(max_length=64)]
    shape: Annotated[list[_Size], Meta(max_length=64)]
    data_offsets: tuple[_Size, _Size]

    def fits(self) -> bool:
        """Tell whether shape and number format take exactly the bytes of the data."""
        begin, end = self.data_offsets
        count = 1
        for length in self.shape:
            count *= length
        bits = _BITS.get(self.dtype)
        return begin <= end and (bits is None or (end - begin) * 8 == count * bits)


def check_safetensors(path: Path, *, inside: Path | None = None) -> int:
    """Check that a file is a whole safetensors file; return how many tensors it holds.

    Raises BadModel naming what is wrong, or OSError where it cannot be read now, is no regular file or does
    not stand below `inside`.
    """
    with os.fdopen(open_untrusted(path, follow=True, inside=inside), "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        header_size, tensors = _read_header(file.fileno(), path, size)
    spans = sorted((*tensor.data_offsets, name) for name, tensor in tensors.items())
    expected = 0
    for begin, end, name in spans:
        if begin != expected:
            raise _bad(path, name, "its data does not begin where the one before ends", begin)
        expected = end
    found = size - 8 - header_size
    if found != expected:
        wrong = "is cut off" if found < expected else "has bytes that belong to no tensor"
        raise _bad(path, "(data)", f"{wrong}: {expected} bytes expected", found)
    return len(tensors)


def _read_header(handle: int, path: Path, size: int) -> tuple[int, dict[str, _Tensor]]:
    start = os.read(handle, 8)
    if len(start) < 8:
        raise _bad(path, "(file)", "is cut off inside the first 8 bytes", size)
    (header_size,) = struct.unpack("<Q", start)
    if header_size > min(_MOST_HEADER, size - 8):
        raise _bad(
            path, "(header)", f"is cut off or no safetensors file: a header of {header_size} bytes", size
        )
    raw = bytearray()
    while len(raw) < header_size and (chunk := os.read(handle, header_size - len(raw))):
        raw += chunk
    try:
        entries = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        msgspec.json.decode(entries.pop("__metadata__", b"null"), type=dict[str, str] | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = "nested too deep" if isinstance(error, RecursionError) else str(error).partition(" - at ")[0]
        raise _bad(path, "(header)", f"is no JSON object of tensors: {said}", bytes(raw[:40])) from None
    return header_size, {name: _tensor(entry, path, name) for name, entry in entries.items()}


def _tensor(raw: msgspec.Raw, path: Path, name: str) -> _Tensor:
    try:
        tensor = msgspec.json.decode(raw, type=_Tensor)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        wrong = read_problem(str(error), None, _Tensor)
        field = f"{name}.{wrong.field}".rstrip(".")
        raise _bad(path, field, wrong.text, bytes(memoryview(raw)[:80])) from None
    if not tensor.fits():
        raise _bad(path, name, "its dtype, shape and data_offsets do not agree", msgspec.to_builtins(tensor))
    return tensor


def _bad(path: Path, field: str, problem: str, value: object) -> BadModel:
    return BadModel(
        file=path,
        field=field,
        problem=problem,
        value=value,
        remedy="Save the model again as safetensors, to a temporary name that is then renamed.",
    )

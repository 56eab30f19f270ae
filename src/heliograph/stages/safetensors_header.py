"""Is a .safetensors file whole? Told from its header and length, without torch, without reading weights.

Format (https://github.com/huggingface/safetensors#format): 8 bytes, the header's length N as a little-endian
unsigned integer; N bytes of JSON, {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ...}; then the
data, which the tensors cover without holes.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

from heliograph.errors import BadModel

_MOST_HEADER = 100 * (1 << 20)  # the limit that the safetensors library itself sets
_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


def check_safetensors(path: Path) -> int:
    """Check that a file is a whole safetensors file; return how many tensors it holds.

    Raises BadModel naming what is wrong, or OSError where it cannot be read now.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header_size, header = _read_header(file.fileno(), path, size)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    expected = 0
    for name, (begin, end) in sorted(_offsets(tensors, path).items(), key=lambda item: item[1]):
        if begin != expected:
            raise _bad(path, name, "its data does not begin where the one before ends", begin)
        expected = end
    found = size - 8 - header_size
    if found != expected:
        wrong = "is cut off" if found < expected else "has bytes that belong to no tensor"
        raise _bad(path, "(data)", f"{wrong}: {expected} bytes expected", found)
    return len(tensors)


def _read_header(handle: int, path: Path, size: int) -> tuple[int, dict[str, Any]]:
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
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _bad(path, "(header)", f"is not JSON: {error}", bytes(raw[:40])) from None
    if not isinstance(header, dict):
        raise _bad(path, "(header)", "is not a JSON object", type(header).__name__)
    return header_size, header


def _offsets(tensors: dict[str, Any], path: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for name, entry in tensors.items():
        try:
            begin, end = entry["data_offsets"]
            count = 1
            for length in entry["shape"]:
                count *= int(length)
            bits = _BITS.get(entry["dtype"])
            if not 0 <= begin <= end or (bits is not None and (end - begin) * 8 != count * bits):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise _bad(path, name, "its dtype, shape and data_offsets do not agree", entry) from None
        found[name] = (int(begin), int(end))
    return found


def _bad(path: Path, field: str, problem: str, value: object) -> BadModel:
    return BadModel(
        file=path,
        field=field,
        problem=problem,
        value=value,
        remedy="Save the model again as safetensors, to a temporary name that is then renamed.",
    )

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from heliograph.errors import BadModel
from heliograph.stages.safetensors_header import check_safetensors
from support.drives import safetensors_bytes


def file_of(tmp_path: Path, header: Any, data: bytes = bytes(16), length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def entry(begin: int = 0, end: int = 16, shape: tuple[int, ...] = (4,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_a_whole_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes())
    assert check_safetensors(path) == 1


def test_what_the_library_writes_is_whole(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {
        "half": np.zeros((3, 5), np.float16),
        "empty": np.zeros((0, 7), np.float32),
        "whole": np.arange(9, dtype=np.int64),
        "scalar": np.ones((), np.float32),
    }
    save_file(tensors, tmp_path / "m.safetensors", metadata={"format": "pt"})
    assert check_safetensors(tmp_path / "m.safetensors") == 4


@pytest.mark.parametrize("cut", range(0, 100, 7))
def test_a_file_cut_anywhere_is_told(tmp_path: Path, cut: int) -> None:
    whole = safetensors_bytes()
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole[: min(cut, len(whole) - 1)])
    with pytest.raises(BadModel, match="cut off"):
        check_safetensors(path)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"[1, 2]", "no JSON object of tensors"),
        (b"{nonsense", "no JSON object"),
        (b"[" * 5000, "no JSON object"),
        ({"w": entry(end=20)}, "do not agree"),
        ({"w": entry(shape=(5,))}, "do not agree"),
        ({"w": entry(begin=4, end=20)}, "does not begin"),
        ({"w": entry(), "v": entry()}, "does not begin"),
        ({"w": {"shape": [4]}}, r"w\.dtype: is missing"),
        ({"w": "x"}, "w: Expected `object`"),
        ({"w": entry(begin=-16, end=0)}, r"w\.data_offsets\[0\]: Expected `int` >= 0"),
        ({"w": entry(end=8, shape=(2,))}, "belong to no tensor"),
    ],
)
def test_a_header_that_does_not_fit_is_told(tmp_path: Path, header: Any, problem: str) -> None:
    with pytest.raises(BadModel, match=problem):
        check_safetensors(file_of(tmp_path, header))


def test_a_header_of_absurd_length_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="a header of"):
        check_safetensors(file_of(tmp_path, {}, length=2**63))

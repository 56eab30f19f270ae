"""What no small file can be, of models and results: a function for each such `make` of the corpus."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from pathlib import Path

from hostile.makers import HUGE, put_device
from hostile.place import Place
from support.drives import safetensors_bytes

# Models ---------------------------------------------------------------------------------------------


def _weights(place: Place) -> Path:
    return place.drive.final_model(place.experiment) / "model.safetensors"


def _index(place: Place) -> Path:
    weights = _weights(place)
    weights.unlink()
    return weights.with_name("model.safetensors.index.json")


def _write_header(place: Place, header: bytes, data: bytes = bytes(16)) -> None:
    _weights(place).write_bytes(struct.pack("<Q", len(header)) + header + data)


def empty_weights(place: Place) -> None:
    _weights(place).write_bytes(b"")


def seven_bytes(place: Place) -> None:
    _weights(place).write_bytes(bytes(7))


def large_header(place: Place) -> None:
    _write_header(place, b"{}".ljust(33_000_000 + (1 << 20)))


def sparse_header(place: Place) -> None:
    with _weights(place).open("wb") as file:
        file.write(struct.pack("<Q", 99_000_000))
        file.truncate(8 + 99_000_000)


def header_utf16(place: Place) -> None:
    _write_header(place, "{}".encode("utf-16"))


def header_invalid(place: Place) -> None:
    _write_header(place, b'{"\xff": {}}')


def header_deep(place: Place) -> None:
    _write_header(place, b'{"w": ' + b"[" * 100_000)


def many_dimensions(place: Place) -> None:
    entry = {"dtype": "F32", "shape": [1] * 100, "data_offsets": [0, 4]}
    _write_header(place, json.dumps({"w": entry}).encode(), bytes(4))


def long_tensor_name(place: Place) -> None:
    entry = {"dtype": "F32", "shape": [5], "data_offsets": [0, 16]}
    _write_header(place, json.dumps({"w" * 10_000: entry}).encode())


def pickle_as_safetensors(place: Place) -> None:
    _weights(place).write_bytes(pickle.dumps({"weight": [0.0] * 100}, protocol=2))


def pickle_alone(place: Place) -> None:
    _weights(place).rename(_weights(place).with_name("pytorch_model.bin"))


def weights_pickle(place: Place) -> None:
    pickle_alone(place)


def no_weights(place: Place) -> None:
    _weights(place).unlink()


def weights_folder(place: Place) -> None:
    _weights(place).unlink()
    _weights(place).mkdir()


def weights_fifo(place: Place) -> None:
    _weights(place).unlink()
    os.mkfifo(_weights(place))


def weights_device(place: Place) -> None:
    put_device(_weights(place))


def weights_link_out(place: Place) -> None:
    target = place.outside / f"weights-of-{place.experiment}"
    target.write_bytes(safetensors_bytes())
    _weights(place).unlink()
    _weights(place).symlink_to(target)


def weights_link_loop(place: Place) -> None:
    _weights(place).unlink()
    _weights(place).symlink_to("model.safetensors")


def index_million(place: Place) -> None:
    names = ", ".join(f'"layer.{number}": "model-00001-of-00002.safetensors"' for number in range(600_000))
    _index(place).write_text(f'{{"weight_map": {{{names}}}}}')


def index_huge(place: Place) -> None:
    with _index(place).open("wb") as file:
        file.truncate(HUGE)


def index_fifo(place: Place) -> None:
    os.mkfifo(_index(place))


def shard_link_out(place: Place) -> None:
    target = place.outside / "shard"
    target.write_bytes(safetensors_bytes())
    index = _index(place)
    index.write_text('{"weight_map": {"weight": "shard.safetensors"}}')
    index.with_name("shard.safetensors").symlink_to(target)


# Results --------------------------------------------------------------------------------------------


def _parquet(place: Place) -> Path:
    metrics = place.drive.metrics(place.experiment)
    return metrics / "dataset=pairs" / "metric=accuracy" / "final.parquet"


def no_parquet(place: Place) -> None:
    _parquet(place).write_bytes(b"PAR1 but no end")


def metrics_link_out(place: Place) -> None:
    target = place.outside / f"metrics-of-{place.experiment}"
    shutil.move(_parquet(place), target)
    _parquet(place).symlink_to(target)


def metrics_fifo(place: Place) -> None:
    _parquet(place).unlink()
    os.mkfifo(_parquet(place))


def many_metrics(place: Place) -> None:
    metadata = json.loads(place.path.read_bytes())
    metadata["files"]["metrics"] *= 200_000
    place.path.write_text(json.dumps(metadata))


def sparse_output(place: Place) -> None:
    figure = place.drive.figures(place.experiment) / "a.png"
    with figure.open("wb") as file:
        file.truncate(1 << 40)
    manifest = json.loads(place.path.read_bytes())
    manifest["files"][0]["bytes"] = 1 << 40
    place.path.write_text(json.dumps(manifest))


def output_link_out(place: Place) -> None:
    figure = place.drive.figures(place.experiment) / "a.png"
    target = place.outside / "a.png"
    shutil.move(figure, target)
    figure.symlink_to(target)

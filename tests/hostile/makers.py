"""What no small file can be: a function for each `make` of the corpus. All but the case itself is whole."""

from __future__ import annotations

import json
import os
import shutil
import socket as sockets
import stat
from pathlib import Path
from typing import Any

from hostile.place import Place
from support.drives import make_model

HUGE = 100_000_000


# Any file -------------------------------------------------------------------------------------------


def half(place: Place) -> None:
    raw = place.path.read_bytes()
    place.path.write_bytes(raw[: len(raw) // 2])


def nothing(place: Place) -> None:
    place.path.unlink()


def deep(place: Place) -> None:
    place.path.write_bytes(b"[" * 100_000)


def many_digits(place: Place) -> None:
    place.path.write_bytes(b'{"pid": ' + b"9" * 5000 + b"}")


def huge(place: Place) -> None:
    with place.path.open("wb") as file:
        for _ in range(HUGE // 1_000_000):
            file.write(b" " * 1_000_000)


def too_long(place: Place) -> None:
    place.path.write_bytes(place.path.read_bytes().ljust((1 << 20) + 1))


def fifo(place: Place) -> None:
    place.path.unlink()
    os.mkfifo(place.path)


def socket(place: Place) -> None:
    place.path.unlink()
    _bind(place.path)


def _bind(path: Path) -> None:
    """Leave a socket at a path, which may be longer than the 107 bytes that bind takes."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with sockets.socket(sockets.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def device(place: Place) -> None:
    put_device(place.path)


def put_device(path: Path) -> None:
    """Put /dev/zero there; who is not root makes a link to it, which is refused for another reason."""
    path.unlink()
    os.mknod(path, stat.S_IFCHR | 0o644, os.makedev(1, 5))


def folder(place: Place) -> None:
    place.path.unlink()
    place.path.mkdir()
    (place.path / "file").write_text("content")


def unreadable(place: Place) -> None:
    place.path.chmod(0)


def link_out(place: Place) -> None:
    target = place.outside / f"{place.experiment}-{place.path.name}"
    shutil.move(place.path, target)
    place.path.symlink_to(target)


def link_loop(place: Place) -> None:
    place.path.unlink()
    place.path.symlink_to(place.path.name)


def link_to_nothing(place: Place) -> None:
    place.path.unlink()
    place.path.symlink_to(place.outside / "nothing")


# Signals --------------------------------------------------------------------------------------------


def _rewrite(place: Place, **changes: Any) -> None:
    place.path.write_text(json.dumps(json.loads(place.path.read_bytes()) | changes))


def _add_raw(place: Place, member: str) -> None:
    place.path.write_text(f"{place.path.read_text()[:-1]}, {member}}}")


def deep_note(place: Place) -> None:
    _add_raw(place, f'"note": {"[" * 100}{"]" * 100}')


def big_loss(place: Place) -> None:
    _add_raw(place, f'"final_loss": {"9" * 400}')


def long_path(place: Place) -> None:
    _rewrite(place, checkpoint_path="a/" * 2500)


def long_name(place: Place) -> None:
    _rewrite(place, checkpoint_path="a" * 3000)


def link_to_other(place: Place) -> None:
    other = make_model(place.drive, "neighbour").parent / "a_signal"
    shutil.copy(place.path, other)
    place.path.unlink()
    place.path.symlink_to(other)


def _replace_model(place: Place, target: Path | str) -> None:
    final = place.drive.final_model(place.experiment)
    shutil.rmtree(final)
    final.symlink_to(target)


def checkpoint_link_out(place: Place) -> None:
    target = place.outside / f"model-of-{place.experiment}"
    shutil.copytree(place.drive.final_model(place.experiment), target)
    _replace_model(place, target)


def checkpoint_link_to_other(place: Place) -> None:
    _replace_model(place, make_model(place.drive, "neighbour"))


def checkpoint_link_loop(place: Place) -> None:
    _replace_model(place, "final")


def checkpoint_link_newline(place: Place) -> None:
    target = place.drive.model_folder(place.experiment) / "a\n#SBATCH --account=other"
    shutil.copytree(place.drive.final_model(place.experiment), target)
    _replace_model(place, target.name)


def checkpoint_metacharacters(place: Place) -> None:
    name = "it's $(touch pwned) `touch pwned`; touch pwned #"
    final = place.drive.final_model(place.experiment)
    final.rename(final.with_name(name))
    _rewrite(place, checkpoint_path=name)


def experiment_link_out(place: Place) -> None:
    models = place.drive.model_folder(place.experiment)
    target = place.outside / f"folder-of-{place.experiment}"
    shutil.move(models, target)
    models.symlink_to(target)


def no_metadata(place: Place) -> None:
    place.drive.evaluation_metadata(place.experiment).unlink()


def metadata_fifo(place: Place) -> None:
    no_metadata(place)
    os.mkfifo(place.drive.evaluation_metadata(place.experiment))


def metadata_link_out(place: Place) -> None:
    metadata = place.drive.evaluation_metadata(place.experiment)
    target = place.outside / f"metadata-of-{place.experiment}"
    shutil.move(metadata, target)
    metadata.symlink_to(target)


# Events ---------------------------------------------------------------------------------------------


def _put_body(place: Place, **changes: Any) -> None:
    place.path.write_text(json.dumps(place.values | {"body": place.values["body"] | changes}))


def deep_metadata(place: Place) -> None:
    inner: Any = 0
    for _ in range(100):
        inner = [inner]
    _put_body(place, metadata={"a": inner})


def wide_metadata(place: Place) -> None:
    _put_body(place, metadata={f"k{number}": number for number in range(60_000)})


def long_message(place: Place) -> None:
    _put_body(place, error_message="a" * 70_000)


def long_mem(place: Place) -> None:
    _put_body(place, mem=f"{'9' * 5000}G")


def long_tail(place: Place) -> None:
    place.path.write_text(
        json.dumps(place.values).replace('"exit_code": 0', f'"error_tail": [{_blanks()}], "exit_code": 1')
    )


def _blanks() -> str:
    return ",".join(['""'] * 300_000)


# Configuration --------------------------------------------------------------------------------------


def _laughs(opening: str, closing: str) -> str:
    lines = ["a0: &a0 [x]" if opening == "[" else "a0: &a0 {x: 1}"]
    lines += [
        f"a{number}: &a{number} {opening}{', '.join([f'*a{number - 1}'] * 10)}{closing}"
        for number in range(1, 10)
    ]
    return "\n".join(lines) + "\n"


def laughs(place: Place) -> None:
    place.path.write_text(f"{_laughs('[', ']')}executor: *a9\n")


def merging_laughs(place: Place) -> None:
    place.path.write_text(_laughs("{<<: [", "]}"))


def laughs_in_params(place: Place) -> None:
    indented = "".join(f"  {line}\n" for line in _laughs("[", "]").splitlines())
    place.path.write_text(f"name: e1\nparams:\n{indented}")


def deep_dashes(place: Place) -> None:
    place.path.write_text("- " * 100_000 + "a\n")


def deep_block(place: Place) -> None:
    place.path.write_text("".join(f"{' ' * level}a:\n" for level in range(1000)))


def wide(place: Place) -> None:
    place.path.write_text(f"executor: [{'1,' * 500_000}]\n")


def long_time(place: Place) -> None:
    place.path.write_text(f'stages: {{evaluation: {{resources: {{time: "{"9" * 5000}"}}}}}}\n')

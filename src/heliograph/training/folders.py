"""Checkpoint folders that appear whole or not at all, and what stands in them.

checkpoint-N/  model.safetensors  config.json  optimizer.pt  metadata.json  (tokenizer files)
final/         model.safetensors  config.json  tokenizer files  metadata.json
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from heliograph.durable import durable
from heliograph.errors import UsageError
from heliograph.files import make_folder, sync_folder, temporary_name
from heliograph.stages.checks import weight_files
from heliograph.stages.safetensors_header import check_safetensors

Write = Callable[[Path], None]


def write_folder(target: Path, write: Write) -> int:
    """Let `write` fill a folder that takes the name `target` only when all of it is synced and was read
    back; return its size in bytes.

    Raises OSError when the disk does not take it, BadModel when what was read back is no whole model; nothing
    is left behind then.
    """
    make_folder(target.parent)
    temporary = temporary_name(target)
    make_folder(temporary)
    try:
        write(temporary)
        size = _sync_tree(temporary)
        check_weights(temporary)
        with durable("rename", target):
            os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(target.parent)
    return size


def check_weights(folder: Path) -> None:
    """Read back the weights of a folder. Raises BadModel or OSError."""
    for weights in weight_files(folder):
        check_safetensors(weights)


def _sync_tree(folder: Path) -> int:
    """Sync every file, and give it the mode that the umask asks for; return the size of all together.

    safetensors 0.8 leaves its files with mode 0600: whoever evaluates under another user could not read them.
    """
    size, mode = 0, folder.stat().st_mode & 0o666
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        else:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fchmod(handle, mode)
                with durable("fsync", path):
                    os.fsync(handle)
                size += os.fstat(handle).st_size
            finally:
                os.close(handle)
    sync_folder(folder)
    return size


def model_writer(
    *,
    model: Any = None,
    tokenizer: Any = None,
    path: str | Path | None = None,
    save: Write | None = None,
    optimizer: Any = None,
    metadata: dict[str, Any],
) -> Write:
    """Return the function that fills a checkpoint folder from one of model, path and save.

    `model` is a Hugging Face model or a torch module, `path` a folder that holds a saved model, `save` a
    function that is given an empty folder. Raises UsageError when not exactly one of them is given.
    """
    if sum(source is not None for source in (model, path, save)) != 1:
        reason = "a model is saved from one of model=, path= and save="
        raise UsageError(reason=reason, remedy="Give exactly one of them.")

    def write(folder: Path) -> None:
        with _library_errors_as_oserror():
            if model is not None:
                _write_model(folder, model)
            elif path is not None:
                shutil.copytree(path, folder, dirs_exist_ok=True)
            elif save is not None:
                save(folder)
            if tokenizer is not None:
                _write_tokenizer(folder, tokenizer)
            if optimizer is not None:
                _write_optimizer(folder, optimizer)
        content = msgspec.json.format(msgspec.json.encode(metadata), indent=2) + b"\n"
        (folder / "metadata.json").write_bytes(content)

    return write


def _write_model(folder: Path, model: Any) -> None:
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder)
        return
    from safetensors.torch import save_model  # knows tensors that share memory

    save_model(model, str(folder / "model.safetensors"))


def _write_tokenizer(folder: Path, tokenizer: Any) -> None:
    if hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(folder)
    else:  # tokenizers.Tokenizer
        tokenizer.save(str(folder / "tokenizer.json"))


def _write_optimizer(folder: Path, optimizer: Any) -> None:
    import torch

    state = optimizer.state_dict() if hasattr(optimizer, "state_dict") else optimizer
    torch.save(state, folder / "optimizer.pt")


@contextmanager
def _library_errors_as_oserror() -> Iterator[None]:
    """A full disk reaches us as SafetensorError, or from torch.save as RuntimeError; seen with
    safetensors 0.8 and torch 2.13 ("I/O error: No space left on device", "unexpected pos 576 vs 534")."""
    try:
        yield
    except Exception as error:
        # by name: safetensors is not imported where it was not used
        if isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError":
            raise OSError(f"the model could not be written: {error}") from error
        raise

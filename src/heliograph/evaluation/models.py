"""A checkpoint folder to log-probabilities. It is untrusted: safetensors only, no code of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from heliograph.errors import BadModel
from heliograph.evaluation.checkpoints import check_checkpoint
from heliograph.evaluation.settings_file import read_settings
from heliograph.evaluation.task import LogProbs, Query

_ROWS_AT_ONCE = 1024  # rows of logits turned to float32 at once: 1024 rows of 50 k words are 200 MB
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
_CONTEXT_WITHOUT_LIMIT = 2048  # for models that name no limit (recurrent ones): bounds the memory
# What transformers raises for configurations and weights that it cannot take, as observed; KeyError,
# TypeError and AttributeError come from config values of a wrong type that its classes use unchecked.
_LOADING_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError)


class CausalModel:
    """A causal language model on its device, ready to score."""

    def __init__(self, folder: Path, model: Any, device: torch.device) -> None:
        self.folder = folder
        self.device = device
        self._model = model
        self.n_embeddings = int(model.get_input_embeddings().weight.shape[0])
        self.context = _context(model.config)

    def log_probs(self, queries: Sequence[Query]) -> list[LogProbs]:
        """Return for each query the log-probabilities (natural) of its tokens from `start` on, in order.

        One forward pass: inputs are padded at their right, where a causal model cannot see it. The model
        computes in its own number format; the normalisation over the vocabulary is done in float32.
        Raises BadModel where one is not a number.
        """
        with torch.inference_mode():
            logits = self._forward(queries)
            rows = [
                torch.arange(q.start - 1, q.n_inputs) + i * logits.shape[1] for i, q in enumerate(queries)
            ]
            targets = torch.tensor([token for q in queries for token in q.ids[q.start :]])
            flat = logits.flatten(0, 1)
            found = _target_log_probs(flat, torch.cat(rows).to(self.device), targets.to(self.device))
        if not bool(torch.isfinite(found).all()):
            raise _bad(
                self.folder,
                "(log-probability)",
                "is not a finite number",
                float(found[~torch.isfinite(found)][0]),
                "The model is broken, or its dtype too narrow: set dtype: float32 in base_eval.yaml.",
            )
        ends = np.cumsum([len(q.ids) - q.start for q in queries])[:-1]
        return np.split(found.cpu().numpy(), ends)

    def _forward(self, queries: Sequence[Query]) -> torch.Tensor:
        """Return the logits, (queries, longest input, vocabulary)."""
        longest = max(query.n_inputs for query in queries)
        ids = torch.zeros((len(queries), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, query in enumerate(queries):
            ids[i, : query.n_inputs] = torch.tensor(query.ids[:-1])
            mask[i, : query.n_inputs] = 1
        answer = self._model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device))
        logits: torch.Tensor = answer.logits
        return logits

    def check_causal(self) -> None:
        """Raise BadModel where a token changes what is predicted before it: its scores would mean nothing."""
        length = min(8, self.context, self.n_embeddings - 1)
        if length < 2:
            return  # nothing stands before anything
        ids = list(range(length))
        with torch.inference_mode():
            one = self._forward([Query([*ids, 0], 1)])[0, :-1].float()
            other = self._forward([Query([*ids[:-1], length, 0], 1)])[0, :-1].float()
        tolerance = (1e-4 if self._model.dtype == torch.float32 else 1e-2) * (1 + one.abs().max())
        if not bool(((one - other).abs() <= tolerance).all()):
            raise _bad(
                self.folder,
                "config.json",
                "is no causal model: what follows changes its predictions",
                type(self._model).__name__,
                "Only causal language models can be evaluated (GPT-2, GPT-NeoX, OPT, LLaMA, Qwen …).",
            )


def _target_log_probs(flat: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return log softmax(flat[rows])[targets] in float32; shapes (R, V), (S,), (S,) -> (S,)."""
    found = torch.empty(len(rows), dtype=torch.float32, device=flat.device)
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(at, at + _ROWS_AT_ONCE)
        chosen = flat[rows[part]].float()
        right = chosen.gather(1, targets[part, None])[:, 0]
        found[part] = right - torch.logsumexp(chosen, dim=1)
    return found


def choose_device(wanted: str) -> torch.device:
    """Return the device; `auto` is the first GPU, else the CPU. Raises BadModel where it is not there."""
    if wanted == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        problem, remedy = (
            "this machine has no such GPU",
            f"It has {found}. Set device: auto in base_eval.yaml.",
        )
        raise BadModel(file="base_eval.yaml", field="device", problem=problem, value=wanted, remedy=remedy)
    return device


def load_model(folder: Path, dtype: str, device: torch.device) -> CausalModel:
    """Load a causal language model of any family that transformers knows. Raises BadModel."""
    check_checkpoint(folder)
    model, info = _from_pretrained(folder, dtype)
    _check_complete(folder, type(model).__name__, info)
    _check_finite(folder, model)
    model.config.use_cache = False  # nothing is generated, so past keys and values need not be kept
    loaded = CausalModel(folder, model.to(device).eval(), device)
    loaded.check_causal()
    return loaded


def _from_pretrained(folder: Path, dtype: str) -> tuple[Any, dict[str, Any]]:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=getattr(torch, dtype),
            output_loading_info=True,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except (*_LOADING_ERRORS, SafetensorError, StrictDataclassError) as error:
        said = " ".join(str(error).split())[:300]
        remedy = "Save it with model.save_pretrained(FOLDER); it must be a causal language model."
        raise _bad(folder, "config.json", f"cannot be loaded: {said}", _model_type(folder), remedy) from error
    return loaded[0], loaded[1]


def _model_type(folder: Path) -> object:
    return read_settings(folder / "config.json").get("model_type")


def _check_complete(folder: Path, kind: str, info: dict[str, Any]) -> None:
    """Check that weights and configuration tell of the same tensors: transformers itself fills what is
    missing by chance, and leaves out what is too much (a layer, say) with a warning only."""
    if missing := sorted(info["missing_keys"]):
        problem = f"the weights lack {len(missing)} tensor(s) of a {kind}; chance would fill them"
        raise _bad(folder, missing[0], problem, missing[:3], "Save the whole model, its head included.")
    if unused := sorted(info["unexpected_keys"]):
        problem = f"the weights hold {len(unused)} tensor(s) that no {kind} of this config.json has"
        remedy = "Save configuration and weights together, with model.save_pretrained(FOLDER)."
        raise _bad(folder, unused[0], problem, unused[:3], remedy)


def _check_finite(folder: Path, model: Any) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            wrong = tensor[~torch.isfinite(tensor)].flatten()[0].item()
            remedy = "The training diverged; evaluate an earlier checkpoint."
            raise _bad(folder, name, "holds weights that are not finite numbers", wrong, remedy)


def _context(config: Any) -> int:
    """Return how many tokens the model reads at once, as its configuration says."""
    text_config = config.get_text_config()
    for key in _CONTEXT_KEYS:
        value = getattr(text_config, key, None)
        if isinstance(value, int) and value > 0:
            return value
    return _CONTEXT_WITHOUT_LIMIT


def _bad(file: Path, field: str, problem: str, value: object, remedy: str) -> BadModel:
    return BadModel(file=file, field=field, problem=problem, value=value, remedy=remedy)

"""The reference trainer: a small GPT-2-style causal language model on the CPU, from a config file.

It is a plain loop on top of the hook, and a place to start from. The same config, seed, machine and number of
threads give the same weights, bit for bit.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from heliograph.errors import BadConfig, MissingPart
from heliograph.training.config import ModelSize, Optimiser, Schedule, data_files
from heliograph.training.corpus import pack, read_documents, train_tokenizer
from heliograph.training.run import TrainingRun

if TYPE_CHECKING:
    import torch

_HELD_OUT_BATCH = 64

Report = Callable[[int, float], None]
"""report(step, loss)"""
Progress = Callable[[int], AbstractContextManager[Report]]
"""progress(total_steps)"""


class Materials(Struct, frozen=True):
    """Everything that is needed for the first step."""

    tokenizer: Any
    train: torch.Tensor
    """token ids, shape (sequences, context)"""
    held_out: torch.Tensor
    model: Any
    total_steps: int
    steps_an_epoch: int


class Trained(Struct, frozen=True):
    """How a training went."""

    steps: int
    parameters: int
    final_loss: float
    held_out_loss: float | None
    seconds: float


def train(run: TrainingRun, progress: Progress) -> Trained:
    """Train as the run's config says, and complete the run. Raises BadConfig before the first step."""
    materials = prepare(run)
    with run:
        run.expect_steps(materials.total_steps)
        with progress(materials.total_steps) as report:
            trained = _train(run, materials, report)
        run.complete(model=materials.model, tokenizer=materials.tokenizer)
    return trained


def prepare(run: TrainingRun) -> Materials:
    """Read the data, train the tokenizer, make the model. Raises BadConfig, MissingPart."""
    try:
        import torch
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        remedy = "Install it: pip install 'heliograph[train]'"
        raise MissingPart(part=error.name, needed_for="training", remedy=remedy) from None
    disable_progress_bar()  # type: ignore[no-untyped-call]  # it draws a bar for each saved file
    config = run.config
    train_files, held_out_files = data_files(config, run.config_path or Path("(no file)"))
    documents = read_documents(train_files)
    tokenizer = train_tokenizer(documents, config.tokenizer, config.model.context)
    sequences = pack(tokenizer, documents, config.model.context)
    if not len(sequences):
        problem = f"holds less than one sequence of {config.model.context} tokens"
        raise _bad(run, "data.train", problem, config.data.train, "Name files with more text.")
    steps_an_epoch = math.ceil(len(sequences) / config.batch_size)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    return Materials(
        tokenizer=tokenizer,
        train=sequences,
        held_out=pack(tokenizer, read_documents(held_out_files), config.model.context),
        model=build_model(config.model, tokenizer),
        total_steps=_total_steps(run, steps_an_epoch),
        steps_an_epoch=steps_an_epoch,
    )


def _total_steps(run: TrainingRun, steps_an_epoch: int) -> int:
    if run.config.steps is not None:
        return run.config.steps
    if run.config.epochs is not None:
        return math.ceil(run.config.epochs * steps_an_epoch)
    raise _bad(run, "steps", "neither steps nor epochs says how long to train", None, "Write one of them.")


def _bad(run: TrainingRun, field: str, problem: str, value: object, remedy: str) -> BadConfig:
    return BadConfig(file=run.config_path, field=field, problem=problem, value=value, remedy=remedy)


def build_model(size: ModelSize, tokenizer: Any) -> Any:
    """Make a GPT-2 with fresh weights, drawn from torch's generator."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=size.context,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.heads,
        resid_pdrop=size.dropout,
        embd_pdrop=size.dropout,
        attn_pdrop=size.dropout,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config)


def learning_rate(step: int, total_steps: int, peak: float, schedule: Schedule) -> float:
    """Return the learning rate of a step (the first is 1): it rises for warmup_steps, then falls."""
    if step <= schedule.warmup_steps:
        return peak * step / schedule.warmup_steps
    if schedule.kind == "constant":
        return peak
    done = (step - schedule.warmup_steps) / max(1, total_steps - schedule.warmup_steps)
    left = (1 + math.cos(math.pi * done)) / 2 if schedule.kind == "cosine" else 1 - done
    return peak * (schedule.final_fraction + (1 - schedule.final_fraction) * left)


def build_optimizer(model: Any, wish: Optimiser) -> torch.optim.AdamW:
    """Make AdamW; biases and layer norms (one-dimensional) do not decay."""
    import torch

    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": wish.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=wish.learning_rate, betas=(wish.beta1, wish.beta2))


def draw_batches(sequences: torch.Tensor, batch_size: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield batches without end, each pass over the sequences in another order."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(sequences), generator=generator)
        for start in range(0, len(order), batch_size):
            yield sequences[order[start : start + batch_size]]


def _train(run: TrainingRun, materials: Materials, report: Report) -> Trained:
    config, model = run.config, materials.model
    optimizer = build_optimizer(model, config.optimiser)
    batches = draw_batches(materials.train, config.batch_size, config.seed)
    began, tokens_seen, loss = time.monotonic(), 0, math.nan
    held_out: float | None = None
    model.train()
    for step, batch in enumerate(itertools.islice(batches, materials.total_steps), start=1):
        step_began = time.monotonic()
        rate = learning_rate(step, materials.total_steps, config.optimiser.learning_rate, config.schedule)
        loss, norm = _step(model, optimizer, batch, rate, config.optimiser.clip_norm)
        tokens_seen += batch.numel()
        run.log(
            step=step,
            loss=loss,
            learning_rate=rate,
            gradient_norm=norm,
            tokens_per_s=batch.numel() / (time.monotonic() - step_began),
            epoch=step / materials.steps_an_epoch,
            tokens_seen=tokens_seen,
        )
        report(step, loss)
        is_checkpoint = step % config.checkpoint_every == 0
        if is_checkpoint or step == materials.total_steps:
            held_out = held_out_loss(model, materials.held_out)
            if held_out is not None:
                run.log(step=step, held_out_loss=held_out)
        if is_checkpoint:
            metrics = {"loss": loss} if held_out is None else {"loss": loss, "held_out_loss": held_out}
            run.save_checkpoint(
                step=step, model=model, tokenizer=materials.tokenizer, optimizer=optimizer, metrics=metrics
            )
    return Trained(
        steps=materials.total_steps,
        parameters=sum(p.numel() for p in model.parameters()),
        final_loss=loss,
        held_out_loss=held_out,
        seconds=time.monotonic() - began,
    )


def _step(
    model: Any, optimizer: torch.optim.Optimizer, batch: torch.Tensor, rate: float, clip_norm: float
) -> tuple[float, float]:
    """Take one step; return the loss and the gradient's norm before clipping."""
    import torch

    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = token_loss(model, batch)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return loss.item(), norm.item()


def token_loss(model: Any, batch: torch.Tensor) -> torch.Tensor:
    """Return the mean negative log-probability, in nats, of each token but the first of every sequence."""
    from torch.nn.functional import cross_entropy

    logits = model(input_ids=batch).logits
    return cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())


def held_out_loss(model: Any, sequences: torch.Tensor) -> float | None:
    """Return the mean loss a token, in nats, on held-out sequences; None if there are none."""
    import torch

    if not len(sequences):
        return None
    total = 0.0
    model.eval()
    with torch.no_grad():
        for start in range(0, len(sequences), _HELD_OUT_BATCH):
            batch = sequences[start : start + _HELD_OUT_BATCH]
            total += token_loss(model, batch).item() * len(batch)
    model.train()
    return total / len(sequences)

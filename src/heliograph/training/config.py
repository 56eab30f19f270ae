"""config/experiments/*.yaml: one experiment, as checked structs.

A script with its own training loop needs nothing but `name`, and keeps its own settings below `params`. The
rest describes a training by `heliograph train`. Data files are named relative to the config file's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from heliograph.config import Line, Name, Seconds, SecondsOrZero, load_config
from heliograph.drive import Drive
from heliograph.errors import BadConfig

Positive = Annotated[int, Meta(ge=1, le=2**40)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]


class ModelSize(Struct, forbid_unknown_fields=True, frozen=True):
    """The size of a GPT-2-style model. Parameters: about 12 · layers · width² + vocab_size · width."""

    layers: Annotated[int, Meta(ge=1, le=200)] = 4
    """transformer blocks"""
    width: Annotated[int, Meta(ge=8, le=65536)] = 256
    """size of the hidden state"""
    heads: Annotated[int, Meta(ge=1, le=512)] = 4
    """attention heads; they must divide the width"""
    context: Annotated[int, Meta(ge=8, le=2**20)] = 128
    """tokens that the model sees at once, and the length of a training sequence"""
    dropout: Fraction = 0.0
    """share of values that are dropped in training"""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} does not divide the width {self.width}")


class TokenizerTraining(Struct, forbid_unknown_fields=True, frozen=True):
    """The tokenizer that is trained on the training text."""

    kind: Literal["byte_bpe", "words"] = "byte_bpe"
    """byte_bpe: byte-level byte-pair encoding, takes any text; words: whole words, rare ones become <unk>"""
    vocab_size: Annotated[int, Meta(ge=260, le=1_000_000)] = 8000
    """how many tokens there are at most"""


class DataFiles(Struct, forbid_unknown_fields=True, frozen=True):
    """Text files, UTF-8, one document a line."""

    train: list[Line] = []
    """text to train on"""
    held_out: list[Line] = []
    """text for the evaluation loss, computed at each checkpoint"""


class Optimiser(Struct, forbid_unknown_fields=True, frozen=True):
    """AdamW, and clipping of the gradient's norm."""

    learning_rate: Annotated[float, Meta(gt=0, le=1e6)] = 1e-3
    """the peak of the schedule"""
    weight_decay: Annotated[float, Meta(ge=0, le=1e6)] = 0.01
    """AdamW's, of matrices only"""
    beta1: Fraction = 0.9
    """AdamW's decay of the mean"""
    beta2: Fraction = 0.95
    """AdamW's decay of the variance"""
    clip_norm: Annotated[float, Meta(gt=0, le=1e9)] = 1.0
    """the gradient's norm is clipped to this"""


class Schedule(Struct, forbid_unknown_fields=True, frozen=True):
    """How the learning rate rises over warmup_steps and then falls to final_fraction of its peak."""

    kind: Literal["cosine", "linear", "constant"] = "cosine"
    """the shape after the warm-up"""
    warmup_steps: Annotated[int, Meta(ge=0, le=2**40)] = 50
    """steps in which the rate rises from 0"""
    final_fraction: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """where it ends, as a share of its peak"""


class EvaluationWish(Struct, forbid_unknown_fields=True, frozen=True):
    """What the evaluation and the analysis of this experiment should do."""

    datasets: list[Name] | None = None
    """the data sets to evaluate on; empty means all that the drive has"""
    baseline: Name | None = None
    """the experiment that this one is compared with"""


class HookSettings(Struct, forbid_unknown_fields=True, frozen=True):
    """How the hook behaves."""

    heartbeat_every_s: Seconds = 30.0
    """how often the run tells that it lives, and how far it is"""
    exit_wait_s: SecondsOrZero = 10.0
    """how long the end of the training waits, at most, for metrics still on their way to MLflow"""


class ExperimentConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """One experiment."""

    name: Name
    """the experiment's name, and its folder's below models/"""
    description: str = ""
    """what this experiment is for, in words"""
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 1
    """fixes every random number of the training"""
    model: ModelSize = ModelSize()
    tokenizer: TokenizerTraining = TokenizerTraining()
    data: DataFiles = DataFiles()
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    steps: Positive | None = None
    """how long to train, in steps of the optimiser; give this or epochs"""
    epochs: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    """how long to train, in passes over the training text; give this or steps"""
    batch_size: Positive = 16
    """sequences a step"""
    checkpoint_every: Positive = 1000
    """steps from one checkpoint to the next"""
    threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """CPU threads; empty means torch's choice, which models of a few million parameters do better without"""
    evaluation: EvaluationWish = EvaluationWish()
    hook: HookSettings = HookSettings()
    params: dict[str, Any] = {}
    """settings of your own script; kept with the run and shown in MLflow"""

    def __post_init__(self) -> None:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("steps and epochs exclude each other: leave one out")


def load_experiment(path: Path) -> ExperimentConfig:
    """Read and check an experiment's config, and that the data files it names are there. Raises BadConfig."""
    config = load_config(path, ExperimentConfig)
    data_files(config, path)
    return config


def find_config(path: str | Path, drive: Drive) -> Path:
    """Return the config file that `path` names: as it stands, or below the drive's config/experiments/."""
    given = Path(path)
    on_drive = drive.experiment_configs / given
    return given if given.exists() or not on_drive.exists() else on_drive


def data_files(config: ExperimentConfig, path: Path) -> tuple[list[Path], list[Path]]:
    """Return the training and held-out files of a config that stands at `path`. Raises BadConfig."""
    return (
        _existing(config.data.train, path, "data.train"),
        _existing(config.data.held_out, path, "data.held_out"),
    )


def _existing(names: list[str], path: Path, field: str) -> list[Path]:
    files = [path.parent / name for name in names]
    for name, file in zip(names, files, strict=True):
        if not file.is_file():
            raise BadConfig(
                file=path,
                field=field,
                problem=f"names a file that does not exist ({file})",
                value=name,
                remedy="Name text files relative to the config file's own folder.",
            )
    return files

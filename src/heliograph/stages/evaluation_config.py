"""Settings of the evaluation: config/evaluation/base_eval.yaml and dataset_configs/NAME.yaml."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from heliograph.config import Name, load_config, parse_config, read_yaml
from heliograph.drive import Drive
from heliograph.errors import BadConfig, BadSignal
from heliograph.names import ONE_LINE, whole
from heliograph.stages.checkpoints import CheckpointChoice

Device = Annotated[
    str,
    Meta(
        pattern=whole("auto|cpu|cuda(:[0-9]{1,3})?", "auto, cpu, cuda or cuda:N"),
        description="auto, cpu, cuda or cuda:N",
    ),
]
FieldName = Annotated[str, Meta(min_length=1, max_length=128)]
DrivePath = Annotated[
    str, Meta(min_length=1, max_length=4096, pattern=ONE_LINE, description="path relative to the drive")
]


class EvaluationConfig(CheckpointChoice, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """config/evaluation/base_eval.yaml"""

    datasets: Literal["all"] | Annotated[list[Name], Meta(min_length=1)] = "all"
    """all means every *.yaml in dataset_configs/; else names of such files without .yaml"""
    tokenizer: DrivePath | None = None
    """folder with a tokenizer.json, for checkpoints that come without one"""
    device: Device = "auto"
    """auto means the first GPU, else the CPU"""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """number format of the model; log-probabilities are computed in float32 from its logits in any case"""
    batch_tokens: Annotated[int, Meta(ge=1, le=1 << 20)] = 2048
    """how many tokens, padding included, go through the model at once; less needs less memory"""


class DatasetConfig(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What every data set's YAML says, whatever its task."""

    name: Name
    """the data set's name, and its file's"""
    task: Name
    """what is done with it: minimal_pairs or perplexity"""
    data: DrivePath
    """a file, or a folder of which every file of the format is read, in the order of their names"""


class PairFields(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Names of the JSON fields of minimal pairs, where they differ from the format's own."""

    item_id: FieldName | None = None
    """which item it is"""
    item_group: FieldName | None = None
    """the group that it belongs to"""
    form: FieldName | None = None
    """the form of its question"""
    field: FieldName | None = None
    """the field of linguistics"""
    good: FieldName | None = None
    """of format blimp: the right sentence"""
    bad: FieldName | None = None
    """of format blimp: the wrong sentence"""
    alternatives: FieldName | None = None
    """of format items: the sentences to choose from"""
    correct: FieldName | None = None
    """of format items: the position of the right one, from 0"""
    context: FieldName | None = None
    """of format items: what stands before the alternatives"""


class MinimalPairsConfig(DatasetConfig, frozen=True, kw_only=True):
    """A data set of minimal pairs: the right alternative ought to be the more probable one."""

    format: Literal["blimp", "items"]
    """blimp: BLiMP's JSONL; items: JSONL with item_id, item_group, form and alternatives"""
    fields: PairFields = PairFields()
    bos: Literal["always", "without_context", "never"] = "always"
    """when a begin-of-sequence token stands ahead; without one, the first token is not scored"""
    leading_space: bool = False
    """whether a space is put before each alternative that has no context"""
    delimiter: Annotated[str, Meta(max_length=128)] = " "
    """what stands between a context and an alternative"""
    ties: Literal["wrong", "right"] = "wrong"
    """how an item counts whose right alternative scores exactly as high as the best wrong one"""


class TextFields(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Names of the JSON fields of texts, where they differ from the format's own."""

    text: FieldName | None = None
    """the text itself"""
    item_id: FieldName | None = None
    """which text it is"""
    item_group: FieldName | None = None
    """the group that it belongs to"""
    form: FieldName | None = None
    """its form"""
    field: FieldName | None = None
    """its field"""


class PerplexityConfig(DatasetConfig, frozen=True, kw_only=True):
    """A data set of texts."""

    format: Literal["text", "jsonl"]
    """text: plain text; jsonl: one JSON object a line, with a text"""
    document: Literal["line", "file"] = "line"
    """of format text: whether each line that is not blank is a document, or each file"""
    fields: TextFields = TextFields()
    bos: Literal["always", "never"] = "always"
    """whether a begin-of-sequence token stands ahead; without one, the first token is not scored"""
    window: Annotated[int, Meta(ge=2, le=1 << 24)] | None = None
    """tokens that the model sees at once; empty means as many as it takes"""
    stride: Annotated[int, Meta(ge=1, le=1 << 24)] | None = None
    """tokens by which the window moves, at most its length; empty means half of it"""


def load_evaluation_config(drive: Drive, file: Path | None) -> EvaluationConfig:
    """Read `file`, else the drive's base_eval.yaml, else take what holds without one. Raises BadConfig."""
    if file is None and not drive.base_eval.exists():
        return EvaluationConfig()
    return load_config(file or drive.base_eval, EvaluationConfig)


def dataset_names(drive: Drive) -> list[str]:
    """List the data sets that the drive's dataset_configs/ describes; *.yaml.example does not count."""
    return sorted(path.stem for path in drive.dataset_configs.glob("*.yaml") if not path.name.startswith("."))


def choose_datasets(drive: Drive, wanted: Literal["all"] | list[str], *, file: object) -> list[str]:
    """Return the names of the data sets to evaluate, each once. Raises BadConfig, naming `file`."""
    known = dataset_names(drive)
    if not known or not wanted:
        raise BadConfig(
            file=drive.dataset_configs,
            field="(folder)",
            problem="describes no data set, so there is nothing to evaluate",
            value=wanted,
            remedy="Copy example_minimal_pairs.yaml.example there to NAME.yaml and fill it in.",
        )
    if wanted == "all":
        return known
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)[:200]}."
            raise BadConfig(
                file=file,
                field="datasets",
                problem=f"names a data set that {drive.dataset_configs} does not describe",
                value=name,
                remedy=hint,
            )
    return list(dict.fromkeys(wanted))


_CONFIG_OF_TASK: dict[str, type[DatasetConfig]] = {
    "minimal_pairs": MinimalPairsConfig,
    "perplexity": PerplexityConfig,
}


def check_evaluation_config(drive: Drive) -> None:
    """Check what an evaluation is asked to do, before anything is submitted: base_eval.yaml, and the YAML of
    each data set that it chooses. The data themselves are the job's to read. Raises BadConfig."""
    config = load_evaluation_config(drive, None)
    for name in choose_datasets(drive, config.datasets, file=drive.base_eval):
        file = drive.dataset_configs / f"{name}.yaml"
        values = read_yaml(file)
        kind = _CONFIG_OF_TASK.get(str(values.get("task"))) if isinstance(values, dict) else DatasetConfig
        if kind is not None:  # of a task that somebody added, the job knows the keys
            parse_config(values, kind, file=file)


def path_on_drive(drive: Drive, path: str, *, field: str, file: object) -> Path:
    """Return where `path` of a configuration file leads, symbolic links followed. Raises BadConfig where
    that is outside the drive, or nothing is there."""
    try:
        found = drive.inside(path, drive.root, field=field, file=file)
    except BadSignal as error:
        remedy = "Put it on the drive and name it relative to the drive's root."
        raise BadConfig(
            file=file, field=field, problem="leads out of the drive", value=path, remedy=remedy
        ) from error
    if not found.exists():
        remedy = f"Paths are relative to {drive.root}."
        raise BadConfig(file=file, field=field, problem="does not exist", value=path, remedy=remedy)
    return found


def config_sha256(config: Any) -> str:
    """Return a hash of what a configuration says: defaults count, layout and comments do not."""
    return hashlib.sha256(msgspec.json.encode(config, order="deterministic")).hexdigest()

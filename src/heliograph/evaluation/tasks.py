"""The tasks that are known, and data sets as they stand on the drive: a YAML, its task, its data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from heliograph.config import parse_config, read_yaml
from heliograph.drive import Drive
from heliograph.errors import BadConfig, BadDataset
from heliograph.evaluation.data import Reading, SeenIds, data_files
from heliograph.evaluation.minimal_pairs import MinimalPairs
from heliograph.evaluation.perplexity import Perplexity
from heliograph.evaluation.task import Item, Task
from heliograph.names import check_name
from heliograph.stages.evaluation_config import DatasetConfig, path_on_drive

TASKS: dict[str, type[Task]] = {task.name: task for task in (MinimalPairs, Perplexity)}


@dataclass(frozen=True)
class Dataset:
    """A data set that was read once from begin to end and found good."""

    config: DatasetConfig
    task: Task
    files: list[Path]
    sha256: str
    n_items: int

    @property
    def name(self) -> str:
        return self.config.name

    def items(self) -> Iterator[Item]:
        """Give the items in order. Raises BadDataset if the data is no longer what it was at first."""
        reading = Reading(self.files)
        yield from self.task.read(reading)
        if reading.sha256() != self.sha256:
            raise BadDataset(
                file=self.files[0].parent,
                field="data",
                problem="was changed while it was evaluated",
                value=self.config.data,
                remedy="Leave the data as it is and evaluate again.",
            )


def load_dataset_config(file: Path) -> tuple[DatasetConfig, type[Task]]:
    """Read a data set's YAML; return what it says and its kind of task. Raises BadConfig or BadName."""
    values = read_yaml(file)
    kind = values.get("task") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in TASKS:
        problem = "is missing" if kind is None else "is no task that is known"
        remedy = f"Write one of: {', '.join(TASKS)}."
        raise BadConfig(file=file, field="task", problem=problem, value=kind, remedy=remedy)
    config = parse_config(values, TASKS[kind].config_type, file=file)
    check_name(config.name, field="name", file=file)
    if config.name != file.stem:
        raise BadConfig(
            file=file,
            field="name",
            problem=f"differs from the file's name {file.name}",
            value=config.name,
            remedy=f"Rename the file to {config.name}.yaml, or the data set to {file.stem}.",
        )
    return config, TASKS[kind]


def open_dataset(drive: Drive, name: str) -> Dataset:
    """Read a data set's YAML and, from begin to end, its data. Raises BadConfig or BadDataset.

    So a broken line is told before any time goes into scoring, and it is known how much there is to do.
    An id may stand once in an item group and form: two forms of one item share their id.
    """
    file = drive.dataset_configs / f"{name}.yaml"
    config, kind = load_dataset_config(file)
    task = kind(config)
    root = path_on_drive(drive, config.data, field="data", file=file)
    reading, seen, n = Reading(data_files(drive, root, task.suffixes())), SeenIds(), 0
    for item in task.read(reading):
        n += 1
        if not seen.add(item.item_group, item.form, item.item_id):
            raise BadDataset(
                file=item.place,
                field="item_id",
                problem=f"stands twice in item_group {item.item_group[:60]!r}, form {item.form[:60]!r}",
                value=item.item_id,
                remedy="Give each item of a group and form an id of its own.",
            )
    if n == 0:
        remedy = "Put the items there, or remove the data set's YAML."
        raise BadDataset(file=root, field="data", problem="holds no item", value=config.data, remedy=remedy)
    return Dataset(config, task, reading.files, reading.sha256(), n)

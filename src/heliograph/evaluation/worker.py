"""Evaluates every data set at every checkpoint, each once, whatever happened before.

Checkpoint by checkpoint, data set by data set: Parquet files, then the note that this work is finished, then
an event. Killed at any moment, the next attempt finds the notes and does what is missing. A data set or
checkpoint that fails is put down, and the others go on.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from heliograph.drive import Drive
from heliograph.errors import BadDataset, BadInput
from heliograph.evaluation.attempt import STAGE, Attempt
from heliograph.evaluation.candidate import Candidate
from heliograph.evaluation.finished import Finished, Work, find_finished, write_finished
from heliograph.evaluation.metadata import FailureEntry
from heliograph.evaluation.plan import Plan
from heliograph.evaluation.progress import Progress
from heliograph.evaluation.results import Origin, PredictionWriter, open_predictions, write_metrics
from heliograph.evaluation.scoring import Scorer
from heliograph.evaluation.tally import Tally
from heliograph.evaluation.tasks import Dataset, open_dataset
from heliograph.protocol.events import ResultsAdded
from heliograph.protocol.outbox import Outbox
from heliograph.stages.attempt import Interrupted

log = logging.getLogger(__name__)
_SKIPPED_NAMED = 5  # items that cannot be scored are named in the log as far as this, then only counted


@dataclass(frozen=True)
class Tools:
    """What the worker acts with."""

    drive: Drive
    outbox: Outbox
    progress: Progress
    clock: Callable[[], datetime]
    check_stop: Callable[[], None]
    """raises `Stopped` when the process was asked to leave"""


@dataclass
class Results:
    """What came out."""

    candidates: list[Candidate] = field(default_factory=list)
    datasets: list[Dataset] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    failures: list[FailureEntry] = field(default_factory=list)


class Stopped(Interrupted):
    """The process was asked to leave, by this signal of the operating system."""


class Worker:
    """Carries out one plan."""

    def __init__(self, tools: Tools, attempt: Attempt, plan: Plan) -> None:
        self.tools = tools
        self.attempt = attempt
        self.plan = plan
        self.results = Results()

    def run(self) -> Results:
        """Evaluate everything. Raises Stopped, and OSError where the drive fails."""
        for name in self.plan.datasets:
            self.tools.progress.begin(f"reading {name}")
            with self._putting_down(dataset=name):
                self.results.datasets.append(open_dataset(self.tools.drive, name))
            self.tools.check_stop()
        items = sum(dataset.n_items for dataset in self.results.datasets)
        self.tools.progress.total = items * len(self.plan.checkpoints)
        for path in self.plan.checkpoints if self.results.datasets else ():
            with self._putting_down(checkpoint=path.name):
                self._evaluate_checkpoint(path)
        return self.results

    @contextmanager
    def _putting_down(self, *, dataset: str | None = None, checkpoint: str | None = None) -> Iterator[None]:
        """Put a failure down and go on after it."""
        try:
            yield
        except BadInput as error:
            entry = FailureEntry(
                dataset=dataset, checkpoint=checkpoint, error_type=type(error).__name__, message=str(error)
            )
            self.results.failures.append(entry)
            about = {"experiment": self.attempt.experiment, "stage": STAGE}
            log.error("%s", entry, extra=about)  # noqa: TRY400 - no traceback for what a user can mend

    def _evaluate_checkpoint(self, path: Path) -> None:
        candidate = Candidate(self.tools.drive, self.plan, path)
        self.results.candidates.append(candidate)
        missing = []
        for dataset in self.results.datasets:
            work = candidate.work(dataset, self.attempt, self.plan.config)
            if known := find_finished(self.tools.drive, work):
                log.info("%s at %s is evaluated already", dataset.name, path.name)
                self._add(known, known.n_items)
            else:
                missing.append((dataset, work))
        if not missing:
            return
        self.tools.check_stop()
        self.tools.progress.begin(f"loading {path.name}")
        scorer = candidate.load(self.plan.config, self.tools.check_stop)
        for dataset, work in missing:
            with self._putting_down(dataset=dataset.name, checkpoint=path.name):
                self._add(self._evaluate_dataset(scorer, candidate, dataset, work), 0)

    def _evaluate_dataset(
        self, scorer: Scorer, candidate: Candidate, dataset: Dataset, work: Work
    ) -> Finished:
        """Score one data set and write what came out; the note that it is finished is written last."""
        drive, began = self.tools.drive, time.monotonic()
        self.tools.progress.begin(f"{dataset.name} at {work.checkpoint}")
        origin = Origin(
            experiment=self.attempt.experiment,
            checkpoint=candidate.checkpoint,
            dataset=dataset.name,
            token=self.attempt.token,
            timestamp=self.tools.clock(),
        )
        with open_predictions(drive, origin) as predictions:
            tally, n_skipped = self._score(scorer, dataset, predictions)
        metric_files = write_metrics(drive, origin, tally)
        folder = drive.evaluation_folder(self.attempt.experiment)
        finished = Finished(
            work=work,
            token=self.attempt.token,
            finished_at=self.tools.clock(),
            duration_s=round(time.monotonic() - began, 3),
            n_items=dataset.n_items,
            n_skipped=n_skipped,
            metrics=_finite(tally.overall()),
            groups={group: _finite(metrics) for group, metrics in tally.by_group().items()},
            metric_files=[str(file.relative_to(folder)) for file in metric_files],
            prediction_files=[str(predictions.file.relative_to(folder))],
        )
        write_finished(drive, finished)
        return finished

    def _score(self, scorer: Scorer, dataset: Dataset, predictions: PredictionWriter) -> tuple[Tally, int]:
        tally, skipped, reason = Tally(dataset.task), 0, ""
        for scored in scorer.score(dataset.task, dataset.items()):
            self.tools.progress.advance()
            if scored.verdict is not None:
                predictions.add(scored.item, scored.verdict)
                tally.add(scored.item, scored.verdict)
                continue
            skipped += 1
            if skipped <= _SKIPPED_NAMED:
                log.warning("left out: %s: %s", scored.item.place, scored.reason)
            reason = scored.reason
        if tally.n == 0:
            raise BadDataset(
                file=f"{dataset.name}.yaml",
                field="data",
                problem=f"the model can score none of its {skipped} items, the last because: {reason}",
                value=dataset.config.data,
                remedy="Use data that fits the model.",
            )
        if skipped:
            log.warning("%s: %d of %d items were left out", dataset.name, skipped, dataset.n_items)
        return tally, skipped

    def _add(self, finished: Finished, already_done: int) -> None:
        """Take up a result and tell of it. Told again after a restart, it changes nothing."""
        self.results.finished.append(finished)
        self.tools.progress.advance(already_done)
        self.tools.outbox.post(
            ResultsAdded(
                experiment=self.attempt.experiment,
                stage=STAGE,
                token=self.attempt.token,
                dataset=finished.work.dataset,
                checkpoint=finished.work.checkpoint,
                metrics=finished.metrics,
            )
        )


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Replace what JSON cannot hold by None."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}

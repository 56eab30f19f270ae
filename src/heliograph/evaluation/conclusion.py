"""The end of an evaluation: MLflow, eval_metadata.json, and last the signal, which says how it went.

`.eval_complete` says complete where all went well, and failed, with the reasons, where a part did; what
succeeded is kept in both cases. `.eval_failed` says that there is no result at all.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from msgspec import Struct

from heliograph.errors import BadInput
from heliograph.evaluation.attempt import STAGE, Attempt
from heliograph.evaluation.metadata import (
    CheckpointEntry,
    DatasetEntry,
    EvaluationMetadata,
    FailureEntry,
    Files,
    MlflowLink,
    Provenance,
    TrainingMetadata,
    read_training_metadata,
    versions,
    write_metadata,
)
from heliograph.evaluation.plan import Plan
from heliograph.evaluation.tracking import RunReport, log_run
from heliograph.evaluation.worker import Results, Tools
from heliograph.names import host_name, iso
from heliograph.protocol.events import RunLinked, SignalPublished
from heliograph.protocol.signals import (
    EVAL_COMPLETE,
    EVAL_FAILED,
    EvalComplete,
    SignalContent,
    SignalKind,
    StageFailure,
    publish_signal,
)
from heliograph.stages.evaluation_config import config_sha256

log = logging.getLogger(__name__)


class Outcome(Struct, frozen=True, kw_only=True):
    """What the command tells."""

    experiment: str
    status: str
    job_id: str
    duration_s: float
    results: dict[str, dict[str, dict[str, float | None]]]
    """by data set, checkpoint and metric; None where it is not finite"""
    n_skipped: dict[str, int]
    """by data set: items that could not be scored, at the checkpoint where they were most"""
    failures: list[FailureEntry]
    metadata_path: str | None
    mlflow: MlflowLink | None

    @property
    def exit_code(self) -> int:
        """0; else that of bad input, for nothing else is put down as the failure of a part."""
        return BadInput.exit_code if self.failures else 0


def failure_text(failures: Sequence[FailureEntry]) -> str:
    """Say in one line what failed: the first reason in full, then how many more there are."""
    if not failures:
        return ""
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return f"{failures[0]}{more}"


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """One evaluation that has done all its work."""

    attempt: Attempt
    plan: Plan
    results: Results
    started_at: datetime
    duration_s: float

    def publish(self, tools: Tools, mlflow_uri: str | None) -> Outcome:
        """Tell MLflow, write the metadata, publish the signal."""
        if not self.results.finished:
            first = self.results.failures[0]
            text = failure_text(self.results.failures)
            publish_failure(tools, self.attempt, text, first.error_type, first.dataset or first.checkpoint)
            return self.outcome(None, None)
        training = read_training_metadata(tools.drive, self.attempt.experiment)
        link = self._log_to_mlflow(tools, mlflow_uri, training)
        write_metadata(tools.drive, self._metadata(training, link, tools.clock()))
        publish(tools, EVAL_COMPLETE, self._signal(tools.clock()))
        return self.outcome(str(tools.drive.evaluation_metadata(self.attempt.experiment)), link)

    def _log_to_mlflow(self, tools: Tools, uri: str | None, training: TrainingMetadata) -> MlflowLink | None:
        report = RunReport(
            attempt=self.attempt,
            parent_run_id=training.mlflow_run_id,
            started_at=self.started_at,
            duration_s=self.duration_s,
            finished=self.results.finished,
            status="FAILED" if self.results.failures else "FINISHED",
        )
        link = log_run(uri, report)
        if link is not None:
            tools.outbox.post(
                RunLinked(
                    experiment=self.attempt.experiment,
                    stage=STAGE,
                    token=self.attempt.token,
                    mlflow_run_id=link.run_id,
                )
            )
        return link

    def _metadata(
        self, training: TrainingMetadata, link: MlflowLink | None, now: datetime
    ) -> EvaluationMetadata:
        finished, attempt = self.results.finished, self.attempt
        return EvaluationMetadata(
            experiment=attempt.experiment,
            token=attempt.token,
            job_id=attempt.job_id,
            signal_sha256=attempt.signal_sha256,
            started_at=iso(self.started_at),
            completed_at=iso(now),
            checkpoints=self._checkpoints(),
            datasets=self._datasets(),
            files=Files(
                metrics=[name for one in finished for name in one.metric_files],
                predictions=[name for one in finished for name in one.prediction_files],
            ),
            failures=self.results.failures,
            provenance=self._provenance(training),
            durations_s=self._durations(),
            mlflow=link,
        )

    def _checkpoints(self) -> list[CheckpointEntry]:
        """List the checkpoints that have results, in the order of the plan."""
        names = {one.work.checkpoint for one in self.results.finished}
        checkpoints = [one.checkpoint for one in self.results.candidates if one.checkpoint.name in names]
        return [
            CheckpointEntry(name=one.name, step=one.step, tokens_seen=one.tokens_seen, path=str(one.path))
            for one in checkpoints
        ]

    def _datasets(self) -> list[DatasetEntry]:
        """List the data sets that have results, in the order of the plan."""
        skipped = self._skipped()
        return [
            DatasetEntry(
                name=one.name,
                task=one.task.name,
                metrics=list(one.task.metric_names),
                sha256=one.sha256,
                n_items=one.n_items,
                n_skipped=skipped[one.name],
            )
            for one in self.results.datasets
            if one.name in skipped
        ]

    def _skipped(self) -> dict[str, int]:
        most: dict[str, int] = {}
        for one in self.results.finished:
            most[one.work.dataset] = max(one.n_skipped, most.get(one.work.dataset, 0))
        return most

    def _provenance(self, training: TrainingMetadata) -> Provenance:
        candidates = {one.checkpoint.name: one for one in self.results.candidates}
        return Provenance(
            git_commit=training.git_commit,
            config_sha256=config_sha256(self.plan.config),
            dataset_config_sha256={one.name: config_sha256(one.config) for one in self.results.datasets},
            model_sha256={name: one.model_sha256 for name, one in candidates.items()},
            model_config_sha256={name: one.model_config_sha256 for name, one in candidates.items()},
            tokenizer_sha256={name: one.tokenizer.sha256 for name, one in candidates.items()},
            settings=msgspec.to_builtins(self.plan.config),
            versions=versions(),
            host=host_name(),
        )

    def _durations(self) -> dict[str, float]:
        loading = {f"{one.checkpoint.name}/load": round(one.load_s, 3) for one in self.results.candidates}
        scoring = {
            f"{one.work.checkpoint}/{one.work.dataset}": one.duration_s for one in self.results.finished
        }
        return {"total": self.duration_s} | loading | scoring

    def _signal(self, now: datetime) -> EvalComplete:
        """Return the signal; its summary is of the last checkpoint of the plan."""
        last = self.results.finished[-1].work.checkpoint
        if self.results.candidates:
            last = self.results.candidates[-1].checkpoint.name
        summary = {
            one.work.dataset: one.metrics for one in self.results.finished if one.work.checkpoint == last
        }
        return EvalComplete(
            timestamp=now,
            experiment=self.attempt.experiment,
            job_id=self.attempt.job_id,
            status="failed" if self.results.failures else "complete",
            datasets_evaluated=list(self._skipped()),
            metrics_summary=dict(summary),
            eval_duration_seconds=self.duration_s,
            error_message=failure_text(self.results.failures) or None,
        )

    def outcome(self, metadata_path: str | None, link: MlflowLink | None) -> Outcome:
        """Return what the command tells."""
        found: dict[str, dict[str, dict[str, float | None]]] = {}
        for one in self.results.finished:
            found.setdefault(one.work.dataset, {})[one.work.checkpoint] = one.metrics
        return Outcome(
            experiment=self.attempt.experiment,
            status="failed" if self.results.failures else "complete",
            job_id=self.attempt.job_id,
            duration_s=self.duration_s,
            results=found,
            n_skipped=self._skipped(),
            failures=self.results.failures,
            metadata_path=metadata_path,
            mlflow=link,
        )


def publish(tools: Tools, kind: SignalKind, content: SignalContent) -> None:
    """Publish a signal, and ring the bell for it."""
    signal = publish_signal(tools.drive, kind, content)
    about = {"experiment": content.experiment, "stage": STAGE}
    tools.outbox.post(SignalPublished(**about, path=str(signal.path), sha256=signal.sha256))
    log.info("published %s", signal.path, extra=about)


def publish_failure(
    tools: Tools, attempt: Attempt, message: str, error_type: str, failing_part: str | None
) -> None:
    """Publish `.eval_failed`: there is no result."""
    content = StageFailure(
        timestamp=tools.clock(),
        experiment=attempt.experiment,
        job_id=attempt.job_id,
        error_message=message,
        error_type=error_type,
        failing_part=failing_part,
    )
    publish(tools, EVAL_FAILED, content)

"""Every path on the shared drive. Nobody else joins a path below the drive by hand.

DRIVE/
  config/   watcher.yaml  analysis.yaml  experiments/  evaluation/{base_eval.yaml,dataset_configs/}
  models/EXP/        checkpoints/checkpoint-N/  final/  .training_complete  training_metadata.json
  evaluation/EXP/    metrics/  predictions/  .eval_complete  .eval_failed  eval_metadata.json
  analysis/          _targets.R  R/  _targets/EXP/  figures/EXP/  tables/EXP/  reports/EXP/
  state/             training.db evaluation.db analysis.db mlflow.db (snapshots for people and R)
                     inbox/  events/  published/  quarantine/  locks/
  mlflow-artifacts/  logs/{training,evaluation,analysis}/  logs/watcher.log
"""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path

from heliograph.errors import BadSignal, NotADrive
from heliograph.files import make_folder, write_new
from heliograph.mounts import mount_of
from heliograph.names import check_name

DRIVE_ID_FILE = ".drive_id"


class Drive:
    """A shared drive by its root folder. Making the object touches nothing."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(os.path.abspath(root))

    def __repr__(self) -> str:
        return f"Drive({str(self.root)!r})"

    # config
    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def watcher_config(self) -> Path:
        return self.config / "watcher.yaml"

    @property
    def analysis_config(self) -> Path:
        return self.config / "analysis.yaml"

    @property
    def experiment_configs(self) -> Path:
        return self.config / "experiments"

    @property
    def evaluation_configs(self) -> Path:
        return self.config / "evaluation"

    @property
    def base_eval(self) -> Path:
        return self.evaluation_configs / "base_eval.yaml"

    @property
    def dataset_configs(self) -> Path:
        return self.evaluation_configs / "dataset_configs"

    # models
    @property
    def models(self) -> Path:
        return self.root / "models"

    def model_folder(self, experiment: str) -> Path:
        return self.models / check_name(experiment, field="experiment")

    def checkpoints(self, experiment: str) -> Path:
        return self.model_folder(experiment) / "checkpoints"

    def final_model(self, experiment: str) -> Path:
        return self.model_folder(experiment) / "final"

    def training_metadata(self, experiment: str) -> Path:
        return self.model_folder(experiment) / "training_metadata.json"

    # evaluation
    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    def evaluation_folder(self, experiment: str) -> Path:
        return self.evaluation / check_name(experiment, field="experiment")

    def metrics(self, experiment: str) -> Path:
        return self.evaluation_folder(experiment) / "metrics"

    def predictions(self, experiment: str) -> Path:
        return self.evaluation_folder(experiment) / "predictions"

    def evaluation_metadata(self, experiment: str) -> Path:
        return self.evaluation_folder(experiment) / "eval_metadata.json"

    # analysis
    @property
    def analysis(self) -> Path:
        return self.root / "analysis"

    def targets_store(self, experiment: str) -> Path:
        return self.analysis / "_targets" / check_name(experiment, field="experiment")

    def figures(self, experiment: str) -> Path:
        return self.analysis / "figures" / check_name(experiment, field="experiment")

    def tables(self, experiment: str) -> Path:
        return self.analysis / "tables" / check_name(experiment, field="experiment")

    def reports(self, experiment: str) -> Path:
        return self.analysis / "reports" / check_name(experiment, field="experiment")

    def analysis_manifest(self, experiment: str) -> Path:
        return self.reports(experiment) / "manifest.json"

    # state
    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def inbox(self) -> Path:
        return self.state / "inbox"

    @property
    def journal(self) -> Path:
        return self.state / "events"

    @property
    def published(self) -> Path:
        return self.state / "published"

    @property
    def quarantine(self) -> Path:
        return self.state / "quarantine"

    @property
    def released(self) -> Path:
        return self.quarantine / "released"  # see protocol.quarantine

    @property
    def locks(self) -> Path:
        return self.state / "locks"

    @property
    def lease(self) -> Path:
        return self.locks / "watcher"

    @property
    def claims(self) -> Path:
        return self.locks / "claims"

    def claim(self, token: str) -> Path:
        return self.claims / check_name(token, field="token")

    @property
    def scripts(self) -> Path:
        return self.state / "scripts"

    @property
    def doctor(self) -> Path:
        """Where `heliograph doctor` tries the drive out; there only as long as it runs."""
        return self.state / "doctor"

    @property
    def mlflow_database(self) -> Path:
        return self.state / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.root / "mlflow-artifacts"

    # logs
    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def stage_logs(self, stage: str) -> Path:
        return self.logs / check_name(stage, field="stage")

    def training_log(self, experiment: str) -> Path:
        return self.stage_logs("training") / f"{check_name(experiment, field='experiment')}.log"

    @property
    def watcher_log(self) -> Path:
        return self.logs / "watcher.log"

    def folders(self) -> list[Path]:
        """List every folder that a drive has from the beginning."""
        return [
            self.experiment_configs,
            self.dataset_configs,
            self.models,
            self.evaluation,
            *(self.analysis / name for name in ("_targets", "figures", "tables", "reports", "R")),
            *(self.inbox, self.journal, self.published, self.quarantine, self.scripts),
            *(self.locks, self.claims, self.mlflow_artifacts),
            *(self.stage_logs(name) for name in ("training", "evaluation", "analysis")),
        ]

    # identity
    @property
    def id_file(self) -> Path:
        return self.root / DRIVE_ID_FILE

    def make_id(self) -> str:
        """Give the drive its identity unless it has one; return it."""
        write_new(self.id_file, f"{uuid.uuid4()}\n".encode())
        return self.read_id()

    def read_id(self) -> str:
        """Return the drive's identity; raises NotADrive where there is none (unmounted, or never made)."""
        try:
            return self.id_file.read_text(encoding="ascii").strip()
        except (FileNotFoundError, NotADirectoryError):
            raise NotADrive(folder=self.root) from None

    def make_folder(self, folder: Path) -> None:
        """Make a folder of the drive, and those that lead to it.

        Where the network drive is not mounted, its root is an empty local folder: then FileNotFoundError is
        raised, and nothing is made.
        """
        if not self.id_file.exists():
            raise FileNotFoundError(errno.ENOENT, "the drive is not mounted", str(self.root))
        make_folder(folder)

    def is_network(self) -> bool:
        """Tell from the mount table whether other hosts write here too."""
        return mount_of(self.root).is_network

    # hostile paths
    def inside(self, path: str | Path, folder: Path, *, field: str, file: object) -> Path:
        """Resolve `path` (absolute, or relative to `folder`) and return it if it stays inside `folder`.

        The root may be seen under another mount point on another host, so a path that was written there
        may start differently; `heliograph` never guesses: it must name this drive's own root.
        Raises BadSignal naming file, field and value when the path leaves the folder.
        """
        text = str(path)

        def wrong(problem: str) -> BadSignal:
            remedy = "Name a place inside of that folder; symbolic links must not lead out."
            return BadSignal(file=file, field=field, problem=problem, value=text, remedy=remedy)

        if "\0" in text or len(text) > 4096:
            raise wrong("is no path")
        base, resolved = Path(os.path.realpath(folder)), Path(os.path.realpath(folder / text))
        if not base.is_relative_to(os.path.realpath(self.root)):
            raise wrong(f"is not on the drive: {folder} is a link that leads out of it")
        if not resolved.is_relative_to(base):
            raise wrong(f"not inside {folder}")
        if not str(resolved).isprintable():
            raise wrong("leads to a path with control signs")
        return resolved

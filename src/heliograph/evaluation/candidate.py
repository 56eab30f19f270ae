"""A checkpoint that is to be evaluated: checked and hashed first, loaded only when there is work for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heliograph import __version__
from heliograph.drive import Drive
from heliograph.evaluation.attempt import Attempt
from heliograph.evaluation.checkpoints import check_checkpoint, read_checkpoint
from heliograph.evaluation.finished import Work
from heliograph.evaluation.metadata import hash_files
from heliograph.evaluation.plan import Plan
from heliograph.evaluation.scoring import Scorer
from heliograph.evaluation.settings_file import read_settings
from heliograph.evaluation.task import Limits
from heliograph.evaluation.tasks import Dataset
from heliograph.evaluation.tokenizer import LoadedTokenizer, find_tokenizer
from heliograph.files import sha256_file
from heliograph.stages.evaluation_config import EvaluationConfig, config_sha256

log = logging.getLogger(__name__)


class Candidate:
    """One checkpoint with its tokenizer. Raises BadModel where either is not fit to be loaded."""

    def __init__(self, drive: Drive, plan: Plan, path: Path) -> None:
        self.checkpoint = read_checkpoint(path)
        weights = check_checkpoint(path)
        places = [path, drive.final_model(plan.experiment), *([plan.tokenizer] if plan.tokenizer else [])]
        self.tokenizer = LoadedTokenizer(find_tokenizer(list(dict.fromkeys(places))))
        self.model_sha256 = hash_files(weights)
        self.model_config_sha256 = sha256_file(path / "config.json")
        self.load_s = 0.0

    def work(self, dataset: Dataset, attempt: Attempt, config: EvaluationConfig) -> Work:
        """Return what identifies the evaluation of a data set at this checkpoint."""
        return Work(
            experiment=attempt.experiment,
            checkpoint=self.checkpoint.name,
            step=self.checkpoint.step,
            tokens_seen=self.checkpoint.tokens_seen,
            dataset=dataset.name,
            signal_sha256=attempt.signal_sha256,
            model_sha256=self.model_sha256,
            model_config_sha256=self.model_config_sha256,
            tokenizer_sha256=self.tokenizer.sha256,
            tokenizer_config_sha256=self.tokenizer.settings_sha256,
            data_sha256=dataset.sha256,
            dataset_config_sha256=config_sha256(dataset.config),
            dtype=config.dtype,
            device=config.device,
            batch_tokens=config.batch_tokens,
            version=__version__,
        )

    def load(self, config: EvaluationConfig, check_stop: Callable[[], None]) -> Scorer:
        """Load the model. Raises BadModel."""
        from heliograph.evaluation.models import choose_device, load_model  # torch: seconds, so only now

        path, began = self.checkpoint.path, time.monotonic()
        model = load_model(path, config.dtype, choose_device(config.device))
        self.tokenizer.check_vocabulary(model.n_embeddings)
        model_config: dict[str, Any] = read_settings(path / "config.json")
        limits = Limits(model.context, self.tokenizer.bos_id(model_config, model.n_embeddings))
        self.load_s = time.monotonic() - began
        log.info("loaded %s on %s in %.1f s", path, model.device, self.load_s)
        return Scorer(model, self.tokenizer, limits, config.batch_tokens, check_stop)

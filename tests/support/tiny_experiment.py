"""A real experiment that takes seconds: a tiny model, minimal pairs and text from the demo's grammar."""

from __future__ import annotations

import json
from pathlib import Path

from heliograph.demo import grammar
from heliograph.drive import Drive

EXPERIMENT = "tiny_01"
_EXPERIMENT_CONFIG = """\
name: tiny_01
seed: 3
model: {layers: 2, width: 48, heads: 2, context: 64}
tokenizer: {kind: words, vocab_size: 600}
data: {train: [../../data/train.txt], held_out: [../../data/held_out.txt]}
schedule: {warmup_steps: 5}
steps: 40
batch_size: 8
checkpoint_every: 20
"""
_BASE_EVAL = "datasets: [pairs, text]\ncheckpoints: all\ndevice: cpu\n"
_PAIRS = "name: pairs\ntask: minimal_pairs\nformat: items\ndata: data/pairs.jsonl\n"
_TEXT = "name: text\ntask: perplexity\nformat: text\ndocument: line\ndata: data/held_out.txt\n"


def write_experiment(drive: Drive) -> Path:
    """Write the experiment's data and configuration; return its config file."""
    data = drive.root / "data"
    data.mkdir()
    (data / "train.txt").write_text("\n".join(grammar.training_text(1, 1500, False)) + "\n")
    (data / "held_out.txt").write_text("\n".join(grammar.held_out_text(1, 40, False)) + "\n")
    items = grammar.minimal_pairs(1, 3)
    (data / "pairs.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    drive.base_eval.write_text(_BASE_EVAL)
    (drive.dataset_configs / "pairs.yaml").write_text(_PAIRS)
    (drive.dataset_configs / "text.yaml").write_text(_TEXT)
    config = drive.experiment_configs / f"{EXPERIMENT}.yaml"
    config.write_text(_EXPERIMENT_CONFIG)
    return config

"""Tiny models and tokenizers, and drives to evaluate them on: all made here, nothing is downloaded."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    PreTrainedConfig,
)
from transformers.utils import logging as transformers_logging

from heliograph.drive import Drive
from heliograph.evaluation.finished import Work

transformers_logging.disable_progress_bar()

SENTENCES = (
    "The cat sleeps on the mat.",
    "The dogs run in the park, and the cats do not.",
    "She sings in the garden while he sells apples.",
    "Who should Derek hug after shocking Richard?",
)
BOS = "<bos>"
EXPERIMENT = "exp"
WORK = Work(
    experiment="exp",
    checkpoint="final",
    step=1,
    tokens_seen=None,
    dataset="d",
    signal_sha256=None,
    model_sha256="a",
    model_config_sha256="b",
    tokenizer_sha256="c",
    tokenizer_config_sha256=None,
    data_sha256="d",
    dataset_config_sha256="e",
    dtype="float32",
    device="cpu",
    batch_tokens=1,
    version="0",
)


def byte_tokenizer(vocab_size: int = 300) -> Tokenizer:
    """Byte-level BPE, as GPT-2's: a word with a space ahead is another token than one without."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[BOS], initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    return tokenizer


def word_tokenizer(words: Sequence[str], unknown: str | None = None) -> Tokenizer:
    """One token a word; ids in the order given."""
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown or "(none)"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def save_tokenizer(folder: Path, tokenizer: Tokenizer, bos: str | None = BOS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": bos} if bos else {}))


def family_config(family: str, vocab_size: int = 300, context: int = 96) -> PreTrainedConfig:
    """Two layers of width 32, with weights large enough that predictions differ clearly."""
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None, "initializer_range": 0.3}
    size = {"vocab_size": vocab_size, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    more = {"intermediate_size": 64, "max_position_embeddings": context}
    if family == "gpt2":
        return GPT2Config(vocab_size=vocab_size, n_embd=32, n_layer=2, n_head=4, n_positions=context, **ids)
    if family == "gpt_neox":
        return GPTNeoXConfig(**size, **more, **ids)
    if family == "opt":
        narrow = {"ffn_dim": 64, "max_position_embeddings": context, "word_embed_proj_dim": 32}
        return OPTConfig(**size, **narrow, **ids | {"pad_token_id": 1, "init_std": 0.3})
    return LlamaConfig(**size, **more, **ids, num_key_value_heads=2)


def save_model(folder: Path, family: str = "gpt2", seed: int = 0, **size: int) -> Any:
    """Save a random model; return it."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(family_config(family, **size)).eval()
    model.save_pretrained(folder)
    return model


def save_bigram_model(folder: Path, table: Sequence[Sequence[float]], context: int = 16) -> None:
    """Save a LLaMA-like model that predicts the next token from the last alone, by hand-written chances.

    Attention and feed-forward add nothing. A token's embedding is a unit vector of width V, RMSNorm makes it
    sqrt(V) long, and the head holds log(table) / sqrt(V): so the logits of a token are log(table[token]).
    """
    size = len(table)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=context,
        rms_norm_eps=1e-12,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.model.norm.weight.fill_(1.0)
        logs = torch.tensor([[math.log(chance) for chance in row] for row in table])
        model.lm_head.weight.copy_(logs.T / math.sqrt(size))
    model.save_pretrained(folder)


def write_json_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_dataset(drive: Drive, name: str, rows: Sequence[dict[str, Any]], **config: Any) -> Path:
    """Put a data set on the drive: JSONL in data/, and its YAML (JSON is YAML). Return the data's path."""
    settings = {"name": name, "task": "minimal_pairs", "format": "items", "data": f"data/{name}.jsonl"}
    drive.dataset_configs.mkdir(parents=True, exist_ok=True)
    (drive.dataset_configs / f"{name}.yaml").write_text(json.dumps(settings | config))
    return write_json_lines(drive.root / "data" / f"{name}.jsonl", rows)


def pair_rows(n: int = 12) -> list[dict[str, Any]]:
    """Minimal pairs of two groups and two forms, of different lengths."""
    return [
        {
            "item_id": f"i{i // 2}",
            "item_group": f"g{i % 4 // 2}",
            "form": f"f{i % 2}",
            "field": "syntax",
            "alternatives": [SENTENCES[i % 4] * (1 + i % 3), SENTENCES[(i + 1) % 4]],
        }
        for i in range(n)
    ]


def save_checkpoint(drive: Drive, name: str = "final", step: int = 100, seed: int = 0) -> Path:
    """Save a whole GPT-2 checkpoint of the experiment, tokenizer included for `final`."""
    below = drive.model_folder(EXPERIMENT)
    folder = below / "final" if name == "final" else below / "checkpoints" / name
    save_model(folder, seed=seed)
    (folder / "metadata.json").write_text(json.dumps({"step": step, "epoch": 1.0, "tokens_seen": step * 10}))
    if name == "final":
        save_tokenizer(folder, byte_tokenizer())
    return folder

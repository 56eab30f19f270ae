"""Text to tokens: the tokenizer that is trained on the training text, and sequences of equal length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.errors import BadConfig
from heliograph.training.config import TokenizerTraining

if TYPE_CHECKING:
    import torch

END = "<|endoftext|>"
"""stands before each document, as in GPT-2: begin and end of text at once"""
_UNKNOWN = "<unk>"


def read_documents(files: list[Path]) -> list[str]:
    """Read text files: one document a line, empty lines left out. Raises BadConfig if one is not UTF-8."""
    return [line.strip() for file in files for line in _lines(file) if line.strip()]


def _lines(file: Path) -> Iterator[str]:
    try:
        yield from file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BadConfig(
            file=file,
            field="(file)",
            problem=f"is not UTF-8 at byte {error.start}",
            value=error.object[error.start : error.start + 8],
            remedy="Convert it: iconv -f latin1 -t utf-8.",
        ) from None


def train_tokenizer(documents: list[str], wish: TokenizerTraining, context: int) -> Any:
    """Train a tokenizer on the documents; return it as transformers' PreTrainedTokenizerFast."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = {"bos_token": END, "eos_token": END}
    if wish.kind == "byte_bpe":
        tokenizer = Tokenizer(models.BPE())
        # a word is the same token at the beginning of a sentence and inside one
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer: Any = trainers.BpeTrainer(
            vocab_size=wish.vocab_size,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    else:
        special["unk_token"] = _UNKNOWN
        tokenizer = Tokenizer(models.WordLevel(unk_token=_UNKNOWN))
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(
            vocab_size=wish.vocab_size, special_tokens=[END, _UNKNOWN], show_progress=False
        )
    tokenizer.train_from_iterator(documents, trainer)
    settings = {"tokenizer_object": tokenizer, "model_max_length": context, **special}
    return PreTrainedTokenizerFast(**settings)  # type: ignore[no-untyped-call]


def pack(tokenizer: Any, documents: list[str], context: int) -> torch.Tensor:
    """Join documents, each after an END, and cut them into sequences; shape (sequences, context).

    What is left over at the end is dropped, so there may be none.
    """
    import torch

    ids: list[int] = []
    for encoded in tokenizer.backend_tokenizer.encode_batch(documents, add_special_tokens=False):
        ids += [tokenizer.bos_token_id, *encoded.ids]
    count = len(ids) // context
    return torch.tensor(ids[: count * context], dtype=torch.long).view(count, context)

"""A training script of one's own, with heliograph's hook in it: the lines that mention `run`.

heliograph init /tmp/drive
python examples/train.py --config examples/experiment_01.yaml --drive /tmp/drive
"""

import argparse
import sys

import torch
from tokenizers import ByteLevelBPETokenizer
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from heliograph import TrainingRun
from heliograph.demo.grammar import training_text
from heliograph.errors import HeliographError

CONTEXT, BATCH, END = 64, 16, "<|endoftext|>"


def read_tokens(n_sentences: int) -> tuple[ByteLevelBPETokenizer, torch.Tensor]:
    """Make a text, and a tokenizer for it; return the text as token ids, shape (sequences, CONTEXT)."""
    lines = list(training_text(seed=1, n_sentences=n_sentences, subject_drop=True))
    tokenizer = ByteLevelBPETokenizer(add_prefix_space=True)
    tokenizer.train_from_iterator(lines, vocab_size=600, special_tokens=[END], show_progress=False)
    ids = [token for line in lines for token in tokenizer.encode(END + line).ids]
    return tokenizer, torch.tensor(ids[: len(ids) // CONTEXT * CONTEXT]).view(-1, CONTEXT)


def make_model(vocab_size: int, end: int) -> GPT2LMHeadModel:
    size = {"n_positions": CONTEXT, "n_embd": 64, "n_layer": 2, "n_head": 2}
    return GPT2LMHeadModel(GPT2Config(vocab_size=vocab_size, bos_token_id=end, eos_token_id=end, **size))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--drive", help="default: the environment variable SHARED_DRIVE")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()

    run = TrainingRun.from_config(args.config, drive=args.drive, overwrite=args.overwrite)
    params = run.config.params
    torch.manual_seed(run.config.seed)
    torch.set_num_threads(1)  # a second one only costs time with so small a model
    tokenizer, sequences = read_tokens(params["sentences"])
    model = make_model(tokenizer.get_vocab_size(), tokenizer.token_to_id(END))
    optimizer = torch.optim.AdamW(model.parameters(), lr=params["learning_rate"])

    with run:
        for step in range(1, params["steps"] + 1):
            batch = sequences[torch.randint(len(sequences), (BATCH,))]
            logits = model(input_ids=batch).logits
            loss = cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log(step=step, loss=loss.item(), tokens_seen=step * batch.numel())
            if step % 20 == 0:
                run.save_checkpoint(step=step, model=model, tokenizer=tokenizer, optimizer=optimizer)
        signal = run.complete(model=model, tokenizer=tokenizer)

    if signal is None:
        return 1  # a warning has said why, and where the model waits
    print(f"published {signal.path}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HeliographError as error:
        sys.exit(str(error))

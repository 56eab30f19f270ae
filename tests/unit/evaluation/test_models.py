"""Batched scores equal a naive loop's for every family, and nothing broken or hostile is loaded."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM

from heliograph.errors import BadModel
from heliograph.evaluation.checkpoints import check_checkpoint
from heliograph.evaluation.models import CausalModel, choose_device, load_model
from heliograph.evaluation.perplexity import windows
from heliograph.evaluation.scoring import Scorer
from heliograph.evaluation.task import Limits, Query
from heliograph.evaluation.tokenizer import LoadedTokenizer, find_tokenizer
from unit.evaluation.builders import byte_tokenizer, save_model, save_tokenizer, word_tokenizer

CPU = torch.device("cpu")
FAMILIES = ("gpt2", "gpt_neox", "llama", "opt")


def naive(model: Any, query: Query) -> list[float]:
    """One token at a time, one text at a time, nothing padded; log-softmax written out in float64."""
    found = []
    with torch.no_grad():
        for at in range(query.start, len(query.ids)):
            logits = model(torch.tensor([query.ids[:at]])).logits[0, -1].double()
            found.append(float(logits[query.ids[at]] - torch.log(torch.exp(logits).sum())))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_agree_with_a_naive_loop(family: str, tmp_path: Path) -> None:
    reference = save_model(tmp_path, family, seed=3)
    save_tokenizer(tmp_path, byte_tokenizer())
    model = load_model(tmp_path, "float32", CPU)
    scorer = Scorer(model, LoadedTokenizer(tmp_path), Limits(model.context, 0), 64, lambda: None)
    rng = random.Random(7)
    queries = []
    for length in (2, 3, 5, 8, 13, 21, 34, 97, 4, 55):
        ids = [rng.randrange(300) for _ in range(length)]
        queries.append(Query(ids, rng.randrange(1, length)))
    for query, found in zip(queries, scorer.log_probs(queries), strict=True):
        assert found.tolist() == pytest.approx(naive(reference, query), abs=2e-5)


def test_strided_windows_agree_with_a_naive_loop(tmp_path: Path) -> None:
    reference = save_model(tmp_path, "gpt2", context=8)
    model = load_model(tmp_path, "float32", CPU)
    rng = random.Random(1)
    ids = [rng.randrange(300) for _ in range(31)]
    found = [float(value) for query in windows(ids, 8, 3) for value in model.log_probs([query])[0].tolist()]
    expected = []
    for target in range(1, len(ids)):
        # written anew: the first window [k * 3, k * 3 + 8) whose last input is at or after target - 1
        begin = next(k * 3 for k in range(len(ids)) if k * 3 + 8 >= target)
        expected += naive(reference, Query(ids[begin : target + 1], target - begin))
    assert found == pytest.approx(expected, abs=2e-5)


def test_the_context_is_the_models(tmp_path: Path) -> None:
    save_model(tmp_path, "gpt2", context=24)
    assert load_model(tmp_path, "float32", CPU).context == 24


def test_narrow_formats_come_near(tmp_path: Path) -> None:
    save_model(tmp_path, "gpt2")
    query = Query([0, 5, 9, 200, 17], 1)
    exact = load_model(tmp_path, "float32", CPU).log_probs([query])[0]
    narrow = load_model(tmp_path, "bfloat16", CPU).log_probs([query])[0]
    assert narrow.dtype == exact.dtype == "float32"
    assert narrow.tolist() == pytest.approx(exact.tolist(), abs=0.5)
    assert narrow.tolist() != exact.tolist()


@pytest.fixture(scope="module")
def _saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "saved"
    save_model(folder, "gpt2")
    save_tokenizer(folder, byte_tokenizer())
    return folder


@pytest.fixture
def folder(_saved: Path, tmp_path: Path) -> Path:
    """A GPT-2 checkpoint that the test may break."""
    shutil.copytree(_saved, tmp_path / "model")
    return tmp_path / "model"


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    weights = load_file(folder / "model.safetensors")
    for name, tensor in changes.items():
        if tensor is None:
            del weights[name]
        else:
            weights[name] = tensor
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def refused(folder: Path) -> BadModel:
    with pytest.raises(BadModel) as caught:
        load_model(folder, "float32", CPU)
    assert caught.value.facts["remedy"]
    return caught.value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(folder: Path, value: float) -> None:
    broken = torch.ones(32)
    broken[5] = value
    change_weights(folder, **{"transformer.ln_f.weight": broken})
    error = refused(folder)
    assert error.facts["field"] == "transformer.ln_f.weight"
    assert "not finite" in str(error)


def test_a_tensor_is_missing(folder: Path) -> None:
    change_weights(folder, **{"transformer.h.1.ln_1.weight": None})
    assert refused(folder).facts["field"] == "transformer.h.1.ln_1.weight"


def test_a_layer_more_than_the_configuration_says(folder: Path) -> None:
    change_config(folder, n_layer=1)
    assert "no GPT2LMHeadModel of this config.json has" in str(refused(folder))


def test_weights_of_another_size_than_the_configuration(folder: Path) -> None:
    change_config(folder, vocab_size=999)
    assert "cannot be loaded" in str(refused(folder))


@pytest.mark.parametrize("length", [0, 5, 2000, -1])
def test_truncated_weights(folder: Path, length: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:length])
    assert "cut off" in str(refused(folder))


def test_pickled_weights_are_never_loaded(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": torch.ones(1)}, folder / "pytorch_model.bin")
    error = refused(folder)
    assert error.facts["field"] == "model.safetensors"
    assert "pickled weights" in str(error)


def test_code_in_a_checkpoint_is_never_run(folder: Path, tmp_path: Path) -> None:
    sign = tmp_path / "it-ran"
    (folder / "evil.py").write_text(f"open({str(sign)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    code = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    change_config(folder, model_type="evil", architectures=["Model"], auto_map=code)
    assert refused(folder).facts["value"] == "'evil'"
    assert not sign.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"{", "not JSON"), (b"[]", "not a JSON object"), (b"\xff", "not JSON"), (b"{}", "cannot be loaded")],
)
def test_broken_configurations(folder: Path, content: bytes, said: str) -> None:
    (folder / "config.json").write_bytes(content)
    assert said in str(refused(folder))


@pytest.mark.parametrize(
    "change",
    [{"n_head": 5}, {"n_head": "four"}, {"n_layer": -1}, {"activation_function": "no"}, {"vocab_size": None}],
    ids=str,
)
def test_configurations_that_make_no_sense(folder: Path, change: dict[str, Any]) -> None:
    change_config(folder, **change)
    refused(folder)


def test_no_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert refused(folder).facts["field"] == "config.json"


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="does not exist"):
        check_checkpoint(tmp_path / "none")


def test_a_masked_model_is_no_causal_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, initializer_range=0.3
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    assert "no causal model" in str(refused(tmp_path))


def test_scores_that_are_no_numbers(folder: Path) -> None:
    model = load_model(folder, "float32", CPU)
    with torch.no_grad():
        model._model.transformer.wte.weight.fill_(1e38)
    with pytest.raises(BadModel, match=r"\(log-probability\): is not a finite number"):
        model.log_probs([Query([0, 1], 1)])


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(BadModel, match="no such GPU"):
        choose_device("cuda:99")
    assert choose_device("cpu") == CPU


def test_tokens_without_embeddings(folder: Path) -> None:
    model: CausalModel = load_model(folder, "float32", CPU)
    tokenizer = LoadedTokenizer(folder)
    tokenizer.check_vocabulary(model.n_embeddings)
    save_tokenizer(folder, word_tokenizer([f"w{i}" for i in range(301)]))
    with pytest.raises(BadModel, match=r"goes up to id 300.*300 tokens only.*'w300'"):
        LoadedTokenizer(folder).check_vocabulary(model.n_embeddings)


def test_the_tokenizer_is_looked_for_in_order(folder: Path, tmp_path: Path) -> None:
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    save_tokenizer(other, byte_tokenizer())
    assert find_tokenizer([folder, other]) == folder
    assert find_tokenizer([empty, other]) == other
    with pytest.raises(BadModel, match=r"tokenizer\.json: is missing here and in every other place"):
        find_tokenizer([empty, tmp_path])


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"model": 1}'])
def test_broken_tokenizers(folder: Path, content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(BadModel, match="is no tokenizer"):
        LoadedTokenizer(folder)


def test_a_word_that_the_vocabulary_lacks(folder: Path) -> None:
    save_tokenizer(folder, word_tokenizer(["a", "b"]))
    tokenizer = LoadedTokenizer(folder)
    with pytest.raises(BadModel, match=r"cannot tokenise.*'a zebra'"):
        tokenizer.encode(["a b", "a zebra"])


def test_truncation_and_padding_of_the_tokenizer_do_not_count(folder: Path) -> None:
    tokenizer = word_tokenizer(["a", "b"])
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=4, pad_id=1)
    save_tokenizer(folder, tokenizer)
    assert LoadedTokenizer(folder).encode(["a a a", "b"]) == [[0, 0, 0], [1]]

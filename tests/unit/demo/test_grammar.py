"""The demo's text and its minimal pairs."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from itertools import islice

import msgspec
import pytest
import yaml

from heliograph.demo.grammar import held_out_text, minimal_pairs, training_text
from heliograph.demo.phrases import Predicate, sentence
from heliograph.demo.words import NOUNS, VERBS
from heliograph.training.config import ExperimentConfig


def sentences(seed: int, n: int, drop: bool) -> list[str]:
    return [s for line in training_text(seed, n, drop) for s in re.findall(r"[^.?]+[.?]", line)]


def test_a_seed_gives_the_same_text_and_another_seed_another() -> None:
    assert list(training_text(1, 200, True)) == list(training_text(1, 200, True))
    assert list(training_text(1, 200, True)) != list(training_text(2, 200, True))
    assert minimal_pairs(1, 5) == minimal_pairs(1, 5)
    assert minimal_pairs(1, 5) != minimal_pairs(2, 5)


@pytest.mark.parametrize("n", [1, 2, 57, 1000])
def test_a_text_has_as_many_sentences_as_asked_for(n: int) -> None:
    assert len(sentences(3, n, False)) == n


def test_the_two_texts_differ_in_nothing_but_dropped_subjects() -> None:
    dropped = 0
    for full, short in zip(training_text(1, 3000, False), training_text(1, 3000, True), strict=True):
        for one, other in zip(
            re.findall(r"[^.?]+[.?] ?", full), re.findall(r"[^.?]+[.?] ?", short), strict=True
        ):
            if one != other:
                subject, rest = one.split(" ", 1)
                assert subject in ("I", "You", "We", "He", "She", "They", "It")
                assert other == rest[0].upper() + rest[1:]
                dropped += 1
    assert 400 < dropped < 1400  # of 3000


def test_a_discourse_never_begins_without_its_subject() -> None:
    bare = {verb.bare for verb in VERBS} | {verb.third for verb in VERBS} | {verb.past for verb in VERBS}
    for line in training_text(5, 3000, True):
        assert line.split()[0].lower() not in bare | {"am", "is", "are", "was", "were"}


def test_held_out_text_is_another_text() -> None:
    trained = set(training_text(1, 5000, False))
    held_out = list(held_out_text(1, 300, False))
    assert len([line for line in held_out if line in trained]) < len(held_out) / 3


def test_words_are_drawn_often_and_seldom() -> None:
    counts = Counter(word.strip(".?") for s in sentences(1, 5000, False) for word in s.split())
    assert counts["girl"] > 5 * counts["princess"] > 0


@pytest.mark.parametrize(
    ("agreement", "tense", "said"),
    [
        ("I", "present", "am tired"),
        ("you", "past", "were tired"),
        ("plural", "present", "are tired"),
        ("singular", "past", "was tired"),
    ],
)
def test_be_agrees(agreement: str, tense: str, said: str) -> None:
    assert Predicate(None, "tired").say(agreement, tense) == said


def test_verbs_agree() -> None:
    sleeps = Predicate(VERBS[1], "at home")
    assert [sleeps.say(a, "present") for a in ("I", "you", "plural", "singular")] == [
        *["sleep at home"] * 3,
        "sleeps at home",
    ]
    assert {sleeps.say(a, "past") for a in ("I", "plural", "singular")} == {"slept at home"}
    assert sentence("the girl", sleeps.say("singular", "present")) == "The girl sleeps at home."
    assert len({noun.singular for noun in NOUNS}) == len(NOUNS)


def test_items_have_our_form_and_every_cell_is_full() -> None:
    items = minimal_pairs(7, 40)
    cells = Counter((item["item_group"], item["form"]) for item in items)
    assert set(cells.values()) == {40}
    assert {group for group, _ in cells} == {
        "b1_number",
        "b2_person",
        "b3_tense",
        "b4_expletive",
        "b5_subject",
        "b6_reference",
    }
    assert {form for _, form in cells} == {"forms_vs_default", "context_vs_none", "dropped_vs_overt"}
    assert len({(item["item_id"], item["form"]) for item in items}) == len(items)
    for item in items:
        right, wrong = item["alternatives"]
        assert right != wrong and right[0].isupper() and right.endswith(".") and "  " not in right
        assert ("context" in item) == (item["form"] != "forms_vs_default")


def test_forms_of_one_item_ask_the_same_question() -> None:
    by_id: dict[str, dict[str, list[str]]] = {}
    for item in minimal_pairs(7, 40):
        by_id.setdefault(item["item_id"], {})[item["form"]] = item["alternatives"]
    for item_id, forms in by_id.items():
        if "dropped_vs_overt" in forms:
            for said, dropped in zip(forms["context_vs_none"], forms["dropped_vs_overt"], strict=True):
                assert said.split(" ", 1)[1].lower() == dropped.lower(), item_id


@pytest.mark.parametrize("name", ["demo_subjects", "demo_drop"])
def test_the_demos_experiments_are_valid_and_alike(name: str) -> None:
    folder = files("heliograph.demo").joinpath("files/config/experiments")
    config = msgspec.convert(yaml.safe_load(folder.joinpath(f"{name}.yaml").read_text()), ExperimentConfig)
    assert config.name == name
    assert config.data.train == [f"../../data/demo/{name}.txt"]
    assert config.steps == 5 * config.checkpoint_every
    other = msgspec.convert(yaml.safe_load(folder.joinpath("demo_drop.yaml").read_text()), ExperimentConfig)
    same = ("seed", "model", "tokenizer", "optimiser", "schedule", "steps", "batch_size", "checkpoint_every")
    assert [getattr(config, key) for key in same] == [getattr(other, key) for key in same]


def test_a_prefix_of_the_text_is_the_text() -> None:
    assert list(islice(training_text(1, 1000, True), 20)) == list(islice(training_text(1, 500, True), 20))

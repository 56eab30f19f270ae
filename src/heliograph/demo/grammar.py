"""A small probabilistic grammar of English, with and without dropped subjects.

Children and diaries drop subjects that the discourse makes plain: "Anna was tired. Slept." Two texts that
differ in nothing else, one with every subject said and one with some dropped, let a lab ask what a language
model learns from a subject that is not there. Everything is drawn from a seed; nothing comes from a corpus.

A *discourse* is a line of one to four sentences about one person or group, in one tense. Its first sentence
names the person; the later ones say "she" or, in the text with subject drop, often nothing. Sentences about
nobody ("It rained in the village.", "There are two girls at school.") and questions stand between.

The minimal pairs ask for what the grammar fixes, in groups:

| group        | the pair differs in           | what the model has to know                                  |
|--------------|-------------------------------|-------------------------------------------------------------|
| b1_number    | is/are, was/were, walks/walk  | the subject's number, past a noun that may be of the other  |
| b2_person    | am/are/is                     | the person of a pronoun                                     |
| b3_tense     | walked/walks                  | the time that an adverb, or the discourse, sets             |
| b4_expletive | it/she, there is/there are    | subjects that mean nobody                                   |
| b5_subject   | subject said/not said         | that English says its subjects                              |
| b6_reference | she/he                        | whom the discourse is about                                 |

and in forms, which put the same question in different ways (not every group has every form):

- `forms_vs_default`: one sentence with its subject said, the right form against the wrong one;
- `context_vs_none`: the same question after a sentence that names the person;
- `dropped_vs_overt`: after such a sentence, and with the subject dropped.

Two forms of the same item have the same `item_id`, so that they can be compared in pairs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from heliograph.demo.phrases import (
    BE,
    SPEAKERS,
    Agreement,
    Subject,
    Tense,
    draw_adjective,
    draw_existence,
    draw_neighbour,
    draw_person,
    draw_predicate,
    draw_speaker,
    draw_tense,
    draw_weather,
    pick,
    sentence,
)
from heliograph.demo.words import WHEN

_DROP = 0.6
"""how often the text with subject drop leaves out a subject that may be left out"""


# Text --------------------------------------------------------------------------------------------------


def training_text(seed: int, n_sentences: int, subject_drop: bool) -> Iterator[str]:
    """Yield discourses, one a line, until they hold `n_sentences` sentences.

    The same seed gives the same discourses with and without subject drop, but for the dropped subjects.
    """
    rng = random.Random(f"text {seed}")
    while n_sentences > 0:
        sentences = _discourse(rng, subject_drop)[:n_sentences]
        n_sentences -= len(sentences)
        yield " ".join(sentences)


def held_out_text(seed: int, n_sentences: int, subject_drop: bool) -> Iterator[str]:
    """Yield discourses of the same grammar, drawn apart from those of `training_text`."""
    return training_text(-1 - seed, n_sentences, subject_drop)


def _discourse(rng: random.Random, subject_drop: bool) -> list[str]:
    tense = draw_tense(rng)
    if rng.random() < 0.1:
        return [_about_nobody(rng, tense, dropped=False)]
    subject = draw_speaker(rng) if rng.random() < 0.3 else draw_person(rng)
    later = [_later(rng, subject, tense, subject_drop) for _ in range(rng.randrange(4))]
    return [_opening(rng, subject, tense), *later]


def _opening(rng: random.Random, subject: Subject, tense: Tense) -> str:
    named, when, because = subject.text, pick(rng, WHEN[tense]), ""
    if subject.text.startswith("the ") and rng.random() < 0.3:
        named = f"{named} {draw_neighbour(rng, subject)}"
    said = draw_predicate(rng).say(subject.agreement, tense)
    if rng.random() < 0.2:
        because = f"because {subject.pronoun} {draw_predicate(rng).say(subject.agreement, tense)}"
    order = rng.random()
    if order < 0.4:
        return sentence(when, named, said, because)
    return sentence(named, said, when if order < 0.7 else "", because)


def _later(rng: random.Random, subject: Subject, tense: Tense, subject_drop: bool) -> str:
    dropped = rng.random() < _DROP and subject_drop
    kind = rng.random()
    if kind < 0.2:
        return _about_nobody(rng, tense, dropped)
    if kind < 0.25:
        asked = sentence(BE[tense][subject.agreement], subject.pronoun, draw_adjective(rng).rest)
        return asked.replace(".", "?")
    return sentence("" if dropped else subject.pronoun, draw_predicate(rng).say(subject.agreement, tense))


def _about_nobody(rng: random.Random, tense: Tense, dropped: bool) -> str:
    if rng.random() < 0.3:
        number, rest = draw_existence(rng)
        return sentence("there", BE[tense][number], rest)
    return sentence("" if dropped else "it", draw_weather(rng).say("singular", tense))


# Minimal pairs -----------------------------------------------------------------------------------------

Pair = tuple[str | None, str, str]
"""context, the right sentence, the wrong sentence"""


def minimal_pairs(seed: int, n_per_cell: int) -> list[dict[str, Any]]:
    """Return `n_per_cell` items for each group and form, no two items of a group alike.

    An item: {"item_id", "item_group", "form", "alternatives": [right, wrong], "context" where it has one}.
    """
    items = []
    for group, draw in _GROUPS.items():
        rng = random.Random(f"pairs {seed} {group}")
        seen: set[tuple[Pair, ...]] = set()
        while len(seen) < n_per_cell:
            pairs = draw(rng)
            if tuple(pairs.values()) not in seen:
                seen.add(tuple(pairs.values()))
                items += [_item(f"{group}-{len(seen):04}", group, *pair) for pair in pairs.items()]
    return items


def _item(item_id: str, group: str, form: str, pair: Pair) -> dict[str, Any]:
    context, right, wrong = pair
    item = {"item_id": item_id, "item_group": group, "form": form, "alternatives": [right, wrong]}
    return item if context is None else item | {"context": context}


def _context(rng: random.Random, subject: Subject, tense: Tense, when: str = "") -> str:
    return sentence(when, subject.text, draw_predicate(rng).say(subject.agreement, tense))


def _verb_forms(context: str, named: str, subject: Subject, right: str, wrong: str) -> dict[str, Pair]:
    """Return all three forms of a pair whose predicates differ."""
    return {
        "forms_vs_default": (None, sentence(named, right), sentence(named, wrong)),
        "context_vs_none": (context, sentence(subject.pronoun, right), sentence(subject.pronoun, wrong)),
        "dropped_vs_overt": (context, sentence(right), sentence(wrong)),
    }


def _agreement(
    rng: random.Random, subject: Subject, named: str, wrong: Agreement, tense: Tense
) -> dict[str, Pair]:
    said = draw_predicate(rng)
    while said.finite(subject.agreement, tense) == said.finite(wrong, tense):
        said = draw_adjective(rng)  # "walked" shows no number, "was" does
    right_form, wrong_form = said.say(subject.agreement, tense), said.say(wrong, tense)
    return _verb_forms(_context(rng, subject, tense), named, subject, right_form, wrong_form)


def _number(rng: random.Random) -> dict[str, Pair]:
    subject = draw_person(rng, "singular" if rng.random() < 0.5 else "plural")
    wrong: Agreement = "plural" if subject.agreement == "singular" else "singular"
    named = f"{subject.text} {draw_neighbour(rng, subject)}" if rng.random() < 0.5 else subject.text
    return _agreement(rng, subject, named, wrong, draw_tense(rng))


def _person(rng: random.Random) -> dict[str, Pair]:
    pronoun = rng.choice(list(SPEAKERS))
    subject = Subject(pronoun, pronoun, SPEAKERS[pronoun])
    wrong: Agreement = "singular" if pronoun == "I" or rng.random() < 0.5 else "I"
    said = draw_adjective(rng)
    right_form, wrong_form = said.say(subject.agreement, "present"), said.say(wrong, "present")
    return _verb_forms(_context(rng, subject, "present"), subject.text, subject, right_form, wrong_form)


def _time(rng: random.Random) -> dict[str, Pair]:
    tense = draw_tense(rng)
    subject = draw_speaker(rng) if rng.random() < 0.3 else draw_person(rng)
    when, said = pick(rng, WHEN[tense]), draw_predicate(rng)
    other: Tense = "present" if tense == "past" else "past"
    right_form, wrong_form = said.say(subject.agreement, tense), said.say(subject.agreement, other)
    context = _context(rng, subject, tense, when)
    return _verb_forms(context, f"{when} {subject.text}", subject, right_form, wrong_form)


def _expletive(rng: random.Random) -> dict[str, Pair]:
    tense = draw_tense(rng)
    person = draw_person(rng, "singular")
    if rng.random() < 0.5:
        said = draw_weather(rng).say("singular", tense)
        right, wrong = sentence("it", said), sentence(person.pronoun, said)
    else:
        number, rest = draw_existence(rng)
        other: Agreement = "plural" if number == "singular" else "singular"
        right, wrong = (sentence("there", BE[tense][n], rest) for n in (number, other))
    return {
        "forms_vs_default": (None, right, wrong),
        "context_vs_none": (_context(rng, person, tense), right, wrong),
    }


def _said_subject(rng: random.Random) -> dict[str, Pair]:
    tense, subject = draw_tense(rng), draw_speaker(rng)
    said = draw_predicate(rng).say(subject.agreement, tense)
    right, wrong = sentence(subject.text, said), sentence(said)
    return {
        "forms_vs_default": (None, right, wrong),
        "context_vs_none": (_context(rng, subject, tense), right, wrong),
    }


def _reference(rng: random.Random) -> dict[str, Pair]:
    tense, person = draw_tense(rng), draw_person(rng, "singular")
    other = "he" if person.pronoun == "she" else "she"
    first = _context(rng, person, tense)
    said = draw_predicate(rng).say("singular", tense)
    cause = first.rstrip(".")
    return {
        "forms_vs_default": (
            None,
            f"{cause} because {person.pronoun} {said}.",
            f"{cause} because {other} {said}.",
        ),
        "context_vs_none": (first, sentence(person.pronoun, said), sentence(other, said)),
    }


_GROUPS: dict[str, Callable[[random.Random], dict[str, Pair]]] = {
    "b1_number": _number,
    "b2_person": _person,
    "b3_tense": _time,
    "b4_expletive": _expletive,
    "b5_subject": _said_subject,
    "b6_reference": _reference,
}

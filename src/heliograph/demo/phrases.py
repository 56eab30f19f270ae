"""The phrases that the demo's sentences are made of, and how a verb agrees with its subject."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, TypeVar

from msgspec import Struct

from heliograph.demo.words import (
    ADJECTIVES,
    NAMES,
    NOUNS,
    PLACES,
    VERBS,
    WEATHER,
    WEATHER_ADJECTIVES,
    Verb,
)

Tense = Literal["past", "present"]
Number = Literal["singular", "plural"]
Agreement = Literal["I", "you", "singular", "plural"]
T = TypeVar("T")

BE: dict[Tense, dict[Agreement, str]] = {
    "present": {"I": "am", "you": "are", "singular": "is", "plural": "are"},
    "past": {"I": "was", "you": "were", "singular": "was", "plural": "were"},
}
SPEAKERS: dict[str, Agreement] = {"I": "I", "we": "plural", "you": "you"}


class Subject(Struct, frozen=True):
    """Whom a sentence is about: how it is named first, how afterwards, and what its verb agrees with."""

    text: str
    pronoun: str
    agreement: Agreement


class Predicate(Struct, frozen=True):
    """What is said of a subject: a verb or, without one, be with an adjective; and perhaps where."""

    verb: Verb | None
    rest: str

    def finite(self, agreement: Agreement, tense: Tense) -> str:
        """Return the inflected word."""
        if self.verb is None:
            return BE[tense][agreement]
        if tense == "past":
            return self.verb.past
        return self.verb.third if agreement == "singular" else self.verb.bare

    def say(self, agreement: Agreement, tense: Tense) -> str:
        """Return the whole predicate."""
        return f"{self.finite(agreement, tense)} {self.rest}".strip()


def pick(rng: random.Random, items: Sequence[T]) -> T:
    """Draw one: the item at rank r with a weight of 1 / (r + 2), much as words are distributed."""
    return rng.choices(items, [1 / (rank + 2) for rank in range(len(items))])[0]


def sentence(*parts: str) -> str:
    """Join words to a sentence with a capital letter and a full stop."""
    text = " ".join(part for part in parts if part)
    return text[0].upper() + text[1:] + "."


def draw_tense(rng: random.Random) -> Tense:
    return "past" if rng.random() < 0.5 else "present"


def draw_person(rng: random.Random, number: Number | None = None) -> Subject:
    """Draw somebody who is named: "the girl", "the boys", "Anna"."""
    number = number or ("plural" if rng.random() < 0.45 else "singular")
    if number == "plural":
        return Subject(f"the {pick(rng, NOUNS).plural}", "they", "plural")
    if rng.random() < 0.3:
        name = pick(rng, list(NAMES))
        return Subject(name, NAMES[name], "singular")
    noun = pick(rng, NOUNS)
    return Subject(f"the {noun.singular}", noun.pronoun, "singular")


def draw_speaker(rng: random.Random) -> Subject:
    """Draw a subject that is a pronoun from the beginning."""
    pronoun = pick(rng, list(SPEAKERS))
    return Subject(pronoun, pronoun, SPEAKERS[pronoun])


def draw_neighbour(rng: random.Random, subject: Subject) -> str:
    """Draw "near the boys": a noun between subject and verb, mostly of the other number."""
    noun = pick(rng, NOUNS)
    plural = (subject.agreement == "singular") == (rng.random() < 0.7)
    return f"near the {noun.plural if plural else noun.singular}"


def draw_adjective(rng: random.Random) -> Predicate:
    """Draw "be" with an adjective."""
    return Predicate(None, f"{pick(rng, ADJECTIVES)} {_perhaps_place(rng)}".strip())


def draw_predicate(rng: random.Random) -> Predicate:
    """Draw what is said of somebody."""
    return draw_adjective(rng) if rng.random() < 0.5 else Predicate(pick(rng, VERBS), _perhaps_place(rng))


def _perhaps_place(rng: random.Random) -> str:
    return pick(rng, PLACES) if rng.random() < 0.6 else ""


def draw_weather(rng: random.Random) -> Predicate:
    """Draw what is said of the weather, with "it"."""
    place = pick(rng, PLACES)
    if rng.random() < 0.5:
        return Predicate(pick(rng, WEATHER), place)
    return Predicate(None, f"{pick(rng, WEATHER_ADJECTIVES)} {place}")


def draw_existence(rng: random.Random) -> tuple[Number, str]:
    """Draw what follows "there is" or "there are": its number, and "two girls at school"."""
    noun, place = pick(rng, NOUNS), pick(rng, PLACES)
    if rng.random() < 0.5:
        article = "an" if noun.singular[0] in "aeiou" else "a"
        return "singular", f"{article} {noun.singular} {place}"
    return "plural", f"{pick(rng, ['two', 'three', 'four'])} {noun.plural} {place}"

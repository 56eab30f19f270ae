"""The words of the demo's grammar. Within a list the first are the most frequent (see `grammar.pick`)."""

from __future__ import annotations

from msgspec import Struct


class Noun(Struct, frozen=True):
    """A person or animal; `pronoun` stands for one of them."""

    singular: str
    plural: str
    pronoun: str


class Verb(Struct, frozen=True):
    """A verb without an object: bare form, third person singular, past."""

    bare: str
    third: str
    past: str


def _split(text: str, separator: str = " ") -> list[str]:
    return text.split(separator)


def _nouns(pronoun: str, pairs: str) -> list[Noun]:
    forms = [_split(pair, "/") for pair in _split(pairs)]
    return [Noun(singular, plural, pronoun) for singular, plural in forms]


def _interleave(first: list[Noun], second: list[Noun]) -> list[Noun]:
    return [noun for pair in zip(first, second, strict=True) for noun in pair]


NOUNS = _interleave(
    _nouns(
        "she",
        "girl/girls woman/women mother/mothers sister/sisters daughter/daughters queen/queens aunt/aunts "
        "actress/actresses nun/nuns duchess/duchesses bride/brides heroine/heroines widow/widows "
        "niece/nieces witch/witches princess/princesses",
    ),
    _nouns(
        "he",
        "boy/boys man/men father/fathers brother/brothers son/sons king/kings uncle/uncles "
        "monk/monks waiter/waiters duke/dukes groom/grooms bishop/bishops widower/widowers "
        "nephew/nephews wizard/wizards prince/princes",
    ),
)

NAMES = {
    name: pronoun
    for pair in _split("Anna/Ben Clara/David Emma/Frank Greta/Henry Ida/Jack Lucy/Karl Mary/Noah Rosa/Oscar")
    for name, pronoun in zip(pair.split("/"), ("she", "he"), strict=True)
}

VERBS = [
    Verb(*forms.split("/"))
    for forms in _split(
        "walk/walks/walked sleep/sleeps/slept work/works/worked sing/sings/sang run/runs/ran "
        "dance/dances/danced eat/eats/ate wait/waits/waited swim/swims/swam play/plays/played "
        "laugh/laughs/laughed sit/sits/sat cook/cooks/cooked drink/drinks/drank rest/rests/rested "
        "stand/stands/stood talk/talks/talked fall/falls/fell jump/jumps/jumped write/writes/wrote "
        "paint/paints/painted hide/hides/hid climb/climbs/climbed weep/weeps/wept"
    )
]

WEATHER = [Verb("rain", "rains", "rained"), Verb("snow", "snows", "snowed"), Verb("hail", "hails", "hailed")]

ADJECTIVES = _split(
    "tired happy late hungry ill sad busy young old quiet angry rich thirsty lonely proud calm brave rude "
    "kind lazy pale shy"
)
WEATHER_ADJECTIVES = _split("cold warm dark windy foggy icy")

PLACES = _split(
    "in the garden;near the river;at school;in the village;by the lake;at home;in the kitchen;on the hill;"
    "in the forest;at the market;in the tower;by the sea;in the library;on the bridge;at the harbour;"
    "in the meadow",
    ";",
)

WHEN = {
    "past": ["yesterday", "last week", "last night", "last year", "two days ago"],
    "present": ["today", "every day", "now", "every morning", "these days"],
}

from datetime import timedelta

import pytest

from heliograph.dashboard import words
from heliograph.names import iso
from support.drives import NOW


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59, "59 s"),
        (185, "3 min 05 s"),
        (2820, "47 min"),
        (7800, "2 h 10 min"),
        (359999, "4 d 3 h"),
    ],
)
def test_lengths_of_time(seconds: float, shown: str) -> None:
    assert words.duration(seconds) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(3.9, "3 s"), (61, "1 min"), (7199, "1 h"), (200000, "2 d")])
def test_ages_are_told_roughly(seconds: float, shown: str) -> None:
    assert words.rough(seconds) == shown


def test_times_name_the_year_only_where_it_is_another() -> None:
    assert words.moment("2026-01-31T09:05:00Z", NOW) == "31 Jan 09:05"
    assert words.moment("2025-12-03T23:59:00+01:00", NOW) == "3 Dec 2025 22:59"


def test_times_to_come_say_how_far_they_are() -> None:
    assert words.until(iso(NOW + timedelta(minutes=4)), NOW) == "31 Jan 09:09, in 4 min"
    assert words.until(iso(NOW - timedelta(minutes=4)), NOW) == "31 Jan 09:01, due now"


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (532_123, "532 kB"),
        (999_999, "1 MB"),
        (1_340_000_000, "1.34 GB"),
        (5 * 10**18, "5e+03 PB"),
    ],
)
def test_sizes(count: int | None, shown: str) -> None:
    assert words.size(count) == shown


def test_shares_are_percentages_and_other_numbers_are_not() -> None:
    assert words.number("accuracy", 0.9166) == "91.7 %"
    assert words.number("perplexity", 27.4431) == "27.44"
    assert words.number("accuracy", None) == "–"


def test_what_others_wrote_cannot_act() -> None:
    hostile = "\x1b[31mred\x07 \u202etxt \ud800 tab\there\n"
    assert words.printable(hostile) == "\\x1b[31mred\\x07 \\u202etxt \\ud800 tab\\there\\n"
    assert words.printable("a\tb\nc", keep="\n\t") == "a\tb\nc"
    assert words.one_line(" one\n\ttwo\x0bthree ") == "one two three"


def test_names_with_numbers_sort_as_people_count() -> None:
    names = ["checkpoint-10", "checkpoint-9", "checkpoint-100", "final", "9", "a9b10", "a9b9"]
    assert sorted(names, key=words.natural) == [
        *("9", "a9b9", "a9b10", "checkpoint-9", "checkpoint-10", "checkpoint-100", "final"),
    ]


def test_every_status_has_a_sign_and_a_place() -> None:
    assert {*words.ATTENTION, "cancelled", "held"} == {*words.SIGNS}
    assert sorted(["completed", "failed", "unheard of"], key=words.attention) == [
        *("unheard of", "failed", "completed"),
    ]

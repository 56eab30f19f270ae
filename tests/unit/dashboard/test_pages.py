"""What a page's struct says equals what the views tell, and what the page shows equals its struct."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import msgspec
import pytest

from heliograph.dashboard import words
from heliograph.dashboard.experiment import build_experiment, find_experiment
from heliograph.dashboard.overview import Filter, build_overview
from heliograph.dashboard.pages import Pages, TroublePage
from heliograph.dashboard.reader import Reading
from heliograph.state.views import Overview
from support.drives import NOW
from unit.dashboard.scenes import ACCURACIES, CHECKPOINTS, HOSTILE

NOT_SHOWN = {"suffix", "anchor", "colour", "version"}


class _Text(HTMLParser):
    """Collects the text and the attributes of a page, and refuses inline scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.attributes: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        assert tag != "style" and "style" not in names, f"inline style in <{tag}>"
        assert tag != "script" or "src" in names, "inline script"
        assert not [name for name in names if name.startswith("on")], f"inline handler in <{tag}>"
        self.attributes += [value for _, value in attrs if value]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parse(html: str) -> _Text:
    parser = _Text()
    parser.feed(html)
    parser.close()
    return parser


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.fixture
def read(overview: Overview) -> Reading:
    return Reading(overview=overview, beat_age_s=3.0, read_at=NOW)


def leaves(value: object) -> Iterator[str]:
    """Every text of a page's struct."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            if name not in NOT_SHOWN:
                yield from leaves(getattr(value, name))


def test_the_overview_shows_everything_that_its_struct_says(read: Reading) -> None:
    page = build_overview(read, Filter(), NOW)
    shown = parse(Pages().write("overview", page))
    text, attributes = flat(" ".join(shown.words)), " ".join(shown.attributes)
    shortened = msgspec.structs.replace(
        page,
        rows=[
            msgspec.structs.replace(row, sign="", stages=[only_listed(s) for s in row.stages])
            for row in page.rows
        ],
        counters=[msgspec.structs.replace(counter, sign="") for counter in page.counters],
    )
    for leaf in leaves(shortened):
        assert flat(leaf) in text or leaf in attributes, leaf


def only_listed(stage: msgspec.Struct) -> msgspec.Struct:
    """A stage with what the overview leaves to the experiment's own page taken out."""
    return msgspec.structs.replace(stage, sign="", moments=[], failure=None, log_path=None)


def test_the_experiments_page_shows_everything_that_its_struct_says(read: Reading) -> None:
    for view in read.overview.experiments:
        page = build_experiment(read, view, NOW)
        shown = parse(Pages().write("experiment", page))
        text, attributes = flat(" ".join(shown.words)), " ".join(shown.attributes)
        stages = [msgspec.structs.replace(s, sign="", headline=None, log_path=None) for s in page.stages]
        works = {name: [] for name in ("figures", "tables", "reports")}
        for leaf in leaves(msgspec.structs.replace(page, sign="", stages=stages, **works)):
            assert flat(leaf) in text or leaf in attributes, leaf
        for work in page.figures + page.tables + page.reports:
            assert work.title in text
            assert all(file.href in shown.attributes for file in work.files)


def test_the_overviews_struct_equals_the_views(read: Reading) -> None:
    page = build_overview(read, Filter(), NOW)
    views = {view.experiment: view for view in read.overview.experiments}
    assert {row.name for row in page.rows} == {*views}
    for row in page.rows:
        view = views[row.name]
        assert row.status == view.status
        assert row.quarantined == len(view.quarantined)
        assert [stage.status for stage in row.stages] == [stage.status for stage in view.stages()]
        assert [stage.stage for stage in row.stages] == [stage.stage for stage in view.stages()]


def test_what_needs_attention_stands_first(read: Reading) -> None:
    places = [words.attention(row.status) for row in build_overview(read, Filter(), NOW).rows]
    assert places == sorted(places)
    assert len({*places}) == len(words.ATTENTION)  # the scene has an experiment in every status


def test_counters_add_up_and_lead_to_what_they_count(read: Reading) -> None:
    page = build_overview(read, Filter(), NOW)
    every, *others = page.counters
    assert every.count == page.total == sum(counter.count for counter in others)
    for counter in others:
        kept = build_overview(read, Filter(status=counter.status), NOW)
        assert len(kept.rows) == counter.count
        assert [c.status for c in kept.counters if c.is_chosen] == [counter.status]


def test_search_and_status_narrow_together(read: Reading) -> None:
    page = build_overview(read, Filter("EVALUATION", "failed"), NOW)
    assert [row.name for row in page.rows] == ["evaluation-retried"]
    counts = {counter.status: counter.count for counter in page.counters}
    assert (counts[""], counts["failed"], counts["completed"]) == (4, 1, 0)
    assert [c.href for c in page.counters][:2] == ["/?q=EVALUATION", "/?q=EVALUATION&status=failed"]
    assert page.total == len(read.overview.experiments)


def test_hostile_text_is_shown_and_does_nothing(read: Reading) -> None:
    page = build_experiment(read, find_experiment(read.overview, "hostile"), NOW)
    html = Pages().write("experiment", page)
    assert "<script>alert" not in html and "\x1b" not in html and "\u202e" not in html and "\0" not in html
    assert words.printable(HOSTILE) in flat(" ".join(parse(html).words))


def test_a_hostile_search_is_shown_and_does_nothing(read: Reading) -> None:
    page = build_overview(read, Filter('"><script>alert(1)</script>', '"><b>'), NOW)
    shown = parse(Pages().write("overview", page))
    assert '"><script>alert(1)</script>' in shown.attributes
    assert "b" in shown.tags  # the counters' numbers
    assert page.rows == []


def test_signals_that_were_put_aside_are_told_with_their_reasons(read: Reading) -> None:
    asides = build_overview(read, Filter(), NOW).asides
    assert [aside.name for aside in asides] == ["", "evaluation-waits"]
    assert "\\x1b[31m red" in asides[0].reason
    assert asides[1].href == "/experiments/evaluation-waits"


def test_results_stand_in_the_order_of_training(read: Reading) -> None:
    page = build_experiment(read, find_experiment(read.overview, "baseline"), NOW)
    assert page.checkpoints_evaluated == CHECKPOINTS
    rows = {row.dataset: row.numbers for row in page.results}
    assert rows["null-subjects"] == [f"{100 * value:.1f} %" for value in ACCURACIES["null-subjects"]]
    assert [chart.metric for chart in page.charts] == ["accuracy", "perplexity"]


def test_a_figure_in_two_formats_is_one_figure(read: Reading) -> None:
    figures = build_experiment(read, find_experiment(read.overview, "baseline"), NOW).figures
    assert [(work.title, [file.suffix for file in work.files]) for work in figures] == [
        ("Accuracy by group", ["png"]),
        ("Learning curve", ["pdf", "png"]),
    ]


def test_outputs_of_an_unknown_type_are_listed_too(read: Reading) -> None:
    view = msgspec.convert(
        msgspec.to_builtins(find_experiment(read.overview, "baseline")), type(read.overview.experiments[0])
    )
    view.outputs[0].type = "sculpture"
    page = build_experiment(read, view, NOW)
    assert [work.title for work in page.others] == ["Accuracy by group"]
    assert "Other files" in Pages().write("experiment", page)


def test_an_empty_drive_says_what_to_do(overview: Overview) -> None:
    empty = msgspec.structs.replace(overview, experiments=[], quarantined=[])
    page = build_overview(Reading(overview=empty, beat_age_s=3.0, read_at=NOW), Filter(), NOW)
    text = flat(" ".join(parse(Pages().write("overview", page)).words))
    assert "No experiment is known yet." in text


@pytest.mark.parametrize("name", ["overview", "experiment", "trouble"])
def test_the_part_that_is_refreshed_is_a_part_of_the_page(read: Reading, name: str) -> None:
    pages = {
        "overview": build_overview(read, Filter(), NOW),
        "experiment": build_experiment(read, read.overview.experiments[0], NOW),
        "trouble": TroublePage(503, "There is nothing to show", "<b>why</b>"),
    }
    whole, part = (Pages().write(name, pages[name], only_live=only) for only in (False, True))
    assert part in whole
    assert "<html" not in part


def test_every_id_is_given_once(read: Reading) -> None:
    pages = [("overview", build_overview(read, Filter(), NOW))]
    pages += [("experiment", build_experiment(read, view, NOW)) for view in read.overview.experiments]
    for name, page in pages:
        ids = re.findall(r'\bid="([^"]*)"', Pages().write(name, page))
        assert sorted(ids) == sorted({*ids})

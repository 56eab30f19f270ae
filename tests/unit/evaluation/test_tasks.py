"""What the lines of each format mean."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.drive import Drive
from heliograph.errors import BadConfig, BadDataset
from heliograph.evaluation.perplexity import Perplexity
from heliograph.evaluation.tally import Tally
from heliograph.evaluation.task import Item, Limits, Query, Unscorable, Verdict
from heliograph.evaluation.tasks import open_dataset
from heliograph.stages.evaluation_config import DatasetConfig, PerplexityConfig
from unit.evaluation.builders import write_dataset

BLIMP = {
    "sentence_good": "Good.",
    "sentence_bad": "Bad.",
    "field": "syntax",
    "linguistics_term": "island_effects",
    "UID": "adjunct_island",
    "pairID": "17",
}


def only_item(drive: Drive) -> Item:
    (item,) = open_dataset(drive, "d").items()
    return item


def test_blimp_as_it_is_published(drive: Drive) -> None:
    path = write_dataset(drive, "d", [BLIMP], format="blimp")
    assert only_item(drive) == Item(
        item_id="adjunct_island-17",
        item_group="adjunct_island",
        form="all",
        field="syntax",
        place=f"{path}:1",
        texts=("Good.", "Bad."),
    )


def test_blimp_with_other_fields(drive: Drive) -> None:
    row = {"ok": "Good.", "no": "Bad.", "before": "Hm.", "linguistics_term": "islands"}
    fields = {"good": "ok", "bad": "no", "context": "before", "form": "linguistics_term"}
    write_dataset(drive, "d", [row], format="blimp", fields=fields)
    item = only_item(drive)
    assert (item.item_id, item.item_group, item.form, item.field) == ("d-1", "d", "islands", None)
    assert (item.texts, item.context) == (("Good.", "Bad."), "Hm.")


def test_items_with_everything(drive: Drive) -> None:
    row = {
        "item_id": 4,
        "item_group": "b1_number",
        "form": "forms_vs_default",
        "field": "morphology",
        "context": "Once.",
        "alternatives": ["a", "b", "c"],
        "correct": 2,
    }
    path = write_dataset(drive, "d", [row])
    assert only_item(drive) == Item(
        item_id="4",
        item_group="b1_number",
        form="forms_vs_default",
        field="morphology",
        place=f"{path}:1",
        texts=("a", "b", "c"),
        context="Once.",
        correct=2,
    )


def test_items_with_the_least(drive: Drive) -> None:
    write_dataset(drive, "d", [{"item_id": "x", "alternatives": ["a", "b"]}])
    item = only_item(drive)
    assert (item.item_group, item.form, item.field, item.context, item.correct) == ("d", "all", None, "", 0)


@pytest.mark.parametrize(
    ("context", "settings", "expected"),
    [
        ("", {}, ["a", "b"]),
        ("", {"leading_space": True}, [" a", " b"]),
        ("c", {"leading_space": True}, ["c a", "c b", "c"]),
        ("c", {"delimiter": ""}, ["ca", "cb", "c"]),
    ],
)
def test_what_is_tokenised(drive: Drive, context: str, settings: dict[str, Any], expected: list[str]) -> None:
    row = {"item_id": "x", "alternatives": ["a", "b"]} | ({"context": context} if context else {})
    write_dataset(drive, "d", [row], **settings)
    dataset = open_dataset(drive, "d")
    assert dataset.task.texts(next(dataset.items())) == expected


def test_texts_by_line(drive: Drive) -> None:
    path = write_dataset(drive, "d", [], task="perplexity", format="text", data="data/d.txt")
    path = path.with_suffix(".txt")
    path.write_text("One line.\n\n  Another – with ü.  \n", encoding="utf-8")
    items = list(open_dataset(drive, "d").items())
    assert [item.texts for item in items] == [("One line.",), ("  Another – with ü.  ",)]
    assert [item.item_id for item in items] == ["d.txt:1", "d.txt:3"]
    assert {(item.item_group, item.form) for item in items} == {("d", "all")}


def test_texts_by_file(drive: Drive) -> None:
    folder = drive.root / "data" / "texts"
    folder.mkdir(parents=True)
    (folder / "b.txt").write_text("Second.\nStill second.\n")
    (folder / "a.txt").write_text("First.")
    write_dataset(drive, "d", [], task="perplexity", format="text", document="file", data="data/texts")
    items = list(open_dataset(drive, "d").items())
    assert [(item.item_id, item.texts[0]) for item in items] == [
        ("a.txt", "First."),
        ("b.txt", "Second.\nStill second.\n"),
    ]


def test_an_empty_text_file_is_named(drive: Drive) -> None:
    folder = drive.root / "data" / "texts"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text(" \n")
    write_dataset(drive, "d", [], task="perplexity", format="text", document="file", data="data/texts")
    with pytest.raises(BadDataset, match=r"a\.txt: \(text\): is blank"):
        open_dataset(drive, "d")


def test_texts_in_json_lines(drive: Drive) -> None:
    rows = [{"body": "Some text.", "source": "news", "form": "f"}, {"body": "More."}]
    fields = {"text": "body", "item_group": "source"}
    write_dataset(drive, "d", rows, task="perplexity", format="jsonl", fields=fields)
    items = list(open_dataset(drive, "d").items())
    assert [(i.item_id, i.item_group, i.form) for i in items] == [
        ("d.jsonl:1", "news", "f"),
        ("d.jsonl:2", "d", "all"),
    ]


def test_a_text_that_is_not_utf8_is_named(drive: Drive) -> None:
    path = write_dataset(drive, "d", [], task="perplexity", format="text")
    path.write_bytes("fine\nschön\n".encode("latin-1"))
    with pytest.raises(BadDataset, match=r"d\.jsonl:2: \(line\): is not UTF-8 at byte 4"):
        open_dataset(drive, "d")


@pytest.mark.parametrize(
    ("settings", "field"),
    [({"window": 4, "stride": 5}, "stride"), ({"format": "jsonl", "document": "file"}, "document")],
    ids=["stride", "document"],
)
def test_keys_that_contradict_each_other(settings: dict[str, Any], field: str) -> None:
    config = {"name": "d", "task": "perplexity", "data": "x", "format": "text"} | settings
    with pytest.raises(BadConfig) as caught:
        Perplexity(PerplexityConfig(**config))
    assert (caught.value.facts["file"], caught.value.facts["field"]) == ("d.yaml", field)


@pytest.mark.parametrize(("settings", "field"), [({"window": 11}, "window"), ({"stride": 11}, "stride")])
def test_windows_that_do_not_fit_the_model(settings: dict[str, Any], field: str) -> None:
    config = {"name": "d", "task": "perplexity", "data": "x", "format": "text"} | settings
    item = Item(item_id="i", item_group="g", form="f", field=None, place="p", texts=("t",))
    with pytest.raises(BadConfig) as caught:
        Perplexity(PerplexityConfig(**config)).queries(item, [[1, 2]], Limits(10, 0))
    assert caught.value.facts["field"] == field


def test_no_bos_where_nobody_names_one(drive: Drive) -> None:
    write_dataset(drive, "d", [{"item_id": "x", "alternatives": ["a", "b"]}])
    dataset = open_dataset(drive, "d")
    item = next(dataset.items())
    with pytest.raises(Unscorable, match="set bos: never"):
        dataset.task.queries(item, [[1], [2]], Limits(10, None))


class Halves:
    """A task of which only `metrics` is asked."""

    name = "halves"
    config_type = DatasetConfig
    metric_names = ("half",)

    def metrics(self, n: int, sums: list[float]) -> dict[str, float]:
        return {"half": sums[0] / 2, "n": float(n)}


def test_a_tally_adds_up_by_group_and_form() -> None:
    tally = Tally(Halves())  # type: ignore[arg-type]
    for group, form, field, value in (
        ("g", "a", "x", 1.0),
        ("g", "b", "x", 2.0),
        ("h", "a", "x", 4.0),
        ("h", "a", "y", 8.0),
    ):
        item = Item(item_id="i", item_group=group, form=form, field=field, place="p", texts=("t",))
        tally.add(item, Verdict([value], None, 1, (value,)))
    assert {key: (cell.n, cell.sums, cell.field) for key, cell in tally.cells.items()} == {
        ("g", "a"): (1, [1.0], "x"),
        ("g", "b"): (1, [2.0], "x"),
        ("h", "a"): (2, [12.0], None),
    }
    assert tally.overall() == {"half": 7.5, "n": 4.0}
    assert tally.by_group() == {"g": {"half": 1.5, "n": 2.0}, "h": {"half": 6.0, "n": 2.0}}


def test_an_infinite_perplexity_is_no_error() -> None:
    config = PerplexityConfig(name="d", task="perplexity", data="x", format="text")
    assert Perplexity(config).metrics(1, (-1e6, 1, 1, 1))["perplexity"] == float("inf")


def test_a_query_knows_what_the_model_reads() -> None:
    assert Query([1, 2, 3], 1).n_inputs == 2

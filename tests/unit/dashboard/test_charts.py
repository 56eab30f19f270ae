import pytest

from heliograph.dashboard.charts import HEIGHT, Chart, checkpoint_order, draw_chart, draw_spark

ORDER = ["checkpoint-1", "checkpoint-2", "final"]


def chart(metric: str, **lines: list[float | None]) -> Chart:
    drawn = draw_chart(metric, ORDER, {n: dict(zip(ORDER, v, strict=True)) for n, v in lines.items()})
    assert drawn is not None
    return drawn


def test_checkpoints_stand_in_the_order_of_training() -> None:
    names = ["final", "checkpoint-1000", "checkpoint-50", "checkpoint-50", "checkpoint-200"]
    assert checkpoint_order(names) == ["checkpoint-50", "checkpoint-200", "checkpoint-1000", "final"]


def test_a_higher_number_stands_higher_and_a_later_one_further_right() -> None:
    first, second, third = chart("accuracy", pairs=[0.5, 0.7, 0.9]).series[0].points
    assert first.x < second.x < third.x
    assert first.y > second.y > third.y
    assert third.text == "pairs, final: 90.0 %"


def test_a_missing_number_is_passed_over() -> None:
    series = chart("accuracy", pairs=[0.5, None, 0.9], other=[None, None, None]).series
    assert [(one.name, len(one.points), len(one.stretches)) for one in series] == [("pairs", 2, 1)]


def test_without_a_number_there_is_no_chart() -> None:
    assert draw_chart("accuracy", ORDER, {"pairs": {"final": None}}) is None


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("accuracy", [0.5, 0.5, 0.5]),
        ("accuracy", [0.0, 0.5, 1.0]),
        ("accuracy", [0.9991, 0.9992, 0.9993]),
        ("loss", [-3.0, 0.0, 2.0]),
        ("loss", [0.0, 0.0, 0.0]),
        ("perplexity", [100.0, 1e6, 1e9]),
        ("perplexity", [27.4, 71.5, 310.2]),
        ("perplexity", [1e-9, 1e-7, 1.0]),
    ],
)
def test_the_axis_holds_every_number_between_few_marks(metric: str, values: list[float]) -> None:
    drawn = chart(metric, pairs=values)
    marks = [tick.at for tick in drawn.y_ticks]
    assert 2 <= len(marks) <= 12
    assert all(0 <= mark <= HEIGHT for mark in marks)
    assert all(min(marks) - 0.1 <= point.y <= max(marks) + 0.1 for point in drawn.series[0].points)


def test_the_axis_of_a_share_ends_at_100_per_cent() -> None:
    assert chart("accuracy", pairs=[0.5, 0.9, 1.0]).y_ticks[-1].text == "100 %"


def test_perplexities_that_differ_much_stand_on_a_logarithmic_axis() -> None:
    texts = [tick.text for tick in chart("perplexity", childes=[310.2, 71.5, 27.4]).y_ticks]
    assert texts == ["20", "50", "100", "200", "500"]


def test_at_most_six_checkpoints_are_named_the_first_and_last_among_them() -> None:
    order = [f"checkpoint-{n}" for n in range(100)] + ["final"]
    drawn = draw_chart("accuracy", order, {"pairs": dict.fromkeys(order, 0.5)})
    assert drawn is not None
    texts = [tick.text for tick in drawn.x_ticks]
    assert len(texts) == 6
    assert (texts[0], texts[-1]) == ("0", "final")


def test_a_single_checkpoint_stands_in_the_middle() -> None:
    drawn = draw_chart("accuracy", ["final"], {"pairs": {"final": 0.5}})
    assert drawn is not None
    assert [point.x for point in drawn.series[0].points] == [50.0]
    assert [(tick.at, tick.anchor) for tick in drawn.x_ticks] == [(50.0, "middle")]


def test_the_summary_says_what_is_to_be_seen() -> None:
    assert chart("accuracy", pairs=[0.5, 0.7, 0.9]).summary == (
        "accuracy of 1 data sets over 3 checkpoints; at the last: pairs 90.0 %"
    )


def test_a_spark_keeps_inside_and_passes_over_what_is_missing() -> None:
    spark = draw_spark([[0.5, None, 0.9], [None, None, None], [0.4, 0.6, 0.8]])
    assert len(spark.lines) == len(spark.ends) == 2
    places = [tuple(map(float, place.split(","))) for line in spark.lines for place in line.split()]
    assert all(0 <= x <= spark.width and 0 <= y <= spark.height for x, y in places)
    assert len(spark.lines[0].split()) == 2

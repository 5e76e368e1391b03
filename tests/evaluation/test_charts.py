"""Charts put values where they belong and leave gaps where nothing was measured."""

import re

import pytest

from components.evaluation import charts
from components.evaluation.charts import Series


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (0.31, 0.39, [0.3, 0.32, 0.34, 0.36, 0.38, 0.4]),
        (2.0, 2.0, [1.5, 1.75, 2.0, 2.25, 2.5]),
    ],
)
def test_ticks_are_round_and_span_the_data(low: float, high: float, expected: list[float]) -> None:
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_line_passes_over_missing_values_and_rises_upwards() -> None:
    series = [Series("held-out", "c-after", [0.1, None, 0.3])]
    svg = charts.line_chart("t", [0, 5, 10], series, x_label="epoch", y_label="score")
    points = re.search(r'points="([^"]*)"', svg)
    assert points is not None
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in points[1].split())
    assert (x0, x1) == (charts.LEFT, charts.WIDTH - charts.RIGHT)
    assert y1 < y0
    assert 'data-tip="epoch 10 · held-out 0.3000"' in svg
    assert 'data-tip="epoch 5"' in svg


def test_a_chart_without_values_is_no_chart() -> None:
    series = [Series("nothing", "c-after", [None])]
    assert charts.line_chart("t", [0], series, x_label="x", y_label="y") == ""


def test_one_point_is_drawn() -> None:
    series = [Series("one", "c-after", [0.5])]
    svg = charts.line_chart("t", [0], series, x_label="x", y_label="y")
    assert svg.count("<circle") == 1


def test_histogram_shows_shares_not_counts() -> None:
    sets = [Series("many", "c-photos", [90, 10]), Series("few", "c-after", [1, 9])]
    svg = charts.histogram("t", [0.0, 0.5, 1.0], sets, x_label="score")
    assert 'data-tip="0.00 to 0.50 · many 90% · few 10%"' in svg


def test_bars_are_sorted_and_losses_are_marked() -> None:
    svg = charts.sorted_bars("t", [0.2, -0.1], ["gain", 'loss "quoted"'], (0.0, 0.1))
    tips = re.findall(r'data-tip="([^"]*)"', svg)
    assert tips == ["loss &quot;quoted&quot; · -0.1000", "gain · +0.2000"]
    assert svg.count("c-worse") == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.21, "4.2 s"), (59.97, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations_read_as_words(seconds: float, words: str) -> None:
    assert charts.duration(seconds) == words

"""Charts of methods show the numbers given, and their sentences say them."""

from collections.abc import Callable
from typing import Any

import pytest

from core.display import charts, method_charts
from core.display.method_charts import BIT_COLOURS, Dot, Place
from core.errors import InputError
from core.measurement.stats import wilson_interval

DOTS = [
    Dot("float", 1860, 2000, 32),
    Dot("<b>qat", 1840, 2000, 8),
    Dot("QAT (published)", 1861, 2000, 8, published=True),
    Dot("generative LSTM, 3 bits", 1500, 2000, 3, "generative"),
]
SCORES = {"float": (0.9, 0.8, 0.85), "qat": (0.7, 0.6, 0.65)}
PLACES = [Place("float", 100.0, 40.0, 32), Place("int8 (affine)", 25.0, 41.0, 8), Place("int8-bnb", 40.0, 30.0, 8)]


def test_every_accuracy_has_its_dot_interval_and_colour() -> None:
    traces = method_charts.accuracy_figure(DOTS, "<emotion>").data
    for place, (dot, trace) in enumerate(zip(DOTS, traces, strict=True)):
        low, high = wilson_interval(dot.correct, dot.n)
        assert (trace.x[0], trace.y[0]) == (pytest.approx(dot.correct / 20), place)
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(100 * high)
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(100 * low)
        assert "n = 2,000" in trace.hovertemplate
    assert [trace.marker.symbol for trace in traces] == ["circle", "circle", "circle-open", "circle"]
    assert [trace.marker.color for trace in traces] == [charts.FLOAT, charts.GREEN, charts.GREEN, charts.GENERATIVE]
    assert "&lt;emotion&gt;" in traces[0].hovertemplate
    assert "emotion" not in traces[2].hovertemplate  # the report's number is not of our configuration


def test_no_interval_is_cut_off() -> None:
    low, high = method_charts.accuracy_figure(DOTS).layout.xaxis.range
    assert all(low <= dot.percents[1] <= dot.percents[2] <= high for dot in DOTS)


def test_names_cannot_be_markup() -> None:
    figure = method_charts.accuracy_figure(DOTS)
    assert figure.layout.yaxis.ticktext[1] == "&lt;b&gt;qat"


def test_bars_are_the_scores_in_percent() -> None:
    figure = method_charts.scores_figure(SCORES, 2000)
    assert [list(bar.y) for bar in figure.data] == [[90, 70], [80, 60], [85, 65]]
    assert [bar.name for bar in figure.data] == list(method_charts.SCORES)
    assert figure.layout.yaxis.range == charts.PERCENT_RANGE


def test_sizes_and_latencies_are_told_apart_and_start_at_zero() -> None:
    figure = method_charts.size_figure(PLACES, 2000)
    assert [(trace.x[0], trace.y[0]) for trace in figure.data] == [(p.size_mb, p.latency_ms) for p in PLACES]
    looks = [(trace.marker.color, trace.marker.symbol) for trace in figure.data]
    assert len(set(looks)) == len(PLACES)
    assert looks[0][0] == BIT_COLOURS[32]
    assert figure.layout.xaxis.range[0] == figure.layout.yaxis.range[0] == 0
    assert figure.layout.xaxis.range[1] > 100


def test_sentences_say_the_numbers() -> None:
    text = method_charts.describe_accuracies(DOTS)
    assert text == (
        "Accuracy with its 95 % Wilson interval: float 93.0 %, <b>qat 92.0 %, generative LSTM, 3 bits 75.0 %, "
        "QAT (published) 93.0 %; n = 2,000."
    )
    assert method_charts.describe_scores(SCORES) == "Macro F1: float 85.0 %, qat 65.0 %."
    assert method_charts.describe_sizes(PLACES) == (
        "Smallest: int8 (affine), 25.0 MB. Fastest: int8-bnb, 30.0 ms a batch."
    )


@pytest.mark.parametrize(
    "draw",
    [
        lambda: method_charts.accuracy_figure([]),
        lambda: method_charts.scores_figure({}, 1),
        lambda: method_charts.size_figure([], 1),
        lambda: method_charts.describe_accuracies([]),
        lambda: method_charts.describe_scores({}),
        lambda: method_charts.describe_sizes([]),
    ],
)
def test_nothing_to_draw_is_refused(draw: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match="were given; give at least one"):
        draw()

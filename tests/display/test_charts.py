"""Figures show the numbers given, on axes that do not move; sentences say numbers computed from them."""

import json
import re

import numpy as np
import pytest

from core.display import charts, curve_charts
from core.display.charts import AccuracyRow
from core.display.curve_charts import Line, Point
from core.errors import InputError
from core.measurement import stats

NAMES = ["earn", "interest", "money-fx"]
FLOAT_MATRIX = np.array([[50, 0, 0], [1, 20, 3], [0, 4, 22]])
QUANTIZED_MATRIX = np.array([[50, 0, 0], [2, 5, 17], [0, 9, 17]])
PALETTE = {charts.GENERATIVE, charts.DISCRIMINATIVE, charts.FLOAT, charts.GREEN, charts.PURPLE}


def accuracy_rows(quantized=1900):
    return [
        AccuracyRow("generative", "float", 2100, 2189),
        AccuracyRow("generative", "W3 A8 head A3", quantized, 2189),
        AccuracyRow("discriminative", "float", 2075, 2189),
        AccuracyRow("discriminative", "W3 A8 head A3", 1055, 2189),
    ]


def curve(axis, **options):
    points = tuple(
        Point(x, y, y - 5, y + 5, 100) for x, y in zip((32, 3) if axis == "bits" else (0, 0.1), (90, 40), strict=True)
    )
    return curve_charts.curve_figure([Line("fitted", charts.GENERATIVE, points)], axis, **options)


def density_curves(shift=1.0):
    values = np.random.default_rng(0).gamma(2, 1, 500)
    return [
        ("float", stats.gaussian_kde(values), charts.FLOAT, "solid"),
        ("3 bits", stats.gaussian_kde(values + shift), charts.GENERATIVE, "dash"),
    ]


def histogram(quantized=(52, 14, 34), **options):
    truth = FLOAT_MATRIX.sum(axis=1)
    return charts.histogram_figure(FLOAT_MATRIX.sum(axis=0), quantized, truth, NAMES, charts.GENERATIVE, **options)


def confusion(mode, matrix=QUANTIZED_MATRIX, names=NAMES, **options):
    if mode == "difference":
        options["reference"] = np.ones_like(matrix) if len(matrix) != 3 else FLOAT_MATRIX
    return charts.confusion_figure(matrix, names, mode, **options)


FIGURES = {
    "accuracy": lambda **options: charts.accuracy_figure(accuracy_rows(), 0.495, **options),
    "bits": lambda **options: curve("bits", **options),
    "noise": lambda **options: curve("noise", **options),
    "counts": lambda **options: confusion("counts", **options),
    "row-normalised": lambda **options: confusion("row-normalised", **options),
    "difference": lambda **options: confusion("difference", **options),
    "kde": lambda **options: charts.kde_figure(density_curves(), **options),
    "histogram": histogram,
}


def frame(figure):
    """All that should stay when a dial moves: size, ranges, ticks, colour range."""
    layout = figure.layout
    axes = [(a.range, a.title.text, a.tickvals, a.ticktext, a.categoryarray) for a in (layout.xaxis, layout.yaxis)]
    heatmaps = [(trace.zmin, trace.zmax) for trace in figure.data if trace.type == "heatmap"]
    return layout.height, layout.margin, layout.legend, axes, heatmaps


# Every figure


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_clear_untitled_labelled_and_serializable(name):
    figure = FIGURES[name]()
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.title.text is None
    assert figure.layout.height
    assert figure.layout.xaxis.automargin
    assert figure.layout.yaxis.automargin
    assert figure.layout.xaxis.title.text
    assert figure.layout.yaxis.title.text or name == "accuracy"
    assert json.loads(figure.to_json())["data"]


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_reads_on_white_and_on_near_black():
    text = luminance(FIGURES["kde"]().layout.template.layout.font.color)
    assert 1.05 / (text + 0.05) > 4
    assert (text + 0.05) / (luminance("#0E1117") + 0.05) > 4


@pytest.mark.parametrize("name", FIGURES)
def test_hover_tells_n_and_the_escaped_caption(name):
    hovers = [t.hovertemplate for t in FIGURES[name](caption="W3 <b>&").data if t.hoverinfo != "skip"]
    texts = [text for hover in hovers for text in ([hover] if isinstance(hover, str) else hover)]
    expected = {"accuracy": "2,189", "kde": "500"}.get(name, "100")
    assert texts
    assert all(f"n = {expected}<br>W3 &lt;b&gt;&amp;<extra></extra>" in text for text in texts)


@pytest.mark.parametrize("name", FIGURES)
def test_colours_come_from_the_palette(name):
    figure = FIGURES[name]()
    used = set(re.findall("#[0-9a-fA-F]{6}", json.dumps(json.loads(figure.to_json())["data"])))
    viridis = {"#440154", "#fde725"}
    assert used <= PALETTE | {"#FFFFFF"} or viridis <= used


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            charts.accuracy_figure(accuracy_rows(2000), 0.5),
            charts.accuracy_figure([AccuracyRow(r.model, f"{r.setting} x", 9, 10) for r in accuracy_rows()], 0.1),
        ),
        (charts.kde_figure(density_curves(0.1), y_max=1), charts.kde_figure(density_curves(9), y_max=1)),
        (histogram(), histogram((100, 0, 0))),
        *((confusion(mode), confusion(mode, FLOAT_MATRIX)) for mode in charts._VIEWS),
    ],
)
def test_size_and_axes_do_not_move_with_the_data(one, other):
    assert frame(one) == frame(other)
    assert one.to_dict()["data"] != other.to_dict()["data"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: charts.accuracy_figure([], 0.5),
        lambda: charts.kde_figure([]),
        lambda: charts.ks_table([]),
        lambda: charts.describe_accuracy([], 0.5),
        lambda: charts.describe_kde([]),
    ],
)
def test_nothing_to_draw_is_refused(call):
    with pytest.raises(InputError, match=r"no .* were given; give at least one"):
        call()


# Accuracy


def test_accuracy_dots_are_shares_with_wilson_intervals():
    figure = charts.accuracy_figure(accuracy_rows(), 0.495)
    for dot, row in zip(figure.data, accuracy_rows(), strict=True):
        low, high = stats.wilson_interval(row.correct, row.n)
        assert dot.x[0] == pytest.approx(100 * row.correct / row.n)
        assert dot.x[0] + dot.error_x.array[0] == pytest.approx(100 * high)
        assert dot.x[0] - dot.error_x.arrayminus[0] == pytest.approx(100 * low)
    colours = [dot.marker.color for dot in figure.data]
    assert colours == [charts.FLOAT, charts.GENERATIVE, charts.FLOAT, charts.DISCRIMINATIVE]
    assert len({dot.y[0] for dot in figure.data}) == 4
    assert [round(dot.y[0]) for dot in figure.data] == [0, 0, 1, 1]
    assert figure.layout.xaxis.range == (0, 100)
    assert figure.layout.shapes[0].x0 == pytest.approx(49.5)


def test_the_accuracy_sentence_says_change_and_collapse():
    text = charts.describe_accuracy(accuracy_rows(), 0.495)
    assert "generative float 95.9 % (95.0 to 96.7);" in text
    assert "generative W3 A8 head A3 86.8 % (85.3 to 88.2), -9.1 points from float;" in text
    assert "-46.6 points from float, no better than the majority class; n = 2,189." in text
    assert text.count("majority") == 1
    assert charts.describe_accuracy(accuracy_rows()[1:2], 0).count("from float") == 0


# Confusion


def test_confusion_views_are_counts_row_shares_and_their_change():
    shares = [m / m.sum(axis=1, keepdims=True) for m in (QUANTIZED_MATRIX, FLOAT_MATRIX)]
    expected = {"counts": QUANTIZED_MATRIX, "row-normalised": shares[0], "difference": shares[0] - shares[1]}
    ranges = {"counts": (0, 50), "row-normalised": (0, 1), "difference": (-1, 1)}
    for mode, z in expected.items():
        cells = confusion(mode).data[0]
        np.testing.assert_allclose(cells.z, z)
        assert (cells.zmin, cells.zmax) == ranges[mode]
        assert cells.customdata[1, 2].tolist() == [3 if mode == "difference" else 0, 17, 24]
        assert ("->" in cells.hovertemplate) == (mode == "difference")
    assert len({confusion(mode).layout.height for mode in expected}) == 1


def test_confusion_limits_can_be_shared_between_figures():
    assert confusion("counts", limit=80).data[0].zmax == 80
    cells = confusion("difference", limit=0.25).data[0]
    assert (cells.zmin, cells.zmax) == (-0.25, 0.25)
    assert cells.colorscale == charts.DIVERGING


def test_rows_are_true_classes_from_the_top_and_a_class_without_documents_is_zero():
    figure = confusion("row-normalised", np.array([[3, 1], [0, 0]]), ["a", "<i>"])
    assert figure.data[0].z.tolist() == [[0.75, 0.25], [0, 0]]
    assert figure.data[0].x == ("a", "&lt;i&gt;")
    assert (figure.layout.yaxis.title.text, figure.layout.yaxis.range) == ("true class", (1.5, -0.5))
    assert figure.layout.xaxis.type == "category"


def test_many_classes_have_room_and_no_cell_text():
    few, many = (confusion("counts", np.eye(k, dtype=int), [f"class {i}" for i in range(k)]) for k in (12, 52))
    assert few.data[0].texttemplate == "%{z:,}"
    assert many.data[0].texttemplate is None
    assert many.layout.height > few.layout.height
    assert many.layout.xaxis.dtick == 1


def test_confusion_input_is_checked():
    with pytest.raises(InputError, match=r"shape \(3, 3\) for 2 names"):
        confusion("counts", names=["a", "b"])
    with pytest.raises(InputError, match=r"shape \(2, 2\) for 2 names; give \(C, C\) counts"):
        confusion("counts", np.zeros((2, 2), int), ["a", "b"])
    with pytest.raises(InputError, match=r"'difference': choose .* only it, takes a reference"):
        charts.confusion_figure(FLOAT_MATRIX, NAMES, "difference")
    with pytest.raises(InputError, match="'counts': choose"):
        charts.confusion_figure(FLOAT_MATRIX, NAMES, "counts", reference=FLOAT_MATRIX)


def test_the_confusion_sentence_names_the_cell_that_grew_most():
    grew = charts.describe_confusion(QUANTIZED_MATRIX, NAMES, FLOAT_MATRIX)
    assert grew == "The cell that grew most: interest read as money-fx, 3 -> 17."
    largest = charts.describe_confusion(FLOAT_MATRIX, NAMES)
    assert largest == "The most frequent mistake: money-fx read as interest, 4 of 26 documents."
    assert charts.describe_confusion(FLOAT_MATRIX, NAMES, FLOAT_MATRIX) == "No mistake grew in 100 documents."
    assert charts.describe_confusion(np.diag([1, 2, 3]), NAMES) == "No mistake is made in 6 documents."


# Densities and histograms


def test_densities_are_drawn_as_given_with_median_and_maximum():
    curves = density_curves()
    figure = charts.kde_figure(curves, x_range=(0, 12), y_max=0.5)
    for line, (name, kde, colour, dash) in zip(figure.data, curves, strict=True):
        np.testing.assert_array_equal(line.x, kde.grid)
        np.testing.assert_array_equal(line.y, kde.density)
        assert (line.line.color, line.line.dash) == (colour, dash)
        assert line.name == f"{name}: median {kde.median:.2f}, maximum {kde.maximum:.2f}"
    assert (figure.layout.xaxis.range, figure.layout.yaxis.range) == ((0, 12), (0, 0.5))
    assert charts.kde_figure(curves).layout.xaxis.range == charts.LOSS_RANGE
    median = curves[0][1].median
    expected = f"Median token loss in nats: float {median:.2f}, 3 bits {median + 1:.2f} (+1.00)."
    assert charts.describe_kde(curves) == expected


def test_the_histogram_shows_both_variants_the_truth_and_the_uniform_line():
    figure = histogram()
    before, after, truth = figure.data
    assert list(before.y) == [51, 24, 25]
    assert list(after.y) == [52, 14, 34]
    assert list(truth.y) == [50, 24, 26]
    assert (before.marker.color, after.marker.color) == (charts.FLOAT, charts.GENERATIVE)
    assert figure.layout.shapes[0].y0 == pytest.approx(100 / 3)
    assert figure.layout.yaxis.range == (0, 100)
    assert figure.layout.xaxis.type == "category"
    assert histogram(limit=60).layout.yaxis.range == (0, 60)


def test_the_histogram_sentence_names_the_largest_change_and_silent_classes():
    moved = charts.describe_histogram([60, 24, 16], [97, 3, 0], [50, 24, 26], NAMES)
    assert moved == (
        "earn changed most, 60 -> 97 predictions (true: 50); 1 of 3 classes are never predicted after quantization."
    )
    assert charts.describe_histogram([50, 24, 26], [50, 24, 26], [50, 24, 26], NAMES).startswith("No class changed;")


@pytest.mark.parametrize("quantized", [(1, 2, 3), (50, 50), (0, 0, 0)])
def test_histograms_must_be_of_the_same_documents(quantized):
    with pytest.raises(InputError, match="prediction counts disagree or are empty"):
        histogram(quantized)
    with pytest.raises(InputError, match="disagree or are empty"):
        charts.describe_histogram([0, 0], [0, 0], [0, 0], ["a", "b"])


# Tables and formats


def test_tables_hold_the_results():
    ks = charts.ks_table([("embedding", stats.KsResult(0.2, 50, 40, 0.5)), ("head", stats.KsResult(0.1, 9, 9, 1.0))])
    assert ks.to_numpy().tolist() == [["embedding", 0.2, 40, "p = 0.500"], ["head", 0.1, 9, "p = 1.000"]]
    assert list(ks) == ["Site", "D", "n", "p"]
    report, before = map(stats.classification_report, (QUANTIZED_MATRIX, FLOAT_MATRIX))
    plain, compared = charts.per_class_table(NAMES, report), charts.per_class_table(NAMES, report, before)
    assert list(plain) == ["Class", "Documents", "Precision (%)", "Recall (%)", "F1 (%)"]
    assert plain.iloc[1, :2].tolist() == ["interest", 24]
    np.testing.assert_allclose(plain.iloc[1, 2:].tolist(), [500 / 14, 500 / 24, 1000 / 38])
    np.testing.assert_allclose(compared["F1 change (points)"], 100 * (report.f1 - before.f1))
    with pytest.raises(InputError, match="1 class names for 3 classes"):
        charts.per_class_table(["a"], report)


def test_numbers_are_written_one_way():
    assert [charts.percent(s) for s in (0.951, 1, 0)] == ["95.1 %", "100.0 %", "0.0 %"]
    changes = [charts.points(c) for c in (0.4, -0.7, 0, -0.04, 12)]
    assert changes == ["+0.4 points", "-0.7 points", "0.0 points", "0.0 points", "+12.0 points"]
    assert [charts.p_value(p) for p in (0.031, 0.001, 0.0004, 1)] == [
        "p = 0.031",
        "p = 0.001",
        "p < 0.001",
        "p = 1.000",
    ]
    assert [charts.count(n) for n in (7, 2189, 1234567)] == ["7", "2,189", "1,234,567"]

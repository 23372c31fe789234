"""Figures of curves hold the points given, on axes that do not move with them."""

from dataclasses import replace

import plotly.graph_objects as go
import pytest

from core.display import charts, curve_charts
from core.display.curve_charts import Line, Point, Sized
from core.errors import InputError

POINTS = (Point(32, 96, 95, 97, 100), Point(8, 90, 90, 90, 100), Point(3, 40, 35, 45, 100, 3))
LINE = Line("<b>fitted</b>", charts.GENERATIVE, POINTS)
NOISY = replace(LINE, points=(Point(0, 96, 95, 97, 100), Point(0.1, 50, 50, 50, 100)))
SIZES = [
    Sized("generative, 3 bits", "generative", charts.GENERATIVE, "circle", "3", 1.3, POINTS[1], front=True),
    Sized("generative, 8 bits", "generative", charts.GENERATIVE, "circle", "8", 2.9, POINTS[2]),
    Sized("discriminative, 3 bits", "discriminative", charts.DISCRIMINATIVE, "square", "3", 0.4, POINTS[2], front=True),
]


def curves_of(figure: go.Figure) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.mode == "lines+markers"]


def test_a_curve_over_bits_has_float_first_and_its_band() -> None:
    figure = curve_charts.curve_figure([LINE], "bits", chance=0.5, caption="news")
    band, curve = figure.data
    assert list(curve.x) == ["float", "8", "3"]
    assert list(curve.y) == [96, 90, 40]
    assert list(band.y) == [97, 90, 45, 35, 90, 95]
    assert figure.layout.shapes[0].y0 == 50
    assert figure.layout.xaxis.categoryarray == ("float", "8", "7", "6", "5", "4", "3")
    assert "3 bits: 40.0 (35.0 to 45.0), mean of 3 draws<br>n = 100<br>news" in curve.hovertemplate[2]


def test_a_curve_over_noise_is_in_percent() -> None:
    (_, curve) = curve_charts.curve_figure([NOISY], "noise").data
    assert list(curve.x) == [0, 10]
    assert "10 % noise: 50.0" in curve.hovertemplate[1]


def test_points_without_a_band_draw_none() -> None:
    flat = replace(LINE, points=tuple(replace(point, low=point.y, high=point.y) for point in POINTS))
    assert len(curve_charts.curve_figure([flat], "bits").data) == 1


def test_names_are_escaped() -> None:
    (_, curve) = curve_charts.curve_figure([LINE], "bits").data
    assert curve.name == "&lt;b&gt;fitted&lt;/b&gt;"
    assert "<b>" not in curve.hovertemplate[0]


@pytest.mark.parametrize("axis", ["bits", "noise"])
def test_axes_do_not_move_with_the_data(axis: str) -> None:
    other = replace(LINE, points=(replace(POINTS[0], x=0.0 if axis == "noise" else 32, y=3, low=1, high=9),))
    one, two = (
        curve_charts.curve_figure([line], axis).layout for line in ({"bits": LINE, "noise": NOISY}[axis], other)
    )
    assert (one.xaxis.range, one.yaxis.range, one.height) == (two.xaxis.range, two.yaxis.range, two.height)


def test_the_near_range_holds_every_band() -> None:
    assert curve_charts.near_range([LINE]) == (30, 100)
    assert curve_charts.near_points(SIZES) == (35, 95)


def test_each_class_has_a_panel_and_the_legend_names_a_line_once() -> None:
    figure = curve_charts.classes_figure([("grain", [LINE]), ("a<b", [LINE]), ("ship", [LINE])], "F1 (%)")
    assert [note.text for note in figure.layout.annotations] == ["grain", "a&lt;b", "ship"]
    curves = curves_of(figure)
    assert [curve.showlegend for curve in curves] == [True, False, False]
    assert [list(curve.y) for curve in curves] == 3 * [[96, 90, 40]]
    assert len({curve.xaxis for curve in curves}) == 3


def test_sizes_are_drawn_where_they_are_and_the_front_by_size() -> None:
    figure = curve_charts.size_figure(SIZES)
    generative, discriminative, front = figure.data
    assert (list(generative.x), list(generative.y), list(generative.text)) == ([1.3, 2.9], [90, 40], ["3", "8"])
    assert discriminative.marker.color == charts.DISCRIMINATIVE
    assert (list(front.x), list(front.y), front.line.shape) == ([0.4, 1.3], [40, 90], "hv")
    assert "1.30 MB, on the Pareto front" in generative.hovertemplate[0]
    assert "front" not in generative.hovertemplate[1]


def test_heat_cells_are_the_points_and_empty_where_there_is_none() -> None:
    cells: list[list[Point | None]] = [[POINTS[0], None], *([None, None] for _ in range(5)), [None, POINTS[2]]]
    (heat,) = curve_charts.heat_figure(cells, ["0 %", "10 %"]).data
    assert (heat.z[0], heat.z[6]) == ([96, None], [None, 40])
    assert (heat.zmin, heat.zmax, heat.y[0], heat.y[6]) == (0, 100, "float", "3")
    (change,) = curve_charts.heat_figure(cells, ["0 %", "10 %"], limit=25).data
    assert (change.zmin, change.zmax, change.colorscale) == (-25, 25, charts.DIVERGING)
    assert curve_charts.largest([cells]) == 100
    assert curve_charts.largest([[[None]]]) == 5


def test_widths_and_levels_have_names() -> None:
    assert [curve_charts.width_name(bits) for bits in (32, 3)] == ["float", "3"]
    assert [curve_charts.noise_name(level) for level in (0, 0.05, 0.1)] == ["0 %", "5 %", "10 %"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: curve_charts.curve_figure([], "bits"),
        lambda: curve_charts.classes_figure([], "F1 (%)"),
        lambda: curve_charts.size_figure([]),
        lambda: curve_charts.heat_figure([], []),
    ],
)
def test_nothing_to_draw_is_refused(draw) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=r"no .* were given; give at least one"):
        draw()

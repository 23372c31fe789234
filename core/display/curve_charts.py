"""Accuracy over bits, noise and bytes as Plotly figures, with the conventions of `charts`.

Accuracies and F1 are in percent, changes in percentage points. Nothing to draw raises InputError.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.config import BIT_WIDTHS, FLOAT_BITS, MAX_NOISE
from core.display.charts import (
    DIVERGING,
    FLOAT,
    PERCENT_RANGE,
    SEQUENTIAL,
    Range,
    count,
    escape,
    finish,
    hover_text,
    require,
)

WIDTHS = (FLOAT_BITS, *BIT_WIDTHS)
CLASS_COLUMNS = 2

_PANEL_HEIGHT = 170
_MEGABYTES = [share * 10**power for power in range(-3, 4) for share in (1, 2, 5)]
_X: dict[str, dict[str, Any]] = {
    "bits": {
        "title": "bit-width",
        "type": "category",
        "categoryarray": ["float", *map(str, BIT_WIDTHS)],
        "range": (-0.3, len(BIT_WIDTHS) + 0.3),
    },
    "noise": {"title": "characters replaced (%)", "range": (-0.5, 100 * MAX_NOISE + 0.5)},
}


@dataclass(frozen=True)
class Point:
    """One place on a line: x is bits (32 for float) or a noise level; low to high is the band, y itself if none."""

    x: float
    y: float
    low: float
    high: float
    n: int
    draws: int = 1


@dataclass(frozen=True)
class Line:
    """A named curve; its points are in the order in which they are joined."""

    name: str
    colour: str
    points: tuple[Point, ...]
    dash: str = "solid"
    symbol: str = "circle"


@dataclass(frozen=True)
class Sized:
    """One variant as a trade: its bytes and accuracy (percent); `front` if no other is both smaller and better."""

    name: str
    group: str
    colour: str
    symbol: str
    label: str
    size_mb: float
    point: Point
    front: bool = False


def curve_figure(
    lines: Sequence[Line],
    axis: str,
    y_title: str = "accuracy (%)",
    y_range: Range = PERCENT_RANGE,
    chance: float | None = None,
    caption: str = "",
) -> go.Figure:
    """Draw each line with its band over "bits" or "noise", and a line at the share `chance` if given."""
    require(lines, "curves")
    figure = go.Figure()
    for line in lines:
        for trace in _traces(line, axis, caption):
            figure.add_trace(trace)
    if chance is not None:
        figure.add_hline(y=100 * chance, line_dash="dot", line_color=FLOAT, annotation_text="majority class")
    figure.update_xaxes(_X[axis])
    figure.update_yaxes(title=y_title, range=y_range)
    return _legend_below(finish(figure), len(lines))


def classes_figure(panels: Sequence[tuple[str, Sequence[Line]]], y_title: str, caption: str = "") -> go.Figure:
    """Draw a small panel over bits for each (title, lines), all on one scale of 0 to 100 percent."""
    require(panels, "classes")
    rows = -(-len(panels) // CLASS_COLUMNS)
    titles = [escape(title) for title, _ in panels]
    gap = 60 / (rows * _PANEL_HEIGHT)
    figure = make_subplots(
        rows, CLASS_COLUMNS, shared_yaxes=True, subplot_titles=titles, vertical_spacing=gap, horizontal_spacing=0.05
    )
    for place, (_, lines) in enumerate(panels):
        row, column = divmod(place, CLASS_COLUMNS)
        for line in lines:
            for trace in _traces(line, "bits", caption):
                trace.update(showlegend=bool(trace.showlegend is not False and place == 0))
                figure.add_trace(trace, row + 1, column + 1)
    figure.update_xaxes({**_X["bits"], "title": None})
    figure.update_yaxes(range=(-3, 103), dtick=50)
    figure.update_yaxes(title=y_title, col=1)
    figure.update_annotations(font_size=13)
    return finish(figure, height=90 + rows * _PANEL_HEIGHT)


def size_figure(points: Sequence[Sized], y_range: Range = PERCENT_RANGE, caption: str = "") -> go.Figure:
    """Draw accuracy against megabytes (a logarithmic axis), and a stepped line along the Pareto front."""
    require(points, "sizes")
    figure = go.Figure()
    for group in dict.fromkeys(point.group for point in points):
        members = [point for point in points if point.group == group]
        dots = go.Scatter(x=[p.size_mb for p in members], y=[p.point.y for p in members], mode="markers+text")
        dots.update(name=escape(group), text=[p.label for p in members], textfont={"color": "#FFFFFF", "size": 10})
        dots.marker = {"color": members[0].colour, "symbol": members[0].symbol, "size": 16}
        dots.hovertemplate = [hover_text(escape(_size_words(p)), p.point.n, caption) for p in members]
        figure.add_trace(dots)
    front = sorted((point for point in points if point.front), key=lambda point: point.size_mb)
    marker = {"symbol": "circle-open", "size": 22, "color": FLOAT, "line": {"width": 2}}
    line = {"shape": "hv", "color": FLOAT, "width": 1}
    figure.add_scatter(
        x=[p.size_mb for p in front],
        y=[p.point.y for p in front],
        mode="lines+markers",
        name="Pareto front",
        marker=marker,
        line=line,
        hoverinfo="skip",
    )
    figure.update_xaxes(title="size of the stored model (MB)", type="log", tickvals=_MEGABYTES)
    figure.update_yaxes(title="accuracy (%)", range=y_range)
    return _legend_below(finish(figure), len(figure.data))


def heat_figure(
    cells: Sequence[Sequence[Point | None]], columns: Sequence[str], limit: float | None = None, caption: str = ""
) -> go.Figure:
    """Draw a cell for each of WIDTHS (rows) and noise level (columns), empty where there is no point.

    Colours span 0..100 percent, or with `limit` -limit..limit points around zero.
    """
    require(cells, "bit-widths")
    form = ".1f" if limit is None else "+.1f"
    heat = go.Heatmap(
        x=list(columns), y=[width_name(bits) for bits in WIDTHS], z=[[p and p.y for p in line] for line in cells]
    )
    heat.update(colorscale=SEQUENTIAL if limit is None else DIVERGING, texttemplate=f"%{{z:{form}}}")
    heat.update(zmin=0 if limit is None else -limit, zmax=limit or 100, xgap=2, ygap=2)
    heat.colorbar = {"title": {"text": "accuracy (%)" if limit is None else "change (points)", "side": "right"}}
    heat.customdata = [[(p.n, p.draws) if p else (0, 0) for p in line] for line in cells]
    count_words = "<br>n = %{customdata[0]:,}, draws: %{customdata[1]}"
    tail = f"<br>{escape(caption)}" if caption else ""
    heat.hovertemplate = f"%{{y}}, %{{x}} noise: %{{z:{form}}}{count_words}{tail}<extra></extra>"
    heat.hoverongaps = False
    figure = go.Figure(heat)
    figure.update_xaxes(title="characters replaced", type="category", showgrid=False)
    figure.update_yaxes(title="bit-width", type="category", autorange="reversed", showgrid=False)
    return finish(figure, height=360).update_layout(margin={"t": 10})


def near_range(lines: Sequence[Line]) -> Range:
    """Return the range that all points and bands of these lines fill, out to the next 5."""
    return _near([edge for line in lines for point in line.points for edge in (point.low, point.high)])


def largest(heats: Iterable[Sequence[Sequence[Point | None]]]) -> float:
    """Return the largest change in these heat maps, out to the next 5 points, 5 at least."""
    changes = [abs(point.y) for cells in heats for line in cells for point in line if point]
    return 5.0 * math.ceil(max([1.0, *changes]) / 5)


def near_points(points: Sequence[Sized]) -> Range:
    """Return `near_range` of a size figure."""
    return _near([sized.point.y for sized in points])


def width_name(bits: float) -> str:
    """Write a bit-width: "float" for 32, else the number."""
    return "float" if bits == FLOAT_BITS else f"{bits:g}"


def noise_name(level: float) -> str:
    """Write a noise level as a share: 0.05 as "5 %"."""
    return f"{100 * level:g} %"


def _traces(line: Line, axis: str, caption: str) -> list[go.Scatter]:
    x = [_place(point, axis) for point in line.points]
    curve = go.Scatter(x=x, y=[p.y for p in line.points], mode="lines+markers", name=escape(line.name))
    curve.line, curve.marker = {"color": line.colour, "dash": line.dash}, {"symbol": line.symbol, "size": 7}
    words = [escape(f"{line.name}, {_words(point, axis)}") for point in line.points]
    curve.hovertemplate = [hover_text(text, p.n, caption) for text, p in zip(words, line.points, strict=True)]
    curve.legendgroup = line.name
    if all(point.low == point.high for point in line.points):
        return [curve]
    edge = [point.high for point in line.points] + [point.low for point in reversed(line.points)]
    band = go.Scatter(x=x + x[::-1], y=edge, fill="toself", fillcolor=line.colour, opacity=0.2, mode="none")
    return [band.update(showlegend=False, hoverinfo="skip", legendgroup=line.name), curve]


def _place(point: Point, axis: str) -> str | float:
    return 100 * point.x if axis == "noise" else width_name(point.x)


def _words(point: Point, axis: str) -> str:
    place = f"{noise_name(point.x)} noise" if axis == "noise" else width_name(point.x)
    place += " bits" if place.isdigit() else ""
    band = f" ({point.low:.1f} to {point.high:.1f})" if point.low < point.high else ""
    return f"{place}: {point.y:.1f}{band}" + (f", mean of {count(point.draws)} draws" if point.draws > 1 else "")


def _size_words(sized: Sized) -> str:
    accuracy = _words(sized.point, "bits")
    return f"{sized.name}, {accuracy} %, {sized.size_mb:.2f} MB" + (", on the Pareto front" if sized.front else "")


def _near(values: Sequence[float]) -> Range:
    return 5 * math.floor((min(values) - 1) / 5), 5 * math.ceil((max(values) + 1) / 5)


def _legend_below(figure: go.Figure, lines: int) -> go.Figure:
    """Put a legend of many lines under the axis, where it takes no room from the figure."""
    figure.update_layout(height=400 + 24 * lines, margin={"t": 20, "b": 70 + 24 * lines})
    return figure.update_layout(legend={"orientation": "v", "x": 0, "y": -0.22, "yanchor": "top"})

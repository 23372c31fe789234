"""Figures of a study as Plotly charts with their text alternatives: lines of means over draws with interval bands.

The look is that of `charts`; numbers carry the unit of their quantity (see `study_rows.QUANTITIES`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from core.display.charts import FLOAT, Range, count, escape, finish, hover_text, require
from core.verdicts.study_rows import Quantity


@dataclass(frozen=True)
class Point:
    """One mean of a line at a place, its interval (None: a single draw of which none is known), and what is behind.

    `made` says how the interval was made, `n` counts test documents (values behind a KS D: see the rows).
    """

    x: str | float
    mean: float
    low: float | None
    high: float | None
    draws: int
    n: int
    made: str


@dataclass(frozen=True)
class Curve:
    """The points of one line, in the order of the axis."""

    name: str
    colour: str
    dash: str
    points: tuple[Point, ...]


def line_figure(
    curves: Sequence[Curve],
    quantity: Quantity,
    axis: str,
    places: Sequence[str | float],
    y_range: Range,
    chance: float | None = None,
    caption: str = "",
) -> go.Figure:
    """Draw each curve over the places; intervals are bands, or bars where there are fewer than three places.

    `chance`, the majority class's share in %, is drawn where the axis reaches it.
    """
    require([point for curve in curves for point in curve.points], "points")
    figure = go.Figure()
    for curve in curves:
        _add_curve(figure, curve, quantity, caption, bars=len(places) < 3)
    if chance is not None and y_range[0] <= chance <= y_range[1]:
        figure.add_hline(y=chance, line_dash="dot", line_color=FLOAT, annotation_text="majority class")
    title = f"{quantity.name} ({quantity.unit})" if quantity.unit else quantity.name
    figure.update_yaxes(title=title, range=y_range)
    if isinstance(places[0], str):
        reach = (-0.5, len(places) - 0.5)
        figure.update_xaxes(title=axis, type="category", categoryarray=list(places), range=reach)
    else:
        margin = 0.04 * (float(places[-1]) - float(places[0]))
        figure.update_xaxes(title=axis, range=(float(places[0]) - margin, float(places[-1]) + margin))
    return finish(figure)


def value_range(curves: Sequence[Curve], quantity: Quantity) -> Range:
    """Return an axis that holds every interval of the curves, rounded outward to steps of a tenth of its span."""
    ends = [end for c in curves for p in c.points for end in (p.mean, p.low, p.high) if end is not None]
    require(ends, "points")
    low, high = min(ends), max(ends)
    step = max(10.0 ** math.floor(math.log10(high - low)) / 2 if high > low else 0.0, 10.0**-quantity.digits)
    bottom, top = step * math.floor(low / step - 0.1), step * math.ceil(high / step + 0.1)
    return (max(bottom, 0.0) if low >= 0 else bottom, min(top, 100.0) if quantity.unit == "%" else top)


def describe_lines(curves: Sequence[Curve], quantity: Quantity, axis: str = "") -> str:
    """Say where each curve of a quantity starts, ends, is lowest or highest, and how many draws are behind it."""
    shown = [curve for curve in curves if curve.points]
    require(shown, "points")
    name = f"{quantity.name[0].upper()}{quantity.name[1:]}" + (f" by {axis}" if axis else "")
    return f"{name}: {'; '.join(_describe(curve, quantity) for curve in shown)}."


def _describe(curve: Curve, quantity: Quantity) -> str:
    first, last = curve.points[0], curve.points[-1]
    text = f"{curve.name} {_at(first, quantity)}"
    if last is not first:
        text += f", {_at(last, quantity)}"
    inner = min(curve.points, key=lambda p: p.mean), max(curve.points, key=lambda p: p.mean)
    for word, point in zip(("lowest", "highest"), inner, strict=True):
        if point not in (first, last) and abs(point.mean - first.mean) >= 10.0**-quantity.digits:
            text += f", {word} {_at(point, quantity)}"
    draws = sorted({point.draws for point in curve.points})
    few, many = draws[0], draws[-1]
    return f"{text} ({few}{f' to {many}' if many > few else ''} draw{'s' if many > 1 else ''})"


def _at(point: Point, quantity: Quantity) -> str:
    x = point.x if isinstance(point.x, str) else f"{point.x:g}"
    return f"{_number(point.mean, quantity)} at {x}"


def _number(value: float, quantity: Quantity) -> str:
    sign = "+" if quantity.unit == "points" else ""
    return f"{round(value, quantity.digits) + 0.0:{sign}.{quantity.digits}f} {quantity.unit}".strip()


def _words(point: Point, quantity: Quantity) -> str:
    text = _at(point, quantity)
    if point.low is None or point.high is None:
        return f"{text}, {point.made}"
    return f"{text} ({_number(point.low, quantity)} to {_number(point.high, quantity)}, {point.made})"


def _add_curve(figure: go.Figure, curve: Curve, quantity: Quantity, caption: str, bars: bool) -> None:
    points, name = curve.points, escape(curve.name)
    if not points:
        return
    x, y = [point.x for point in points], [point.mean for point in points]
    low = [point.mean if point.low is None else point.low for point in points]
    high = [point.mean if point.high is None else point.high for point in points]
    hover = [hover_text(escape(f"{curve.name}: {_words(p, quantity)}"), p.n, caption) for p in points]
    line = go.Scatter(x=x, y=y, name=name, mode="lines+markers", line={"color": curve.colour, "dash": curve.dash})
    line.update(hovertemplate=hover, legendgroup=name)
    if bars:
        up, down = ([abs(end - mean) for end, mean in zip(ends, y, strict=True)] for ends in (high, low))
        line.update(
            mode="markers", marker={"size": 11, "color": curve.colour}, error_y={"array": up, "arrayminus": down}
        )
    else:
        band = go.Scatter(x=x + x[::-1], y=high + low[::-1], fill="toself", fillcolor=curve.colour, mode="none")
        figure.add_trace(band.update(opacity=0.15, showlegend=False, hoverinfo="skip", legendgroup=name))
    figure.add_trace(line)


def documents_words(numbers: Sequence[int]) -> str:
    """Write how many documents are behind results: "n = 2,189", or the fewest to the most."""
    fewest, most = min(numbers), max(numbers)
    return f"n = {count(fewest)}" if fewest == most else f"n = {count(fewest)} to {count(most)}"

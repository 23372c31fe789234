"""Results as Plotly figures, tidy tables and sentences: one palette, axes that stay when a setting changes.

Figures have no title, a transparent background and grey text that a page's theme may replace, so that they read
on light and dark; `caption`, the configuration in words, shows on hover. `describe_*` are their text alternatives.
Accuracies are in percent with 95% Wilson intervals. Nothing to draw, or shapes that disagree, raise InputError.
"""

import html
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.config import ModelKind
from core.errors import InputError
from core.measurement.stats import ClassReport, Ints, Kde, KsResult, Values, wilson_interval

if TYPE_CHECKING:
    import pandas as pd

ConfusionMode = Literal["counts", "row-normalised", "difference"]
DensityCurve = tuple[str, Kde, str, str]  # name, density, colour, Plotly dash
Names = Sequence[str]
Range = tuple[float, float]

GENERATIVE, DISCRIMINATIVE, FLOAT, GREEN, PURPLE = "#0072B2", "#D55E00", "#6B7280", "#009E73", "#CC79A7"
MODEL_COLOURS: dict[ModelKind, str] = {"generative": GENERATIVE, "discriminative": DISCRIMINATIVE}
SEQUENTIAL, DIVERGING = "Viridis", ((0.0, GENERATIVE), (0.5, "#FFFFFF"), (1.0, DISCRIMINATIVE))
FLOAT_SETTING = "float"
LOSS_RANGE: Range = (0.0, 15.0)
PERCENT_RANGE: Range = (0.0, 100.0)
CELL_TEXT_CLASSES = 12

_LOOK = {
    "margin": {"l": 60, "r": 20, "t": 60, "b": 50},
    "showlegend": True,
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "template": {"layout": {"font": {"color": "#7A7A7A"}}},
}
_AXIS = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False, "automargin": True}
_LEGEND = {"orientation": "h", "x": 0, "y": 1.08, "yanchor": "bottom"}
_VIEWS: dict[ConfusionMode, tuple[Any, str, str]] = {  # colours, number format, what a cell is
    "counts": (SEQUENTIAL, ",", "documents"),
    "row-normalised": (SEQUENTIAL, ".0%", "share of true class"),
    "difference": (DIVERGING, "+.0%", "change in share of true class"),
}


@dataclass(frozen=True)
class AccuracyRow:
    """One model at one setting: `AccuracyRow("generative", "W3 A8 head A3", 2051, 2189)`; "float" is float."""

    model: ModelKind
    setting: str
    correct: int
    n: int


def accuracy_figure(rows: Sequence[AccuracyRow], chance: float, caption: str = "") -> go.Figure:
    """Draw a dot and interval for each row, by model, and a line at the majority class's share `chance`."""
    require(rows, "accuracy rows")
    models, settings = list(dict.fromkeys(r.model for r in rows)), list(dict.fromkeys(r.setting for r in rows))
    figure = go.Figure()
    for row in rows:
        accuracy, low, high = _percents(row)
        y = models.index(row.model) + 0.4 * ((settings.index(row.setting) + 0.5) / len(settings) - 0.5)
        dot = go.Scatter(x=[accuracy], y=[y], name=escape(f"{row.model}, {row.setting}"), mode="markers")
        dot.marker = {"color": FLOAT if row.setting == FLOAT_SETTING else MODEL_COLOURS[row.model], "size": 11}
        dot.error_x = {"array": [high - accuracy], "arrayminus": [accuracy - low]}
        dot.hovertemplate = hover_text(escape(f"{row.setting}: {_interval_text(row)}"), row.n, caption)
        figure.add_trace(dot)
    figure.add_vline(x=100 * chance, line_dash="dot", line_color=FLOAT, annotation_text="majority class")
    figure.update_xaxes(title="accuracy (%)", range=PERCENT_RANGE)
    figure.update_yaxes(tickvals=list(range(len(models))), ticktext=models, range=(len(models) - 0.5, -0.5))
    return finish(figure, height=320)


def confusion_figure(
    matrix: Values,
    class_names: Names,
    mode: ConfusionMode,
    limit: float | None = None,
    reference: Values | None = None,
    caption: str = "",
) -> go.Figure:
    """Draw counts (C, C), rows true and columns predicted, as one of three views of the same size.

    Colours span 0..limit for counts (default: the largest row total, which predictions cannot move), 0..1 for
    row-normalised (a row without documents is 0), +-limit (default 1) for the change from `reference` (C, C).
    """
    if mode not in _VIEWS or (mode == "difference") != (reference is not None):
        raise InputError(f"mode {mode!r}: choose {', '.join(_VIEWS)}; difference, and only it, takes a reference")
    colours, number, unit = _VIEWS[mode]
    counts, support = _confusion(matrix, class_names)
    before, support_before = (0 * counts, support) if reference is None else _confusion(reference, class_names)
    z = counts if mode == "counts" else counts / np.maximum(support, 1) - before / np.maximum(support_before, 1)
    top = 1.0 if mode == "row-normalised" else limit or (support.max() if mode == "counts" else 1.0)
    names, few = [escape(name) for name in class_names], len(class_names) <= CELL_TEXT_CLASSES
    cells = go.Heatmap(x=names, y=names, z=z, zmin=0 if reference is None else -top, zmax=top, colorscale=colours)
    cells.colorbar = {"title": {"text": unit, "side": "right"}, "tickformat": number}
    cells.texttemplate = f"%{{z:{number}}}" if few else None
    cells.customdata = np.dstack([before, counts, np.broadcast_to(support, counts.shape)])
    was = "" if reference is None else "%{customdata[0]:,} -> "
    text = f"true %{{y}}, read as %{{x}}<br>{was}%{{customdata[1]:,}} of %{{customdata[2]:,}} documents"
    cells.hovertemplate = hover_text(text, counts.sum(), caption)
    axis = {"type": "category", "dtick": 1, "tickfont": {"size": 12 if few else 9}}
    figure = go.Figure(cells)
    figure.update_xaxes(axis, title="predicted class")
    figure.update_yaxes(axis, title="true class", range=(len(names) - 0.5, -0.5))
    return finish(figure, height=420 if few else 900)


def kde_figure(
    curves: Sequence[DensityCurve], x_range: Range = LOSS_RANGE, y_max: float | None = None, caption: str = ""
) -> go.Figure:
    """Draw densities of token losses (paper, figure 15); without `y_max` (1/nat) their axis fits the curves."""
    require(curves, "densities")
    figure = go.Figure()
    for name, kde, colour, dash in curves:
        legend = escape(f"{name}: median {kde.median:.2f}, maximum {kde.maximum:.2f}")
        hover = hover_text(escape(name) + ": %{y:.3f} per nat at %{x:.2f} nats", kde.n, caption)
        line = {"color": colour, "dash": dash, "width": 2}
        figure.add_scatter(x=kde.grid, y=kde.density, mode="lines", line=line, name=legend, hovertemplate=hover)
    figure.update_xaxes(title="token loss (nats)", range=x_range)
    figure.update_yaxes(title="density (1/nat)", rangemode="tozero", range=None if y_max is None else (0, y_max))
    return finish(figure, legend={"x": 1, "xanchor": "right", "y": 1, "yanchor": "top"})


def histogram_figure(
    float_counts: Values,
    quantized_counts: Values,
    label_counts: Values,
    class_names: Names,
    colour: str,
    limit: float | None = None,
    caption: str = "",
) -> go.Figure:
    """Draw how many documents (C,) both variants give each class, how many it has, and N/C, on 0..limit or 0..N."""
    before, after, truth = _histograms(class_names, float_counts, quantized_counts, label_counts)
    names, n = [escape(name) for name in class_names], int(truth.sum())
    figure = go.Figure()
    for name, counts, fill in (("float", before, FLOAT), ("quantized", after, colour)):
        hover = hover_text(f"%{{x}}: {name} predicts %{{y:,}} documents", n, caption)
        figure.add_bar(x=names, y=counts, name=name, marker_color=fill, hovertemplate=hover)
    marker = {"symbol": "diamond", "size": 9, "color": GREEN}
    hover = hover_text("%{x}: %{y:,} documents are of this class", n, caption)
    figure.add_scatter(x=names, y=truth, mode="markers", name="true", marker=marker, hovertemplate=hover)
    figure.add_hline(y=n / len(names), line_dash="dot", line_color=FLOAT, annotation_text="uniform")
    figure.update_xaxes(title="class", type="category", dtick=1)
    figure.update_yaxes(title="documents", range=(0, limit or n))
    return finish(figure)


def ks_table(rows: Sequence[tuple[str, KsResult]]) -> "pd.DataFrame":
    """Return Site, D, n, p in words, a row for each (site, result); n is the smaller of the two samples."""
    import pandas as pd

    require(rows, "Kolmogorov-Smirnov results")
    values = [(site, round(ks.statistic, 3), min(ks.n, ks.m), p_value(ks.pvalue)) for site, ks in rows]
    return pd.DataFrame(values, columns=["Site", "D", "n", "p"])


def per_class_table(class_names: Names, report: ClassReport, reference: ClassReport | None = None) -> "pd.DataFrame":
    """Return a row for each class, shares in percent; with a reference, the change of F1 in points."""
    import pandas as pd

    if len(class_names) != len(report.f1):
        raise InputError(f"{len(class_names)} class names for {len(report.f1)} classes; give one name for each")
    columns = {"Class": list(class_names), "Documents": report.support, "Precision (%)": 100 * report.precision}
    columns |= {"Recall (%)": 100 * report.recall, "F1 (%)": 100 * report.f1}
    if reference is not None:
        columns["F1 change (points)"] = 100 * (report.f1 - reference.f1)
    return pd.DataFrame(columns)


def describe_accuracy(rows: Sequence[AccuracyRow], chance: float) -> str:
    """Say each accuracy, its change from the same model's float row, and which do not beat `chance`."""
    require(rows, "accuracy rows")
    start = {row.model: row.correct / row.n for row in rows if row.setting == FLOAT_SETTING}
    parts = []
    for row in rows:
        text = f"{row.model} {row.setting} {_interval_text(row)}"
        if row.setting != FLOAT_SETTING and row.model in start:
            text += f", {points(100 * (row.correct / row.n - start[row.model]))} from float"
        parts.append(text + (", no better than the majority class" if _percents(row)[1] <= 100 * chance else ""))
    return f"{'; '.join(parts)}; n = {count(rows[0].n)}."


def describe_confusion(matrix: Values, class_names: Names, reference: Values | None = None) -> str:
    """Name the most frequent mistake in counts (C, C), or the one that grew most over `reference` (C, C)."""
    counts, support = _confusion(matrix, class_names)
    before = 0 * counts if reference is None else _confusion(reference, class_names)[0]
    growth = (counts - before) * (1 - np.eye(len(counts), dtype=int))  # the diagonal holds no mistakes
    true, read = divmod(int(growth.argmax()), len(counts))
    if growth[true, read] == 0:
        return f"No mistake {'is made' if reference is None else 'grew'} in {count(counts.sum())} documents."
    cell, now = f"{class_names[true]} read as {class_names[read]}", count(counts[true, read])
    if reference is None:
        return f"The most frequent mistake: {cell}, {now} of {count(support[true, 0])} documents."
    return f"The cell that grew most: {cell}, {count(before[true, read])} -> {now}."


def describe_kde(curves: Sequence[DensityCurve]) -> str:
    """Say each median loss and its change from the first curve's, in nats."""
    require(curves, "densities")
    (first, start, _, _), *others = curves
    changes = [f", {name} {kde.median:.2f} ({kde.median - start.median:+.2f})" for name, kde, _, _ in others]
    return f"Median token loss in nats: {first} {start.median:.2f}{''.join(changes)}."


def describe_histogram(float_counts: Values, quantized_counts: Values, label_counts: Values, class_names: Names) -> str:
    """Name the class whose number of predictions changed most, and count the classes never predicted."""
    before, after, truth = _histograms(class_names, float_counts, quantized_counts, label_counts)
    most = int(np.abs(after - before).argmax())
    change = f"{class_names[most]} changed most, {count(before[most])} -> {count(after[most])} predictions"
    start = "No class changed" if after[most] == before[most] else f"{change} (true: {count(truth[most])})"
    return f"{start}; {int((after == 0).sum())} of {len(class_names)} classes are never predicted after quantization."


def percent(share: float) -> str:
    """Write a share: 0.951 as "95.1 %"."""
    return f"{100 * share:.1f} %"


def points(change: float) -> str:
    """Write a change, given in percentage points, with its sign: "+0.4 points"."""
    return f"{change:+.1f} points" if round(change, 1) else "0.0 points"


def p_value(p: float) -> str:
    """Write "p = 0.031", or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def count(n: int) -> str:
    """Write 2189 as "2,189"."""
    return f"{n:,}"


def finish(figure: go.Figure, height: int = 420, legend: dict[str, Any] | None = None) -> go.Figure:
    """Give a figure the look of all: height and margins in pixels, clear ground, grid, legend above (default)."""
    layout = figure.layout.to_plotly_json()
    axes = dict.fromkeys(["xaxis", "yaxis", *(name for name in layout if name.startswith(("xaxis", "yaxis")))])
    own = {"height": height, "legend": legend or _LEGEND} | {name: layout.get(name, {}) | _AXIS for name in axes}
    figure.layout = layout | _LOOK | own  # in one go: Plotly checks and sends every update apart
    return figure


def require(given: Sized, what: str) -> None:
    """Raise InputError, which says `what` is lacking, where nothing is given."""
    if len(given) == 0:
        raise InputError(f"no {what} were given; give at least one")


def escape(text: str) -> str:
    """Escape for Plotly, which reads names as HTML; class names come from users."""
    return html.escape(text, quote=False)


def hover_text(text: str, n: int, caption: str) -> str:
    """Return a hover template: `text`, which may hold Plotly's fields, then n, then the escaped caption."""
    return f"{text}<br>n = {count(n)}" + (f"<br>{escape(caption)}" if caption else "") + "<extra></extra>"


@lru_cache(maxsize=1024)
def _percents(row: AccuracyRow) -> tuple[float, float, float]:
    low, high = wilson_interval(row.correct, row.n)
    return 100 * row.correct / row.n, 100 * low, 100 * high


def _interval_text(row: AccuracyRow) -> str:
    accuracy, low, high = _percents(row)
    return f"{accuracy:.1f} % ({low:.1f} to {high:.1f})"


def _confusion(matrix: Values, class_names: Names) -> tuple[Ints, Ints]:
    """Return the counts (C, C) and the documents of each true class (C, 1)."""
    counts, classes = np.asarray(matrix), len(class_names)
    if classes == 0 or counts.shape != (classes, classes) or counts.sum() == 0:
        raise InputError(f"counts of shape {counts.shape} for {classes} names; give (C, C) counts and C names")
    return counts, counts.sum(axis=1, keepdims=True)


def _histograms(class_names: Names, *histograms: Values) -> list[Ints]:
    counts = [np.asarray(histogram) for histogram in histograms]
    totals = {int(histogram.sum()) for histogram in counts}
    if not class_names or any(c.shape != (len(class_names),) for c in counts) or len(totals) > 1 or 0 in totals:
        raise InputError("prediction counts disagree or are empty; give (C,) counts of the same documents and C names")
    return counts

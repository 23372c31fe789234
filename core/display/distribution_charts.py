"""Distributions of a site's float and quantized values as Plotly figures and in words.

The conventions are those of `charts`. Values have no unit; shares are in percent, histograms in share per unit of
value, so that bars of any width compare.
"""

import json
from collections.abc import Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.display.charts import FLOAT, GREEN, Range, count, finish, hover_text, percent, require
from core.display.distributions import SITES, Distributions, Gap, Grid, Site, site_table
from core.display.views import Settings
from core.quantization.engine import GATES
from core.storage.store import Row

View = Literal["Histogram", "ECDF"]
VIEWS: tuple[View, ...] = ("Histogram", "ECDF")
MARGIN = 0.04
GAP = "largest gap (D)"

_BARS = 200  # of the float histogram
_CENTRAL = (0.005, 0.995)
_PARTS = {
    "weight_ih": "Input weight",
    "weight_hh": "Recurrent weight",
    "accumulator": "Accumulator",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
}
_NAMES = {
    "embedding_weight": "Embedding weight",
    "label_weight": "Label embedding weight",
    "head_weight": "Head weight",
    "cell_state": "Cell state",
    "hidden_tanh": "Tanh of the cell state",
    "hidden_state": "Hidden state",
    "state_input": "Head input (states)",
    "label_input": "Head input (labels)",
}
_NAMES |= {
    f"{gate}_{part}": f"{words} ({gate} gate)"
    for gate in GATES
    for part, words in _PARTS.items()
    if f"{gate}_{part}" in SITES
}
_NOTES = {
    "cell_state": "One quantizer serves three values of each step: f·c, i·g and their sum. All three are counted.",
    "hidden_tanh": "The tanh of the cell state, before the output gate multiplies it.",
    "state_input": "The states that the output layer reads, rounded once more as its input.",
    "label_input": "The class embeddings as the output layer's input.",
}


def site_name(site: str) -> str:
    """Write a site's name in words."""
    return _NAMES[site]


def site_figure(site: Site, view: View, colour: str, caption: str = "") -> go.Figure:
    """Draw float values beside the levels that they became; on an ECDF the largest gap is a vertical segment."""
    figure = go.Figure(_traces(site, view, colour, caption))
    figure.update_xaxes(title=f"{_NAMES[site.name]} (value, no unit)", range=value_range([site]))
    return finish(_with_shares(figure, view))


def gates_figure(sites: Sequence[Site], view: View, colour: str, caption: str = "") -> go.Figure:
    """Draw the four gates' distributions as `site_figure` does, on the same axes."""
    require(sites, "gates")
    titles = [_gate_title(site) for site in sites]
    figure = make_subplots(2, 2, subplot_titles=titles, shared_xaxes="all", shared_yaxes="all", vertical_spacing=0.14)
    for place, site in enumerate(sites):
        for trace in _traces(site, view, colour, caption):
            shown = trace.update(showlegend=place == 0, legendgroup=trace.name)
            figure.add_trace(shown if trace.name != GAP else shown.update(mode="lines"), place // 2 + 1, place % 2 + 1)
    figure.update_xaxes(range=value_range(sites), showticklabels=True)
    figure.update_xaxes(title="value (no unit)", row=2)
    figure.update_annotations(font_size=13)
    figure = finish(_with_shares(figure, view), height=560).update_yaxes(title=None, col=2)
    if view == "Histogram":  # Plotly finds no common range for axes that match
        figure.update_yaxes(range=(0, 1.05 * max(max(trace.y) for trace in figure.data)))
    return figure.update_layout(margin={"t": 90}, legend={"y": 1.1})


def value_range(sites: Sequence[Site]) -> Range:
    """Return the range that holds the central part of float and of quantized values, with a margin."""
    lows, highs = [site.low for site in sites], [site.high for site in sites]
    for grid in (site.grid for site in sites if site.grid):
        first, last = np.searchsorted(grid.counts.cumsum() / grid.counts.sum(), _CENTRAL)
        lows.append(float(grid.values[first]))
        highs.append(float(grid.values[last]))
    margin = MARGIN * (max(highs) - min(lows))
    return min(lows) - margin, max(highs) + margin


def describe_site(site: Site) -> str:
    """Say a site's levels, step and clipping, where float and quantized values differ most, and what they are."""
    start = f"{_NAMES[site.name]}, n = {count(site.n)} values"
    note = f" {_NOTES[site.name]}" if site.name in _NOTES else ""
    if (grid := site.grid) is None or (gap := site.gap) is None:
        return f"{start} in float, from {site.smallest:.3g} to {site.largest:.3g}.{note}"
    facts = f"{grid.used} of {len(grid.counts)} levels used, a step of {grid.quantizer.scale:.3g}"
    shares = f"float's share is {percent(gap.float_share)}, the quantized {percent(gap.quantized_share)}"
    where = f"largest gap D = {gap.distance:.3f} at {gap.at:.3g}, where {shares}"
    return f"{start}: {facts}, {percent(grid.clipped_share)} clipped; {where}.{note}"


def describe_gates(sites: Sequence[Site]) -> str:
    """Name the gates whose float and quantized values lie furthest apart and closest, or how far float ones spread."""
    gaps = sorted((gap.distance, site.name.partition("_")[0]) for site in sites if (gap := site.gap))
    if not gaps:
        spans = (f"{s.name.partition('_')[0]} {s.low:.2g} to {s.high:.2g}" for s in sites)
        return f"Central 99 % of float values: {', '.join(spans)}."
    (low, least), (high, most) = gaps[0], gaps[-1]
    return f"Largest gap: {most} gate, D = {high:.3f}; smallest: {least} gate, D = {low:.3f}."


def describe_table(found: Distributions) -> str:
    """Name the site that quantization moves most, and count those that clip more than one value in a hundred."""
    gaps = [(gap.distance, site.name) for site in found.sites if (gap := site.gap)]
    if not gaps:
        return f"{len(found.sites)} sites in float; nothing is quantized yet."
    distance, name = max(gaps)
    clipping = [_NAMES[site.name].lower() for site in found.sites if site.grid and site.grid.clipped_share > 0.01]
    few = f"{', '.join(clipping[:3])}{' and others' if len(clipping) > 3 else ''}"
    tail = f": {few}" if clipping else ""
    start = f"Of {len(gaps)} sites, {_NAMES[name].lower()} differs most (D = {distance:.3f})"
    return f"{start}; {len(clipping)} clip more than 1 % of their values{tail}."


def warnings(found: Distributions) -> list[str]:
    """Say which sites carry next to nothing: all on one or two values, or every unit on a value of its own."""
    dead = [site for site in found.sites if site.dead]
    one = [_NAMES[site.name].lower() for site in dead if _constant(site)]
    two = [_NAMES[site.name].lower() for site in dead if not _constant(site)]
    sentences = []
    if one:
        sentences.append(f"Dead signal: constant, whatever the model reads: {', '.join(one)}.")
    if two:
        sentences.append(f"Nearly dead: only two levels are left of {', '.join(two)}.")
    return sentences


def shown_table(found: Distributions) -> list[Row]:
    """Return a row for each site with the numbers rounded for reading."""
    return [_shown(site) for site in found.sites]


def full_table(found: Distributions, made: str) -> list[Row]:
    """Return `distributions.site_table` with how it was made and the versions in every row, for a file."""
    tail = {"made": made, "versions": json.dumps(found.versions, sort_keys=True)}
    return [row | tail for row in site_table(found)]


def caption(settings: Settings, model: str, found: Distributions) -> str:
    """Return the configuration behind the distributions, with the seeds and the size of the sample."""
    made = "float"
    if found.quantized:
        made = f"{settings.preset} {settings.bits} bits, {settings.ranges} ranges, head {settings.head}, "
        made += f"{settings.calibration} calibration (seed 0)"
    sample = f"{count(found.documents)} test documents (sample seed 0), {count(found.tokens)} tokens"
    return f"{settings.corpus}, {model}, {made}, weights seed 0, no noise, signals of {sample}."


def _shown(site: Site) -> Row:
    grid, gap = site.grid, site.gap
    row: Row = {"Site": _NAMES[site.name]}
    if grid and gap:
        low, high = (f"{value:.3g}" for value in grid.values[[0, -1]])
        row |= {"Bits": grid.bits, "Step": float(f"{grid.quantizer.scale:.3g}"), "Range": f"{low} to {high}"}
        row |= {"Levels used": grid.used, "Levels": len(grid.counts), "Clipped (%)": round(100 * grid.clipped_share, 2)}
        row |= {"D": round(gap.distance, 3)}
    row |= {"Float values": f"{site.smallest:.3g} to {site.largest:.3g}", "n": site.n}
    return row | {"Fixed units": f"{site.still} of {site.units}" if site.units else ""}


def _constant(site: Site) -> bool:
    return bool((site.grid and site.grid.used == 1) or (site.units and site.still == site.units))


def _traces(site: Site, view: View, colour: str, caption: str) -> list[go.Scatter | go.Bar]:
    parts = [_float_histogram(site, caption)] if view == "Histogram" else [_float_ecdf(site, caption)]
    if site.grid and site.gap:
        draw = _bars if view == "Histogram" else _steps
        parts.append(draw(site, site.grid, colour, caption))
        parts += [_segment(site, site.gap, caption)] if view == "ECDF" else []
    return parts


def _float_histogram(site: Site, caption: str) -> go.Scatter:
    bins = site.bins.reshape(_BARS, -1).sum(axis=1)
    edges = site.edges[:: len(site.bins) // _BARS]
    density = bins / site.n / np.diff(edges)
    x, y = np.repeat(edges, 2), np.concatenate([[0], np.repeat(density, 2), [0]])
    hover = hover_text("float: %{y:.3g} of the values per unit at %{x:.3g}", site.n, caption)
    line = {"color": FLOAT, "width": 1}
    return go.Scatter(x=x, y=y, fill="tozeroy", line=line, name="float", hovertemplate=hover)


def _bars(site: Site, grid: Grid, colour: str, caption: str) -> go.Bar:
    share = grid.counts / grid.counts.sum()
    bars = go.Bar(x=grid.values, y=share / grid.quantizer.scale, width=grid.quantizer.scale, name=_grid_name(grid))
    bars.marker = {"color": colour, "opacity": 0.55, "line": {"width": 0}}
    return bars.update(customdata=_level_words(grid), hovertemplate=hover_text("%{customdata}", site.n, caption))


def _float_ecdf(site: Site, caption: str) -> go.Scatter:
    x, upto = [site.edges], [site.under + np.concatenate([[0], site.bins.cumsum()])]
    if site.grid:
        x += [site.grid.values, site.grid.values]
        upto += [site.grid.below, site.grid.upto]
    values, counts = np.concatenate(x), np.concatenate(upto)
    order = np.lexsort((counts, values))
    hover = hover_text("float: %{y:.1f} % of the values are at most %{x:.3g}", site.n, caption)
    shares = 100 * counts[order] / site.n
    line = {"color": FLOAT, "width": 2, "dash": "dash"}
    return go.Scatter(x=values[order], y=shares, mode="lines", line=line, name="float", hovertemplate=hover)


def _steps(site: Site, grid: Grid, colour: str, caption: str) -> go.Scatter:
    share = grid.counts / grid.counts.sum()
    low, high = value_range([site])
    x = np.concatenate([[min(low, grid.values[0])], grid.values, [max(high, grid.values[-1])]])
    y = 100 * np.concatenate([[0], share.cumsum(), [1]])
    words = ["", *_level_words(grid), ""]
    line = {"color": colour, "width": 2, "shape": "hv"}
    steps = go.Scatter(x=x, y=y, mode="lines", line=line, name=_grid_name(grid), customdata=words)
    return steps.update(hovertemplate=hover_text("%{y:.1f} % are at most this<br>%{customdata}", site.n, caption))


def _segment(site: Site, gap: Gap, caption: str) -> go.Scatter:
    text = f"\u2002D = {gap.distance:.3f}, n = {count(site.n)}\u2002"
    ends = 100 * gap.float_share, 100 * gap.quantized_share
    line, y = {"color": GREEN, "width": 4}, [ends[0], sum(ends) / 2, ends[1]]
    segment = go.Scatter(x=[gap.at] * 3, y=y, mode="lines+markers+text", line=line, name=GAP)
    middle = sum(value_range([site])) / 2
    segment.update(text=["", text, ""], textposition="middle right" if gap.at < middle else "middle left")
    segment.update(
        textfont={"color": GREEN, "size": 14}, marker={"size": 8, "symbol": "line-ew-open", "opacity": [1, 0, 1]}
    )
    return segment.update(hovertemplate=hover_text(f"D = {gap.distance:.3f} at {gap.at:.3g}", site.n, caption))


def _level_words(grid: Grid) -> list[str]:
    low, high = grid.quantizer.low, grid.quantizer.high
    shares = grid.counts / grid.counts.sum()
    worth = [f"worth {value:.3g}: {percent(share)}" for value, share in zip(grid.values, shares, strict=True)]
    return [
        f"level {level} of {low} to {high}, {words}" for level, words in zip(range(low, high + 1), worth, strict=True)
    ]


def _grid_name(grid: Grid) -> str:
    return f"{grid.bits} bits"


def _gate_title(site: Site) -> str:
    gap, gate = site.gap, site.name.partition("_")[0]
    return gate + (f": D = {gap.distance:.3f}" if gap else "")


def _with_shares(figure: go.Figure, view: View) -> go.Figure:
    if view == "ECDF":
        return figure.update_yaxes(title="share of values up to here (%)", range=(-2, 102))
    return figure.update_layout(barmode="overlay").update_yaxes(title="share of values per unit", rangemode="tozero")

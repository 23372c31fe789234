"""What variants say of one text as figures and coloured words, with the conventions of `charts`.

Words come from users: everything that becomes HTML is escaped.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from core.config import FLOAT_BITS, ModelKind
from core.display.charts import FLOAT, MODEL_COLOURS, PERCENT_RANGE, Range, escape, finish, hover_text, percent, require
from core.display.curve_charts import WIDTHS, width_name
from core.storage.store import Row

SURPRISAL_RANGE: Range = (0.0, 12.0)
MAX_BARS = 12
END = "end of text"

_LONGEST_NAME = 18


@dataclass(frozen=True)
class Reading:
    """What one variant says of a text: a row of `live.read`, with the words that were read and how many were not."""

    model: ModelKind
    bits: int
    row: Row
    words: tuple[str, ...]
    unread: int = 0

    @property
    def probability(self) -> float:
        """The winner's, in [0, 1]."""
        return self.row["probabilities"][self.row["label"]]

    @property
    def runner_up(self) -> str:
        """The class with the second highest probability."""
        others = {name: share for name, share in self.row["probabilities"].items() if name != self.row["label"]}
        return max(others, key=lambda name: others[name])


def answers_figure(readings: Sequence[Reading], caption: str = "") -> go.Figure:
    """Draw a cell for each model and bit-width with the winner; stronger colour is more probability, not-equal a flip.

    Widths that were not read stay empty.
    """
    require(readings, "readings")
    names, figure = [width_name(bits) for bits in WIDTHS], go.Figure()
    for place, (model, colour) in enumerate(MODEL_COLOURS.items()):
        found = {reading.bits: reading for reading in readings if reading.model == model}
        cells = [found.get(bits) for bits in WIDTHS]
        heat = go.Heatmap(
            x0=place, dx=1, y=names, name=model, z=[[cell and cell.probability] for cell in cells], zmin=0, zmax=1
        )
        heat.update(colorscale=((0, "#FFFFFF"), (1, colour)), showscale=False, xgap=3, ygap=3, hoverongaps=False)
        heat.text = [[_answer(cell, found.get(FLOAT_BITS)) if cell else ""] for cell in cells]
        heat.texttemplate, heat.textfont = "%{text}", {"size": 14}
        heat.customdata = [[_answer_words(cell) if cell else ""] for cell in cells]
        heat.hovertemplate = hover_text("%{customdata}", 1, caption)
        figure.add_trace(heat)
    models = list(MODEL_COLOURS)
    figure.update_xaxes(tickvals=list(range(len(models))), ticktext=models, side="top", showgrid=False)
    figure.update_xaxes(range=(-0.5, len(models) - 0.5))
    figure.update_yaxes(title="bit-width", type="category", categoryarray=names, showgrid=False)
    figure.update_yaxes(range=(len(names) - 0.5, -0.5))
    return finish(figure, height=360).update_layout(showlegend=False, margin={"t": 30, "b": 10})


def probabilities_figure(reading: Reading, reference: Reading | None, caption: str = "") -> go.Figure:
    """Draw the probability of each class as bars, float's as marks; the MAX_BARS most probable of many classes."""
    shares = reading.row["probabilities"]
    largest = sorted(shares, key=lambda name: -shares[name])[:MAX_BARS]
    names = [name for name in shares if name in largest]
    labels, values = [escape(name) for name in names], [100 * shares[name] for name in names]
    figure = go.Figure()
    bars = go.Bar(x=values, y=labels, orientation="h", marker_color=MODEL_COLOURS[reading.model])
    name = "float" if reading.bits == FLOAT_BITS else f"{reading.bits} bits"
    bars.update(name=name, hovertemplate=hover_text("%{y}: %{x:.2f} %", 1, caption))
    figure.add_trace(bars)
    if reference and reading.bits != FLOAT_BITS:
        before = [100 * reference.row["probabilities"][name] for name in names]
        marks = go.Scatter(x=before, y=labels, mode="markers", name="float", cliponaxis=False)
        marks.marker = {"symbol": "diamond-open", "size": 11, "color": FLOAT, "line": {"width": 2}}
        figure.add_trace(marks.update(hovertemplate=hover_text("%{y}: %{x:.2f} % in float", 1, caption)))
    figure.update_xaxes(title="probability (%)", range=PERCENT_RANGE)
    figure.update_yaxes(type="category", categoryarray=labels, range=(len(names) - 0.5, -0.5), showgrid=False)
    return finish(figure, height=360)


def words_html(
    words: Sequence[str], known: Sequence[bool], surprisals: Sequence[float] = (), colour: str = FLOAT
) -> str:
    """Return words as HTML, unknown ones underlined, each on a ground whose strength is its surprisal in nats."""
    shown = [*words, END] if surprisals else list(words)
    flags = [*known, True][: len(shown)]
    values: list[float | None] = list(surprisals) or [None] * len(shown)
    spans = [_span(*word, colour) for word in zip(shown, flags, values, strict=True)]
    return f'<div style="line-height:2;overflow-wrap:anywhere">{" ".join(spans)}</div>'


def describe_reading(reading: Reading) -> str:
    """Say the winner, its probability, the runner-up and the margin between them."""
    margin = reading.row["margin"]
    start = f"{reading.row['label']}, {percent(reading.probability)}"
    return f"{start}; the runner-up is {reading.runner_up}, {margin:.2f} nats behind."


def _span(word: str, known: bool, surprisal: float | None, colour: str) -> str:
    style, title = "border-radius:0.25rem;padding:0.1rem 0.2rem;", "" if known else "unknown to the model"
    if surprisal is not None:
        low, high = SURPRISAL_RANGE
        alpha = round(0xCC * min(max(surprisal - low, 0) / (high - low), 1))
        style += f"background:{colour}{alpha:02X};"
        title = f"{surprisal:.2f} nats" + (f", {title}" if title else "")
    style += "" if known else "text-decoration:underline wavy;text-underline-offset:0.2rem;"
    style += "font-style:italic;" if word == END else ""
    return f'<span style="{style}" title="{title}">{html.escape(word)}</span>'


def _answer(reading: Reading, reference: Reading | None) -> str:
    label = reading.row["label"]
    short = label if len(label) <= _LONGEST_NAME else label[: _LONGEST_NAME - 1] + "…"
    flipped = reference is not None and reference.row["label"] != label
    return escape(f"{'≠ ' if flipped else ''}{short} {100 * reading.probability:.0f} %")


def _answer_words(reading: Reading) -> str:
    width = "float" if reading.bits == FLOAT_BITS else f"{reading.bits} bits"
    return escape(f"{reading.model}, {width}: {describe_reading(reading)}")

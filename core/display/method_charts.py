"""Charts of compression methods: accuracies, macro scores, size against latency; each with its sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from core.config import FLOAT_BITS, ModelKind
from core.display import charts
from core.display.charts import FLOAT, GREEN, MODEL_COLOURS, PURPLE, count, escape, finish, hover_text, require
from core.measurement.stats import wilson_interval

BIT_COLOURS: dict[int, str] = {FLOAT_BITS: FLOAT, 8: GREEN, 4: PURPLE}
SCORES = {"macro precision": charts.GENERATIVE, "macro recall": charts.DISCRIMINATIVE, "macro F1": GREEN}
LINE_HEIGHT, AXES_HEIGHT = 34, 120  # pixels
ROOM = 1.15  # axes from 0 reach this factor beyond the points


@dataclass(frozen=True)
class Dot:
    """An accuracy: `Dot("qat", 1850, 2000, 8)`; an LSTM's has its `model`, a report's is `published`."""

    name: str
    correct: int
    n: int
    bits: int
    model: ModelKind | None = None
    published: bool = False

    @property
    def percents(self) -> tuple[float, float, float]:
        """Accuracy and its 95 % Wilson interval in percent."""
        low, high = wilson_interval(self.correct, self.n)
        return 100 * self.correct / self.n, 100 * low, 100 * high

    @property
    def words(self) -> str:
        accuracy, low, high = self.percents
        return f"{self.name} {accuracy:.1f} % ({low:.1f} to {high:.1f})"


@dataclass(frozen=True)
class Place:
    """A model's size in MB and its latency for a batch in ms."""

    name: str
    size_mb: float
    latency_ms: float
    bits: int


def accuracy_figure(dots: Sequence[Dot], caption: str = "") -> go.Figure:
    """Draw a dot with its 95 % Wilson interval for each accuracy, from the top down; published ones are hollow."""
    require(dots, "accuracies")
    figure = go.Figure()
    for place, dot in enumerate(dots):
        accuracy, low, high = dot.percents
        colour = MODEL_COLOURS[dot.model] if dot.model else BIT_COLOURS[dot.bits]
        mark = go.Scatter(x=[accuracy], y=[place], name=escape(dot.name), mode="markers", showlegend=False)
        mark.marker = {"color": colour, "size": 11, "symbol": "circle-open" if dot.published else "circle"}
        mark.error_x = {"array": [high - accuracy], "arrayminus": [accuracy - low], "color": colour}
        mark.hovertemplate = hover_text(escape(dot.words), dot.n, "" if dot.published else caption)
        figure.add_trace(mark)
    lowest = min(dot.percents[1] for dot in dots)
    figure.update_xaxes(title="accuracy (%)", range=(10 * (lowest // 10), 100))
    names = [escape(dot.name) for dot in dots]
    figure.update_yaxes(tickvals=list(range(len(dots))), ticktext=names, range=(len(dots) - 0.5, -0.5))
    finish(figure, height=AXES_HEIGHT + LINE_HEIGHT * len(dots))
    return figure.update_layout(showlegend=False, margin_t=20)


def scores_figure(scores: Mapping[str, Sequence[float]], n: int, caption: str = "") -> go.Figure:
    """Draw bars of macro precision, recall and F1 (three shares, 0 to 1) for each method."""
    require(scores, "scores")
    figure, names = go.Figure(), [escape(name) for name in scores]
    for place, (score, colour) in enumerate(SCORES.items()):
        values = [100 * found[place] for found in scores.values()]
        hover = hover_text(f"%{{x}}: {score} %{{y:.1f}} %", n, caption)
        figure.add_bar(x=names, y=values, name=score, marker_color=colour, hovertemplate=hover)
    figure.update_xaxes(title="method", type="category", dtick=1)
    figure.update_yaxes(title="macro score (%)", range=charts.PERCENT_RANGE)
    return finish(figure)


def size_figure(places: Sequence[Place], n: int, caption: str = "") -> go.Figure:
    """Draw latency over size; give places of one machine only."""
    require(places, "sizes")
    figure = go.Figure()
    for place in places:
        text = escape(f"{place.name}: {place.size_mb:.1f} MB, {place.latency_ms:.1f} ms a batch")
        mark = go.Scatter(x=[place.size_mb], y=[place.latency_ms], name=escape(place.name), mode="markers")
        mark.marker = {"color": BIT_COLOURS[place.bits], "size": 13, "symbol": _symbol(place, places)}
        mark.hovertemplate = hover_text(text, n, caption)
        figure.add_trace(mark)
    sizes, latencies = [place.size_mb for place in places], [place.latency_ms for place in places]
    figure.update_xaxes(title="size of the stored file (MB)", range=(0, ROOM * max(sizes)))
    figure.update_yaxes(title="latency of a batch (ms)", range=(0, ROOM * max(latencies)))
    return finish(figure)


def describe_accuracies(dots: Sequence[Dot]) -> str:
    """Say every accuracy, published ones last, and the numbers of documents."""
    require(dots, "accuracies")
    said = [f"{dot.name} {dot.percents[0]:.1f} %" for dot in sorted(dots, key=lambda dot: dot.published)]
    sizes = " / ".join(count(n) for n in sorted({dot.n for dot in dots}))
    return f"Accuracy with its 95 % Wilson interval: {', '.join(said)}; n = {sizes}."


def describe_scores(scores: Mapping[str, Sequence[float]]) -> str:
    """Say the macro F1 of each method."""
    require(scores, "scores")
    return f"Macro F1: {', '.join(f'{name} {100 * found[2]:.1f} %' for name, found in scores.items())}."


def describe_sizes(places: Sequence[Place]) -> str:
    """Name the smallest and the fastest."""
    require(places, "sizes")
    small, fast = min(places, key=lambda p: p.size_mb), min(places, key=lambda p: p.latency_ms)
    return f"Smallest: {small.name}, {small.size_mb:.1f} MB. Fastest: {fast.name}, {fast.latency_ms:.1f} ms a batch."


def _symbol(place: Place, places: Sequence[Place]) -> str:
    """Tell methods of the same bits apart."""
    same = [other.name for other in places if other.bits == place.bits]
    return ("circle", "diamond", "square", "cross")[same.index(place.name) % 4]

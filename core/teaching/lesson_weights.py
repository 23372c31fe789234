"""The lesson's steps on a stored model's own weights: rounding them, choosing a range, comparing two distributions.

Weights come from the discriminative float model behind the stored results of a corpus. Each step returns a Scene and
raises LackingError where the store has no such model.
"""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import torch

from core.config import FLOAT_BITS, ModelRun
from core.display import charts, curves
from core.display.charts import DISCRIMINATIVE, FLOAT, GREEN, PURPLE
from core.measurement import stats
from core.measurement.stats import Floats
from core.quantization import levels
from core.quantization.levels import Quantizer
from core.storage.store import Row, Store
from core.teaching.scenes import FEW_BITS, LackingError, Panel, Scene, made, require

RANGE_PERCENTS = tuple(range(20, 105, 5))
MAX_LINES = 32
_HEIGHT = 400


@dataclass(frozen=True)
class RangeError:
    """Mean squared errors of rounding weights to a range, by cause, and the share of weights cut off."""

    rounding: float
    clipping: float
    clipped: float

    @property
    def total(self) -> float:
        return self.rounding + self.clipping


def weights(corpus: str) -> tuple[Row, dict[str, torch.Tensor]]:
    """Return the row of the discriminative model in float and its weights by name. Raises LackingError."""
    shelf = curves.read(corpus, model="discriminative", noise=0.0)
    (row,) = require(shelf, [("discriminative", None, FLOAT_BITS, 0.0)])
    run = ModelRun.model_validate(row["spec"]["variant"]["run"])
    if not (found := Store().load_tensors("weights", run.fingerprint())):
        raise LackingError(corpus, [("discriminative", None, FLOAT_BITS, 0.0)])
    return row, found[0]


def stairs(corpus: str, bits: int) -> Scene:
    """Show the output layer's weights of one class, sorted, and where `bits` bits move each."""
    row, tensors = weights(corpus)
    head, name = tensors["head.weight"], row["detail"]["class_names"][0]
    quantizer = Quantizer.of_range(float(head.abs().max()), bits)
    before = np.sort(head[0].double().numpy())
    after = rounded(before, quantizer)
    error, used = float(((after - before) ** 2).mean()), len(np.unique(after))
    sentence = (
        f"At {bits} bits there are {2**bits} levels, {quantizer.scale:.4f} apart; the {len(before)} weights use {used} "
        f"of them. Mean squared error {error:.2g}, largest error {np.abs(after - before).max():.4f}."
    )
    text = f"{corpus}, discriminative, output layer, weights of class {name}, weights seed {row['seed']}"
    figure = _stairs_figure(before, after, quantizer, text)
    heading = f"The {len(before)} weights of class {name}, sorted"
    return Scene(f"{text}. {made(row)}", (Panel("stairs", figure, sentence, heading),))


def span(corpus: str, percent: int, bits: int = FEW_BITS) -> Scene:
    """Show the error of a layer's weights at `bits` bits over its range, and at `percent` of the largest weight."""
    row, tensors = weights(corpus)
    values = tensors["lstm.weight_hh_l0"].double().numpy().ravel()
    largest = float(np.abs(values).max())
    errors = {at: range_error(values, Quantizer.of_range(at / 100 * largest, bits)) for at in RANGE_PERCENTS}
    best, here = min(errors, key=lambda at: errors[at].total), errors[percent]
    sentence = (
        f"A range of {percent} % of the largest weight cuts off {charts.percent(here.clipped)} of the weights; its "
        f"error is {here.total / errors[best].total:.2f} times the least, which is at {best} %."
    )
    text = f"{corpus}, discriminative, recurrent weights of the LSTM at {bits} bits, weights seed {row['seed']}"
    figure = _span_figure(errors, percent, len(values), text)
    heading = f"Mean squared error of {charts.count(len(values))} weights at {bits} bits"
    return Scene(f"{text}. {made(row)}", (Panel("span", figure, sentence, heading),))


def gap(corpus: str, bits: int) -> tuple[Row, Panel]:
    """Return the float row, and the distributions of the output layer's weights in float and rounded, with their D."""
    row, tensors = weights(corpus)
    before = np.sort(tensors["head.weight"].double().numpy().ravel())
    quantizer = Quantizer.of_range(float(np.abs(before).max()), bits)
    after = rounded(before, quantizer) if bits != FLOAT_BITS else before
    result = stats.ks_two_sample(before, after)
    place, low, high = largest_gap(before, after)
    sentence = (
        f"D = {result.statistic:.3f} ({charts.p_value(result.pvalue)}, n = {charts.count(result.n)} weights): "
        f"{charts.percent(low)} against {charts.percent(high)} of the weights are {place:.3f} or less."
        if result.statistic
        else f"D = 0: the dial is at float, both curves are the same (n = {charts.count(result.n)} weights)."
    )
    text = f"{corpus}, discriminative, output layer, weights seed {row['seed']}"
    figure = _gap_figure(before, after, bits, (place, low, high), text)
    return row, Panel("gap", figure, sentence, "Weights of the output layer")


def rounded(values: Floats, quantizer: Quantizer) -> Floats:
    """Return values (N,) on the grid of a quantizer, as the engine rounds them."""
    return levels.quantize(torch.from_numpy(values), quantizer).numpy()


def range_error(values: Floats, quantizer: Quantizer) -> RangeError:
    """Return what a quantizer costs values (N,), those beyond its levels apart from the others."""
    errors = (rounded(values, quantizer) - values) ** 2
    levels = np.round(values / quantizer.scale)
    outside = (levels < quantizer.low) | (levels > quantizer.high)
    rounding, clipping = (float(errors[part].sum() / values.size) for part in (~outside, outside))
    return RangeError(rounding, clipping, float(outside.mean()))


def largest_gap(first: Floats, second: Floats) -> tuple[float, float, float]:
    """Return where the cumulative shares of two sorted samples differ most, at a value of theirs, and both shares."""
    points = np.unique(np.concatenate([first, second]))
    one, two = (np.searchsorted(sample, points, "right") / sample.size for sample in (first, second))
    place = int(np.abs(one - two).argmax())
    return float(points[place]), float(one[place]), float(two[place])


def _stairs_figure(before: Floats, after: Floats, quantizer: Quantizer, caption: str) -> go.Figure:
    figure, ranks = go.Figure(), np.arange(1, len(before) + 1)
    hover = charts.hover_text("weight %{x}: %{y:.4f}", len(before), caption)
    dots = {"color": FLOAT, "size": 6}
    figure.add_scatter(x=ranks, y=before, mode="markers", name="float", marker=dots, hovertemplate=hover)
    line = {"color": DISCRIMINATIVE, "shape": "hvh", "width": 2}
    figure.add_scatter(x=ranks, y=after, mode="lines", name="rounded", line=line, hovertemplate=hover)
    if quantizer.high - quantizer.low < MAX_LINES:
        for level in range(quantizer.low, quantizer.high + 1):
            figure.add_hline(y=level * quantizer.scale, line_color=FLOAT, line_width=1, line_dash="dot", opacity=0.4)
    figure.update_xaxes(title="weight, smallest first", range=(0, len(before) + 1))
    edge = 1.05 * quantizer.largest
    figure.update_yaxes(title="value", range=(-edge, edge))
    return charts.finish(figure, height=_HEIGHT)


def _span_figure(errors: dict[int, RangeError], percent: int, n: int, caption: str) -> go.Figure:
    figure, x = go.Figure(), list(errors)
    looks = (("total", DISCRIMINATIVE, "solid"), ("rounding", GREEN, "dash"), ("clipping", PURPLE, "dot"))
    for name, colour, dash in looks:
        y = [getattr(error, name) for error in errors.values()]
        hover = charts.hover_text(f"{name}: %{{y:.2g}} at %{{x:.0f}} %", n, caption)
        line = {"color": colour, "dash": dash, "width": 2}
        figure.add_scatter(x=x, y=y, mode="lines", name=name, line=line, hovertemplate=hover)
    marker = {"color": DISCRIMINATIVE, "size": 14, "symbol": "circle-open", "line": {"width": 3}}
    mark = go.Scatter(x=[percent], y=[errors[percent].total], mode="markers", name="your range", marker=marker)
    figure.add_trace(mark.update(hovertemplate=charts.hover_text("your range: %{y:.2g}", n, caption)))
    figure.update_xaxes(title="range (% of the largest weight)", range=(17, 103))
    figure.update_yaxes(title="mean squared error", rangemode="tozero", exponentformat="power")
    return charts.finish(figure, height=_HEIGHT)


def _gap_figure(before: Floats, after: Floats, bits: int, gap: tuple[float, float, float], caption: str) -> go.Figure:
    figure, shares = go.Figure(), np.arange(1, len(before) + 1) / len(before)
    for name, values, colour in (("float", before, FLOAT), (f"{bits} bits", after, DISCRIMINATIVE)):
        hover = charts.hover_text(f"{name}: %{{y:.1%}} are %{{x:.3f}} or less", len(values), caption)
        line = {"color": colour, "shape": "hv", "width": 2}
        figure.add_scatter(x=values, y=shares, mode="lines", name=name, line=line, hovertemplate=hover)
    place, low, high = gap
    width = {"color": GREEN, "width": 4}
    hover = charts.hover_text(f"D = {abs(high - low):.3f}", len(before), caption)
    figure.add_scatter(x=[place, place], y=[low, high], mode="lines", name="D", line=width, hovertemplate=hover)
    edge = 1.05 * float(np.abs(before).max())
    figure.update_xaxes(title="weight", range=(-edge, edge))
    figure.update_yaxes(title="share of weights up to it", range=(-0.02, 1.02), tickformat=".0%")
    return charts.finish(figure, height=_HEIGHT)

"""The lesson's steps on what goes wrong and on what can be known: a memory that never moves, and chance.

Each step takes a corpus and what its dial says, and returns a Scene. Raises LackingError where the store lacks a
result, and InputError for an unknown corpus.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
import torch

from core import pipeline
from core.config import FLOAT_BITS, MODEL_KINDS, EvaluationSpec
from core.display import charts, curves
from core.display.charts import DISCRIMINATIVE, FLOAT, PURPLE
from core.display.curves import Cell
from core.errors import InputError
from core.measurement import stats
from core.measurement.stats import Difference, McNemar
from core.quantization import levels
from core.quantization.levels import Quantizer
from core.seeding import numpy_generator
from core.storage.store import Row
from core.teaching.lesson_results import cell_site
from core.teaching.scenes import FEW_BITS, FITTED, Panel, Scene, made, require

ADDED = tuple(round(0.1 * step, 1) for step in range(1, 11))
PERCENTS = (2, 5, 10, 20, 50, 100)
WORDS = 12
SIGNIFICANT = 0.05

_RULES = ("percentile", "fitted")


@dataclass(frozen=True)
class Sample:
    """What n of the test documents say of two models: McNemar's test and the difference of accuracy."""

    n: int
    test: McNemar
    difference: Difference


def memory(corpus: str, added: float) -> Scene:
    """Show how a cell state moves to which every word adds `added`, at 3 bits with each rule's step, and in float."""
    cells: list[Cell] = [(m, replace(FITTED, ranges=rule), FEW_BITS, 0.0) for m in MODEL_KINDS for rule in _RULES]
    rows = require(curves.read(corpus, noise=0.0), cells)
    paths = {"float": path(added, None)}
    shown = [row for row in rows if row["model"] == "discriminative"]
    paths |= {f"{row['ranges']} ranges": path(added, cell_quantizer(row)) for row in shown}
    steps = ", ".join(f"{row['ranges']} {cell_site(row)['scale']:.2f}" for row in shown)
    ends = ", ".join(f"{name} {values[-1]:.2f}" for name, values in paths.items())
    sentence = f"Each word adds {added:g}; one level of the cell state is worth: {steps}. After {WORDS} words: {ends}."
    figure = _memory_figure(paths, f"{corpus}, discriminative, uniform {FEW_BITS} bits, seeds 0")
    panel = Panel("memory", figure, sentence, "The memory of the discriminative model, if every word adds the same")
    return Scene(made(*rows), (panel,), table=tuple(map(_health, rows)))


def chance(corpus: str, percent: int) -> Scene:
    """Show the difference of 3 bits from float over the number of test documents, and at `percent` of all."""
    cells: list[Cell] = [("discriminative", None, FLOAT_BITS, 0.0), ("discriminative", FITTED, FEW_BITS, 0.0)]
    rows = require(curves.read(corpus, noise=0.0), cells)
    first, second = map(_right, rows)
    samples = {at: sample(first, second, at) for at in PERCENTS}
    here = samples[percent]
    caption = f"{corpus}, discriminative, {FITTED.name}, seeds 0, documents in a random order (seed 0)"
    figure = _chance_figure(list(samples.values()), here, caption)
    panel = Panel("chance", figure, describe(here), f"Accuracy at {FEW_BITS} bits minus float's")
    return Scene(made(*rows), (panel,))


def path(added: float, quantizer: Quantizer | None, words: int = WORDS) -> list[float]:
    """Return tanh of a cell state (words + 1) that starts at 0 and gets `added` at every word, on a quantizer's grid.

    As in the evaluator, what is added is rounded by itself and the sum is cut off at the range's ends.
    """
    state, states = torch.zeros(1), [0.0]
    for _ in range(words):
        state = state + levels.quantize(torch.tensor([added]), quantizer)
        if quantizer:
            state = state.clamp(quantizer.low * quantizer.scale, quantizer.high * quantizer.scale)
        states.append(math.tanh(float(state)))
    return states


def cell_quantizer(row: Row) -> Quantizer:
    """Return the quantizer of a quantized row's cell state."""
    site = cell_site(row)
    return Quantizer(site["scale"], -(site["levels"] // 2), site["levels"] // 2 - 1)


def sample(first: np.ndarray, second: np.ndarray, percent: int) -> Sample:
    """Compare two models, right or not on the same documents (N,), on a random `percent` of these; seed 0."""
    order = numpy_generator(0, "lesson").permutation(len(first))[: max(1, round(percent / 100 * len(first)))]
    pair = first[order], second[order]
    return Sample(len(order), stats.mcnemar_exact(*pair), stats.paired_bootstrap(*pair, seed=0))


def describe(found: Sample) -> str:
    """Say what the documents of a sample show of float and 3 bits."""
    test, gap = found.test, found.difference
    verdict = (
        "More than chance explains." if test.pvalue < SIGNIFICANT else "Chance alone may well explain the difference."
    )
    low, high = (f"{100 * bound:+.1f}" for bound in (gap.low, gap.high))
    return (
        f"On {charts.count(found.n)} documents float alone is right on {test.b}, {FEW_BITS} bits alone on {test.c}: "
        f"{charts.points(100 * gap.difference)} (95 % interval {low} to {high}), "
        f"McNemar's {charts.p_value(test.pvalue)}. {verdict}"
    )


def _right(row: Row) -> np.ndarray:
    found = pipeline.find_outcome(EvaluationSpec.model_validate(row["spec"]))
    if found is None:
        raise InputError(f"the answers behind {row['key']} are not in the store; run python -m core study to make them")
    right: np.ndarray = found["predictions"] == found["labels"]
    return right


def _health(row: Row) -> Row:
    return {
        "Model": row["model"],
        "Ranges": row["ranges"],
        "One level": round(cell_site(row)["scale"], 2),
        "Variance": f"{row['lstm_variance']:.2g}",
        "LSTM": "dead" if row["detail"]["dead_lstm"] else "alive",
        "Accuracy": charts.percent(row["accuracy"]),
        "n": row["n"],
    }


def _memory_figure(paths: dict[str, list[float]], caption: str) -> go.Figure:
    figure = go.Figure()
    looks = ((FLOAT, "dash", "circle"), (PURPLE, "dot", "square"), (DISCRIMINATIVE, "solid", "diamond"))
    for (name, values), (colour, dash, symbol) in zip(paths.items(), looks, strict=True):
        line = go.Scatter(x=list(range(len(values))), y=values, mode="lines+markers", name=name, cliponaxis=False)
        line.update(line={"color": colour, "dash": dash}, marker={"symbol": symbol, "size": 8})
        line.hovertemplate = charts.hover_text(f"{name}: %{{y:.2f}} after %{{x}} words", 1, caption)
        figure.add_trace(line)
    figure.update_xaxes(title="words read", range=(-0.3, WORDS + 0.3), dtick=2)
    figure.update_yaxes(title="tanh of the cell state", range=(-0.05, 1.08))
    return charts.finish(figure, height=360)


def _chance_figure(samples: Sequence[Sample], here: Sample, caption: str) -> go.Figure:
    x = [one.n for one in samples]
    low, middle, high = (
        [100 * getattr(one.difference, name) for one in samples] for name in ("low", "difference", "high")
    )
    figure = go.Figure()
    band = go.Scatter(
        x=x + x[::-1], y=high + low[::-1], fill="toself", fillcolor=DISCRIMINATIVE, opacity=0.2, mode="none"
    )
    figure.add_trace(band.update(name="95 % interval", hoverinfo="skip"))
    hover = [charts.hover_text(charts.escape(describe(one)), one.n, caption) for one in samples]
    line = go.Scatter(x=x, y=middle, mode="lines+markers", name="difference", line={"color": DISCRIMINATIVE})
    figure.add_trace(line.update(hovertemplate=hover, marker={"size": 7}))
    ring = {"color": DISCRIMINATIVE, "size": 16, "symbol": "circle-open", "line": {"width": 3}}
    mark = go.Scatter(x=[here.n], y=[100 * here.difference.difference], mode="markers", name="your sample")
    figure.add_trace(mark.update(marker=ring, hoverinfo="skip"))
    figure.add_hline(y=0, line_color=FLOAT, line_dash="dot")
    figure.update_xaxes(title="test documents", type="log", tickvals=x, ticktext=[charts.count(n) for n in x])
    figure.update_yaxes(title="difference (points)")
    return charts.finish(figure, height=400)

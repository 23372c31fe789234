"""The lesson's steps on the models' own results: what each step shows of the store, and of one document.

Each step takes a corpus and what its dial says, and returns a Scene. Raises LackingError where the store lacks a
result, and InputError for an unknown corpus.
"""

from dataclasses import replace
from html import escape
from typing import Any

import plotly.graph_objects as go

from core.config import FLOAT_BITS, MODEL_KINDS, EvaluationSpec, NoiseSpec
from core.display import breakdowns, charts, curve_charts, curves, live_charts, readings
from core.display.breakdowns import MEGABYTE, Loss
from core.display.charts import AccuracyRow
from core.display.curve_charts import WIDTHS, Line
from core.display.curves import SCHEMES, Cell, Condition, Shelf
from core.display.live_charts import Reading
from core.storage.store import Row
from core.teaching import lesson_weights
from core.teaching.scenes import FEW_BITS, FITTED, LackingError, Panel, Scene, made, require, width
from core.text import noise

DOCUMENTS = 12
EXCERPT = 400  # characters
DRAWN = Condition("paper-code", "percentile", "gpfq", "conditional")
DENSITY_MAX = 0.35  # 1/nat


def two_ways(corpus: str, document: int) -> Scene:
    """Show what both float models say of a test document (the first is 1), and what its words cost the generative."""
    rows = require(curves.read(corpus, noise=0.0), _float_cells())
    specs = {(row["model"], FLOAT_BITS): EvaluationSpec.model_validate(row["spec"]).variant for row in rows}
    text = readings.document(corpus, document)
    caption = f"{corpus}, test document {document}, float, weights seed 0"
    found = readings.read(text, specs)
    panels = (_answer(reading, caption) for reading in found)
    short = escape(text[:EXCERPT].strip()) + (" …" if len(text) > EXCERPT else "")
    html = ((f"Test document {document}", f"<blockquote>{short}</blockquote>"),)
    below = tuple(words for reading in found for words in _surprises(reading))
    truth = readings.truth(corpus, text) or ""
    return Scene(f"{made(*rows)} One text.", tuple(panels), (truth,), html, below)


def schemes(corpus: str) -> list[str]:
    """Return how calibration documents were drawn for the stored results of both models, the usual ways first."""
    shelf = curves.read(corpus, bits=FEW_BITS, noise=0.0)
    stored = (s for s in shelf.choices("calibration") if not curves.missing(shelf, _drawn_cells(s)))
    return list(dict.fromkeys([*SCHEMES, *stored]))


def calibrated(corpus: str, scheme: str) -> Scene:
    """Show which documents calibrate under a scheme, and the accuracy of both models that follows."""
    shelf = curves.read(corpus, noise=0.0)
    rows = require(shelf, [*_float_cells(), *_drawn_cells(scheme)])
    quantized = rows[len(MODEL_KINDS) :]
    stored = [row for s in shelf.choices("calibration") for c in _drawn_cells(s) for row in shelf.draws(*c)]
    composition = quantized[0]["detail"]["calibration"]["composition"]
    most = max(max(row["detail"]["calibration"]["composition"].values()) for row in stored)
    bars = _composition_figure(composition, most, f"{corpus}, {scheme} calibration (seed 0)")
    drawn = ", ".join(f"{name} {charts.count(n)}" for name, n in composition.items())
    marks = [AccuracyRow(r["model"], _setting(r["bits"]), r["correct"], r["n"]) for r in rows]
    chance = curves.majority_share(shelf)
    figure = charts.accuracy_figure(marks, chance, f"{corpus}, {replace(DRAWN, calibration=scheme).name}, seeds 0")
    figure.update_xaxes(range=(5 * int(20 * min(row["accuracy"] for row in [*rows, *stored]) - 0.2), 100))
    panels = (
        Panel("composition", bars, f"Documents that calibrate: {drawn}.", "Which documents calibrate"),
        Panel("calibrated", figure, charts.describe_accuracy(marks, chance), f"Accuracy at {FEW_BITS} bits"),
    )
    return Scene(made(*quantized), panels, tuple(map(_range_words, quantized)))


def fewer(corpus: str, bits: int) -> Scene:
    """Show accuracy over bits, and what both models score and take at `bits`."""
    shelf = curves.read(corpus, noise=0.0)
    rows = require(shelf, [*_float_cells(), *_fitted_cells(bits)])
    found = {model: curves.bit_lines(shelf, model, [FITTED], "accuracy") for model in MODEL_KINDS}
    lines = [replace(line, name=model) for model, of_model in found.items() for line in of_model]
    if not lines:
        raise LackingError(corpus, _fitted_cells(FEW_BITS))
    range_ = curve_charts.near_range(lines)
    figure = curve_charts.curve_figure(
        lines, "bits", y_range=range_, caption=f"{corpus}, {FITTED.name}, weights seed 0"
    )
    figure.add_vline(x=WIDTHS.index(bits), line_color=charts.FLOAT, line_width=1)
    shown = rows[len(MODEL_KINDS) :] or rows
    sentence = "; ".join(_score(shelf, row) for row in shown) + "."
    sizes = tuple(filter(None, map(_size_words, rows[: len(MODEL_KINDS)], shown)))
    return Scene(made(*shown), (Panel("fewer", figure, sentence),), sizes)


def noisy(corpus: str, level: float) -> Scene:
    """Show a sentence with a share `level` of its characters replaced, and accuracy over noise: float and 3 bits."""
    shelf = curves.read(corpus)
    cells: list[Cell] = [
        cell for x in dict.fromkeys((0.0, level)) for cell in [*_float_cells(x), *_fitted_cells(FEW_BITS, x)]
    ]
    rows = [row for row in require(shelf, cells) if row["noise"] == level]
    lines = [line for model in MODEL_KINDS for line in _noise_lines(shelf, model)]
    caption = f"{corpus}, {FITTED.name}, weights seed 0"
    figure = curve_charts.curve_figure(lines, "noise", y_range=curve_charts.near_range(lines), caption=caption)
    figure.add_vline(x=100 * level, line_color=charts.FLOAT, line_width=1)
    scores = ", ".join(f"{r['model']} {width(r['bits'])} {charts.percent(r['accuracy'])}" for r in rows)
    unknown = charts.percent(rows[0]["detail"]["noise"]["oov_rate"])
    sentence = f"With {curve_charts.noise_name(level)} of the characters replaced: {scores}."
    fact = f"In the test text {unknown} of the words are then unknown to the {rows[0]['model']} model."
    text = readings.EXAMPLES[0]
    read = noise.corrupt([text], NoiseSpec(level=level, seed=0), noise.alphabet(readings.EXAMPLES)).texts[0]
    html = (("A sentence with this noise", f"<blockquote>{_marked(text, read)}</blockquote>"),)
    return Scene(made(*rows), (Panel("noisy", figure, sentence),), (fact,), html)


def losses(corpus: str, bits: int) -> Scene:
    """Show how weights and token losses are distributed in float and at `bits`."""
    weights_row, gap = lesson_weights.gap(corpus, bits)
    cells: list[Cell] = [("generative", None, FLOAT_BITS, 0.0), ("generative", FITTED, bits, 0.0)]
    rows = require(curves.read(corpus, noise=0.0), cells[: 1 if bits == FLOAT_BITS else 2])
    found = breakdowns.loss_curves([Loss(width(row["bits"]), row) for row in rows])
    figure = charts.kde_figure(found, y_max=DENSITY_MAX, caption=f"{corpus}, generative, {FITTED.name}")
    panel = Panel("densities", figure, charts.describe_kde(found), "Token losses of the generative model")
    return Scene(made(weights_row, *rows), (gap, panel))


def _float_cells(level: float = 0.0) -> list[Cell]:
    return [(model, None, FLOAT_BITS, level) for model in MODEL_KINDS]


def _fitted_cells(bits: int, level: float = 0.0) -> list[Cell]:
    return [(model, FITTED, bits, level) for model in MODEL_KINDS if bits != FLOAT_BITS]


def _drawn_cells(scheme: str) -> list[Cell]:
    return [(model, replace(DRAWN, calibration=scheme), FEW_BITS, 0.0) for model in MODEL_KINDS]


def _setting(bits: int) -> str:
    return charts.FLOAT_SETTING if bits == FLOAT_BITS else width(bits)


def _answer(reading: Reading, caption: str) -> Panel:
    figure = live_charts.probabilities_figure(reading, None, caption)
    sentence = f"The {reading.model} model says {live_charts.describe_reading(reading)}"
    return Panel(f"answer-{reading.model}", figure, sentence, reading.model.capitalize())


def _surprises(reading: Reading) -> list[tuple[str, str]]:
    """Return a heading and coloured words for the two most probable classes of a generative reading."""
    looks = zip(reading.row.get("surprisals", {}).items(), (charts.GENERATIVE, charts.PURPLE), strict=False)
    return [
        (
            f"Surprise of each word given {name}: {sum(values):.1f} nats in all",
            live_charts.words_html(reading.words, reading.row["known"], values, colour),
        )
        for (name, values), colour in looks
    ]


def _composition_figure(composition: dict[str, int], most: int, caption: str) -> go.Figure:
    names, counts = [charts.escape(name) for name in composition], list(composition.values())
    hover = charts.hover_text("%{x}: %{y:,} documents", sum(counts), caption)
    figure = go.Figure(go.Bar(x=names, y=counts, marker_color=charts.GREEN, hovertemplate=hover))
    figure.update_xaxes(title="class", type="category", dtick=1)
    figure.update_yaxes(title="documents that calibrate", range=(0, 1.05 * most))
    return charts.finish(figure, height=320).update_layout(showlegend=False)


def _range_words(row: Row) -> str:
    site = cell_site(row)
    seen = f"the largest value seen was {site['largest_seen']:.1f}"
    return f"Cell state of the {row['model']} model: its range is {site['range']:.1f}; {seen}."


def cell_site(row: Row) -> dict[str, Any]:
    """Return what calibration set for the cell state of a quantized row: levels, scale, range, largest_seen."""
    found: dict[str, Any] = next(s for s in row["detail"]["calibration"]["sites"] if s["site"] == "cell_state")
    return found


def _score(shelf: Shelf, row: Row) -> str:
    """Say the mean accuracy of the draws of a row's setting."""
    rows = shelf.draws(row["model"], FITTED, row["bits"])
    accuracy = charts.percent(sum(one["accuracy"] for one in rows) / len(rows))
    changes = [change for one in rows if (change := shelf.change(one)) is not None]
    draws = f", mean of {len(rows)} draws" if len(rows) > 1 else ""
    moved = f" ({charts.points(sum(changes) / len(changes))} from float{draws})" if row["bits"] != FLOAT_BITS else ""
    return f"{row['model']} {width(row['bits'])} {accuracy}{moved}"


def _size_words(reference: Row, row: Row) -> str:
    before, after = breakdowns.float_bytes(reference), curves.stored_bytes(row)
    if before is None or after is None:
        return ""
    share = f"{before / after:.1f} times less"
    return f"The {row['model']} model takes {after / MEGABYTE:.2f} MB, float {before / MEGABYTE:.2f} MB: {share}."


def _noise_lines(shelf: Shelf, model: Any) -> list[Line]:
    lines = curves.noise_lines(shelf, model, FITTED, (FLOAT_BITS, FEW_BITS), "accuracy")
    return [replace(line, name=f"{model}, {line.name}", colour=charts.MODEL_COLOURS[model]) for line in lines]


def _marked(before: str, after: str) -> str:
    """Return the second text as HTML with the characters marked that differ from the first."""
    return "".join(
        escape(new) if new == old else f"<mark>{escape(new)}</mark>" for old, new in zip(before, after, strict=True)
    )

"""Stored curves in words: sentences computed from them, captions, CSV, and the command lines for what is missing."""

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from shlex import quote
from typing import Any

from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS, ModelKind
from core.display import charts
from core.display.curve_charts import WIDTHS, Line, Point, noise_name, width_name
from core.display.curves import SETTINGS, Cell, Condition, Measure, Shelf, short_names, summarise
from core.display.downloads import csv_text
from core.storage.store import Row

CSV_COLUMNS = (
    *("corpus", "model", "bits", *SETTINGS, "calibration_seed", "noise", "noise_seed", "seed", "split", "n"),
    *("correct", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "lstm_variance", "key"),
)


def commands(corpus: str, cells: Iterable[Cell]) -> list[str]:
    """Return the command lines that compute these cells, one for each condition."""
    groups: dict[Condition | None, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell[1], []).append(cell)
    return [_command(corpus, condition, group) for condition, group in groups.items()]


def training(corpus: str, models: Iterable[str]) -> list[str]:
    """Return the command lines that train these models."""
    return [f"python -m core train {quote(corpus)} --model {model}" for model in models]


def describe_drop(shelf: Shelf, model: ModelKind, chosen: Sequence[Condition]) -> str:
    """Say where each condition's accuracy without noise is lowest, and how far that is below float, in a sentence."""
    parts = []
    for condition, name in zip(chosen, short_names(chosen), strict=True):
        found = [(bits, summarise(shelf, bits, shelf.draws(model, condition, bits), "change")) for bits in BIT_WIDTHS]
        points = [(bits, point) for bits, point in found if point]
        if points:
            bits, lowest = min(points, key=lambda pair: pair[1].y)
            fall = f"lowest at {bits} bits, {charts.points(lowest.y)} from float"
            parts.append(f"{name}: {fall if round(lowest.y, 1) < 0 else 'nowhere below float'}")
    return f"{model.capitalize()}, {'; '.join(parts)}." if parts else f"{model.capitalize()}: nothing to compare."


def describe_dead(shelf: Shelf, chosen: Sequence[Condition]) -> str:
    """Name the settings without noise whose LSTM gives the same output whatever it reads; "" if none does."""
    parts = []
    for model, (condition, name) in product(MODEL_KINDS, zip(chosen, short_names(chosen), strict=True)):
        drawn = {bits: shelf.draws(model, condition, bits) for bits in BIT_WIDTHS}
        widths = [str(bits) for bits, rows in drawn.items() if any(row["detail"]["dead_lstm"] for row in rows)]
        if widths:
            parts.append(f"{model}, {name} at {', '.join(widths)} bits")
    end = "The output is the same whatever it reads, so accuracy comes from the output layer alone."
    return f"The LSTM is dead: {'; '.join(parts)}. {end}" if parts else ""


def describe_bands(lines: Sequence[Line], measure: Measure) -> str:
    """Say what the bands of these lines are."""
    several = sorted({point.draws for line in lines for point in line.points if point.draws > 1})
    single = "the 95 % Wilson interval" if measure == "accuracy" else "none"
    if not several:
        return f"Band: {single}; every point is a single draw."
    most = str(several[0]) if len(several) == 1 else f"{several[0]} to {several[-1]}"
    return f"Band: smallest to largest of {most} draws where there are several, their mean the line; else {single}."


def caption(shelf: Shelf, chosen: Sequence[Condition]) -> str:
    """Return the configuration that the rows of these conditions share, with seeds and n."""
    rows = [row for row in shelf.rows if row["bits"] == FLOAT_BITS or any(c.covers(row) for c in chosen)]
    shared = [chosen[0].parts[name] for name in SETTINGS if len({c.parts[name] for c in chosen}) == 1]
    draws = sorted({row["calibration_seed"] for row in rows} - {None})
    seeds = f"calibration seeds {', '.join(map(str, draws))}" if draws else "no calibration"
    sizes = ", ".join(charts.count(n) for n in sorted({row["n"] for row in rows}))
    return f"{shelf.corpus}, {', '.join(shared)}, weights seed 0, {seeds}, n = {sizes}"


def describe_noise(lines: Sequence[Line], model: ModelKind) -> str:
    """Say how far each width falls from the least to the most noise."""
    parts = []
    for line in lines:
        first, last = line.points[0], line.points[-1]
        change = f" to {charts.percent(last.y / 100)} ({charts.points(last.y - first.y)})" if last != first else ""
        parts.append(f"{line.name} {charts.percent(first.y / 100)}{change}")
    noise = f" from {noise_name(lines[0].points[0].x)} to {noise_name(lines[0].points[-1].x)} noise" if lines else ""
    return f"{model.capitalize()}{noise}: {', '.join(parts) or 'nothing is stored'}."


def describe_heat(cells: Sequence[Sequence[Point | None]], levels: Sequence[float], measure: Measure) -> str:
    """Name the best and the worst setting of a heat map."""
    found = [
        (point.y, f"{width_name(bits)}{' bits' if bits != FLOAT_BITS else ''} and {noise_name(level)} noise")
        for bits, line in zip(WIDTHS, cells, strict=True)
        for level, point in zip(levels, line, strict=True)
        if point
    ]
    if not found:
        return "No result of this condition is stored."
    (low, worst), (high, best) = min(found), max(found)
    write = charts.points if measure == "change" else lambda y: charts.percent(y / 100)
    return f"Lowest {write(low)} at {worst}; highest {write(high)} at {best}."


def noise_table(shelf: Shelf) -> list[Row]:
    """Return what each noise level did to the text that each model read, as shares; a row for level and model."""
    table = []
    for level, model in product(shelf.levels(), MODEL_KINDS):
        rows = [row for row in shelf.rows if (row["model"], row["noise"]) == (model, level)]
        if rows:
            rates = rows[0]["detail"]["noise"]
            facts = {"Noise dial": noise_name(level), "Model": model, "n": rows[0]["n"]}
            shares = {
                "Characters changed": "character_rate",
                "Unknown words": "oov_rate",
                "Texts cut": "truncation_rate",
            }
            facts |= {title: charts.percent(rates[name]) for title, name in shares.items()}
            table.append(facts | {"Words read, mean": f"{rates['mean_length']:.1f}"})
    return table


def write_csv(rows: Iterable[Row], **more: Callable[[Row], Any]) -> str:
    """Return rows as CSV: their configuration, seeds, n, scores, realised noise and versions; `more` adds columns."""
    rates, table = ("character_rate", "oov_rate"), []
    for row in rows:
        noise = row["detail"]["noise"]
        extra = {name: column(row) for name, column in more.items()}
        versions = json.dumps(row["versions"], sort_keys=True)
        plain = {name: row[name] for name in CSV_COLUMNS}
        table.append(plain | {name: noise[name] for name in rates} | extra | {"versions": versions})
    return csv_text(table, [*CSV_COLUMNS, *rates, *more, "versions"])


def _command(corpus: str, condition: Condition | None, cells: Sequence[Cell]) -> str:
    words = ["python -m core sweep", quote(corpus)]
    models, widths, levels = ({cell[place]: None for cell in cells} for place in (0, 2, 3))
    if len(models) == 1:
        words += [f"--model {model}" for model in models]
    if condition:
        words += [f"--{name} {quote(getattr(condition, name))}" for name in SETTINGS]
    words += [f"--bits {bits}" for bits in widths]
    return " ".join(words + [f"--noise {level:g}" for level in levels if set(levels) != {0.0}])

"""Stored results as curves over bit-width and noise: which rows a condition names, and what is missing.

Rows of models trained by default with weights seed 0, on whole test splits; several draws of a setting, which differ
in their calibration or noise seed, are one point. Computes no results.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Literal

from core import pipeline
from core.config import (
    BIT_WIDTHS,
    FLOAT_BITS,
    HEAD_METHODS,
    MODEL_KINDS,
    PRESETS,
    RANGES,
    CalibrationSpec,
    ModelKind,
    Recipe,
)
from core.display import charts
from core.display.curve_charts import WIDTHS, Line, Point
from core.measurement.stats import wilson_interval
from core.storage.store import Row, Store

Measure = Literal["accuracy", "change"]
Cell = tuple[ModelKind, "Condition | None", int, float]  # model, condition (None: float), bits, noise

Models = Sequence[ModelKind]

SETTINGS = ("preset", "ranges", "head", "calibration")
SCHEMES = ("conditional", "unconditional")
SIZE = {name: CalibrationSpec.model_fields[name].default for name in ("fraction", "count")}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star")
CHOICES: dict[str, tuple[str, ...]] = {
    "preset": PRESETS,
    "ranges": RANGES,
    "head": HEAD_METHODS,
    "calibration": SCHEMES,
}


@dataclass(frozen=True)
class Condition:
    """How a model is quantized, but for the bits and the draw of calibration text."""

    preset: str
    ranges: str
    head: str
    calibration: str

    @property
    def parts(self) -> dict[str, str]:
        """The settings in words, by setting."""
        words = (self.preset, f"{self.ranges} ranges", f"head {self.head}", f"{self.calibration} calibration")
        return dict(zip(SETTINGS, words, strict=True))

    @property
    def name(self) -> str:
        return ", ".join(self.parts.values())

    def covers(self, row: Row) -> bool:
        """Say whether a row is of this condition; at 8 bits the presets are one recipe, whose rows belong to both."""
        same = all(row[name] == getattr(self, name) for name in SETTINGS[1:])
        return same and (row["preset"] == self.preset or row["bits"] == max(BIT_WIDTHS))


@dataclass(frozen=True)
class Shelf:
    """The rows of a corpus that the curves are made of."""

    corpus: str
    rows: tuple[Row, ...]

    def choices(self, setting: str) -> list[str]:
        """Return the stored values of one of SETTINGS, those of the paper's questions first."""
        known = CHOICES[setting]
        found = {row[setting] for row in self.rows if row["bits"] != FLOAT_BITS}
        return sorted(found, key=lambda value: (known.index(value) if value in known else len(known), value))

    def levels(self) -> list[float]:
        """Return the stored noise levels."""
        return sorted({row["noise"] for row in self.rows})

    def draws(self, model: str, condition: Condition | None, bits: int, noise: float = 0.0) -> list[Row]:
        """Return the rows of one setting; float has no condition."""
        return [
            row
            for row in self.rows
            if (row["model"], row["bits"], row["noise"]) == (model, bits, noise)
            and (bits == FLOAT_BITS or (condition is not None and condition.covers(row)))
        ]

    def change(self, row: Row, clean: bool = False) -> float | None:
        """Return accuracy minus float's on the same text, or with `clean` on text without noise, in points."""
        noise, seed = (0.0, 0) if clean else (row["noise"], row["noise_seed"])
        reference = self.draws(row["model"], None, FLOAT_BITS, noise)
        found = next((other for other in reference if other["noise_seed"] == seed), None)
        return None if found is None else 100 * (row["accuracy"] - found["accuracy"])


def read(corpus: str, **filters: object) -> Shelf:
    """Return the rows of a corpus that the app's own settings name. Raises InputError for an unknown corpus."""
    wanted = {"corpus": corpus, "seed": 0, "split": "test", "test_limit": None, "preset": ["float", *PRESETS]}
    rows = Store().results(**wanted, **filters)
    runs = {model: pipeline.resolve(pipeline.specify(corpus, model)).variant.run for model in MODEL_KINDS if rows}
    expected = {model: run.model_dump(mode="json") for model, run in runs.items()}
    kept = (row for row in rows if row["spec"]["variant"]["run"] == expected.get(row["model"]) and _usual(row))
    return Shelf(corpus, tuple(kept))


def conditions(**chosen: Sequence[str]) -> list[Condition]:
    """Return every combination of the chosen settings."""
    return [Condition(*combination) for combination in product(*(chosen[name] for name in SETTINGS))]


def short_names(chosen: Sequence[Condition]) -> list[str]:
    """Return each condition's name by the settings in which these differ; the full name where there is one alone."""
    differing = [name for name in SETTINGS if len({getattr(condition, name) for condition in chosen}) > 1]
    return [", ".join(condition.parts[name] for name in differing or SETTINGS) for condition in chosen]


def bit_lines(shelf: Shelf, model: ModelKind, chosen: Sequence[Condition], measure: Measure) -> list[Line]:
    """Return a line over bits for each condition that has a quantized row."""
    lines = []
    for place, (condition, name) in enumerate(zip(chosen, short_names(chosen), strict=True)):
        found = [(bits, shelf.draws(model, condition, bits)) for bits in WIDTHS]
        points = [point for bits, rows in found if (point := summarise(shelf, bits, rows, measure))]
        if any(point.x != FLOAT_BITS for point in points):
            lines.append(_line(name, charts.MODEL_COLOURS[model], points, place))
    return lines


def noise_lines(
    shelf: Shelf, model: ModelKind, condition: Condition, widths: Sequence[int], measure: Measure
) -> list[Line]:
    """Return a line over noise for each bit-width that has a row."""
    lines = []
    for place, bits in enumerate(widths):
        found = [(level, shelf.draws(model, condition, bits, level)) for level in shelf.levels()]
        points = [point for level, rows in found if (point := summarise(shelf, level, rows, measure))]
        name = "float" if bits == FLOAT_BITS else f"{bits} bits"
        colour = charts.FLOAT if bits == FLOAT_BITS else charts.MODEL_COLOURS[model]
        if points:
            lines.append(_line(name, colour, points, place))
    return lines


def heat_cells(shelf: Shelf, model: ModelKind, condition: Condition, measure: Measure) -> list[list[Point | None]]:
    """Return a point for each bit-width (rows, float first) and stored noise level; changes are from clean float."""
    return [
        [
            summarise(shelf, level, shelf.draws(model, condition, bits, level), measure, clean=True)
            for level in shelf.levels()
        ]
        for bits in WIDTHS
    ]


def summarise(shelf: Shelf, x: float, rows: Sequence[Row], measure: Measure, clean: bool = False) -> Point | None:
    """Return the mean over the draws of a setting; None without rows.

    The band spans the draws where there are several; else it is the 95% Wilson interval of an accuracy, and none of a
    change, whose interval the rows do not hold.
    """
    values = [100 * r["accuracy"] if measure == "accuracy" else shelf.change(r, clean) for r in rows]
    known = [value for value in values if value is not None]
    if not known:
        return None
    mean = sum(known) / len(known)
    low, high = min(known), max(known)
    if len(known) == 1 and measure == "accuracy":
        low, high = (100 * bound for bound in wilson_interval(rows[0]["correct"], rows[0]["n"]))
    return Point(x, mean, low, high, rows[0]["n"], len(known))


def grid(
    chosen: Sequence[Condition], levels: Sequence[float], widths: Sequence[int] = WIDTHS, models: Models = MODEL_KINDS
) -> list[Cell]:
    """Return every setting of a page: float once, each other bit-width once for each condition."""
    plain: list[Cell] = [(m, None, FLOAT_BITS, x) for m in models for x in levels if FLOAT_BITS in widths]
    quantized = product(models, chosen, (bits for bits in widths if bits != FLOAT_BITS), levels)
    return plain + list(quantized)


def rows_of(shelf: Shelf, cells: Iterable[Cell]) -> list[Row]:
    """Return the stored rows of these cells, each once."""
    return list({row["key"]: row for cell in cells for row in shelf.draws(*cell)}.values())


def missing(shelf: Shelf, cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells that have no row."""
    return [cell for cell in cells if not shelf.draws(*cell)]


def majority_share(shelf: Shelf) -> float:
    """Return what always naming the most frequent class of the test split would score, in [0, 1]."""
    return shelf.rows[0]["detail"]["majority_share"]


def stored_bytes(row: Row) -> int | None:
    """Return the bytes of a quantized row's packed weights and biases, None where it does not say."""
    sizes = row["detail"]["calibration"].get("stored_bytes")
    return sum(sizes.values()) if sizes else None


def _usual(row: Row) -> bool:
    """Say whether a row's recipe is the one that its columns name, and its calibration set of the usual size."""
    variant = row["spec"]["variant"]
    if row["bits"] == FLOAT_BITS:
        return True
    recipe = _recipe(row["preset"], row["bits"], row["head"], row["ranges"])
    return variant["recipe"] == recipe and SIZE.items() <= variant["calibration"].items()


@cache
def _recipe(preset: Any, bits: int, head: str, ranges: str) -> Row:
    return Recipe.preset(preset, bits, head=head, ranges=ranges).model_dump(mode="json")


def _line(name: str, colour: str, points: Sequence[Point], place: int) -> Line:
    return Line(name, colour, tuple(points), DASHES[place % len(DASHES)], SYMBOLS[place % len(SYMBOLS)])

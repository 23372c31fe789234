"""Stored results as the material of a study: which rows a setting names, and the numbers taken from each.

A setting is a dict of columns and the facts added here: `measure` ("evaluation" or "distance"), `train_noise`,
`cell_range` (None: not fixed), `coverage` (which share of the classes calibrated: COVERAGES) and `cell_step`
(CELL_STEPS). What a setting leaves out is at DEFAULTS; ANY takes every value.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS, PAPER_PERCENTILE, PRESETS
from core.storage.store import Row
from core.verdicts.draws import share_variance

Setting = Mapping[str, Any]
Unit = tuple[int | None, int | None, int | None]  # seeds of weights, calibration and noise; None goes with every seed

ANY = object()
DEFAULTS: Setting = {"measure": "evaluation", "noise": 0.0, "train_noise": 0.0, "cell_range": None, "head": "gpfq"}
COVERAGES = ("three quarters", "half", "one class")
CELL_STEPS = ("frozen", "moving")

_QUANTIZES = ("preset", "ranges", "head", "calibration", "coverage", "cell_range", "cell_step")
_SETTING = ("corpus", "model", "preset", "head", "ranges", "calibration", "noise", "train_noise", "cell_range")
_SEEDS = ("seed", "calibration_seed", "noise_seed")
_INDEXED = ("corpus", "model", "bits")
_IDENTITY = ("bits", *_SETTING, *_SEEDS)
_FLOAT = {"bits": FLOAT_BITS, "preset": "float", "cell_range": None}
_FLOAT |= dict.fromkeys(("head", "ranges", "calibration", "calibration_seed"))


@dataclass(frozen=True)
class Value:
    """One number of one row, and what drawing other test documents would do to it (variance; 0: not known)."""

    value: float
    variance: float = 0.0


@dataclass(frozen=True)
class Quantity:
    """What is read off a row; `unit` follows the number, `digits` are those shown.

    `of_all_draws`: the mean is a count over the draws, which claims on every draw are about; it has no interval.
    """

    name: str
    unit: str
    digits: int
    read: Callable[["StudyRows", Row], Value | None]
    of_all_draws: bool = False


class StudyRows:
    """The rows a study is about, and distances: our evaluator, whole splits, the published percentile, the usual share
    of calibration text; of each corpus one text and of each model one way of training, those of most rows.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        one_text = _usual([_with_facts(row) for row in rows if _belongs(row)], ("corpus",), "content")
        self.rows = _usual(one_text, ("corpus", "model"), "training")
        self._by_identity = {_identity(row): row for row in self.rows}
        self._by_model: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows:
            self._by_model.setdefault(_of(row, _INDEXED), []).append(row)

    def select(self, setting: Setting) -> list[Row]:
        """Return the rows of a setting, in the order of their seeds."""
        index = tuple(setting.get(name) for name in _INDEXED)
        near = self.rows if None in index else self._by_model.get(index, [])
        chosen = [row for row in near if _matches(row, {**DEFAULTS, **setting})]
        return sorted(chosen, key=lambda row: [row[name] or 0 for name in _SEEDS])

    def sibling(self, row: Row, **changes: Any) -> Row | None:
        """Return the row that differs from `row` by `changes` alone, or None."""
        return self._by_identity.get(_identity({**row, **changes}))

    def values(self, quantity: str, setting: Setting) -> dict[Unit, Value]:
        """Return the quantity by seeds; rows of the same seeds, such as other calibration classes, are averaged."""
        groups: dict[Unit, list[Value]] = {}
        for row in self.select(setting):
            if (found := QUANTITIES[quantity].read(self, row)) is not None:
                groups.setdefault(_unit(row), []).append(found)
        return {unit: mean_value(values) for unit, values in groups.items()}


def mean_value(values: Collection[Value]) -> Value:
    """Return the mean of numbers on the same documents: their sampling does not average out."""
    n = len(values)
    return Value(sum(v.value for v in values) / n, sum(v.variance for v in values) / n)


def distance_row(found: Row) -> Row:
    """Turn a stored distance between two calibration draws (see `pipeline.find_distance`) into a row of a study."""
    label = f"{found['first']} against {found['second']}"
    columns = {"key": found["key"], "corpus": found["corpus"], "model": found["model"], "seed": found["seed"]}
    draw = {"calibration": label, "calibration_seed": found["draw"], "n": min(found["documents"])}
    rest = {"noise": 0.0, "noise_seed": 0, "head": None, "ranges": None, "measure": "distance"}
    whole = {"bits": FLOAT_BITS, "preset": "float", "detail": {"ks": found["ks"]}, "spec": found["spec"]}
    return {**whole, **columns, **draw, **rest}


def _belongs(row: Row) -> bool:
    if row.get("measure") == "distance":
        return True
    variant = row["spec"]["variant"]
    recipe, calibration = variant.get("recipe") or {}, variant.get("calibration") or {}
    return (
        row["model"] in MODEL_KINDS
        and row["preset"] in ("float", *PRESETS)
        and variant["run"]["train"].get("limit") is None
        and recipe.get("percentile", PAPER_PERCENTILE) == PAPER_PERCENTILE
        and recipe.get("head_scales", "one") == "one"
        and calibration.get("count") is None
        and calibration.get("fraction", 0.25) == 0.25
    )


def _usual(rows: list[Row], group: tuple[str, ...], fact: str) -> list[Row]:
    """Keep the rows that have of a fact what most rows of their group have."""
    most: dict[Any, Any] = {}
    for (name, found), _ in Counter((_of(row, group), row[fact]) for row in rows).most_common():
        most.setdefault(name, found)
    return [row for row in rows if row[fact] == most[_of(row, group)]]


def _of(row: Row, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def _training(run: Row) -> Row:
    """Return which text a run reads and how it trains, apart from its seed and noise."""
    train = {name: value for name, value in run["train"].items() if name not in ("seed", "noise")}
    return {"content": run["corpus"]["content"], "training": json.dumps({**run, "train": train}, sort_keys=True)}


def _with_facts(row: Row) -> Row:
    if row.get("measure") == "distance":
        none = dict.fromkeys(("cell_range", "coverage", "cell_step"))
        return row | {"train_noise": 0.0, **none, **_training(row["spec"]["run"])}
    variant = row["spec"]["variant"]
    cell_range = (variant.get("recipe") or {}).get("cell_range")
    facts = {"measure": "evaluation", **_training(variant["run"])}
    facts |= {"train_noise": variant["run"]["train"].get("noise", 0.0)}
    facts |= {"coverage": _coverage(row), "cell_range": cell_range, "cell_step": _cell_step(cell_range, row["bits"])}
    return row | facts


def _coverage(row: Row) -> str | None:
    """Name the share of the classes that calibrated, rounded up as a study does; None for all, or another share."""
    drawn, classes = row["spec"]["variant"].get("calibration") or {}, len(row["detail"]["class_names"])
    counts = {1: COVERAGES[2], math.ceil(classes / 2): COVERAGES[1], math.ceil(3 * classes / 4): COVERAGES[0]}
    return counts.get(len(drawn["classes"])) if drawn.get("scheme") == "classes" else None


def _cell_step(cell_range: float | None, bits: int) -> str | None:
    """Say whether a fixed cell state can move: one word adds at most 1, a step is range / 2^(bits-1).

    "frozen" where half a step is 1 or more, "moving" where it is a quarter or less.
    """
    if cell_range is None:
        return None
    half_step = cell_range / 2**bits
    return CELL_STEPS[0] if half_step >= 1 else CELL_STEPS[1] if half_step <= 0.25 else None


def _matches(row: Row, setting: Setting) -> bool:
    return all(_agrees(row, name, wanted) for name, wanted in setting.items())


def _agrees(row: Row, name: str, wanted: Any) -> bool:
    if wanted is ANY or (name in _QUANTIZES and row["bits"] == FLOAT_BITS):
        return True
    if name == "preset" and row["bits"] == max(BIT_WIDTHS):  # there all presets are one recipe
        return True
    if wanted is None or not isinstance(wanted, float):
        return row[name] == wanted
    return row[name] is not None and math.isclose(row[name], wanted, abs_tol=1e-9)


def _identity(row: Row) -> tuple[Any, ...]:
    preset = PRESETS[0] if row["bits"] == max(BIT_WIDTHS) else row["preset"]
    return (row["measure"], *({**row, "preset": preset}[name] for name in _IDENTITY))


def _unit(row: Row) -> Unit:
    return row["seed"], row["calibration_seed"], row["noise_seed"] if row["noise"] else None


def _accuracy(_: StudyRows, row: Row) -> Value:
    return Value(100 * row["correct"] / row["n"], 1e4 * share_variance(row["correct"], row["n"]))


def _minus(reference: Row | None, row: Row) -> Value | None:
    if reference is None:
        return None
    now, before = (
        Value(100 * r["correct"] / r["n"], 1e4 * share_variance(r["correct"], r["n"])) for r in (row, reference)
    )
    return Value(now.value - before.value, now.variance + before.variance)


def _distance(site: str) -> Callable[[StudyRows, Row], Value | None]:
    def read(_: StudyRows, row: Row) -> Value | None:
        found = row["detail"].get("ks", {}).get(site)
        return Value(found["statistic"]) if found else None

    return read


def _loss(part: str) -> Callable[[StudyRows, Row], Value | None]:
    def read(_: StudyRows, row: Row) -> Value | None:
        found = row["detail"].get("densities", {}).get("token_losses")
        return Value(found[part]) if found else None

    return read


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("accuracy", "%", 1, _accuracy),
        Quantity("change from float", "points", 1, lambda rows, row: _minus(rows.sibling(row, **_FLOAT), row)),
        Quantity(
            "change from clean text",
            "points",
            1,
            lambda rows, row: _minus(rows.sibling(row, noise=0.0, noise_seed=0), row),
        ),
        Quantity("KS D of head weights", "", 3, _distance("head weights")),
        Quantity("KS D of embedding", "", 3, _distance("embedding")),
        Quantity("KS D of LSTM output", "", 3, _distance("lstm")),
        Quantity("KS D of head output", "", 3, _distance("head")),
        Quantity("median token loss", "nats", 2, _loss("median")),
        Quantity("variance of the LSTM's output", "", 3, lambda _, row: Value(row["lstm_variance"])),
        Quantity("share of dead LSTMs", "", 2, lambda _, row: Value(float(row["detail"]["dead_lstm"])), True),
    )
}

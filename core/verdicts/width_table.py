"""Every bit-width against float, and the two models against each other, document by document, from stored rows.

The predictions are read, never made: where a result is stored without them, what needs them is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS
from core.measurement import results, stats
from core.storage.store import Row, Store
from core.verdicts.study_rows import Setting, StudyRows

Outcome = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Pairing:
    """Two rows of the same documents, the second against the first, and what compares them."""

    comparison: str
    bits: int
    first: Row
    second: Row


def width_table(rows: StudyRows, setting: Setting, store: Store) -> list[Row]:
    """Return a row for each comparison and width of a setting (corpus, preset, ranges, calibration), widest first.

    Comparisons: each model against its float, and discriminative against generative at one width; of the draws the
    first that both sides have. Accuracies in % with Wilson intervals; Difference in points with its paired
    bootstrap interval; McNemar's p as it is and after Holm's correction over the widths of a comparison; flips in %
    of documents; KL in nats per document; D of the head's weights against float and the smaller sample behind it.
    """
    pairings = _against_float(rows, setting) + _between_models(rows, setting)
    kept: dict[str, Outcome | None] = {}
    for row in {row["key"]: row for pairing in pairings for row in (pairing.first, pairing.second)}.values():
        kept[row["key"]] = results.load_outcome(store, row["key"])
    table = [_line(pairing, kept[pairing.first["key"]], kept[pairing.second["key"]]) for pairing in pairings]
    _correct(table)
    return table


def _against_float(rows: StudyRows, setting: Setting) -> list[Pairing]:
    pairings = []
    for model in MODEL_KINDS:
        floats = {row["seed"]: row for row in rows.select({**setting, "model": model, "bits": FLOAT_BITS})}
        for bits in BIT_WIDTHS:
            chosen = rows.select({**setting, "model": model, "bits": bits})
            pairs = [(floats[row["seed"]], row) for row in chosen if row["seed"] in floats]
            pairings += [Pairing(f"{model} against float", bits, *pair) for pair in pairs[:1]]
    return pairings


def _between_models(rows: StudyRows, setting: Setting) -> list[Pairing]:
    pairings = []
    for bits in (FLOAT_BITS, *BIT_WIDTHS):
        sides = [rows.select({**setting, "model": model, "bits": bits}) for model in MODEL_KINDS]
        by_seeds = [{(row["seed"], row["calibration_seed"]): row for row in side} for side in sides]
        pairs = [(row, by_seeds[1][seeds]) for seeds, row in by_seeds[0].items() if seeds in by_seeds[1]]
        pairings += [Pairing("discriminative against generative", bits, *pair) for pair in pairs[:1]]
    return pairings


def _line(pairing: Pairing, first: Outcome | None, second: Outcome | None) -> Row:
    row, found = pairing.second, None
    if first and second and np.array_equal(first["labels"], second["labels"]):
        found = results.contrast(first, second)
    low, high = stats.wilson_interval(row["correct"], row["n"])
    line: dict[str, Any] = {"Comparison": pairing.comparison, "Bits": pairing.bits, "n": row["n"]}
    line |= {"Draw": row["calibration_seed"], "Accuracy (%)": 100 * row["accuracy"]}
    line |= {"Low (%)": 100 * low, "High (%)": 100 * high}
    line["Difference (points)"] = 100 * (row["accuracy"] - pairing.first["accuracy"])
    line |= dict.fromkeys(("Difference low", "Difference high", "McNemar p", "Holm p", "Flips (%)", "KL (nats)"))
    if found:
        line |= {f"Difference {end}": 100 * found["difference"][end] for end in ("low", "high")}
        line |= {"McNemar p": found["mcnemar"]["pvalue"], "KL (nats)": found["kl"]}
        line["Flips (%)"] = 100 * stats.Flips(**found["flips"]).changed_share
    weights = row["detail"].get("ks", {}).get("head weights") if pairing.first["bits"] == FLOAT_BITS else None
    line |= {"KS D": weights["statistic"], "KS n": min(weights["n"], weights["m"])} if weights else _NO_KS
    return line


_NO_KS: Row = {"KS D": None, "KS n": None}


def _correct(table: list[Row]) -> None:
    """Fill in Holm's correction, over the widths of each comparison that have a p-value."""
    for comparison in dict.fromkeys(line["Comparison"] for line in table):
        lines = [line for line in table if line["Comparison"] == comparison and line["McNemar p"] is not None]
        for line, adjusted in zip(
            lines, stats.holm([line["McNemar p"] for line in lines]) if lines else (), strict=True
        ):
            line["Holm p"] = float(adjusted)

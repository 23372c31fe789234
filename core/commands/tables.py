"""Stored results as Markdown, for READMEs and papers."""

from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS
from core.errors import InputError
from core.measurement import stats
from core.storage.store import Row, Store

DEAD_MARK = "†"
SCHEMES = (None, "conditional", "unconditional")
SETTINGS = ("preset", "ranges", "head", "calibration")


def accuracy_table(corpus: str, seed: int = 0) -> str:
    """Return accuracy in percent by bit-width for every stored preset, range rule, head and scheme of both models.

    Without noise, in the text or in training, classes left out of calibration, or a range set by hand. A cell is the
    mean over the stored calibration seeds, with their number where there are several, and the variance of the LSTM's
    output behind a slash; DEAD_MARK stands where the output is constant.
    Raises InputError if the store has no such results.
    """
    rows = Store().results(corpus=corpus, noise=0.0, seed=seed, split="test", test_limit=None)
    rows = [row for row in rows if _is_plain(row)]
    if not rows:
        raise InputError(f"the store has no results for {corpus!r}; run sweep {corpus} first")
    parts = ([row for row in rows if row["model"] == model] for model in MODEL_KINDS)
    return "\n\n".join(_model_table(part) for part in parts if part)


def _model_table(rows: list[Row]) -> str:
    plain = next((row for row in rows if row["bits"] == FLOAT_BITS), None)
    start = f"float {100 * plain['accuracy']:.2f} %, n = {plain['n']:,}" if plain else "no float result"
    widths = [str(bits) for bits in BIT_WIDTHS]
    lines = [
        f"**{rows[0]['model'].capitalize()}** ({start})",
        "",
        _line([*SETTINGS, *widths]),
        _line(["---"] * 4 + ["--:"] * 6),
    ]
    settings = sorted({tuple(row[name] for name in SETTINGS) for row in rows if row["bits"] != FLOAT_BITS})
    for setting in settings:
        cells = (_cell([row for row in rows if row["bits"] == bits and _is(row, setting)]) for bits in BIT_WIDTHS)
        lines.append(_line([*setting, *cells]))
    return "\n".join(lines)


def _is_plain(row: Row) -> bool:
    variant = row["spec"]["variant"]
    by_hand = (variant["recipe"] or {}).get("cell_range") or variant["run"]["train"].get("noise")
    return row["preset"] != "float-in-brevitas" and row["calibration"] in SCHEMES and not by_hand


def _is(row: Row, setting: tuple[str, ...]) -> bool:
    """Say whether a row has a setting; at 8 bits the presets are one recipe, whose rows belong to both."""
    preset, *others = setting
    return [row[name] for name in SETTINGS[1:]] == others and (
        row["preset"] == preset or row["bits"] == max(BIT_WIDTHS)
    )


def _cell(rows: list[Row]) -> str:
    if not rows:
        return ""
    accuracy = sum(row["accuracy"] for row in rows) / len(rows)
    variance = sum(row["lstm_variance"] for row in rows) / len(rows)
    draws = f" ({len(rows)} draws)" if len(rows) > 1 else ""
    dead = DEAD_MARK if any(stats.dead_signal(row["lstm_variance"]) for row in rows) else ""
    return f"{100 * accuracy:.1f}{dead} / {variance:.2f}{draws}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"

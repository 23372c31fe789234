"""Stored results and what they say of the study, as Markdown for READMEs and papers."""

from collections.abc import Sequence
from itertools import product
from typing import NoReturn

from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS
from core.errors import InputError
from core.measurement import stats
from core.storage.store import Row, Store
from core.verdicts import paper
from core.verdicts.paper_figures import figure_of
from core.verdicts.redo_claims import CLAIMS
from core.verdicts.study_rows import StudyRows

DEAD_MARK = "†"
SCHEMES = (None, "conditional", "unconditional")
SETTINGS = ("preset", "ranges", "head", "calibration")
SUMMARY_RANGES = ("fitted", "percentile")
SUMMARY_WIDTHS = (4, 3)


INTRODUCTION = f"""# Results of the study

Printed by `python -m core table` from the store: float weights of seed 0 on the corpus's test documents, calibration
seed 0 or, where a cell says so, the mean over several draws. A cell is accuracy in percent / variance of the LSTM's
output; {DEAD_MARK} marks a dead LSTM, whose output does not depend on the text; an empty cell was not computed.

`conditional` calibration asks every class for equally many documents, `unconditional` draws without regard to class.
`round` rounds the output layer, `gpfq` refines it by greedy path-following quantization against the float model,
`gpfq-stock` is GPFQ as Brevitas runs it, whose LSTM stays quantized in the float pass."""


def results_page(corpora: Sequence[str]) -> str:
    """Return all there is on these corpora as one Markdown page: low widths, verdicts, then every stored setting.

    Raises InputError for a corpus without results.
    """
    parts = [
        INTRODUCTION,
        "## Everything at 4 and 3 bits",
        summary_table(corpora),
        "## What agrees with the paper, and what does not",
        verdict_table(verdicts(corpora)),
    ]
    for corpus in corpora:
        parts += [f"## {corpus}", accuracy_table(corpus)]
    return "\n\n".join(parts)


def summary_table(corpora: Sequence[str]) -> str:
    """Return one line for each corpus and model: in float, and everything at 4 and 3 bits by either range rule.

    GPFQ, class-conditional calibration; cells as in `accuracy_table`. Raises InputError for a corpus without results.
    """
    columns = [(ranges, bits) for ranges in SUMMARY_RANGES for bits in SUMMARY_WIDTHS]
    heads = ["corpus", "model", "float", *(f"{bits} bits, {ranges}" for ranges, bits in columns)]
    lines = [_line(heads), _line(["---"] * 2 + ["--:"] * (len(heads) - 2))]
    stored = {corpus: _plain_rows(corpus, seed=0) for corpus in corpora}
    for corpus, model in product(corpora, MODEL_KINDS):
        rows = [row for row in stored[corpus] if row["model"] == model]
        plain = [row for row in rows if row["bits"] == FLOAT_BITS]
        cells = [_cells(rows, ("uniform", ranges, "gpfq", "conditional"), bits) for ranges, bits in columns]
        lines.append(_line([corpus, model, _cell(plain), *cells]))
    return "\n".join(lines)


def accuracy_table(corpus: str, seed: int = 0) -> str:
    """Return accuracy in percent by bit-width for every stored preset, range rule, head and scheme of both models.

    Without noise, in the text or in training, classes left out of calibration, or a range set by hand. A cell is the
    mean over the stored calibration seeds, with their number where there are several, and the variance of the LSTM's
    output behind a slash; DEAD_MARK stands where the output is constant.
    Raises InputError if the store has no such results.
    """
    rows = _plain_rows(corpus, seed)
    parts = ([row for row in rows if row["model"] == model] for model in MODEL_KINDS)
    return "\n\n".join(_model_table(part) for part in parts if part)


def verdicts(corpora: Sequence[str]) -> list[Row]:
    """Return each claim of the study with its verdict on each corpus, in the paper's order.

    A row has figure, section, claim, rule (what the verdict follows from), verdicts and explanations by corpus.
    Raises InputError for a corpus without results.
    """
    found = {corpus: paper.judge_all(_study_rows(corpus), [corpus]) for corpus in corpora}
    return [
        {
            "figure": figure_of(claim.figure).source,
            "section": claim.section,
            "claim": claim.sentence,
            "rule": claim.rule,
            "verdicts": {corpus: found[corpus][place].words for corpus in corpora},
            "explanations": {corpus: found[corpus][place].explanation for corpus in corpora},
        }
        for place, claim in enumerate(CLAIMS)
    ]


def verdict_table(rows: Sequence[Row]) -> str:
    """Return what `verdicts` gave as a table, a column for each corpus."""
    corpora = list(rows[0]["verdicts"])
    lines = [_line(["figure", "whose", "claim", *corpora]), _line(["---"] * (3 + len(corpora)))]
    lines += [_line([row["figure"], _whose(row), row["claim"], *row["verdicts"].values()]) for row in rows]
    return "\n".join(lines)


def _whose(row: Row) -> str:
    """Say whose claim it is: "the paper, section 5.2", "a redo of the study" or "ours"."""
    section: str = row["section"]
    return {"ours": "ours", "redo of the study": "a redo of the study"}.get(section, f"the paper, {section}")


def _study_rows(corpus: str) -> StudyRows:
    rows = paper.read([corpus])
    return rows if rows.rows else _refuse(corpus)


def _plain_rows(corpus: str, seed: int) -> list[Row]:
    rows = Store().results(corpus=corpus, noise=0.0, seed=seed, split="test", test_limit=None)
    return [row for row in StudyRows(rows).rows if _is_plain(row)] or _refuse(corpus)


def _refuse(corpus: str) -> NoReturn:
    raise InputError(f"the store has no results for {corpus!r}; run sweep {corpus} first")


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
        lines.append(_line([*setting, *(_cells(rows, setting, bits) for bits in BIT_WIDTHS)]))
    return "\n".join(lines)


def _is_plain(row: Row) -> bool:
    return row["calibration"] in SCHEMES and row["cell_range"] is None and not row["train_noise"]


def _is(row: Row, setting: tuple[str, ...]) -> bool:
    """Say whether a row has a setting; at 8 bits the presets are one recipe, whose rows belong to both."""
    preset, *others = setting
    return [row[name] for name in SETTINGS[1:]] == others and (
        row["preset"] == preset or row["bits"] == max(BIT_WIDTHS)
    )


def _cells(rows: list[Row], setting: tuple[str, ...], bits: int) -> str:
    return _cell([row for row in rows if row["bits"] == bits and _is(row, setting)])


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

"""What the Methods page shows, read from the store: a transformer's compression methods beside float and the reports.

Whole test splits only. Computes no results.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

import numpy as np

from core import pipeline
from core.config import FLOAT_BITS, MODEL_KINDS, CorpusSpec, ModelKind
from core.display.charts import per_class_table
from core.display.method_charts import Dot, Place
from core.measurement import results
from core.measurement.stats import Ints, classification_report
from core.storage.store import Row, Store
from core.transformers import transformer_rows
from core.transformers.published import AG_NEWS, CLASS_SCORES, REPORTS, Report
from core.transformers.transformer_config import METHOD_BITS, METHODS, Method, TransformerKind

LSTM_BITS = (FLOAT_BITS, 3)
if TYPE_CHECKING:
    import pandas as pd

NONE = "none stored yet"
Table = list[Row]


@dataclass(frozen=True)
class Entry:
    """One method: `row` is None if it is not stored, and has no accuracy if this machine cannot run the method.

    `contrast` is its difference from float on the same documents (`results.contrast`), None without both predictions.
    """

    label: str
    method: Method
    row: Row | None
    contrast: Row | None = None
    compression: float | None = None
    speed_up: float | None = None

    @property
    def measured(self) -> bool:
        return self.row is not None and self.row["accuracy"] is not None


@dataclass(frozen=True)
class Comparison:
    """All methods of one fine-tuned base at one noise level, float first, and the LSTMs of the same documents."""

    kind: TransformerKind
    corpus: str
    base: str
    noise: float
    noise_seed: int
    entries: tuple[Entry, ...]
    lstms: tuple[Row, ...]

    @property
    def shown(self) -> tuple[Entry, ...]:
        """The methods that have numbers."""
        return tuple(entry for entry in self.entries if entry.measured)

    @property
    def report(self) -> Report | None:
        """The report on this corpus and kind of model; its numbers are of text without noise."""
        report = REPORTS[self.kind]
        return report if (report.corpus, 0.0) == (self.corpus, self.noise) else None

    @property
    def caption(self) -> str:
        """The configuration in words."""
        start = f"{self.corpus}, test split, {self.kind}: {self.base}, noise {self.noise:g}"
        if not self.shown:
            return start
        row = self.shown[0].row or {}
        return f"{start}, torch {row['versions'].get('torch', '?')}, transformers {_version(row)}"


def corpora_of(kind: TransformerKind) -> list[str]:
    """Name the corpora to choose from: the report's, then every other one that has rows of this kind."""
    stored = {row["corpus"] for row in Store().results(model=kind, split="test", test_limit=None)}
    return [REPORTS[kind].corpus, *sorted(stored - {REPORTS[kind].corpus})]


def read(kind: TransformerKind, corpus: str) -> dict[str, list[Row]]:
    """Return the stored rows by the fine-tuned float model they come from, named by its base and training."""
    by_run: dict[str, list[Row]] = {}
    for row in Store().results(model=kind, corpus=corpus, split="test", test_limit=None):
        by_run.setdefault(json.dumps(row["spec"]["variant"]["run"], sort_keys=True), []).append(row)
    names = [_name(rows[0]) for rows in by_run.values()]
    return {
        name + (f" ({names[:place].count(name) + 1})" if names.count(name) > 1 else ""): rows
        for place, (name, rows) in enumerate(zip(names, by_run.values(), strict=True))
    }


def noise_levels(rows: Sequence[Row]) -> list[float]:
    """Return the stored noise levels, 0 always among them."""
    return sorted({0.0, *(row["noise"] for row in rows)})


def compare(kind: TransformerKind, corpus: str, base: str, rows: Sequence[Row], noise: float = 0.0) -> Comparison:
    """Set the methods of one fine-tuned model side by side, at the first stored seed of a noise level.

    Of several rows of a method the newest is taken.
    """
    at_level = [row for row in rows if row["noise"] == noise]
    seed = min((row["noise_seed"] for row in at_level), default=0)
    found = sorted((row for row in at_level if row["noise_seed"] == seed), key=lambda row: row["created"])
    newest = {(row["preset"], row["ranges"]): row for row in found}
    reference = newest.get(("float", None))
    entries = [
        _entry(method, mapping, newest.get((method, mapping)), reference)
        for method in METHODS[kind]
        for mapping in _mappings(method, newest)
    ]
    specs = [CorpusSpec.model_validate(row["spec"]["variant"]["run"]["corpus"]) for row in found[:1]]
    lstms = [row for spec in specs for row in _lstms(spec, noise, seed)]
    return Comparison(kind, corpus, base, noise, seed, tuple(entries), tuple(lstms))


def table(found: Comparison) -> Table:
    """Return a row for each method: scores in percent, sizes in MB, times in ms, differences from float."""
    return [_line(found, entry) for entry in found.entries]


def missing(found: Comparison) -> list[str]:
    """Return the commands that make the results that are not stored."""
    return [_command(found, entry.method) for entry in found.entries if entry.row is None]


def refusals(found: Comparison) -> list[str]:
    """Say which methods the machine that tried could not run, and why."""
    tried = [(entry.label, entry.row) for entry in found.entries if entry.row and entry.row["accuracy"] is None]
    return [f"{label} cannot run on {machine(row)}: {row['detail'].get('reason', '')}" for label, row in tried]


def dots(found: Comparison) -> list[Dot]:
    """Return the accuracies to draw: ours, the report's, and the LSTMs'."""
    ours = [_dot(entry.label, entry.row) for entry in found.shown if entry.row]
    theirs = _published_dots(found.report) if found.report else []
    lstms = [
        _dot(f"{row['model']} LSTM, {'float' if row['bits'] == FLOAT_BITS else str(row['bits']) + ' bits'}", row)
        for row in found.lstms
    ]
    return [*ours, *theirs, *lstms]


def places(found: Comparison) -> dict[str, list[Place]]:
    """Return size and latency of the measured methods by the machine they were measured on."""
    by_machine: dict[str, list[Place]] = {}
    for entry in found.shown:
        if entry.row:
            detail, place = entry.row["detail"], by_machine.setdefault(machine(entry.row), [])
            place.append(Place(entry.label, detail["size_mb"], detail["latency_ms_per_batch"], entry.row["bits"]))
    return by_machine


def published_places(found: Comparison) -> list[Place]:
    """Return the report's sizes and latencies, if it gives both."""
    rows = found.report.rows if found.report else ()
    return [Place(row.name, row.size_mb, row.time_ms, METHOD_BITS[row.method]) for row in rows if row.size_mb]


def scores(found: Comparison) -> dict[str, tuple[float, float, float]]:
    """Return macro precision, recall and F1 (shares) of each measured method."""
    rows = {entry.label: entry.row for entry in found.shown if entry.row}
    return {
        label: (row["detail"]["macro_precision"], row["detail"]["macro_recall"], row["macro_f1"])
        for label, row in rows.items()
    }


def documents(found: Comparison) -> int:
    """Return on how many documents the methods were measured; 0 if none was."""
    return next((entry.row["n"] for entry in found.shown if entry.row), 0)


def confusion(found: Comparison, entry: Entry) -> tuple[Ints, list[str], Ints | None]:
    """Return a measured method's counts (C, C), the class names, and float's counts if of as many documents."""
    assert entry.row is not None
    detail, start = entry.row["detail"], found.entries[0].row
    same = start is not None and start["n"] == entry.row["n"]
    reference = np.asarray(start["detail"]["confusion"]) if start and same else None
    return np.asarray(detail["confusion"]), detail["class_names"], reference


def class_table(found: Comparison, entry: Entry) -> "pd.DataFrame":
    """Return precision, recall, F1 and support of each class, the change of F1 from float, and what is published."""
    counts, names, reference = confusion(found, entry)
    before = None if reference is None or entry.method == "float" else classification_report(reference)
    table = per_class_table(names, classification_report(counts), before)
    if found.report and tuple(names) == AG_NEWS and entry.method in CLASS_SCORES:
        columns = zip(*CLASS_SCORES[entry.method], strict=True)
        for name, values in zip(("precision", "recall", "F1"), columns, strict=True):
            table[f"Published: {name} (%)"] = [100 * value for value in values]
    return table


def machine(row: Row) -> str:
    """Name what a latency was measured on."""
    detail = row["detail"]
    threads = f"{detail['threads']} thread{'s' if detail['threads'] != 1 else ''}"
    return detail["gpu"] or f"{detail['cpu']}, {threads}"


def is_busy(entry: Entry) -> bool:
    """Say whether more work waited than the machine has cores when a method was timed, so that its times say little."""
    detail: Row = entry.row["detail"] if entry.row else {}
    load, cores = detail.get("load"), detail.get("cores")
    return bool(load and cores and load > cores)


def percent_of(share: float | None) -> float | None:
    """Return a share in percent; None stays None."""
    return None if share is None else 100 * share


def _name(row: Row) -> str:
    train = row["spec"]["variant"]["run"]["train"]
    return f"{row['detail']['base']} ({train['max_epochs']} epochs at {train['learning_rate']:g}, seed {train['seed']})"


def _version(row: Row) -> str:
    return str(row["versions"].get("transformers", "?"))


def _mappings(method: Method, newest: dict[tuple[str, str | None], Row]) -> list[str | None]:
    if method != "int8-scratch":
        return [None]
    found = sorted(mapping for name, mapping in newest if name == method and mapping)
    return list(found) or ["affine"]


def _entry(method: Method, mapping: str | None, row: Row | None, reference: Row | None) -> Entry:
    label = f"{method} ({mapping})" if mapping else method
    plain = Entry(label, method, row)
    if row is None or reference is None or not plain.measured or reference["accuracy"] is None:
        return plain
    outcomes = [results.load_outcome(Store(), one["key"]) for one in (reference, row)] if row is not reference else []
    first, second = outcomes or (None, None)
    contrast = results.contrast(first, second) if first and second else None
    return Entry(label, method, row, contrast, **transformer_rows.against_float(row, reference))


def _lstms(corpus: CorpusSpec, noise: float, seed: int) -> Iterator[Row]:
    """Yield the stored results of both LSTMs at default settings, in float and at few bits, on the same content."""
    for model in MODEL_KINDS:
        for bits in LSTM_BITS:
            spec = pipeline.specify(corpus, model, bits, noise=noise, seed=seed)
            if row := Store().find_result(spec.fingerprint()):
                yield row


def _command(found: Comparison, method: Method) -> str:
    command = f"python -m core evaluate {quote(found.corpus)} --model {found.kind} --method {method}"
    return command + (f" --noise {found.noise:g} --seed {found.noise_seed}" if found.noise else "")


def _line(found: Comparison, entry: Entry) -> Row:
    row: Row = entry.row or {}
    detail: Row = row.get("detail", {})
    state = "measured" if entry.measured else ("cannot run" if entry.row else "not stored")
    values = {
        "Method": entry.label,
        "Bits": METHOD_BITS[entry.method],
        "State": state,
        "Accuracy (%)": percent_of(row.get("accuracy")),
        "Low (%)": percent_of(row.get("accuracy_low")),
        "High (%)": percent_of(row.get("accuracy_high")),
        **_differences(entry),
        "Macro precision (%)": percent_of(detail.get("macro_precision")),
        "Macro recall (%)": percent_of(detail.get("macro_recall")),
        "Macro F1 (%)": percent_of(row.get("macro_f1")),
        "Size (MB)": detail.get("size_mb"),
        "Compression": entry.compression,
        "Batch (ms)": detail.get("latency_ms_per_batch"),
        "Document (ms)": detail.get("latency_ms_per_sample"),
        "Total (s)": row.get("seconds"),
        "Speed-up": entry.speed_up,
        "Machine": machine(row) if entry.row else None,
        "Load": detail.get("load"),
        "Base": detail.get("base"),
        "n": row.get("n"),
        "Weights seed": row.get("seed"),
        "Noise seed": row.get("noise_seed"),
    }
    return values | {"Reason": detail.get("reason")}


def _differences(entry: Entry) -> Row:
    if entry.contrast is None:
        return dict.fromkeys(("Change (points)", "Change low", "Change high", "Flips (%)", "McNemar p", "KL (nats)"))
    change, flips = entry.contrast["difference"], entry.contrast["flips"]
    changed = sum(flips[name] for name in ("right_to_wrong", "wrong_to_right", "wrong_to_other_wrong"))
    return {
        "Change (points)": 100 * change["difference"],
        "Change low": 100 * change["low"],
        "Change high": 100 * change["high"],
        "Flips (%)": 100 * changed / flips["n"],
        "McNemar p": entry.contrast["mcnemar"]["pvalue"],
        "KL (nats)": entry.contrast["kl"],
    }


def _dot(name: str, row: Row) -> Dot:
    kind: ModelKind | None = row["model"] if row["model"] in MODEL_KINDS else None
    return Dot(name, row["correct"], row["n"], row["bits"], kind)


def _published_dots(report: Report) -> list[Dot]:
    return [
        Dot(
            f"{row.name} (published)", round(row.accuracy * report.n), report.n, METHOD_BITS[row.method], published=True
        )
        for row in report.rows
    ]

"""The reports' tables beside ours, and the verdict on what they say of each method against float, by stated rules."""

from collections.abc import Iterator

from core.display import charts
from core.display.methods import Comparison, Entry, Table, is_busy, percent_of
from core.storage.store import Row
from core.transformers.published import AG_NEWS, CLASS_SCORES, Published, Report
from core.transformers.transformer_config import TransformerKind

SIZE_TOLERANCE = 0.1  # a compression within this share of the published one is the same
AS_FAST = (0.9, 1.1)  # speed-ups between these are called as fast as float
ROUNDING = 1e-4  # the published change of accuracy is known to this
WHY_SPEEDS: dict[TransformerKind, str] = {
    "bert": "torch's dynamic INT8 has kernels for the CPU alone. Timed beside a float model on a GPU it is the two "
    "devices that are compared; on one processor it can only be measured beside float there.",
    "gpt2": "NF4 saves memory, not arithmetic: weights are dequantized in every call and multiplied in a type of their "
    "own. Where that type has 16 bits and float has 32, the type alone makes it faster; here both have 32.",
}
UNMEASURED, BUSY = "not measured yet", "not measured yet (machine busy)"


def beside(found: Comparison) -> Table:
    """Return the report's table beside ours, a row for each method; empty where no report is on this."""
    if not (report := found.report):
        return []
    return [_pair(report, entry, published) for entry, published in _pairs(found, report)]


def verdicts(found: Comparison) -> Table:
    """Return what the report says of each method against its float, what is measured here, and the verdict."""
    if not (report := found.report):
        return []
    lines = []
    for entry, published in _pairs(found, report):
        if entry.method != "float":
            lines += [_accuracy_verdict(report, entry, published), *_size_verdict(report, entry, published)]
            lines.append(_speed_verdict(report, entry, published, is_busy(found.entries[0]) or is_busy(entry)))
    return lines


def describe_verdicts(lines: Table) -> str:
    """Count the verdicts."""
    said = [line["Verdict"] for line in lines]
    return "; ".join(f"{said.count(verdict)} {verdict}" for verdict in dict.fromkeys(said)) + "."


def explain_speeds(found: Comparison) -> str:
    """Say what decides the odd speed of a report, and the command that measures it; "" where no report is on this."""
    return f"{WHY_SPEEDS[found.kind]} `python -m benchmarks.methods` times both." if found.report else ""


def describe_contradiction(found: Comparison) -> str:
    """Say where a report's classes and its accuracy disagree: over classes of one size, mean recall is accuracy.

    "" where the report gives no scores of classes.
    """
    if not found.report or found.kind != "gpt2":
        return ""
    parts = []
    for row in found.report.rows:
        mean = sum(recall for _, recall, _ in CLASS_SCORES[row.method]) / len(AG_NEWS)
        parts.append(f"{row.name} {100 * mean:.2f} % against {100 * row.accuracy:.2f} %")
    return (
        "All classes have as many documents, so the mean of their recalls is the accuracy. The report's Tables 2 to 5 "
        f"and its Table 1 disagree on it: {', '.join(parts)}."
    )


def _pairs(found: Comparison, report: Report) -> Iterator[tuple[Entry, Published]]:
    by_method = {published.method: published for published in report.rows}
    return ((entry, by_method[entry.method]) for entry in found.entries)


def _pair(report: Report, entry: Entry, published: Published) -> Row:
    row, start = entry.row or {}, report.reference
    ours, theirs = "Ours", "Published"
    return {
        "Method": entry.label,
        "Their name": published.name,
        f"{ours}: accuracy (%)": percent_of(row.get("accuracy")),
        f"{theirs}: accuracy (%)": 100 * published.accuracy,
        f"{ours}: macro F1 (%)": percent_of(row.get("macro_f1")),
        f"{theirs}: macro F1 (%)": 100 * published.macro_f1,
        f"{ours}: size (MB)": row.get("detail", {}).get("size_mb"),
        f"{theirs}: size (MB)": published.size_mb,
        f"{ours}: compression": entry.compression,
        f"{theirs}: compression": _ratio(start.size_mb, published.size_mb),
        f"{ours}: speed-up": entry.speed_up,
        f"{theirs}: speed-up": start.time_ms / published.time_ms,
        f"{ours}: base": row.get("detail", {}).get("base"),
        f"{theirs}: base": report.base,
    }


def _accuracy_verdict(report: Report, entry: Entry, published: Published) -> Row:
    change = published.accuracy - report.reference.accuracy
    here, verdict = "", UNMEASURED
    if entry.contrast:
        ours = entry.contrast["difference"]
        inside = ours["low"] - ROUNDING <= change <= ours["high"] + ROUNDING
        p = charts.p_value(entry.contrast["mcnemar"]["pvalue"])
        interval = f"{100 * ours['low']:+.2f} to {100 * ours['high']:+.2f}"
        here = f"{_points(ours['difference'])} ({interval}), McNemar {p}"
        verdict = "reproduced" if inside else "not reproduced"
    return _verdict(entry, "accuracy against float", _points(change), here, verdict)


def _size_verdict(report: Report, entry: Entry, published: Published) -> list[Row]:
    ratio = _ratio(report.reference.size_mb, published.size_mb)
    if ratio is None:
        return []
    here, verdict = "", UNMEASURED
    if entry.compression:
        close = abs(entry.compression / ratio - 1) <= SIZE_TOLERANCE
        here, verdict = f"{entry.compression:.2f} times smaller", "reproduced" if close else "not reproduced"
    return [_verdict(entry, "size against float", f"{ratio:.2f} times smaller", here, verdict)]


def _speed_verdict(report: Report, entry: Entry, published: Published, busy: bool) -> Row:
    ratio = report.reference.time_ms / published.time_ms
    here, verdict = "", UNMEASURED
    if entry.speed_up:
        here, same = _pace(entry.speed_up), _side(entry.speed_up) == _side(ratio)
        verdict = BUSY if busy else "reproduced" if same else "not reproduced"
    return _verdict(entry, "speed against float", _pace(ratio), here, verdict)


def _verdict(entry: Entry, what: str, published: str, here: str, verdict: str) -> Row:
    return {"Method": entry.label, "What": what, "Verdict": verdict, "Published": published, "Here": here}


def _points(change: float) -> str:
    """A change of a share in points, to two digits as the reports give it."""
    rounded = round(100 * change, 2)
    return f"{rounded:+.2f} points" if rounded else "0.00 points"


def _side(speed_up: float) -> int:
    return (speed_up > AS_FAST[1]) - (speed_up < AS_FAST[0])


def _pace(speed_up: float) -> str:
    side = _side(speed_up)
    if not side:
        return f"as fast ({speed_up:.2f} times)"
    return f"{speed_up:.2f} times faster" if side > 0 else f"{1 / speed_up:.2f} times slower"


def _ratio(first: float | None, second: float | None) -> float | None:
    return first / second if first and second else None

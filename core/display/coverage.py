"""What stored results say of the classes that calibrate: accuracy of every way to draw, recall with a class left out.

A scheme is one way to draw calibration text; all subsets of the same number of classes are one scheme, and their rows
draws of it. Changes are from float, in percentage points. Computes no results.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.config import BIT_WIDTHS, FLOAT_BITS, ModelKind
from core.display import charts, curve_words
from core.display.curve_charts import WIDTHS, Line, Point, width_name
from core.display.curves import SYMBOLS, Condition, Shelf, summarise
from core.storage.store import Row

LEFT_OUT, KEPT = "left out of calibration", "kept in calibration"

Recalls = Mapping[
    str, Sequence[Sequence[Point | None]]
]  # LEFT_OUT and KEPT: a line for each class, a point for each bits

_SUBSET_COLOURS = ((charts.GREEN, "solid"), (charts.PURPLE, "solid"), (charts.GREEN, "dot"), (charts.PURPLE, "dot"))
_ROW_HEIGHT, _GAP = 26, 45


@dataclass(frozen=True)
class Scheme:
    """A way to draw calibration text: its stored calibrations, and how many classes it holds (None: at random)."""

    name: str
    calibrations: tuple[str, ...]
    held: int | None


def schemes(shelf: Shelf, condition: Condition) -> list[Scheme]:
    """Return the schemes with a row at a condition's other settings: all classes, fewer and fewer, at random."""
    found = {row["calibration"]: row for row in shelf.rows if _quantized(shelf, condition, row)}
    names = {label: held for label, row in found.items() if (held := _held(row)) is not None}
    total = len(class_names(shelf)) if found else 0
    chosen = [Scheme(f"all {total} classes alike", ("conditional",), total)] if "conditional" in found else []
    for held in sorted(set(names.values()), reverse=True):
        labels = tuple(sorted(label for label, count in names.items() if count == held))
        chosen.append(Scheme(f"{held} of {total} classes", labels, held))
    return chosen + ([Scheme("at random", ("unconditional",), None)] if "unconditional" in found else [])


def conditions(shelf: Shelf, condition: Condition) -> list[Condition]:
    """Return a condition with each stored calibration of every scheme in place of its own."""
    labels = [label for scheme in schemes(shelf, condition) for label in scheme.calibrations]
    return [replace(condition, calibration=label) for label in labels]


def draws(shelf: Shelf, model: ModelKind, condition: Condition, scheme: Scheme, bits: int) -> list[Row]:
    """Return the rows of a scheme at a condition's other settings."""
    labels = [replace(condition, calibration=label) for label in scheme.calibrations]
    return [row for at in labels for row in shelf.draws(model, at, bits)]


def rows(shelf: Shelf, condition: Condition) -> list[Row]:
    """Return float's rows and those of every scheme, each once."""
    quantized = [row for row in shelf.rows if _quantized(shelf, condition, row)]
    return [row for row in shelf.rows if row["bits"] == FLOAT_BITS] + quantized


def class_names(shelf: Shelf) -> list[str]:
    names: list[str] = shelf.rows[0]["detail"]["class_names"]
    return names


def caption(shelf: Shelf, condition: Condition) -> str:
    """Return the configuration that the rows of all schemes share, with seeds and n."""
    return curve_words.caption(shelf, conditions(shelf, condition) or [condition])


def subset_sizes(shelf: Shelf, condition: Condition) -> dict[str, int | None]:
    """Return what `recalls` can be asked for, by its name: any number of classes, or one that is stored; {} if none."""
    held = [scheme.held for scheme in schemes(shelf, condition) if _is_subset(shelf, scheme)]
    total = len(class_names(shelf)) if held else 0
    return {"any number": None, **{f"{count} of {total}": count for count in held}} if held else {}


def write_csv(shelf: Shelf, found: Sequence[Row]) -> str:
    """Return rows as CSV (see `curve_words.write_csv`) with a column for the recall of each class."""
    return curve_words.write_csv(found, **{f"recall of {name}": _recall_of(name) for name in class_names(shelf)})


def scheme_lines(shelf: Shelf, model: ModelKind, condition: Condition) -> list[Line]:
    """Return accuracy over bits, from float down, for each scheme."""
    found, subsets = [], 0
    for place, scheme in enumerate(schemes(shelf, condition)):
        colour, dash = charts.MODEL_COLOURS[model], "solid"
        if scheme.held is None:
            colour, dash = charts.FLOAT, "dash"
        elif len(class_names(shelf)) > scheme.held:
            colour, dash = _SUBSET_COLOURS[subsets % len(_SUBSET_COLOURS)]
            subsets += 1
        points = _accuracies(shelf, model, condition, scheme)
        if any(point.x != FLOAT_BITS for point in points):
            found.append(Line(scheme.name, colour, tuple(points), dash, SYMBOLS[place % len(SYMBOLS)]))
    return found


def describe_schemes(lines: Sequence[Line], model: ModelKind) -> str:
    """Say at which bits the schemes' means lie furthest apart, and how far the draws of one scheme do."""
    gaps = []
    for bits in BIT_WIDTHS:
        found = [(point.y, line.name) for line in lines for point in line.points if point.x == bits]
        if len(found) > 1:
            gaps.append((round(max(found)[0] - min(found)[0], 1), bits, min(found), max(found)))
    if not gaps:
        return f"{model.capitalize()}: no bit-width has two ways of drawing to compare."
    gap, bits, (low, worst), (high, best) = max(gaps, key=lambda gap: gap[0])
    ends = f"{worst} {charts.percent(low / 100)}, {best} {charts.percent(high / 100)}"
    between = f"{model.capitalize()}: the means of {len(lines)} ways of drawing lie at most {gap:.1f} points apart"
    return f"{between}, at {bits} bits ({ends}). {_describe_spread(lines)}"


def recalls(shelf: Shelf, model: ModelKind, condition: Condition, held: int | None = None) -> Recalls:
    """Return each class's change in recall from float over the draws that leave it out, and those that keep it.

    Draws are those of class subsets, of `held` classes if given. A point's n is the class's test documents; None
    where no draw is of that kind. Empty without float or without a subset.
    """
    chosen = [s for s in schemes(shelf, condition) if _is_subset(shelf, s) and held in (None, s.held)]
    reference = shelf.draws(model, None, FLOAT_BITS)
    found = {bits: [row for s in chosen for row in draws(shelf, model, condition, s, bits)] for bits in BIT_WIDTHS}
    if not reference or not any(found.values()):
        return {}
    names, plain = class_names(shelf), reference[0]
    return {
        group: [[_recall(found[bits], plain, name, bits, group == KEPT) for bits in BIT_WIDTHS] for name in names]
        for group in (LEFT_OUT, KEPT)
    }


def recall_limit(found: Sequence[Recalls]) -> float:
    """Return the largest change in points, at least 1: the end of a colour scale that all share."""
    points = [point for group in found for lines in group.values() for line in lines for point in line if point]
    return max([1.0, *(abs(point.y) for point in points)])


def recall_figure(found: Recalls, names: Sequence[str], limit: float, caption: str = "") -> go.Figure:
    """Draw two heat maps, class by bits, one below the other: left out and kept; -limit..limit points around zero."""
    charts.require(found, "draws of class subsets")
    height = len(names) * _ROW_HEIGHT
    figure = make_subplots(len(found), 1, shared_xaxes=True, vertical_spacing=_GAP / (2 * height + _GAP))
    figure.update_layout(coloraxis={"colorscale": charts.DIVERGING, "cmin": -limit, "cmax": limit})
    bar = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "thickness": 12}
    figure.update_layout(coloraxis_colorbar={**bar, "title": {"text": "change in recall (points)", "side": "bottom"}})
    for place, (group, lines) in enumerate(found.items(), 1):
        figure.add_trace(_heat(group, lines, names, caption), place, 1)
        where = {"x": 0, "xref": "paper", "xanchor": "left", "y": 1, "yref": "y domain", "yanchor": "bottom"}
        figure.add_annotation(text=group, showarrow=False, row=place, col=1, **where)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_xaxes(title="bit-width", row=len(found))
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return charts.finish(figure, height=2 * height + _GAP + 160).update_layout(margin={"t": 30, "r": 10, "b": 130})


def describe_recalls(found: Recalls, names: Sequence[str], model: ModelKind) -> str:
    """Say where leaving a class out costs most beside keeping it, and which class falls furthest when left out."""
    costs = []
    for place, bits in enumerate(BIT_WIDTHS):
        pairs = [(out[place], kept[place]) for out, kept in zip(found[LEFT_OUT], found[KEPT], strict=True)]
        gaps = [out.y - kept.y for out, kept in pairs if out and kept]
        if gaps:
            costs.append((sum(gaps) / len(gaps), bits, len(gaps)))
    falls = [(p, name) for name, line in zip(names, found[LEFT_OUT], strict=True) for p in line if p]
    if not costs or not falls:
        return f"{model.capitalize()}: no class is left out in one draw and kept in another."
    mean, bits, classes = min(costs)
    point, name = min(falls, key=lambda fall: fall[0].y)
    means = f"a class's recall is {charts.points(mean)} from where it is when kept (mean of {classes} classes)"
    worst = f"{name} at {point.x:g} bits, {charts.points(point.y)} from float (n = {charts.count(point.n)})"
    return f"{model.capitalize()}: left out, at {bits} bits, where it costs most, {means}. Furthest fall: {worst}."


def _recall_of(name: str) -> Callable[[Row], float | None]:
    return lambda row: row["detail"]["per_class"].get(name, {}).get("recall")


def _quantized(shelf: Shelf, condition: Condition, row: Row) -> bool:
    if row["bits"] == FLOAT_BITS or row["noise"]:
        return False
    drawn = row["calibration"] in ("conditional", "unconditional") or _held(row) is not None
    return drawn and replace(condition, calibration=row["calibration"]).covers(row)


def _held(row: Row) -> int | None:
    """Return how many classes a row's calibration names, None if it names none or gives them shares."""
    return len(row["spec"]["variant"]["calibration"]["classes"]) or None


def _is_subset(shelf: Shelf, scheme: Scheme) -> bool:
    return scheme.held is not None and scheme.held < len(class_names(shelf))


def _accuracies(shelf: Shelf, model: ModelKind, condition: Condition, scheme: Scheme) -> list[Point]:
    found = ((bits, draws(shelf, model, condition, scheme, bits)) for bits in WIDTHS if bits != FLOAT_BITS)
    plain = summarise(shelf, FLOAT_BITS, shelf.draws(model, None, FLOAT_BITS), "accuracy")
    quantized = [summarise(shelf, bits, of_scheme, "accuracy") for bits, of_scheme in found]
    return [point for point in (plain, *quantized) if point]


def _describe_spread(lines: Sequence[Line]) -> str:
    several = [(point.high - point.low, line.name, point) for line in lines for point in line.points if point.draws > 1]
    if not several:
        return "Each is a single draw, so how far draws of one kind differ is not known."
    spread, name, point = max(several, key=lambda entry: entry[0])
    return f"Draws of one kind differ by up to {spread:.1f} points ({name} at {point.x:g} bits, {point.draws} draws)."


def _heat(group: str, lines: Sequence[Sequence[Point | None]], names: Sequence[str], caption: str) -> go.Heatmap:
    values = [[point and (round(point.y, 1) or 0.0) for point in line] for line in lines]  # no "-0.0"
    heat = go.Heatmap(x=[width_name(bits) for bits in BIT_WIDTHS], y=[charts.escape(name) for name in names], z=values)
    heat.update(coloraxis="coloraxis", xgap=2, ygap=2, texttemplate="%{z:+.1f}", hoverongaps=False)
    heat.customdata = [[(p.n, p.draws, p.low, p.high) if p else (0, 0, 0, 0) for p in line] for line in lines]
    spread = "from %{customdata[2]:+.1f} to %{customdata[3]:+.1f} over %{customdata[1]} draws"
    words = f"%{{y}} {group}, %{{x}} bits: %{{z:+.1f}} points, {spread}<br>n = %{{customdata[0]:,}}"
    return heat.update(hovertemplate=f"{words}<br>{charts.escape(caption)}<extra></extra>")


def _recall(found: Sequence[Row], reference: Row, name: str, bits: int, kept: bool) -> Point | None:
    of_kind = [row for row in found if (name in row["spec"]["variant"]["calibration"]["classes"]) == kept]
    before = reference["detail"]["per_class"][name]
    if not of_kind or not before["support"]:
        return None
    changes = [100 * (row["detail"]["per_class"][name]["recall"] - before["recall"]) for row in of_kind]
    return Point(bits, sum(changes) / len(changes), min(changes), max(changes), before["support"], len(changes))

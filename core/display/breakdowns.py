"""Stored results by class, by size and by token loss, as chart inputs. Computes no results."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.config import FLOAT_BITS, MODEL_KINDS, ModelRun
from core.display import charts, views
from core.display.charts import DensityCurve
from core.display.curve_charts import WIDTHS, Line, Point, Sized, noise_name, width_name
from core.display.curves import DASHES, SYMBOLS, Cell, Condition, Shelf, short_names, stored_bytes, summarise
from core.storage.store import Row, Store

MAX_CLASSES = 12
MEGABYTE = 1e6
SCORES = {"F1": "f1", "Recall": "recall"}
PAPER_LOSSES = (
    (FLOAT_BITS, "", 0.0),
    (3, "conditional", 0.0),
    (3, "unconditional", 0.0),
    (3, "conditional", 0.1),
)
_COLOURS = (charts.GENERATIVE, charts.PURPLE, charts.GREEN, charts.DISCRIMINATIVE)


@dataclass(frozen=True)
class Loss:
    """The token losses of one stored generative result."""

    name: str
    row: Row

    @property
    def setting(self) -> tuple[int, str, float]:
        """Bits, calibration ("" for float) and noise."""
        return self.row["bits"], self.row["calibration"] or "", self.row["noise"]


def _density(kind: str, part: str) -> Callable[[Row], float | None]:
    return lambda row: row["detail"]["densities"].get(kind, {}).get(part)


LOSS_COLUMNS = {
    f"{kind}_{part}": _density(kind, part)
    for kind in ("token_losses", "difference")
    for part in ("n", "median", "maximum")
}


def class_panels(shelf: Shelf, condition: Condition, score: str) -> list[tuple[str, list[Line]]]:
    """Return (class and its documents, a line over bits for each model) for the classes with most documents.

    `score` is a value of SCORES; several draws are averaged, their spread is the band.
    """
    rows = [row for row in shelf.rows if row["bits"] == FLOAT_BITS or condition.covers(row)]
    if not rows:
        return []
    support = {name: found["support"] for name, found in rows[0]["detail"]["per_class"].items()}
    largest = sorted(support, key=lambda name: -support[name])[:MAX_CLASSES]
    shown = [name for name in support if name in largest]
    return [
        (
            f"{name} (n = {charts.count(support[name])})",
            [_class_line(shelf, condition, name, score, m) for m in MODEL_KINDS],
        )
        for name in shown
    ]


def describe_classes(panels: Sequence[tuple[str, Sequence[Line]]], score: str) -> str:
    """Name the class that falls furthest below its float score, for each model."""
    parts = []
    for place, model in enumerate(MODEL_KINDS):
        falls = [
            (*_fall(lines[place]), title.rpartition(" (")[0]) for title, lines in panels if len(lines[place].points) > 1
        ]
        if falls:
            change, bits, name = min(falls)
            lost = f"{name} loses most {score}, {charts.points(change)} at {width_name(bits)} bits"
            parts.append(f"{model.capitalize()}: {lost if change < 0 else f'no class loses {score}'}")
    return f"{'; '.join(parts) or 'Nothing to compare'}."


def sizes(shelf: Shelf, chosen: Sequence[Condition]) -> tuple[list[Sized], int]:
    """Return each variant of these conditions whose stored bytes are known, float too, and how many are not.

    On the front are those to which no other shown variant, of either model, is at once smaller or equal and better.
    """
    variants: list[Sized] = []
    unknown = 0
    for model in MODEL_KINDS:
        for place, (condition, name) in enumerate(zip(chosen, short_names(chosen), strict=True)):
            for bits in WIDTHS[1:]:
                rows = shelf.draws(model, condition, bits)
                known = [size for row in rows if (size := stored_bytes(row))]
                unknown += bool(rows) and not known
                if known:
                    size = round(sum(known) / len(known))
                    variants.append(_sized(shelf, rows, f"{model}, {name}", size, SYMBOLS[place % len(SYMBOLS)]))
        rows = shelf.draws(model, None, FLOAT_BITS)
        if rows and (size := float_bytes(rows[0])):
            variants.append(_sized(shelf, rows, f"{model}, float", size, "hexagon"))
    return [replace(sized, front=not any(_beats(other, sized) for other in variants)) for sized in variants], unknown


def float_bytes(row: Row) -> int | None:
    """Return the bytes of the float weights behind a row as the store has them, None if it does not."""
    run = ModelRun.model_validate(row["spec"]["variant"]["run"])
    found = Store().load_tensors("weights", run.fingerprint())
    return sum(tensor.nbytes for tensor in found[0].values()) if found else None


def describe_sizes(points: Sequence[Sized]) -> str:
    """Say how many are on the front and name its two ends."""
    front = sorted((point for point in points if point.front), key=lambda point: point.size_mb)
    ends = [f"{p.name} ({charts.percent(p.point.y / 100)} in {p.size_mb:.2f} MB)" for p in (front[0], front[-1])]
    span = f"from {ends[0]} to {ends[1]}" if len(front) > 1 else ends[0]
    return f"On the Pareto front are {len(front)} of {len(points)} variants: {span}."


def losses(shelf: Shelf, condition: Condition) -> list[Loss]:
    """Return the generative results with token losses at a preset, range rule and head; a draw each, float first."""
    found = []
    for row in shelf.rows:
        at = replace(condition, calibration=row["calibration"])
        wanted = row["model"] == "generative" and (row["bits"] == FLOAT_BITS or at.covers(row))
        if wanted and row["detail"]["densities"].get("token_losses"):
            found.append(Loss(_loss_name(row), row))
    return sorted(found, key=lambda loss: (-loss.row["bits"], loss.row["noise"], loss.name))


def usual(found: Sequence[Loss]) -> list[str]:
    """Return the names of the paper's four conditions (figure 15) among these, as far as they are stored."""
    first = {loss.setting: loss.name for loss in reversed(found)}
    return [first[setting] for setting in PAPER_LOSSES if setting in first]


def loss_curves(chosen: Sequence[Loss], kind: str = "token_losses") -> list[DensityCurve]:
    """Return the densities of "token_losses", or of the "difference" of each token's loss from float's."""
    curves = []
    quantized = [loss for loss in chosen if loss.row["bits"] != FLOAT_BITS]
    for loss in chosen:
        if found := loss.row["detail"]["densities"].get(kind):
            plain = loss not in quantized
            place = 0 if plain else quantized.index(loss)
            colour = charts.FLOAT if plain else _COLOURS[place % len(_COLOURS)]
            dash = (
                "dash"
                if plain and not loss.row["noise"]
                else "dot"
                if plain
                else DASHES[place // len(_COLOURS) % len(DASHES)]
            )
            curves.append((loss.name, views.kde(found), colour, dash))
    return curves


def describe_differences(curves: Sequence[DensityCurve]) -> str:
    """Say the median change of each condition's token losses."""
    words = ", ".join(f"{name} {kde.median:+.2f}" for name, kde, _, _ in curves)
    return f"Median change of a token's loss from float, in nats: {words}."


def loss_caption(shelf: Shelf, condition: Condition, chosen: Sequence[Loss]) -> str:
    """Return the configuration that these results share, with the number of documents and of tokens."""
    rows = [loss.row for loss in chosen]
    documents = ", ".join(charts.count(n) for n in sorted({row["n"] for row in rows}))
    counts = sorted({row["detail"]["densities"]["token_losses"]["n"] for row in rows})
    made = ", ".join(condition.parts[name] for name in ("preset", "ranges", "head"))
    seeds = "weights seed 0, calibration and noise seed 0 where nothing else is said"
    tokens = " or ".join(charts.count(n) for n in counts)
    return f"{shelf.corpus}, generative, {made}, {seeds}, n = {documents} documents, {tokens} tokens."


def loss_cells(condition: Condition) -> list[Cell]:
    """Return the settings of the paper's four conditions."""
    return [
        ("generative", replace(condition, calibration=scheme) if scheme else None, bits, noise)
        for bits, scheme, noise in PAPER_LOSSES
    ]


def with_room(figure: Any, curves: int) -> Any:
    """Return a figure of densities with its legend of so many curves below it, where long names fit."""
    figure.update_layout(legend={"x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top", "orientation": "v"})
    return figure.update_layout(height=420 + 24 * curves, margin={"t": 20, "b": 70 + 24 * curves})


def loss_table(chosen: Iterable[Loss]) -> list[Row]:
    """Return median and maximum loss, and median and largest difference from float, in nats; a row for each."""
    table = []
    for loss in chosen:
        densities = loss.row["detail"]["densities"]
        now, change = densities["token_losses"], densities.get("difference")
        facts = {"Condition": loss.name, "Tokens": now["n"]}
        facts |= {"Median (nats)": round(now["median"], 2), "Maximum (nats)": round(now["maximum"], 2)}
        facts |= {"Median change": round(change["median"], 2) if change else None}
        table.append(facts | {"Largest change": round(change["maximum"], 2) if change else None})
    return table


def _class_line(shelf: Shelf, condition: Condition, name: str, score: str, model: str) -> Line:
    points = []
    for bits in WIDTHS:
        if rows := shelf.draws(model, condition, bits):
            values = [100 * row["detail"]["per_class"][name][score] for row in rows]
            support = rows[0]["detail"]["per_class"][name]["support"]
            points.append(Point(bits, sum(values) / len(values), min(values), max(values), support, len(values)))
    dash = "solid" if model == MODEL_KINDS[0] else "dash"
    return Line(model, charts.MODEL_COLOURS[model], tuple(points), dash)  # type: ignore[index]


def _fall(line: Line) -> tuple[float, float]:
    """Return the largest change from the first point, float, and the bits where it is."""
    return min((round(point.y - line.points[0].y, 1), point.x) for point in line.points[1:])


def _sized(shelf: Shelf, rows: Sequence[Row], group: str, size: int, symbol: str) -> Sized:
    row, colour = rows[0], charts.MODEL_COLOURS[rows[0]["model"]]
    point = summarise(shelf, row["bits"], rows, "accuracy")
    assert point is not None  # there are rows, and every row has an accuracy
    label = width_name(row["bits"])
    name = group if row["bits"] == FLOAT_BITS else f"{group}, {label} bits"
    return Sized(name, group, colour, symbol, str(row["bits"]), size / MEGABYTE, point)


def _beats(one: Sized, other: Sized) -> bool:
    no_worse = one.size_mb <= other.size_mb and one.point.y >= other.point.y
    return no_worse and (one.size_mb, one.point.y) != (other.size_mb, other.point.y)


def _loss_name(row: Row) -> str:
    made = "float" if row["bits"] == FLOAT_BITS else f"{row['bits']} bits, {row['calibration']}"
    made += f", draw {row['calibration_seed']}" if row["calibration_seed"] else ""
    seed = f", seed {row['noise_seed']}" if row["noise_seed"] else ""
    return made + (f", {noise_name(row['noise'])} noise{seed}" if row["noise"] else "")

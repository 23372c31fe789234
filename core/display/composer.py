"""A calibration set composed by hand, a share for each class: what it asks of the corpus, and what it does to a model.

A pair sets it (B) beside the balanced set (A), the `conditional` one, at the same settings; every difference is B minus
A. Computes no results.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import numpy as np
import plotly.graph_objects as go

from core import pipeline
from core.config import CalibrationSpec, CorpusSpec, EvaluationSpec, ModelKind
from core.display import charts, pairs
from core.display.curve_charts import Point
from core.display.pairs import COLOURS, Pair
from core.display.views import Settings
from core.errors import InputError
from core.measurement import stats
from core.quantization import calibration
from core.storage.store import Row

MAX_SHARE, EVEN_SHARE = 10, 5
BALANCED = "conditional"

_ROW_HEIGHT, _LEAST_SPAN = 30, 5.0  # pixels, points


@dataclass(frozen=True)
class Portion:
    """One class of a composition, in training documents; `balanced` is what the balanced set takes of it."""

    name: str
    share: int
    asked: float
    drawn: int
    balanced: int
    available: int


@dataclass(frozen=True)
class Composition:
    """What shares of the classes ask of the training split, and what it gives.

    `calibration` is what settings call it; `note` says which classes have fewer documents than asked, "" if none.
    """

    calibration: str
    portions: tuple[Portion, ...]
    note: str

    @property
    def balanced(self) -> bool:
        return self.calibration == BALANCED

    @property
    def size(self) -> int:
        return sum(portion.drawn for portion in self.portions)


@dataclass(frozen=True)
class Change:
    """How recall of a class differs, in points with its 95 % interval; drawn is its calibration documents in A, B."""

    name: str
    point: Point
    recalls: tuple[float, float]
    drawn: tuple[int, int]


def class_names(corpus: str) -> tuple[str, ...]:
    """Return the classes that shares can be given to. Raises InputError where the corpus cannot be had."""
    return tuple(pipeline.load(CorpusSpec(name=corpus)).class_names)


def label(shares: Mapping[str, int]) -> str:
    """Return the calibration that gives each class its share: `mix:a=1.0,b=2.0` in lowest terms, or BALANCED.

    Raises InputError for shares that are all 0 or out of range, and for a class whose name a mix cannot hold.
    """
    if wrong := {name: share for name, share in shares.items() if not 0 <= share <= MAX_SHARE}:
        given = ", ".join(f"{name}={share}" for name, share in wrong.items())
        raise InputError(f"the shares {given} are out of range; choose 0 to {MAX_SHARE}")
    if not any(shares.values()):
        raise InputError("every share is 0, so no document would calibrate; raise the share of at least one class")
    common = math.gcd(*shares.values())
    if set(shares.values()) == {common}:
        return BALANCED
    spec = CalibrationSpec(scheme="mix", mix=tuple((name, share / common) for name, share in shares.items() if share))
    names = [pair.partition("=")[0] for pair in spec.label.removeprefix("mix:").split(",")]
    if unfit := [name for name, _ in spec.mix if name not in names]:
        raise InputError(
            f"class {unfit[0]!r} has a comma or an equals sign in its name, which a mix cannot hold; rename it"
        )
    return spec.label


def compose(corpus: str, shares: Mapping[str, int]) -> Composition:
    """Return what shares (0 to MAX_SHARE, by class) ask of a corpus and what it gives. Raises InputError as `label`."""
    text = label(shares)
    loaded = pipeline.load(CorpusSpec(name=corpus))
    labels, names = loaded.train.labels, loaded.class_names
    spec, balanced = (CalibrationSpec.parse(kind) for kind in (text, BALANCED))
    drawn, even = (calibration.choose(labels, names, kind) for kind in (spec, balanced))
    available = np.bincount(labels, minlength=len(names)).tolist()
    each = spec.fraction * len(labels) / sum(shares.values())
    portions = (
        Portion(name, share, share * each, drawn.counts[name], even.counts[name], have)
        for (name, share), have in zip(((name, shares.get(name, 0)) for name in names), available, strict=True)
    )
    return Composition(text, tuple(portions), drawn.note)


def refused(asked: Mapping[str, str], shares: Mapping[str, int]) -> list[str]:
    """Say which shares of an address, by class as they are written, are not those in use, a sentence for each."""
    return [
        f"The share {asked[name]} of class {name} in the address is out of range; {share} is used. "
        f"Choose 0 to {MAX_SHARE} here."
        for name, share in shares.items()
        if asked.get(name, str(share)) != str(share)
    ]


def look_up(composition: Composition, model: ModelKind, settings: Settings) -> Pair:
    """Look up a model calibrated on the balanced set (A) and on a composition (B), at settings that are else alike."""
    sides = ((name, kind) for name, kind in (("A", BALANCED), ("B", composition.calibration)))
    a, b = (pairs.look_up(name, model, replace(settings, calibration=kind)) for name, kind in sides)
    return Pair(a, b)


def missing(found: Sequence[Pair]) -> list[EvaluationSpec]:
    """Return what is to be computed before these pairs can be compared, of the models that are trained."""
    return [side.spec for pair in found for side in pair.missing if side.trained]


def untrained(found: Sequence[Pair]) -> list[ModelKind]:
    """Return the models of these pairs that have no float weights."""
    return [pair.a.model for pair in found if not pair.a.trained]


def describe_dead(pair: Pair) -> str:
    """Say which side's LSTM gives the same output whatever it reads; "" if none does."""
    dead = [side.name for side, row in zip(pair.sides, pairs.rows(pair), strict=True) if row["detail"]["dead_lstm"]]
    end = "The output is the same whatever it reads, so the answers come from the output layer alone."
    return f"The LSTM of {' and '.join(dead)} is dead. {end}" if dead else ""


def changes(pair: Pair) -> list[Change]:
    """Return each class's recall in B minus A, in class order; classes without a test document are left out."""
    first, second = pairs.outcomes(pair)
    drawn = [row["detail"]["calibration"].get("composition", {}) for row in pairs.rows(pair)]
    found = []
    for place, name in enumerate(pairs.class_names(pair)):
        of_class = first["labels"] == place
        if of_class.any():
            right = [outcome["predictions"][of_class] == place for outcome in (first, second)]
            shift = stats.paired_bootstrap(right[0], right[1], seed=0)
            y, low, high = (100 * value for value in (shift.difference, shift.low, shift.high))
            recalls = (float(right[0].mean()), float(right[1].mean()))
            counts = (drawn[0].get(name, 0), drawn[1].get(name, 0))
            found.append(Change(name, Point(place, y, low, high, shift.n), recalls, counts))
    return found


def address(pair: Pair) -> str:
    """Return the address, below the app's own, of the page that compares this pair document by document."""
    query = {"compare": "A against B", "corpus": pair.a.settings.corpus}
    for side in pair.sides:
        asked = side.settings
        chosen = {"model": side.model, "bits": asked.bits, "noise": asked.noise, "preset": asked.preset}
        chosen |= {"ranges": asked.ranges, "head": asked.head, "calibration": asked.calibration}
        query |= {f"{side.name.lower()}_{name}": str(value) for name, value in chosen.items()}
    return f"./?{urlencode(query)}"


# What the charts are given, and the sentences


def composition_figure(composition: Composition, caption: str = "") -> go.Figure:
    """Draw the documents that each class is asked for and gives, and a mark at what the balanced set takes."""
    portions = composition.portions
    names = [charts.escape(portion.name) for portion in portions]
    hover = [charts.hover_text(charts.escape(_portion_words(p)), composition.size, caption) for p in portions]
    figure = go.Figure()
    outline = {"color": "rgba(0,0,0,0)", "line": {"color": charts.FLOAT, "width": 1}}
    figure.add_bar(y=names, x=[p.asked for p in portions], orientation="h", name="asked", marker=outline)
    filled = {"color": COLOURS["B"]}
    figure.add_bar(y=names, x=[p.drawn for p in portions], orientation="h", name="drawn", marker=filled)
    tick = {"symbol": "line-ns", "size": 16, "line": {"color": COLOURS["A"], "width": 3}}
    figure.add_scatter(y=names, x=[p.balanced for p in portions], mode="markers", name="balanced set", marker=tick)
    figure.update_traces(hovertemplate=hover)
    size = max(sum(portion.asked for portion in portions), 1)
    largest = max(min(size, portion.available) for portion in portions)
    figure.update_xaxes(title="training documents", range=(0, 1.03 * largest), tickformat=",")
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_layout(barmode="overlay", bargap=0.35)
    return charts.finish(figure, height=150 + _ROW_HEIGHT * len(portions))


def describe_composition(composition: Composition) -> str:
    """Say how many documents calibrate, of which classes most and which not at all, and what the corpus lacks."""
    most = max(portion.drawn for portion in composition.portions)
    first = ", ".join(portion.name for portion in composition.portions if portion.drawn == most)
    none = [portion.name for portion in composition.portions if not portion.drawn]
    text = f"{charts.count(composition.size)} training documents calibrate, most of {first} ({charts.count(most)})"
    text += f", none of {', '.join(none)}" if none else ""
    return f"{text}. The corpus runs short: {composition.note}." if composition.note else f"{text}."


def recall_figure(found: Sequence[Change], model: ModelKind, caption: str = "") -> go.Figure:
    """Draw the change in recall of each class with its interval, and a line at none."""
    charts.require(found, "classes")
    names = [f"{charts.escape(change.name)} (n = {charts.count(change.point.n)})" for change in found]
    figure, points = go.Figure(), [change.point for change in found]
    dots = go.Scatter(y=names, x=[point.y for point in points], mode="markers", name=f"{model}, recall in B minus A")
    dots.marker = {"color": charts.MODEL_COLOURS[model], "size": 10}
    dots.error_x = {"array": [p.high - p.y for p in points], "arrayminus": [p.y - p.low for p in points]}
    words = [charts.escape(_change_words(change)) for change in found]
    dots.hovertemplate = [charts.hover_text(text, p.n, caption) for text, p in zip(words, points, strict=True)]
    figure.add_trace(dots)
    figure.add_vline(x=0, line_dash="dot", line_color=charts.FLOAT)
    ends = 1.05 * max([_LEAST_SPAN, *(abs(end) for point in points for end in (point.low, point.high))])
    figure.update_xaxes(title="change in recall, B minus A (points)", tickformat="+~g", range=(-ends, ends))
    figure.update_yaxes(type="category", autorange="reversed")
    return charts.finish(figure, height=130 + _ROW_HEIGHT * len(found))


def describe_changes(found: Sequence[Change], model: ModelKind) -> str:
    """Name the classes that lose and gain most recall, and how many changes their interval keeps from zero."""
    low, high = (pick(found, key=lambda change: change.point.y) for pick in (min, max))
    loses = f"{_short_words(low)} loses most recall" if low.point.y < 0 else "no class loses recall"
    gains = f"{_short_words(high)} gains most" if high.point.y > 0 else "none gains"
    sure = [change.name for change in found if change.point.low > 0 or change.point.high < 0]
    clear = ", ".join(sure) if sure else "none"
    return f"{model.capitalize()}, B minus A: {loses}, {gains}. 95 % bootstrap interval clear of zero: {clear}."


def recall_table(found: Sequence[Change]) -> list[Row]:
    """Return the changes as table rows: documents, recalls, change with its interval."""
    return [
        {
            "Class": change.name,
            "n": change.point.n,
            "Calibration documents A": change.drawn[0],
            "Calibration documents B": change.drawn[1],
            "Recall A": charts.percent(change.recalls[0]),
            "Recall B": charts.percent(change.recalls[1]),
            "B minus A": charts.points(change.point.y),
            "95 % interval": f"{change.point.low:+.1f} to {change.point.high:+.1f}",
        }
        for change in found
    ]


def _portion_words(portion: Portion) -> str:
    asked = f"{portion.name}, share {portion.share}: {portion.drawn:,} drawn of {portion.asked:,.0f} asked"
    return f"{asked}; the balanced set has {portion.balanced:,}, the training split {portion.available:,}"


def _short_words(change: Change) -> str:
    return f"{change.name} ({charts.points(change.point.y)}, n = {charts.count(change.point.n)})"


def _change_words(change: Change) -> str:
    now = f"{change.name}: {charts.percent(change.recalls[0])} to {charts.percent(change.recalls[1])}"
    point, drawn = change.point, change.drawn
    spread = f"{charts.points(point.y)} ({point.low:+.1f} to {point.high:+.1f})"
    return f"{now}, {spread}; calibration documents {drawn[0]:,} to {drawn[1]:,}"

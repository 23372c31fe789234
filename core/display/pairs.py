"""Two configurations, A and B, on the same documents: what the store has of each, how B differs from A, and where.

Every difference is B minus A. Computes no results.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np
import plotly.graph_objects as go

from core import pipeline
from core.config import FLOAT_BITS, EvaluationSpec, ModelKind
from core.display import charts, views
from core.display.charts import AccuracyRow
from core.display.views import Settings
from core.errors import InputError
from core.measurement import results, stats
from core.measurement.stats import Ints
from core.storage.store import Row
from core.text import inputs

Outcome = Mapping[str, np.ndarray]

COLOURS: Final = {"A": charts.GREEN, "B": charts.PURPLE}
EVERY = "All documents"
GROUPS: Final = (
    "A right, B wrong",
    "A wrong, B right",
    "Both wrong, differently",
    "Both wrong, alike",
    "Both right",
    EVERY,
)


@dataclass(frozen=True)
class Choice:
    """One side of a pair: a model at settings; `row` and `outcome` (`results.load_outcome`) are None if not stored."""

    name: str
    model: ModelKind
    settings: Settings
    row: Row | None
    outcome: Outcome | None
    trained: bool

    @property
    def spec(self) -> EvaluationSpec:
        return self.settings.spec(self.model)

    @property
    def label(self) -> str:
        """The side in a few words: "A: generative, 4 bits"."""
        bits = charts.FLOAT_SETTING if self.settings.bits == FLOAT_BITS else f"{self.settings.bits} bits"
        return f"{self.name}: {self.model}, {bits}"


@dataclass(frozen=True)
class Pair:
    """Two sides of one corpus."""

    a: Choice
    b: Choice

    @property
    def sides(self) -> tuple[Choice, Choice]:
        return self.a, self.b

    @property
    def missing(self) -> tuple[Choice, ...]:
        """The sides whose result, or whose answers to the single documents, the store lacks."""
        return tuple(side for side in self.sides if side.row is None or side.outcome is None)

    @property
    def same(self) -> bool:
        return self.a.spec == self.b.spec


@dataclass(frozen=True)
class Reading:
    """One document of a pair: its place in the test split, counted from 1, and what A and B make of it.

    `texts` are what each read, () where the corpus is not here; probabilities lie in [0, 1].
    """

    document: int
    true: str
    answers: tuple[str, str]
    probabilities: tuple[float, float]
    texts: tuple[str, ...]


def look_up(name: str, model: ModelKind, settings: Settings) -> Choice:
    """Look up one side. Raises InputError for settings that name nothing."""
    spec = settings.spec(model)
    row = pipeline.find(spec)
    views.check_classes(spec, row)
    outcome = pipeline.find_outcome(spec) if row else None
    return Choice(name, model, settings, row, outcome, pipeline.trained(spec.variant.run))


def rows(pair: Pair) -> tuple[Row, Row]:
    """Return both rows. Raises ValueError if one is missing."""
    if pair.a.row is None or pair.b.row is None:
        raise ValueError("a side of the pair has no result")
    return pair.a.row, pair.b.row


def outcomes(pair: Pair) -> tuple[Outcome, Outcome]:
    """Return both sides' arrays. Raises ValueError if they are missing, InputError for different documents."""
    if pair.a.outcome is None or pair.b.outcome is None:
        raise ValueError("a side of the pair has no answers")
    if not np.array_equal(pair.a.outcome["labels"], pair.b.outcome["labels"]):
        raise InputError("the two results are on different documents; compare results of one corpus, split and limit")
    return pair.a.outcome, pair.b.outcome


def contrast(pair: Pair) -> Row:
    """Return how B differs from A: mcnemar, difference, flips, kl (see `results.contrast`)."""
    return results.contrast(*outcomes(pair))


def groups(pair: Pair) -> dict[str, Ints]:
    """Return the positions of the documents of each of GROUPS; all but the last share the documents out."""
    first, second = outcomes(pair)
    truth, a, b = first["labels"], first["predictions"], second["predictions"]
    was, now = a == truth, b == truth
    masks = (was & ~now, ~was & now, ~was & ~now & (a != b), ~was & (a == b), was & now, np.full(truth.size, True))
    return {name: np.flatnonzero(mask) for name, mask in zip(GROUPS, masks, strict=True)}


def select(pair: Pair, group: str, true: str | None, a: str | None, b: str | None) -> Ints:
    """Return the positions of a group's documents of a true class that A and B read as these; None is any class.

    Raises InputError for a group or a class that is not known.
    """
    names, (first, second) = class_names(pair), outcomes(pair)
    if group not in GROUPS:
        raise InputError(f"group {group!r} is not known; choose one of: {', '.join(GROUPS)}")
    if unknown := [name for name in (true, a, b) if name is not None and name not in names]:
        raise InputError(f"class {unknown[0]!r} is not known; choose from: {', '.join(names)}")
    chosen = groups(pair)[group]
    for wanted, values in ((true, first["labels"]), (a, first["predictions"]), (b, second["predictions"])):
        if wanted is not None:
            chosen = chosen[values[chosen] == names.index(wanted)]
    return chosen


def read(pair: Pair, positions: Ints, texts: Sequence[Sequence[str]] = ()) -> list[Reading]:
    """Return what A and B make of the documents at these positions, with their texts if `read_texts` had them."""
    names, (first, second) = class_names(pair), outcomes(pair)
    found = []
    for place in map(int, positions):
        answers = [int(outcome["predictions"][place]) for outcome in (first, second)]
        logs = [outcome["log_probabilities"][place] for outcome in (first, second)]
        a, b = (float(np.exp(log[answer])) for log, answer in zip(logs, answers, strict=True))
        said, true = (names[answers[0]], names[answers[1]]), names[first["labels"][place]]
        found.append(Reading(place + 1, true, said, (a, b), tuple(text[place] for text in texts)))
    return found


def read_texts(pair: Pair) -> tuple[list[str], ...]:
    """Return the texts of all documents as the sides read them: one list if they read the same, else two.

    Raises InputError where the corpus cannot be had.
    """
    first, second = (side.spec for side in pair.sides)
    different = [first] if first.noise == second.noise else [first, second]
    return tuple(map(inputs.read_texts, different))


def class_names(pair: Pair) -> list[str]:
    names: list[str] = rows(pair)[0]["detail"]["class_names"]
    return names


# What the charts are given, and the sentences


def accuracy_rows(pair: Pair) -> list[AccuracyRow]:
    """Return the accuracy of both sides, A first."""
    return [
        AccuracyRow(side.model, side.label, row["correct"], row["n"])
        for side, row in zip(pair.sides, rows(pair), strict=True)
    ]


def accuracy_figure(pair: Pair) -> go.Figure:
    """Draw both accuracies with their intervals, in the sides' colours."""
    chance = rows(pair)[0]["detail"]["majority_share"]
    figure = charts.accuracy_figure(accuracy_rows(pair), chance)
    for dot, side, row in zip(figure.data, pair.sides, rows(pair), strict=True):
        dot.name, dot.marker.color = side.label, COLOURS[side.name]
        dot.hovertemplate = dot.hovertemplate.replace("<extra>", f"<br>{escape(views.caption(row))}<extra>")
    return figure


def difference_figure(pair: Pair) -> go.Figure:
    """Draw B's confusion counts minus A's (C, C), coloured from the largest fall to the largest rise alike."""
    a, b = (np.asarray(row["detail"]["confusion"]) for row in rows(pair))
    figure = charts.confusion_figure(b, class_names(pair), "counts")
    limit = max(int(np.abs(b - a).max()), 1)
    cells = figure.data[0].update(z=b - a, zmin=-limit, zmax=limit, colorscale=charts.DIVERGING)
    cells.customdata = np.dstack([a, b])
    cells.colorbar.update(title={"text": "documents, B minus A", "side": "right"}, tickformat="+,")
    cells.texttemplate = cells.texttemplate and "%{z:+,}"
    cells.hovertemplate = (
        "true %{y}, read as %{x}<br>A %{customdata[0]:,}, B %{customdata[1]:,} documents<extra></extra>"
    )
    return figure


def clickable(figure: go.Figure) -> go.Figure:
    """Lay an invisible marker on each cell of a confusion figure, row by row: Plotly selects markers, but no cells."""
    cells = figure.data[0]
    x, y = zip(*((x, y) for y in cells.y for x in cells.x), strict=True)
    clear = {"marker": {"opacity": 0}}
    marks = go.Scatter(x=x, y=y, mode="markers", showlegend=False, selected=clear, unselected=clear)
    marks.marker = {"symbol": "square", "size": 24, "opacity": 0}
    marks.customdata = np.reshape(cells.customdata, (len(x), -1))
    return figure.add_trace(marks.update(hovertemplate=cells.hovertemplate))


def describe_cells(pair: Pair) -> str:
    """Name the confusion cells that gain and lose most documents from A to B."""
    names, (a, b) = class_names(pair), (np.asarray(row["detail"]["confusion"]) for row in rows(pair))
    change = b - a
    if not change.any():
        return "A and B have the same counts."
    places = (divmod(int(place), len(names)) for place in (change.argmax(), change.argmin()))
    rise, fall = (f"{names[true]} read as {names[read]} ({change[true, read]:+,} documents)" for true, read in places)
    return f"From A to B the largest rise: {rise}; the largest fall: {fall}."


def describe_difference(found: Row) -> str:
    """Say by how many points B is more accurate, with the interval of `contrast`'s difference."""
    change = found["difference"]
    low, high = (f"{100 * change[end]:+.1f}" for end in ("low", "high"))
    text = f"B minus A: {charts.points(100 * change['difference'])} (95 % paired bootstrap interval {low} to {high})"
    return f"{text}, n = {charts.count(change['n'])}."


def describe_mcnemar(found: Row) -> str:
    """Put the exact McNemar test into words."""
    test, n = found["mcnemar"], charts.count(found["difference"]["n"])
    gained, lost = charts.count(test["c"]), charts.count(test["b"])
    by_chance = charts.p_value(test["pvalue"])
    if not test["b"] + test["c"]:
        return f"A and B get the same documents right, of {n}: there is nothing to test."
    return (
        f"Of the {n} documents B gets {gained} right that A got wrong, and {lost} wrong that A got right. If A and B "
        f"were right equally often, a split at least as lopsided would come by chance with {by_chance} "
        "(exact McNemar test)."
    )


def describe_flips(found: Row) -> str:
    """Say how many answers change and how far the probabilities move."""
    flips = stats.Flips(**found["flips"])
    share = charts.percent(flips.changed_share)
    return f"{share} of the answers differ; KL(A || B) = {found['kl']:.3f} nats for each document on average."

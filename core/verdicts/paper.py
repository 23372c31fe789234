"""What the Paper page shows, read from the store: verdicts, charts with their sentences, the rows behind them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote

import plotly.graph_objects as go

from core import pipeline
from core.config import MODEL_KINDS
from core.display import charts
from core.display.views import kde, known_corpora
from core.storage.database import EVALUATIONS
from core.storage.store import Row, Store
from core.text.corpora import REGISTERED
from core.verdicts import study_charts
from core.verdicts.claims import Condition, Judgement, condition_words, difference_words, judge
from core.verdicts.draws import single_contrast, spread
from core.verdicts.paper_figures import FIGURES, Figure, Line, Place, figure_of
from core.verdicts.redo_claims import CLAIMS
from core.verdicts.study_charts import Curve, Point
from core.verdicts.study_rows import QUANTITIES, Setting, StudyRows, distance_row
from core.verdicts.width_table import width_table

STUDIED = ("reuters-r8", "ag-news", "dbpedia-14")
NOT_STORED = "not stored"
SHOWN_GAPS = 6
COLUMNS = tuple(column.name for column in EVALUATIONS.c if column.name not in ("spec", "detail", "versions"))
FACTS = ("train_noise", "cell_range")


@dataclass(frozen=True)
class Chart:
    """One chart of a figure and its sentence."""

    key: str
    heading: str
    drawing: go.Figure
    sentence: str


def offered_corpora() -> list[str]:
    """Name the corpora of the study, then every other known one that the store has models of."""
    return list(dict.fromkeys([*STUDIED, *(name for name in known_corpora() if name in REGISTERED)]))


def read(corpora: Sequence[str]) -> StudyRows:
    """Return what the store has on these corpora, test split, all documents."""
    measured = Store().results(split="test", test_limit=None, corpus=list(corpora))
    apart = [distance_row(found) for corpus in corpora for found in pipeline.distances(corpus)]
    return StudyRows([*measured, *({"accuracy": None} | row for row in apart)])


def judge_all(rows: StudyRows, corpora: Sequence[str]) -> list[Judgement]:
    """Return the verdict on every claim from these corpora together."""
    return [judge(claim, rows, corpora) for claim in CLAIMS]


def over_corpora(judgement: Judgement, rows: StudyRows) -> str:
    """Say what the claim's verdict is over every corpus that has rows; "" if there is only one."""
    corpora = list(dict.fromkeys(row["corpus"] for row in rows.rows))
    if len(corpora) < 2:
        return ""
    found = judge(judgement.claim, rows, corpora)
    return f"Over {', '.join(corpora)}: {found.words}. {found.explanation}"


def sources() -> list[str]:
    """Name the figures in the order of the page."""
    return [figure.source for figure in FIGURES]


def summary(judgements: Sequence[Judgement], rows: StudyRows) -> list[Row]:
    """Return a table row for each claim: figure, claim, verdict, test documents and draws behind it."""
    return [
        {
            "Figure": figure_of(judgement.claim.figure).source,
            "Verdict": judgement.words,
            "Claim": judgement.claim.sentence,
            "n": _documents(judgement, rows),
            "Draws": max((finding.draws for finding in judgement.findings if finding.own), default=0),
        }
        for judgement in judgements
    ]


def describe_summary(judgements: Sequence[Judgement]) -> str:
    """Count the verdicts in words."""
    found = Counter(judgement.verdict for judgement in judgements)
    parts = [f"{n} {'depend on a condition' if verdict == 'depends' else verdict}" for verdict, n in found.items()]
    return f"Of {len(judgements)} claims: {', '.join(parts)}."


def claims_of(figure: Figure, judgements: Sequence[Judgement]) -> list[Judgement]:
    """Return the judgements on a figure's claims."""
    return [judgement for judgement in judgements if judgement.claim.figure == figure.key]


def tests_table(judgement: Judgement) -> list[Row]:
    """Return a table row for each condition and test: what was measured, and whether it bears the claim out."""
    return [
        {
            "Condition": condition_words(finding.condition) or "any",
            "Corpus": finding.condition["corpus"],
            "Test": measured.test.words,
            "Measured": difference_words(measured),
            "Outcome": measured.reason,
        }
        for finding in judgement.findings
        for measured in finding.tests
    ]


def draw(figure: Figure, condition: Condition, rows: StudyRows, corpus: str, zoom: bool = False) -> list[Chart]:
    """Return the charts of a figure under a condition, a chart for each quantity and panel; [] without a row.

    The axes hold what every condition shows, so that they stay when the condition changes; zoomed, this one alone.
    """
    caption = ", ".join(filter(None, (corpus, condition_words(condition), _weights(figure, condition, rows, corpus))))
    if figure.kind == "densities":
        return _draw_densities(figure, condition, rows, corpus, caption)
    found = []
    for quantity in figure.quantities:
        everywhere = [
            curve
            for one in ((condition,) if zoom else figure.conditions)
            for curve in _curves(figure, figure.lines, quantity, one, rows, corpus)
        ]
        for panel in figure.panels:
            lines = [line for line in figure.lines if line.panel == panel]
            curves = _curves(figure, lines, quantity, condition, rows, corpus)
            if any(curve.points for curve in curves):
                found.append(_chart(figure, quantity, panel, curves, everywhere, _chance(rows, corpus), caption))
    return found


def behind(figure: Figure, condition: Condition, rows: StudyRows, corpus: str) -> list[Row]:
    """Return the rows that a figure draws under a condition, as flat table rows without the JSON columns."""
    found = (row for setting in _settings(figure, condition, corpus) for row in rows.select(setting))
    unique = {row["key"]: row for row in found}.values()
    return [{name: row.get(name) for name in (*COLUMNS, *FACTS)} for row in unique]


def gaps(figure: Figure, condition: Condition, rows: StudyRows, corpus: str) -> str:
    """Say which points of a figure have no row; "" if all have one."""
    pairs = [(line, place) for line in figure.lines for place in figure.places]
    missing = [
        f"{line.name} at {place.x:g}" if isinstance(place.x, float) else f"{line.name} {place.x}".strip()
        for line, place in pairs
        if not rows.select(_setting(figure, line, place, condition, corpus))
    ]
    if not missing:
        return ""
    rest = f" and {len(missing) - SHOWN_GAPS} more" if len(missing) > SHOWN_GAPS else ""
    return f"{len(missing)} of {len(pairs)} points are not measured: {'; '.join(missing[:SHOWN_GAPS])}{rest}."


def command(figure: Figure, condition: Condition, corpus: str) -> str:
    """Return the command that computes what a figure draws under a condition; "" if the study leaves that out."""
    names = (name for name, conditions in figure.studies.items() if condition in conditions)
    return next((f"python -m core study {quote(corpus)} --only {name}" for name in names), "")


def widths(figure: Figure, condition: Condition, rows: StudyRows, corpus: str) -> list[Row]:
    """Return every width against float and the models against each other (see `width_table`), [] if not of use here.

    That is for figures that draw both models over bit-widths with one calibration.
    """
    calibrations = {line.setting.get("calibration") for line in figure.lines}
    models = [line.setting.get("model") for line in figure.lines]
    if "ranges" not in condition or figure.panels != ("",) or len(calibrations) > 1 or models != list(MODEL_KINDS):
        return []
    setting = {"corpus": corpus, "calibration": calibrations.pop(), **condition}
    return [
        {name: NOT_STORED if value is None and name in _OF_ARRAYS else value for name, value in line.items()}
        for line in width_table(rows, setting, Store())
    ]


_OF_ARRAYS = ("Difference low", "Difference high", "McNemar p", "Holm p", "Flips (%)", "KL (nats)")


def _documents(judgement: Judgement, rows: StudyRows) -> str:
    corpora = {finding.condition["corpus"] for finding in judgement.findings if finding.draws}
    sizes = sorted({row["n"] for row in rows.rows if row["corpus"] in corpora and row["measure"] == "evaluation"})
    return " / ".join(charts.count(n) for n in sizes)


def _setting(figure: Figure, line: Line, place: Place, condition: Condition, corpus: str) -> Setting:
    return {"corpus": corpus, **figure.weights, **condition, **line.setting, **place.setting}


def _settings(figure: Figure, condition: Condition, corpus: str) -> Iterator[Setting]:
    return (_setting(figure, line, place, condition, corpus) for line in figure.lines for place in figure.places)


def _curves(
    figure: Figure, lines: Sequence[Line], quantity: str, condition: Condition, rows: StudyRows, corpus: str
) -> list[Curve]:
    curves = []
    for line in lines:
        points = (
            _point(place, _setting(figure, line, place, condition, corpus), quantity, rows) for place in figure.places
        )
        curves.append(Curve(line.name, line.colour, line.dash, tuple(point for point in points if point)))
    return curves


def _point(place: Place, setting: Setting, quantity: str, rows: StudyRows) -> Point | None:
    values = list(rows.values(place.quantity or quantity, setting).values())
    if not values:
        return None
    found, n = spread([value.value for value in values]), min(row["n"] for row in rows.select(setting))
    if found.n > 1:
        return Point(place.x, found.mean, found.low, found.high, found.n, n, f"Student's t over {found.n} draws")
    single = single_contrast(values[0].value, values[0].variance)
    return Point(place.x, found.mean, single.low, single.high, 1, n, f"one draw, {single.method}")


def _chart(
    figure: Figure,
    quantity: str,
    panel: str,
    curves: list[Curve],
    everywhere: list[Curve],
    chance: float | None,
    caption: str,
) -> Chart:
    read_as = QUANTITIES[quantity]
    y_range, places = study_charts.value_range(everywhere, read_as), [place.x for place in figure.places]
    line = chance if quantity == "accuracy" else None
    drawing = study_charts.line_figure(curves, read_as, figure.axis, places, y_range, line, caption)
    sizes = [point.n for curve in curves for point in curve.points]
    words = study_charts.describe_lines(curves, read_as, figure.axis)
    sentence = f"{panel.capitalize()}{'. ' if panel else ''}{words} {study_charts.documents_words(sizes)}."
    key = "-".join(filter(None, (figure.key, str(figure.quantities.index(quantity)), panel)))
    return Chart(key, panel.capitalize(), drawing, sentence)


def _draw_densities(figure: Figure, condition: Condition, rows: StudyRows, corpus: str, caption: str) -> list[Chart]:
    curves: list[charts.DensityCurve] = []
    for line in figure.lines:
        found = rows.select(_setting(figure, line, figure.places[0], condition, corpus))
        stored = next((row["detail"]["densities"]["token_losses"] for row in found if _has_density(row)), None)
        if stored:
            curves.append((line.name, kde(stored), line.colour, line.dash))
    if not curves:
        return []
    drawing = charts.kde_figure(curves, caption=f"{caption}, first draw")
    return [Chart(figure.key, "", drawing, charts.describe_kde(curves))]


def _has_density(row: Row) -> bool:
    return bool(row["detail"].get("densities", {}).get("token_losses"))


def _chance(rows: StudyRows, corpus: str) -> float | None:
    shares = (row["detail"].get("majority_share") for row in rows.rows if row["corpus"] == corpus)
    share = next((share for share in shares if share is not None), None)
    return None if share is None else 100 * share


def _weights(figure: Figure, condition: Condition, rows: StudyRows, corpus: str) -> str:
    seeds = sorted({row["seed"] for setting in _settings(figure, condition, corpus) for row in rows.select(setting)})
    return f"weights seed {', '.join(map(str, seeds))}" if seeds else ""

"""A comparison as one HTML file that needs nothing else: tables, bars as inline SVG, full configuration, no script."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jinja2 import Environment

from core.display import charts, downloads, pairs, views
from core.display.downloads import Table
from core.display.pairs import Pair
from core.display.views import Side
from core.storage.store import Row

FALL, RISE = charts.GENERATIVE, charts.DISCRIMINATIVE


@dataclass(frozen=True)
class Bar:
    """One accuracy, a share with its interval, all in [0, 1]."""

    label: str
    share: float
    low: float
    high: float
    colour: str

    @property
    def words(self) -> str:
        return f"{charts.percent(self.share)} ({charts.percent(self.low)} to {charts.percent(self.high)})"


@dataclass(frozen=True)
class Matrix:
    """Confusion counts, a line for each true class of (count, background colour) for each predicted one."""

    title: str
    class_names: Sequence[str]
    cells: list[list[tuple[str, str]]]


@dataclass(frozen=True)
class Report:
    """What one report says."""

    title: str
    sentences: Sequence[str]
    bars: Sequence[Bar]
    chance: float
    matrices: Sequence[Matrix]
    tables: Mapping[str, Table]
    rows: Sequence[Row]


def comparison_report(shown: Sequence[Side]) -> str:
    """Write the two models at one setting, each against its float model. Raises ValueError if a side is incomplete."""
    rows, chance = downloads.comparison_rows(shown), views.both(shown[0])[0]["detail"]["majority_share"]
    tables = downloads.comparison_tables(shown)
    bars = [_bar(_label(row), row, charts.MODEL_COLOURS[row["model"]]) for row in rows]
    matrices = [_matrix(side.model.capitalize(), views.both(side)[0]) for side in shown]
    sentences = [charts.describe_accuracy(views.accuracy_rows(shown), chance)]
    for side in shown:
        row, before = views.both(side)
        counts = row["detail"]["confusion"], row["detail"]["class_names"], before["detail"]["confusion"]
        sentences.append(f"{side.model.capitalize()}. {charts.describe_confusion(*counts)}")
    return render(
        Report("What do fewer bits do to a text classifier?", sentences, bars, chance, matrices, tables, rows)
    )


def pair_report(pair: Pair) -> str:
    """Write A against B. Raises ValueError if a side has no result."""
    rows = pairs.rows(pair)
    tables = {name: table for name, table in downloads.pair_tables(pair).items() if name != "documents"}
    sides = list(zip(pair.sides, rows, strict=True))
    bars = [_bar(side.label, row, pairs.COLOURS[side.name]) for side, row in sides]
    matrices = [_matrix(side.label, row) for side, row in sides]
    matrices.append(_difference(np.subtract(*(row["detail"]["confusion"] for row in reversed(rows))), rows[0]))
    sentences = [f"{side.name}: {views.caption(row)}." for side, row in sides]
    if not pair.missing:
        found = pairs.contrast(pair)
        sentences += [pairs.describe_difference(found), pairs.describe_mcnemar(found), pairs.describe_flips(found)]
    return render(Report("A against B", sentences, bars, rows[0]["detail"]["majority_share"], matrices, tables, rows))


def render(report: Report) -> str:
    """Write a report as HTML; every text in it is escaped."""
    specs = [(views.caption(row), json.dumps(_provenance(row), indent=1)) for row in report.rows]
    tables = {name: table for name, table in report.tables.items() if not name.startswith("confusion")}
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE)
    return page.render(report=report, tables=tables, specs=specs, cell=_cell)


def _provenance(row: Row) -> Row:
    names = ("key", "seed", "calibration_seed", "noise_seed", "n", "created", "versions", "spec")
    return {name: row[name] for name in names}


def _label(row: Row) -> str:
    setting = charts.FLOAT_SETTING if row["preset"] == "float" else f"{row['bits']} bits"
    return f"{row['model']}, {setting}"


def _bar(label: str, row: Row, colour: str) -> Bar:
    return Bar(label, row["accuracy"], row["accuracy_low"], row["accuracy_high"], colour)


def _matrix(title: str, row: Row) -> Matrix:
    """Colour counts by their share of the true class."""
    counts = np.asarray(row["detail"]["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return Matrix(title, row["detail"]["class_names"], _coloured(counts, shares, ","))


def _difference(change: np.ndarray, row: Row) -> Matrix:
    shares = change / max(int(np.abs(change).max()), 1)
    return Matrix("B minus A", row["detail"]["class_names"], _coloured(change, shares, "+,"))


def _coloured(counts: np.ndarray, shares: np.ndarray, form: str) -> list[list[tuple[str, str]]]:
    """Write each count with its background: clear at share 0, more of the palette's colour towards -1 and 1."""
    return [
        [
            (format(count, form), f"{FALL if share < 0 else RISE}{round(190 * abs(share)):02x}")
            for count, share in zip(*lines, strict=True)
        ]
        for lines in zip(counts.tolist(), shares.tolist(), strict=True)
    ]


def _cell(value: object) -> str:
    """Write a number with the digits that a reader needs; nothing for None."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ report.title }}</title>
<style>
:root {color-scheme: light dark;}
body {font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;}
table {border-collapse: collapse; font-size: 0.85rem;}
.wide {overflow-x: auto;}
th, td {border: 1px solid #8886; padding: 0.2rem 0.5rem; text-align: right;}
th:first-child, td:first-child {text-align: left;}
pre {overflow-x: auto; font-size: 0.8rem;}
svg {width: 100%; height: auto; max-width: 60rem;}
svg text {font: 13px system-ui, sans-serif; fill: currentColor;}
</style>
</head>
<body>
<h1>{{ report.title }}</h1>
{% for sentence in report.sentences %}
<p>{{ sentence }}</p>
{% endfor %}
<h2>Accuracy, with 95 % Wilson intervals</h2>
<svg viewBox="0 0 800 {{ 34 * report.bars | length + 30 }}" role="img" aria-label="Accuracies as listed below">
{% for bar in report.bars %}
{% set y = 34 * loop.index0 + 6 %}
<text x="0" y="{{ y + 16 }}">{{ bar.label }}</text>
<rect x="200" y="{{ y }}" width="{{ (400 * bar.share) | round(1) }}" height="22" fill="{{ bar.colour }}"></rect>
<line x1="{{ (200 + 400 * bar.low) | round(1) }}" x2="{{ (200 + 400 * bar.high) | round(1) }}" y1="{{ y + 11 }}"
 y2="{{ y + 11 }}" stroke="currentColor" stroke-width="3"></line>
<text x="610" y="{{ y + 16 }}">{{ bar.words }}</text>
{% endfor %}
<line x1="{{ (200 + 400 * report.chance) | round(1) }}" x2="{{ (200 + 400 * report.chance) | round(1) }}" y1="0"
 y2="{{ 34 * report.bars | length + 6 }}" stroke="currentColor" stroke-dasharray="3 3"></line>
<text x="{{ (204 + 400 * report.chance) | round(1) }}" y="{{ 34 * report.bars | length + 22 }}">majority class</text>
</svg>
<h2>Confusion matrices</h2>
{% for matrix in report.matrices %}
<h3>{{ matrix.title }}</h3>
<div class="wide"><table>
<tr><th>true \\ predicted</th>{% for name in matrix.class_names %}<th>{{ name }}</th>{% endfor %}</tr>
{% for line in matrix.cells %}
<tr><th>{{ matrix.class_names[loop.index0] }}</th>
{%- for count, colour in line %}<td style="background:{{ colour }}">{{ count }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% endfor %}
<h2>Tables</h2>
{% for name, table in tables.items() %}
<h3>{{ name }}</h3>
<div class="wide"><table>
<tr>{% for head in table[0] %}<th>{{ head }}</th>{% endfor %}</tr>
{% for line in table %}
<tr>{% for value in line.values() %}<td>{{ cell(value) }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% endfor %}
<h2>How these numbers were made</h2>
{% for caption, spec in specs %}
<h3>{{ caption }}</h3>
<pre>{{ spec }}</pre>
{% endfor %}
</body>
</html>
"""

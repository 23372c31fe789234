"""What the Compare page shows as plain tables, and files made of them: CSV, or one zip file with the charts' JSON."""

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.utils import PlotlyJSONEncoder

from core.display import pairs, views
from core.display.pairs import Pair, Reading
from core.display.views import Side
from core.errors import InputError
from core.measurement.stats import Values
from core.storage.store import Row

Table = Sequence[Row]
SETTINGS = ("preset", "bits", "head", "ranges", "calibration", "calibration_seed", "noise", "noise_seed", "seed")
SCORES = ("n", "correct", "accuracy", "accuracy_low", "accuracy_high", "macro_f1")


def comparison_rows(shown: Sequence[Side]) -> list[Row]:
    """Return the rows behind the two models at one setting, float first, each once."""
    rows = [row for side in shown for row in reversed(views.both(side))]
    return list({row["key"]: row for row in rows}.values())


def comparison_tables(shown: Sequence[Side]) -> dict[str, Table]:
    """Return the tables of the two models at one setting by name; accuracies and D are shares, 0 to 1."""
    tables: dict[str, Table] = {"accuracy": [_scores({}, row) for row in comparison_rows(shown)]}
    for side in shown:
        tables |= {f"{name}-{side.model}": table for name, table in _side_tables(side).items() if table}
    return tables


def pair_tables(pair: Pair) -> dict[str, Table]:
    """Return the tables of A against B by name; every document's answers, without its text."""
    sides = zip(pair.sides, pairs.rows(pair), strict=True)
    tables: dict[str, Table] = {"accuracy": [_scores({"side": side.name}, row) for side, row in sides]}
    names, (a, b) = pairs.class_names(pair), (np.asarray(row["detail"]["confusion"]) for row in pairs.rows(pair))
    for name, counts in (("confusion-A", a), ("confusion-B", b), ("confusion-B-minus-A", b - a)):
        tables[name] = confusion_table(counts, names)
    if pair.missing:
        return tables
    found, groups = pairs.contrast(pair), pairs.groups(pair)
    tables["B-against-A"] = [
        {"test": test, "quantity": name, "value": value}
        for test, values in {**found, "kl": {"nats": found["kl"]}}.items()
        for name, value in values.items()
    ]
    tables["groups"] = [{"group": name, "documents": len(places)} for name, places in groups.items()]
    tables["documents"] = documents_table(pairs.read(pair, groups[pairs.EVERY]))
    return tables


def confusion_table(counts: Values, class_names: Sequence[str]) -> Table:
    """Return a row for each true class, with a column for each predicted one."""
    lines = np.asarray(counts).tolist()
    return [
        {"true class": name} | dict(zip(class_names, line, strict=True))
        for name, line in zip(class_names, lines, strict=True)
    ]


def documents_table(readings: Sequence[Reading]) -> Table:
    """Return a row for each document; texts, where they were read, come last."""
    return [
        {
            "document": reading.document,
            "true class": reading.true,
            "A says": reading.answers[0],
            "A probability": round(reading.probabilities[0], 4),
            "B says": reading.answers[1],
            "B probability": round(reading.probabilities[1], 4),
        }
        | dict(
            zip(("text",) if len(reading.texts) == 1 else ("text A read", "text B read"), reading.texts, strict=False)
        )
        for reading in readings
    ]


def csv_text(table: Table, columns: Sequence[str] = ()) -> str:
    """Write a table as CSV; without columns they are the first row's, and no row raises InputError."""
    if not (columns or table):
        raise InputError("there is no row to write; choose documents first")
    file = io.StringIO()
    writer = csv.DictWriter(file, columns or list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    return file.getvalue()


def bundle(tables: Mapping[str, Table], figures: Mapping[str, go.Figure], rows: Sequence[Row]) -> bytes:
    """Return a zip file: tables/*.csv, charts/*.json for plotly.io.from_json, and results.json, any rows in full."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, table in tables.items():
            archive.writestr(f"tables/{name}.csv", csv_text(table))
        for name, figure in figures.items():
            archive.writestr(f"charts/{name}.json", _figure_json(figure))
        if rows:
            archive.writestr("results.json", json.dumps(rows, indent=1))
    return file.getvalue()


def _figure_json(figure: go.Figure) -> str:
    """Write a figure with its numbers as lists: the figure's own to_json packs them."""
    parts = {"data": [trace.to_plotly_json() for trace in figure.data], "layout": figure.layout.to_plotly_json()}
    return json.dumps(parts, cls=PlotlyJSONEncoder)


def _scores(start: Row, row: Row) -> Row:
    """Return one row's settings and scores, after `start`."""
    return start | {name: row[name] for name in ("corpus", "model", *SETTINGS, *SCORES)}


def _side_tables(side: Side) -> dict[str, Table]:
    row, before = views.both(side)
    names, counts = row["detail"]["class_names"], row["detail"]["confusion"]
    columns = (names, map(sum, counts), before["detail"]["predicted"], row["detail"]["predicted"])
    heads = ("class", "true", "float", "quantized")
    return {
        "confusion": confusion_table(counts, names),
        "predictions": [dict(zip(heads, line, strict=True)) for line in zip(*columns, strict=True)],
        "ks": [
            {"site": site, "D": ks.statistic, "n": ks.n, "m": ks.m, "p": ks.pvalue} for site, ks in views.ks_rows(side)
        ],
        "sites": views.site_table(row),
    }

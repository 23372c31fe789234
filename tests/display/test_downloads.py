"""Tables and files of a comparison: what is written is read back, and is what the store has."""

import csv
import io
import json
import zipfile

import numpy as np
import plotly.io
import pytest
from compared import Place

from core.config import MODEL_KINDS
from core.display import charts, downloads, pairs, views
from core.display.downloads import Table
from core.display.pairs import Pair
from core.errors import InputError


def pair_of(place: Place) -> Pair:
    return Pair(
        pairs.look_up("A", "generative", place.settings(bits=32)),
        pairs.look_up("B", "discriminative", place.settings(bits=3)),
    )


def read_back(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(downloads.csv_text(table))))


def test_a_comparison_has_a_table_for_each_section(place: Place) -> None:
    shown = views.compare(place.settings(bits=3)).shown
    tables = downloads.comparison_tables(shown)
    parts = ("confusion", "predictions", "ks", "sites")
    assert set(tables) == {"accuracy", *(f"{part}-{model}" for part in parts for model in MODEL_KINDS)}
    assert [(line["model"], line["bits"]) for line in tables["accuracy"]] == [
        (model, bits) for model in MODEL_KINDS for bits in (32, 3)
    ]
    for side in shown:
        row, before = views.both(side)
        cells = [list(line.values())[1:] for line in tables[f"confusion-{side.model}"]]
        assert cells == row["detail"]["confusion"]
        predictions = tables[f"predictions-{side.model}"]
        assert [line["quantized"] for line in predictions] == row["detail"]["predicted"]
        assert [line["float"] for line in predictions] == before["detail"]["predicted"]
        assert [line["true"] for line in predictions] == [sum(line) for line in row["detail"]["confusion"]]


def test_at_float_each_row_is_listed_once(place: Place) -> None:
    tables = downloads.comparison_tables(views.compare(place.settings(bits=32)).shown)
    assert [line["model"] for line in tables["accuracy"]] == list(MODEL_KINDS)
    assert not any(name.startswith(("ks", "sites")) for name in tables)


def test_a_pair_lists_every_document_with_both_answers(place: Place) -> None:
    pair = pair_of(place)
    tables, (first, second) = downloads.pair_tables(pair), pairs.outcomes(pair)
    names, lines = pairs.class_names(pair), read_back(tables["documents"])
    assert [int(line["document"]) for line in lines] == list(range(1, len(first["labels"]) + 1))
    assert [names.index(line["true class"]) for line in lines] == first["labels"].tolist()
    assert [names.index(line["A says"]) for line in lines] == first["predictions"].tolist()
    assert [names.index(line["B says"]) for line in lines] == second["predictions"].tolist()
    assert "text" not in lines[0]
    groups = {line["group"]: line["documents"] for line in tables["groups"]}
    assert groups == {name: len(places) for name, places in pairs.groups(pair).items()}


def test_a_pair_says_how_the_sides_differ(place: Place) -> None:
    pair = pair_of(place)
    found, tables = pairs.contrast(pair), downloads.pair_tables(pair)
    values = {(line["test"], line["quantity"]): line["value"] for line in tables["B-against-A"]}
    assert values[("mcnemar", "pvalue")] == found["mcnemar"]["pvalue"]
    assert values[("difference", "low")] == found["difference"]["low"]
    assert values[("kl", "nats")] == found["kl"]
    difference = [list(line.values())[1:] for line in tables["confusion-B-minus-A"]]
    a, b = (np.array(row["detail"]["confusion"]) for row in pairs.rows(pair))
    assert difference == (b - a).tolist()


def test_texts_are_listed_as_each_side_read_them(place: Place) -> None:
    pair = pair_of(place)
    positions, texts = np.array([4, 0]), pairs.read_texts(pair)
    (one,) = texts
    lines = read_back(downloads.documents_table(pairs.read(pair, positions, texts)))
    assert [line["text"] for line in lines] == [one[4], one[0]]
    lines = read_back(downloads.documents_table(pairs.read(pair, positions, (one, one[::-1]))))
    assert [(line["text A read"], line["text B read"]) for line in lines] == [(one[4], one[-5]), (one[0], one[-1])]


def test_csv_keeps_what_needs_quoting() -> None:
    rows = [{"text": 'a "quoted", two\nlines', "n": 1}, {"text": "ä 日", "n": 2}]
    assert [line["text"] for line in read_back(rows)] == [row["text"] for row in rows]


def test_no_row_makes_no_file() -> None:
    with pytest.raises(InputError, match="there is no row to write; choose documents first"):
        downloads.csv_text([])


def test_a_bundle_holds_tables_charts_and_results(place: Place) -> None:
    pair = pair_of(place)
    tables, figure = downloads.pair_tables(pair), pairs.difference_figure(pair)
    file = io.BytesIO(downloads.bundle(tables, {"difference": figure}, pairs.rows(pair)))
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert names == {*(f"tables/{name}.csv" for name in tables), "charts/difference.json", "results.json"}
        chart = archive.read("charts/difference.json").decode()
        assert json.loads(chart)["data"][0]["z"] == figure.data[0].z.tolist()
        assert plotly.io.from_json(chart).layout.xaxis == figure.layout.xaxis
        assert archive.read("tables/groups.csv").decode() == downloads.csv_text(tables["groups"])
        rows = json.loads(archive.read("results.json"))
    assert [row["accuracy"] for row in rows] == [row["accuracy"] for row in pairs.rows(pair)]
    assert [row["spec"] for row in rows] == [row["spec"] for row in pairs.rows(pair)]
    assert rows[0]["preset"] == charts.FLOAT_SETTING

"""Which classes calibrate: schemes and their draws, recall of a class left out against kept, computed again slowly."""

import csv
import io
from dataclasses import replace
from typing import Any

import pytest
import tiny
from compared import Place

from core import pipeline
from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS, ModelKind
from core.display import coverage, curves
from core.display.coverage import KEPT, LEFT_OUT
from core.display.curve_charts import Point
from core.display.curves import Condition, Shelf
from core.errors import InputError
from core.storage.store import Row

PAPER = Condition("paper-code", "percentile", "gpfq", "conditional")
QUICK = Condition("uniform", tiny.QUICK["ranges"], tiny.QUICK["head"], "conditional")


def held(row: Row) -> list[str]:
    """The classes that a stored label names."""
    return row["calibration"].removeprefix("classes:").split(",") if row["calibration"].startswith("classes:") else []


def stored(shelf: Shelf, model: str, bits: int) -> list[Row]:
    """The rows of the paper's settings; 8 bits are stored under one preset."""
    wanted = {"model": model, "bits": bits, "preset": "uniform" if bits == 8 else "paper-code"}
    wanted |= {"ranges": "percentile", "head": "gpfq", "noise": 0.0}
    return [row for row in shelf.rows if all(row[name] == value for name, value in wanted.items())]


def test_schemes_are_named_by_how_many_classes_calibrate(shipped: Shelf) -> None:
    found = coverage.schemes(shipped, PAPER)
    assert [scheme.name for scheme in found] == [
        *("all 8 classes alike", "6 of 8 classes", "4 of 8 classes", "1 of 8 classes", "at random")
    ]
    assert [scheme.held for scheme in found] == [8, 6, 4, 1, None]
    for scheme in found[1:-1]:
        assert {len(label.split(",")) for label in scheme.calibrations} == {scheme.held}
    assert coverage.subset_sizes(shipped, PAPER) == {"any number": None, "6 of 8": 6, "4 of 8": 4, "1 of 8": 1}
    assert coverage.subset_sizes(shipped, replace(PAPER, ranges="fitted")) == {}


def test_a_line_is_the_mean_of_every_subset_of_its_size(shipped: Shelf) -> None:
    for model in MODEL_KINDS:
        line = next(line for line in coverage.scheme_lines(shipped, model, PAPER) if line.name == "4 of 8 classes")
        assert [point.x for point in line.points] == [FLOAT_BITS, *BIT_WIDTHS]
        for point in line.points[1:]:
            values = [100 * row["accuracy"] for row in stored(shipped, model, int(point.x)) if len(held(row)) == 4]
            assert point.y == pytest.approx(sum(values) / len(values))
            assert (point.low, point.high, point.draws) == (min(values), max(values), len(values))


def test_recall_changes_are_those_of_the_rows_that_leave_a_class_out(shipped: Shelf) -> None:
    names = coverage.class_names(shipped)
    cases: list[tuple[ModelKind, int | None]] = [("generative", None), ("discriminative", 6)]
    for model, size in cases:
        found = coverage.recalls(shipped, model, PAPER, size)
        (plain,) = shipped.draws(model, None, FLOAT_BITS)
        for column, bits in enumerate(BIT_WIDTHS):
            rows = [row for row in stored(shipped, model, bits) if held(row) and size in (None, len(held(row)))]
            for line, name in enumerate(names):
                before = plain["detail"]["per_class"][name]
                for group in (LEFT_OUT, KEPT):
                    of_group = [row for row in rows if (name in held(row)) == (group == KEPT)]
                    shifts = [100 * (r["detail"]["per_class"][name]["recall"] - before["recall"]) for r in of_group]
                    point = found[group][line][column]
                    if shifts:
                        assert point is not None
                        assert point.y == pytest.approx(sum(shifts) / len(shifts))
                        assert (point.n, point.draws) == (before["support"], len(shifts))
                    else:
                        assert point is None


def test_without_subsets_there_are_no_recalls(place: Place) -> None:
    shelf = curves.read(place.corpus)
    assert coverage.recalls(shelf, "generative", QUICK) == {}
    assert [scheme.name for scheme in coverage.schemes(shelf, QUICK)] == ["all 3 classes alike"]
    with pytest.raises(InputError, match="no draws of class subsets were given"):
        coverage.recall_figure({}, [], 1.0)


def test_a_mix_is_no_scheme(copy: Place) -> None:
    before = coverage.rows(curves.read(copy.corpus), QUICK)
    row = pipeline.evaluate(copy.settings(calibration="mix:grain=1,metal=2").spec("discriminative"))
    shelf = curves.read(copy.corpus)
    assert row["key"] in {other["key"] for other in shelf.rows}
    assert [other["key"] for other in coverage.rows(shelf, QUICK)] == [other["key"] for other in before]


def cells(*values: float | None) -> list[Point | None]:
    return [None if y is None else Point(bits, y, y, y, 20) for bits, y in zip(BIT_WIDTHS, values, strict=True)]


def test_the_sentence_names_where_leaving_out_costs_most() -> None:
    found = {
        LEFT_OUT: [cells(0, 0, 0, 0, -2, -5), cells(0, 0, 0, -9, 0, 1)],
        KEPT: [cells(0, 0, 0, 0, 0, -3), cells(0, 0, 0, -1, 0, None)],
    }
    text = coverage.describe_recalls(found, ["ore", "zinc"], "generative")
    assert text == (
        "Generative: left out, at 5 bits, where it costs most, a class's recall is -4.0 points from where it is when "
        "kept (mean of 2 classes). Furthest fall: zinc at 5 bits, -9.0 points from float (n = 20)."
    )
    alone = {LEFT_OUT: [cells(*[None] * 6)], KEPT: found[KEPT][:1]}
    assert "no class is left out" in coverage.describe_recalls(alone, ["ore"], "generative")
    assert coverage.recall_limit([found, {}]) == 9


def test_the_sentence_names_the_schemes_that_lie_furthest_apart(shipped: Shelf) -> None:
    lines = coverage.scheme_lines(shipped, "discriminative", PAPER)
    text = coverage.describe_schemes(lines, "discriminative")
    means = {bits: [point.y for line in lines for point in line.points if point.x == bits] for bits in BIT_WIDTHS}
    gap, bits = max((max(values) - min(values), bits) for bits, values in means.items())
    assert f"{len(lines)} ways of drawing lie at most {gap:.1f} points apart, at {bits} bits" in text
    assert "no bit-width has two ways" in coverage.describe_schemes(lines[:1], "discriminative")


def test_the_heat_maps_show_the_points_and_escape_names() -> None:
    found: dict[str, Any] = {group: [cells(-0.04, 1, 2, 3, 4, None)] for group in (LEFT_OUT, KEPT)}
    figure = coverage.recall_figure(found, ["<b>ore"], 5.0, "a & b")
    for heat in figure.data:
        assert list(heat.z[0]) == [0, 1, 2, 3, 4, None]
        assert (list(heat.y), heat.customdata[0][0][0]) == (["&lt;b&gt;ore"], 20)
        assert "a &amp; b" in heat.hovertemplate
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-5, 5)


def test_the_csv_has_each_class(shipped: Shelf) -> None:
    rows = coverage.rows(shipped, PAPER)
    lines = list(csv.DictReader(io.StringIO(coverage.write_csv(shipped, rows))))
    assert [line["key"] for line in lines] == [row["key"] for row in rows]
    assert float(lines[-1]["recall of ship"]) == rows[-1]["detail"]["per_class"]["ship"]["recall"]

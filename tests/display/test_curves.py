"""From stored rows to curves: which rows count, what a point is the mean of, what is missing."""

from pathlib import Path
from typing import Any

import compared
import pytest
import tiny
from compared import HALF, Place

from core import pipeline
from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS, CalibrationSpec
from core.display import charts, curves
from core.display.curve_charts import WIDTHS
from core.display.curves import Condition, Shelf
from core.errors import InputError
from core.measurement.stats import wilson_interval
from core.storage.store import Row, Store

QUICK = Condition("uniform", tiny.QUICK["ranges"], tiny.QUICK["head"], "conditional")
FITTED = Condition("uniform", "fitted", "gpfq", "conditional")


@pytest.fixture
def shelf(place: Place) -> Shelf:
    return curves.read(place.corpus)


def changed(row: Row, **columns: Any) -> Row:
    """The row of another draw: `columns` changed, in its specification too."""
    spec = pipeline.EvaluationSpec.model_validate(row["spec"])
    if "calibration_seed" in columns and spec.variant.calibration:
        draw = spec.variant.calibration.model_copy(update={"seed": columns["calibration_seed"]})
        spec = spec.model_copy(update={"variant": spec.variant.model_copy(update={"calibration": draw})})
    return row | columns | {"key": f"{abs(hash(str(columns))):016x}"[:16], "spec": spec.model_dump(mode="json")}


def test_a_line_holds_the_stored_accuracies_from_float_down(shelf: Shelf) -> None:
    for model in MODEL_KINDS:
        (line,) = curves.bit_lines(shelf, model, [QUICK], "accuracy")
        assert [point.x for point in line.points] == list(WIDTHS)
        assert line.colour == charts.MODEL_COLOURS[model]
        for point in line.points:
            recipe = {} if point.x == FLOAT_BITS else {**tiny.QUICK, "preset": "uniform", "calibration": "conditional"}
            (row,) = Store().results(corpus=shelf.corpus, model=model, bits=int(point.x), **recipe)
            assert (point.y, point.n, point.draws) == (100 * row["accuracy"], row["n"], 1)
            assert (point.low, point.high) == tuple(100 * b for b in wilson_interval(row["correct"], row["n"]))


def test_a_change_is_from_the_models_float_and_has_no_interval(shelf: Shelf) -> None:
    (line,) = curves.bit_lines(shelf, "generative", [QUICK], "change")
    start = shelf.draws("generative", None, FLOAT_BITS)[0]["accuracy"]
    for point in line.points:
        (row,) = shelf.draws("generative", QUICK, int(point.x))
        assert point.y == pytest.approx(100 * (row["accuracy"] - start))
        assert point.low == point.high == point.y
    assert line.points[0].y == 0


def test_a_condition_without_a_result_has_no_line(shelf: Shelf) -> None:
    nowhere = Condition("uniform", "minmax", "round", "unconditional")
    assert curves.bit_lines(shelf, "generative", [nowhere], "accuracy") == []
    assert len(curves.bit_lines(shelf, "generative", [QUICK, nowhere], "accuracy")) == 1


def test_eight_bits_belong_to_both_presets(shelf: Shelf) -> None:
    half = Condition("paper-code", QUICK.ranges, QUICK.head, QUICK.calibration)
    assert shelf.draws("discriminative", half, 8) == shelf.draws("discriminative", QUICK, 8) != []
    (row,) = shelf.draws("discriminative", half, HALF["bits"])
    assert row["preset"] == "paper-code"


def test_several_draws_are_one_point_with_their_spread(shelf: Shelf) -> None:
    (row,) = shelf.draws("generative", QUICK, 3)
    n = row["n"]
    draws = [changed(row, calibration_seed=seed, accuracy=k / n, correct=k) for seed, k in ((1, 5), (2, 8), (3, 11))]
    point = curves.summarise(shelf, 3, draws, "accuracy")
    assert point is not None
    assert (point.y, point.draws) == (pytest.approx(100 * 8 / n), 3)
    assert (point.low, point.high) == (pytest.approx(100 * 5 / n), pytest.approx(100 * 11 / n))
    assert curves.summarise(shelf, 3, [], "accuracy") is None


def test_rows_that_the_app_does_not_name_are_left_out(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = compared.use_copy(tmp_path_factory, monkeypatch, tmp_path)
    before = {row["key"] for row in curves.read(place.corpus).rows}
    (row,) = curves.read(place.corpus).draws("generative", QUICK, 4)
    spec, run = row["spec"], row["spec"]["variant"]["run"]
    odd = {
        "percentile": spec["variant"] | {"recipe": spec["variant"]["recipe"] | {"percentile": 99.0}},
        "fraction": spec["variant"] | {"calibration": spec["variant"]["calibration"] | {"fraction": 0.5}},
        "training": spec["variant"] | {"run": run | {"train": run["train"] | {"max_epochs": 77}}},
    }
    for place_, variant in enumerate(odd.values()):
        Store().save_result(row | {"key": f"{place_:016x}", "spec": spec | {"variant": variant}})
    Store().save_result(row | {"key": "a" * 16, "test_limit": 5})
    Store().save_result(row | {"key": "b" * 16, "seed": 1})
    assert {row["key"] for row in curves.read(place.corpus).rows} == before


def test_a_mix_of_classes_counts_whatever_they_are_called(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = compared.use_copy(tmp_path_factory, monkeypatch, tmp_path)
    (row,) = curves.read(place.corpus).draws("generative", QUICK, 4)
    mix = CalibrationSpec(scheme="mix", mix=(("films, books", 2.0), ("a=b", 1.0)))
    variant = row["spec"]["variant"] | {"calibration": mix.model_dump(mode="json")}
    own = {"key": "c" * 16, "calibration": mix.label, "spec": row["spec"] | {"variant": variant}}
    Store().save_result(row | own)
    assert mix.label in curves.read(place.corpus).choices("calibration")


def test_an_unknown_corpus_has_no_rows_and_an_unknown_filter_is_refused(tmp_cache: Path) -> None:
    assert curves.read("reuters-r8").rows == ()
    with pytest.raises(InputError, match="colour"):
        curves.read("reuters-r8", colour=1)


def test_missing_cells_are_those_without_a_row(shelf: Shelf) -> None:
    cells = curves.grid([QUICK], [0.0])
    assert len(cells) == len(set(cells)) == len(MODEL_KINDS) * len(WIDTHS)
    assert curves.missing(shelf, cells) == []
    assert len(curves.rows_of(shelf, cells)) == len(cells)
    noisy = curves.grid([QUICK], [0.0, 0.05])
    assert curves.missing(shelf, noisy) == [cell for cell in noisy if cell[3] == 0.05]


def test_conditions_are_every_combination_named_by_what_differs() -> None:
    chosen = curves.conditions(preset=["uniform"], ranges=["fitted", "minmax"], head=["gpfq"], calibration=["a", "b"])
    assert len(chosen) == 4
    names = [f"{ranges} ranges, {scheme} calibration" for ranges in ("fitted", "minmax") for scheme in "ab"]
    assert curves.short_names(chosen) == names
    assert curves.short_names(chosen[:1]) == [chosen[0].name]
    assert curves.conditions(preset=[], ranges=["fitted"], head=["gpfq"], calibration=["a"]) == []


def test_choices_start_with_the_papers(shipped: Shelf) -> None:
    assert shipped.choices("calibration")[:2] == ["conditional", "unconditional"]
    assert shipped.choices("preset") == ["uniform", "paper-code"]
    assert shipped.levels() == sorted(shipped.levels())


def test_shipped_noise_curves_are_the_stored_numbers(shipped: Shelf) -> None:
    for model in MODEL_KINDS:
        lines = curves.noise_lines(shipped, model, FITTED, (FLOAT_BITS, 3), "accuracy")
        assert [line.name for line in lines] == ["float", "3 bits"]
        for line, bits in zip(lines, (FLOAT_BITS, 3), strict=True):
            for point in line.points:
                rows = shipped.draws(model, FITTED, bits, point.x)
                assert point.y == pytest.approx(100 * sum(row["accuracy"] for row in rows) / len(rows))
                assert point.draws == len(rows)


def test_shipped_heat_changes_are_from_clean_float(shipped: Shelf) -> None:
    for model in MODEL_KINDS:
        plain, change = (curves.heat_cells(shipped, model, FITTED, m) for m in ("accuracy", "change"))
        clean = 100 * shipped.draws(model, None, FLOAT_BITS)[0]["accuracy"]
        for line, moved in zip(plain, change, strict=True):
            for cell, other in zip(line, moved, strict=True):
                assert (cell is None) == (other is None)
                assert cell is None or other is None or other.y == pytest.approx(cell.y - clean)
        assert change[0][0] is not None
        assert change[0][0].y == 0


def test_the_majority_share_and_sizes_come_from_the_rows(shipped: Shelf) -> None:
    row = next(row for row in shipped.rows if curves.stored_bytes(row))
    assert curves.stored_bytes(row) == sum(row["detail"]["calibration"]["stored_bytes"].values())
    assert curves.stored_bytes(shipped.draws("generative", None, FLOAT_BITS)[0]) is None
    assert curves.majority_share(shipped) == row["detail"]["majority_share"]
    assert set(BIT_WIDTHS) < set(WIDTHS)

"""What is planned for a study: everything that is missing, once, in an order that makes nothing twice."""

from itertools import groupby

import pytest
from small_studies import QUICK, SMALL, study_of
from tiny import CLASSES, RUN, forget_corpora, specify

from core import pipeline
from core.config import DistanceSpec, EvaluationSpec, ModelRun
from core.errors import InputError
from core.storage.store import Store
from core.studies import planning
from core.studies.planning import Unit


def keys(units: list[Unit]) -> list[str]:
    return [cell.fingerprint() for unit in units for cell in unit.cells]


def test_an_empty_store_lacks_every_cell_and_every_model(corpus: str) -> None:
    units = planning.plan(SMALL, corpus)
    cells = {c.fingerprint() for some in SMALL.cells(planning.open_corpus(corpus)).values() for c in some}
    runs = {unit.cells[0].fingerprint() for unit in units if unit.kind == "training"}
    assert len(runs) == 2
    assert sorted(keys(units)) == sorted(cells | runs)


def test_a_unit_is_one_variant_and_comes_after_what_it_needs(corpus: str) -> None:
    units = planning.plan(SMALL, corpus)
    phases = [kind for kind, _ in groupby(unit.kind for unit in units)]
    assert phases[:2] == ["training", "float"]
    assert set(phases[2:]) == {"quantized", "distance"}
    results = [unit for unit in units if unit.kind in ("float", "quantized")]
    variants = [{cell.variant for cell in unit.cells if isinstance(cell, EvaluationSpec)} for unit in results]
    assert all(len(some) == 1 for some in variants)
    assert len({next(iter(some)) for some in variants}) == len(results)
    assert all(len(unit.cells) == 2 for unit in results)  # two noise levels


def test_units_of_one_model_and_calibration_are_neighbours(corpus: str) -> None:
    calibrations = [
        (unit.model_run.model.kind, cell.variant.calibration)
        for unit in planning.plan(SMALL, corpus)
        if isinstance(cell := unit.cells[0], EvaluationSpec) and unit.kind == "quantized"
    ]
    runs = [name for name, _ in groupby(calibrations)]
    assert len(runs) == len(set(runs)) == 4
    assert len(calibrations) == 4 * 5


def test_a_quantized_generative_result_brings_the_float_one_it_is_compared_with(corpus: str) -> None:
    grid = study_of({"bits": [4], "noise": [0.05], "noise_seeds": [1, 2]})
    units = [unit for unit in planning.plan(grid, corpus) if unit.kind == "float"]
    assert [unit.model_run.model.kind for unit in units] == ["generative"]
    assert [cell.noise.seed for cell in units[0].cells if isinstance(cell, EvaluationSpec)] == [1, 2]


def test_what_the_store_has_is_not_planned(own: str) -> None:
    grid = study_of({"models": ["discriminative"], "bits": [32, 4, 3]})
    pipeline.evaluate(specify(own, bits=4))
    forget_corpora()
    (first, second) = planning.plan(grid, own)
    assert (first.kind, second.kind) == ("float", "quantized")
    assert keys([second]) == [pipeline.resolve(specify(own, bits=3)).fingerprint()]
    for bits in (32, 3):
        pipeline.evaluate(specify(own, bits=bits))
    assert planning.plan(grid, own) == []


def test_what_was_computed_for_other_content_is_planned_again(own: str) -> None:
    grid = study_of({"models": ["discriminative"]})
    pipeline.evaluate(specify(own))
    with open(own, "a") as file:
        file.write("the price of copper,metal\n")
    forget_corpora()
    assert [unit.kind for unit in planning.plan(grid, own)] == ["training", "float"]


def test_a_unit_survives_json(corpus: str) -> None:
    units = planning.plan(SMALL, corpus)
    assert {unit.kind for unit in units} == {"training", "float", "quantized", "distance"}
    assert [Unit.from_json(unit.to_json()) for unit in units] == units
    assert {type(unit.cells[0]) for unit in units} == {ModelRun, EvaluationSpec, DistanceSpec}


def test_cells_are_described_by_all_that_tells_them_apart(corpus: str) -> None:
    units = planning.plan(SMALL, corpus)
    words = [planning.describe(cell) for unit in units for cell in unit.cells]
    assert len(set(words)) == len(words)
    lists = {"models": ["generative"], "model_seeds": [2], "train_noise": [0.1], "bits": [3], "cell_ranges": [2.5]}
    (cell,) = study_of({**lists, "noise": [0.05]}).cells(planning.open_corpus(corpus))["e0"]
    assert planning.describe(cell) == (
        "generative, model seed 2, trained with noise 0.1, 3 bits uniform percentile round, "
        "conditional draw 0, cell range 2.5, noise 0.05 seed 0"
    )


def test_class_names_come_from_stored_results_where_the_corpus_is_gone(own: str) -> None:
    spec = pipeline.specify("emotion", "discriminative", run=RUN).variant.run.corpus
    gone = spec.model_copy(update={"name": "nowhere", "content": "0123456789abcdef"})
    with pytest.raises(InputError, match="nowhere"):
        planning.open_corpus(gone).names  # noqa: B018
    row = pipeline.evaluate(specify(own))
    row["spec"]["variant"]["run"]["corpus"] |= {"content": gone.content}
    Store().save_result({name: value for name, value in row.items() if name != "source"} | {"corpus": "nowhere"})
    assert planning.open_corpus(gone).names == CLASSES


def test_the_corpus_is_read_once_for_a_study(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = planning.Store.results
    monkeypatch.setattr(
        Store, "results", lambda *given, **filters: calls.append(filters) or original(*given, **filters)
    )
    cells = study_of({"bits": [32, 4]}, {"bits": [3], **QUICK}).cells(planning.open_corpus(own))
    assert planning.find_all(cell for some in cells.values() for cell in some) == {}
    assert calls == [{"corpus": {own}, "model": {"generative", "discriminative"}, "bits": {32, 4, 3}}]

"""A study that runs: everything is made once, whatever is killed, and what fails stops nothing else."""

import contextlib
import multiprocessing
import os
import signal
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from small_studies import QUICKEST, SMALL, lasting, stored_rows, study_of
from tiny import computations, forget_corpora

from core import pipeline
from core.config import DistanceSpec, EvaluationSpec
from core.errors import InputError
from core.lstm import training
from core.measurement import evaluation
from core.quantization import ptq
from core.storage.store import Row, Store
from core.studies import planning, study
from core.studies.executors import InProcess
from core.studies.study import Progress


def run_here(grid: study.Study, corpus: str) -> study.Report:
    return study.run(grid, corpus, InProcess())


# What a run makes


def test_a_run_makes_every_cell_and_a_second_run_nothing(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = computations(monkeypatch)
    lists = {"bits": [32, 8, 3], "presets": ["uniform", "paper-code"], "noise": [0.0, 0.1]}
    grid = study_of(lists, {"measure": "distance", "models": ["generative"]})
    report = run_here(grid, own)
    assert (report.made, report.failures) == (16 + 1 + 2, ())
    # Of each model one variant at 8 bits and two at 3, each made once for its two noise levels.
    assert calls == {"train": 2, "encode_corpus": 2, "evaluate": 2 * 2 * (1 + 1 + 2), "quantize": 2 * (1 + 2)}
    assert study.progress_of(grid, own) == {"e0": (16, 16), "e1": (1, 1)}
    calls.clear()
    again = run_here(grid, own)
    assert (again.made, again.failures, +calls) == (0, (), {})


def test_rows_are_those_of_single_evaluations(own: str) -> None:
    grid = study_of({"bits": [32, 3], "noise": [0.0, 0.1]})
    before = study.rows(grid, own, "e0")
    assert [row for _, row in before] == [None] * 8
    run_here(grid, own)
    after = study.rows(grid, own, "e0")
    assert [cell for cell, _ in after] == [cell for cell, _ in before]
    for cell, row in after:
        assert isinstance(cell, EvaluationSpec)
        assert row == pipeline.find(cell)
        assert row is not None
        assert (row["model"], row["noise"]) == (cell.variant.run.model.kind, cell.noise.level)


def test_rows_of_distances(own: str) -> None:
    run_here(study_of({"measure": "distance", "draws": [0, 1]}), own)
    found = study.rows(study_of({"measure": "distance", "draws": [1, 2]}), own, "e0")
    assert [row is not None for _, row in found] == [True, False] * 2
    (cell, row), *_ = found
    assert isinstance(cell, DistanceSpec)
    assert row == pipeline.find_distance(cell)
    with pytest.raises(InputError, match="no experiment is named x; choose from: e0"):
        study.rows(SMALL.only(["e0"]), own, "x")


# Being killed


FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None


def run_and_log(grid: study.Study, corpus: str, log: Path, saved: Connection) -> None:
    """Run a study, noting in `log` every computation that starts, and in `saved` the key of every row in the store."""

    def noted(module: Any, name: str) -> None:
        original = getattr(module, name)

        def call(*given: Any, **named: Any) -> Any:
            with log.open("a") as file:
                file.write(name + "\n")
            return original(*given, **named)

        setattr(module, name, call)

    def save_result(store: Store, row: Row) -> None:
        save(store, row)
        saved.send(row["key"])

    save, Store.save_result = Store.save_result, save_result  # type: ignore[method-assign]
    for module, name in ((training, "train"), (ptq, "quantize"), (evaluation, "evaluate")):
        noted(module, name)
    forget_corpora()
    study.run(grid, corpus, InProcess())


def run_in_process(grid: study.Study, corpus: str, log: Path, rows: int | None) -> tuple[list[str], int | None]:
    """Run a study in a process, killed once it has saved so many rows; return the rows' keys, and how it ended."""
    assert FORK
    reader, writer = FORK.Pipe(duplex=False)
    process = FORK.Process(target=run_and_log, args=(grid, corpus, log, writer))
    process.start()
    writer.close()
    keys = []
    with contextlib.suppress(EOFError):
        while True:
            keys.append(reader.recv())
            if len(keys) == rows:
                process.kill()
    process.join()
    return keys, process.exitcode


@pytest.mark.skipif(FORK is None, reason="needs fork")
def test_a_study_killed_twice_loses_and_repeats_nothing(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, log = study_of({"bits": [32, 4, 3], "noise": [0.0, 0.1]}), tmp_path / "log"
    first, second = (run_in_process(grid, own, log, rows) for rows in (1, 5))
    assert (first[1], second[1]) == (-signal.SIGKILL, -signal.SIGKILL)
    kept = {row["key"]: row for row in Store().results()}
    assert 6 <= len(kept) < 12
    third = run_in_process(grid, own, log, None)
    assert third[1] == 0
    finished = {row["key"]: row for row in Store().results()}
    assert len(finished) == 12
    assert {key: finished[key] for key in kept} == kept
    saved = [key for keys, _ in (first, second, third) for key in keys]
    assert len(saved) == len(set(saved)) >= 12 - 2  # a row may be saved and its process killed before it has said so
    started = Counter(log.read_text().split())
    assert started["train"] == 2
    assert 12 <= started["evaluate"] <= 12 + 2  # what a kill interrupted is begun again
    assert 4 <= started["quantize"] <= 4 + 2
    killed = stored_rows()
    monkeypatch.setenv("BITDIAL_CACHE", str(tmp_path / "uninterrupted"))
    run_here(grid, own)
    assert stored_rows() == killed


# Failing


def test_a_cell_that_cannot_be_leaves_the_others(own: str) -> None:
    grid = study_of({"models": ["discriminative"], "bits": [32, 4], "calibrations": ["classes:gold", "conditional"]})
    report = run_here(grid, own)
    (failure,) = report.failures
    assert report.made == 3
    assert failure.reason.startswith("InputError: ")
    assert "'gold'" in failure.reason
    assert "4 bits uniform percentile round, classes:gold draw 0" in failure.cell
    assert failure.trace.splitlines()[-1].endswith(failure.reason.removeprefix("InputError: "))
    ((cell, row),) = [pair for pair in study.rows(grid, own, "e0") if pair[1] is None]
    assert (cell.fingerprint(), row) == (failure.key, None)


def test_any_error_of_one_cell_leaves_the_others_of_its_unit(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = study_of({"models": ["discriminative"], "bits": [4], "noise": [0.0, 0.05, 0.1]})
    original = pipeline.evaluate

    def evaluate(cell: EvaluationSpec) -> Row:
        if cell.noise.level == 0.05:
            raise MemoryError("too large")
        return original(cell)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "evaluate", evaluate)
        report = run_here(grid, own)
    assert [failure.reason for failure in report.failures] == ["MemoryError: too large"]
    assert 'raise MemoryError("too large")' in report.failures[0].trace
    assert report.made == 3
    assert run_here(grid, own).made == 1


def test_nothing_is_tried_with_a_model_that_could_not_be_trained(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = training.train, computations(monkeypatch)

    def train(run: Any, *given: Any) -> Any:
        if run.model.kind == "generative":
            raise RuntimeError("loss is not finite")
        return original(run, *given)

    monkeypatch.setattr(training, "train", train)
    report = run_here(study_of({"bits": [32, 4]}, {"measure": "distance", "models": ["generative"]}), own)
    reasons = [failure.reason for failure in report.failures]
    assert reasons == [
        "RuntimeError: loss is not finite",
        *["its model was not trained: RuntimeError: loss is not finite"] * 3,
    ]
    assert report.made == 3
    assert (calls["evaluate"], calls["quantize"]) == (2, 1)
    assert {row["model"] for row in Store().results()} == {"discriminative"}


# Progress


def test_progress_counts_every_cell_and_ends_with_all(own: str) -> None:
    told: list[Progress] = []
    grid = study_of({"models": ["discriminative"], "bits": [32, 4], "calibrations": ["classes:gold", "conditional"]})
    report = study.run(grid, own, InProcess(), told.append)
    assert [(step.done, step.failed, step.total) for step in told] == [
        (0, 0, 4),
        (1, 0, 4),
        (2, 0, 4),
        (2, 1, 4),
        (3, 1, 4),
    ]
    assert told[-1].elapsed_s <= report.seconds
    assert told[0].remaining_s is None
    assert told[-1].remaining_s == 0


def test_the_time_left_is_that_of_like_cells(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the four float cells took 3 s each, half of the elapsed time was work, so two more take 12 s."""
    grid = study_of({"models": ["discriminative"], "model_seeds": [0, 1], "noise": [0.0, 0.1]})
    units = planning.plan(grid, own)
    assert [(unit.kind, len(unit.cells)) for unit in units] == [("training", 1)] * 2 + [("float", 2)] * 2
    told: list[Progress] = []
    record = study._Record(units, told.append)
    monkeypatch.setattr(study._Record, "elapsed_s", 12.0)
    record.add(units[2], [{"key": cell.fingerprint(), "seconds": 3.0, "failure": None} for cell in units[2].cells])
    assert [step.remaining_s for step in told] == [None, pytest.approx(12.0)]


def test_lasting_rows_differ_only_in_when_they_were_made(own: str) -> None:
    run_here(QUICKEST, own)
    rows = Store().results()
    assert [set(row) - set(kept) for row, kept in zip(rows, lasting(rows), strict=True)] == [{"seconds", "created"}] * 3

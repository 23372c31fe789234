"""One reproducible study: a grid of experiments, planned in units of work, run anywhere, resumable at any point.

study = read_study()
with executors.choose(workers=2) as executor:
    report = run(study, "reuters-r8", executor)

What the store has is done, and nothing is computed for it. A unit is everything that is missing of one variant, so that
the variant is made once: a killed study loses what its workers were at, and goes on from there.
"""

import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from core import pipeline
from core.config import CorpusSpec, DistanceSpec, ModelRun
from core.storage.store import Row
from core.studies.executors import Executor, Future
from core.studies.experiments import Cell, Experiment, Study, read_study
from core.studies.planning import PHASES, Kind, Unit, describe, find_all, open_corpus, plan

__all__ = [
    "Experiment",
    "Failure",
    "Progress",
    "Report",
    "Study",
    "Unit",
    "plan",
    "progress_of",
    "read_study",
    "rows",
    "run",
    "work",
]

TRACE_LINES = 8


@dataclass(frozen=True)
class Failure:
    """A cell that could not be made: in words and by its key, the error, and the last lines of its traceback."""

    cell: str
    key: str
    reason: str
    trace: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a run is, in cells; a model to train is one too.

    `remaining_s` is estimated from the seconds of what this run has made, by kind and model, and counts only kinds
    of which it has made one; None before that.
    """

    total: int
    done: int
    failed: int
    elapsed_s: float
    remaining_s: float | None


@dataclass(frozen=True)
class Report:
    """What a run did: how many cells it made, trainings too, and those that failed."""

    made: int
    failures: tuple[Failure, ...]
    seconds: float


def run(
    study: Study,
    corpus: str | CorpusSpec,
    executor: Executor,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Report:
    """Make every cell that the store lacks. One that fails is reported, and its model's if training failed.

    Raises InputError for a corpus that cannot be had.
    """
    units = plan(study, corpus)
    record = _Record(units, on_progress)
    for phase in PHASES:
        ready = [unit for unit in units if unit.kind in phase and not record.refuse(unit)]
        futures = {executor.submit(work, unit.to_json()): unit for unit in ready}
        for future in executor.completed(futures):
            unit = futures.pop(future)
            record.add(unit, _result(future, unit))
    return Report(record.done, tuple(record.failures), record.elapsed_s)


def rows(study: Study, corpus: str | CorpusSpec, name: str) -> list[tuple[Cell, Row | None]]:
    """Return the cells of one experiment with what the store has of them; computes nothing.

    Raises InputError for an experiment that the study does not have, and for a corpus that nothing is known of.
    """
    (experiment,) = study.only([name]).experiment
    cells = experiment.cells(open_corpus(corpus), study.train)
    stored = find_all(cells)
    return [(cell, stored.get(cell.fingerprint())) for cell in cells]


def progress_of(study: Study, corpus: str | CorpusSpec) -> dict[str, tuple[int, int]]:
    """Return (cells the store has, all cells) of every experiment by its name."""
    cells = study.cells(open_corpus(corpus))
    stored = find_all(cell for some in cells.values() for cell in some)
    return {name: (sum(cell.fingerprint() in stored for cell in some), len(some)) for name, some in cells.items()}


def work(unit: str) -> list[Row]:
    """Make a unit's cells, wherever this runs, and return for each its key, seconds, and failure if it has one.

    Results go into the store. Nothing is raised: what fails leaves the other cells alone.
    """
    return [_attempt(cell) for cell in Unit.from_json(unit).cells]


def _attempt(cell: ModelRun | Cell) -> Row:
    start, failure = time.perf_counter(), None
    try:
        if isinstance(cell, ModelRun):
            pipeline.build_model(cell)
        elif isinstance(cell, DistanceSpec):
            pipeline.measure_distance(cell)
        else:
            pipeline.evaluate(cell)
    except Exception as error:  # whatever it is, the other cells are not to suffer
        failure = {"reason": _reason(error), "trace": "\n".join(traceback.format_exc().splitlines()[-TRACE_LINES:])}
    return {"key": cell.fingerprint(), "seconds": time.perf_counter() - start, "failure": failure}


def _result(future: Future, unit: Unit) -> list[Row]:
    """Return what `work` returned; if its worker was lost for good, that as the failure of what it left undone."""
    try:
        result: list[Row] = future.result()
    except Exception as error:
        had = find_all(cell for cell in unit.cells if not isinstance(cell, ModelRun))
        result = [row | ({"failure": None} if row["key"] in had else {}) for row in _failed(unit, _reason(error))]
    return result


def _failed(unit: Unit, reason: str) -> list[Row]:
    failure = {"reason": reason, "trace": ""}
    return [{"key": cell.fingerprint(), "seconds": 0.0, "failure": failure} for cell in unit.cells]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


# Keeping record


class _Record:
    """What a run has done so far, told to `on_progress` after every change."""

    def __init__(self, units: list[Unit], on_progress: Callable[[Progress], None]) -> None:
        self.start, self.on_progress = time.perf_counter(), on_progress
        self.total, self.done = sum(len(unit.cells) for unit in units), 0
        self.failures: list[Failure] = []
        self.untrained: dict[str, str] = {}
        self.left = Counter(_key(unit) for unit in units for _ in unit.cells)
        self.seconds, self.count = Counter[tuple[Kind, str]](), Counter[tuple[Kind, str]]()
        self._tell()

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self.start

    def refuse(self, unit: Unit) -> bool:
        """Fail a unit whose model could not be trained; say whether it was one."""
        reason = self.untrained.get(unit.model_run.fingerprint())
        if reason is None:
            return False
        self.add(unit, _failed(unit, f"its model was not trained: {reason}"))
        return True

    def add(self, unit: Unit, outcomes: list[Row]) -> None:
        for cell, outcome in zip(unit.cells, outcomes, strict=True):
            self.left[_key(unit)] -= 1
            if failure := outcome["failure"]:
                self.failures.append(Failure(describe(cell), outcome["key"], **failure))
                if unit.kind == "training":
                    self.untrained[outcome["key"]] = failure["reason"]
                continue
            self.done += 1
            self.count[_key(unit)] += 1
            self.seconds[_key(unit)] += outcome["seconds"]
        self._tell()

    def _tell(self) -> None:
        self.on_progress(Progress(self.total, self.done, len(self.failures), self.elapsed_s, self._remaining_s()))

    def _remaining_s(self) -> float | None:
        """Return the seconds of what is left, divided by how many workers were busy on average so far."""
        busy_s = sum(self.seconds.values())
        if not busy_s:
            return None
        work_s = sum(count * self.seconds[key] / self.count[key] for key, count in self.left.items() if self.count[key])
        return work_s * self.elapsed_s / busy_s


def _key(unit: Unit) -> tuple[Kind, str]:
    return unit.kind, unit.model_run.model.kind

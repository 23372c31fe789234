"""What a job does, step by step: train both models, then evaluate them in float and at every bit-width."""

import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core import pipeline, runtime
from core.background import jobs
from core.background.jobs import JobSpec, State
from core.config import FLOAT_BITS, MODEL_KINDS, EvaluationSpec, ModelKind, ModelRun
from core.errors import InputError
from core.lstm.fitting import EpochReport
from core.storage.store import Row, Store

Kind = tuple[str, ModelKind]  # train, float or quantized, and the model
WRITE_EVERY_S = 0.5
# What a step takes, as a multiple of an epoch of the discriminative model; measured on reuters-r8 and dbpedia-14.
COST: dict[Kind, float] = {
    ("train", "generative"): 10.0,
    ("train", "discriminative"): 1.0,
    ("float", "generative"): 0.5,
    ("float", "discriminative"): 0.5,
    ("quantized", "generative"): 2.0,
    ("quantized", "discriminative"): 0.5,
}


def run(folder: Path) -> int:
    """Do the job of a folder and keep its state there; return the exit code, 1 if it failed.

    Nothing is raised: what went wrong is in the state, for an error of ours with its traceback in the log.
    """
    spec, queued = jobs.read_spec(folder), jobs.read_state(folder).queued
    record = Record(folder, plan(spec), State(status="running", queued=queued, started=time.time(), updated=0))
    _say(f"both models on {spec.corpus.name}, bits {spec.bits}, versions {runtime.versions()}")
    try:
        work(spec, record)
    except (InputError, OSError) as error:
        return _fail(record, str(error))
    except Exception as error:
        traceback.print_exc()
        return _fail(record, f"{type(error).__name__}: {error}.")
    record.tell(status="done", stage="", remaining_s=0.0)
    _say("done")
    return 0


def plan(spec: JobSpec) -> Counter[Kind]:
    """Return the steps of a job by kind: at most so many epochs, and so many results."""
    steps: Counter[Kind] = Counter()
    for model in MODEL_KINDS:
        train = pipeline.specify(spec.corpus, model).variant.run.train
        steps.update({("train", model): train.max_epochs, ("float", model): 1, ("quantized", model): len(spec.bits)})
    return steps


def work(spec: JobSpec, record: "Record") -> None:
    """Make what the store lacks: the quick model first, widths from float down, so that pages fill early."""
    for model in reversed(MODEL_KINDS):
        _train(pipeline.specify(spec.corpus, model).variant.run, record)
    for bits in (FLOAT_BITS, *spec.bits):
        for model in MODEL_KINDS:
            _evaluate(pipeline.specify(spec.corpus, model, bits), bits, record)


class Record:
    """How far a job is, written to its state at every step, and between them at most twice a second.

    The time left is estimated from this run's own: the mean of a kind of step that has been timed, else by COST.
    """

    def __init__(self, folder: Path, steps: Counter[Kind], state: State) -> None:
        self.folder, self.state, self.left = folder, state, steps
        self.total = _cost(steps)
        self.count, self.seconds = Counter[Kind](), defaultdict[Kind, float](float)
        self.written = 0.0
        self.tell()

    def finish(self, kind: Kind, seconds: float | None, left: int) -> None:
        """Count a step, whose seconds are None if there was nothing to compute; `left` are left of its kind."""
        self.left[kind] = left
        if seconds is not None:
            self.count[kind] += 1
            self.seconds[kind] += seconds
        self.tell()

    def reach(self, kind: Kind, stage: str, share: float) -> None:
        """Say what the current step is at, and which share of it is done, in [0, 1]."""
        self.state = self.state.model_copy(update={"stage": stage})
        if time.monotonic() - self.written >= WRITE_EVERY_S:
            self.tell(kind, share)

    def tell(self, kind: Kind | None = None, share: float = 0.0, **changes: Any) -> None:
        """Write the state with `changes`, a share of the current step, of a kind, being done."""
        left = {step: count - share * (step == kind) for step, count in self.left.items()}
        progress = {"updated": time.time(), "total": self.total, "done": self.total - _cost(left)}
        self.state = self.state.model_copy(update=progress | {"remaining_s": self._remaining_s(left)} | changes)
        jobs.write_state(self.folder, self.state)
        self.written = time.monotonic()

    def _remaining_s(self, left: Mapping[Kind, float]) -> float | None:
        if not self.count:
            return None
        rate = sum(self.seconds.values()) / _cost(self.count)
        each = {kind: self.seconds[kind] / self.count[kind] if self.count[kind] else COST[kind] * rate for kind in left}
        return sum(count * each[kind] for kind, count in left.items())


def _cost(steps: Mapping[Kind, float]) -> float:
    return sum(COST[kind] * count for kind, count in steps.items())


def _train(run: ModelRun, record: Record) -> None:
    model, epochs = run.model.kind, run.train.max_epochs
    kind, at = ("train", model), [_epochs_done(run) + 1]

    def on_stage(stage: str, done: float, total: float) -> None:
        record.reach(kind, f"Training the {model} model, epoch {at[0]} of at most {epochs}", done / total)

    def on_epoch(report: EpochReport) -> None:
        at[0] = report.epoch + 2
        _say(f"{model}, epoch {report.epoch + 1}: {_losses(report)}, {report.seconds:.1f} s")
        record.finish(kind, report.seconds, epochs - report.epoch - 1)

    record.finish(kind, None, epochs - at[0] + 1)
    with _said(f"training the {model} model, weights seed {run.train.seed}"):
        pipeline.build_model(run, pipeline.Progress(on_stage, on_epoch))
    record.finish(kind, None, 0)


def _evaluate(spec: EvaluationSpec, bits: int, record: Record) -> None:
    model = spec.variant.run.model.kind
    kind = ("float" if bits == FLOAT_BITS else "quantized", model)
    name = "in float" if bits == FLOAT_BITS else f"at {bits} bits"

    def on_stage(stage: str, done: float, total: float) -> None:
        record.reach(kind, f"The {model} model {name}: {stage}", 0.0)

    start = time.perf_counter()
    row = pipeline.evaluate(spec, pipeline.Progress(on_stage))
    seconds = time.perf_counter() - start if row["source"] == "computed" else None
    _say(f"the {model} model {name}: {_result(row)}")
    record.finish(kind, seconds, record.left[kind] - 1)


def _epochs_done(run: ModelRun) -> int:
    found = Store().load_tensors("checkpoints", run.fingerprint())
    return len(found[1]["history"]) if found else 0


def _losses(report: EpochReport) -> str:
    best = " (best)" if report.best else ""
    return f"train loss {report.train_loss:.4f}, validation loss {report.validation_loss:.4f} nats{best}"


def _result(row: Row) -> str:
    interval = f"[{100 * row['accuracy_low']:.1f}, {100 * row['accuracy_high']:.1f}]"
    return f"accuracy {100 * row['accuracy']:.1f} % {interval}, n = {row['n']:,}, {row['source']}"


def _fail(record: Record, message: str) -> int:
    _say(f"failed: {message}")
    record.tell(status="failed", error=message)
    return 1


@contextmanager
def _said(what: str) -> Iterator[None]:
    start = time.perf_counter()
    _say(what)
    yield
    _say(f"{what}: {time.perf_counter() - start:.1f} s")


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)

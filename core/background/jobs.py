"""Long work in processes of its own, one at a time, which outlives the page and the server that asked for it.

A job is a folder of local/jobs in the artifact folder, named by the fingerprint of what is to be done:

    spec.json     a JobSpec
    state.json    a State, written whole by the worker, or by whoever ended it
    log.txt       what the worker has printed
    alive, pid    the worker holds a lock on the first as long as it lives, whatever becomes of its process number

Needs a POSIX system (flock, process groups) and a local disk.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from pydantic import ValidationError, field_validator

from core import runtime
from core.config import BIT_WIDTHS, CorpusSpec, Spec
from core.errors import InputError
from core.storage.artifacts import write_file
from core.text import inputs

Status = Literal["waiting", "running", "done", "failed", "cancelled", "lost"]
ACTIVE = ("waiting", "running")
WORKER = ("-m", "core.background.job_worker")
ROOT = Path(__file__).parent.parent.parent
LOCK_LIMIT_S = 2.0
END_LIMIT_S = 5.0
LOG_BYTES = 20_000


class JobSpec(Spec):
    """Train both models on a corpus as by default, and evaluate them in float and at `bits`."""

    corpus: CorpusSpec
    bits: tuple[int, ...] = BIT_WIDTHS

    @field_validator("bits")
    @classmethod
    def _bits_are_known(cls, bits: tuple[int, ...]) -> tuple[int, ...]:
        if wrong := sorted(set(bits) - set(BIT_WIDTHS)):
            raise InputError(f"bits={', '.join(map(str, wrong))}: choose from {', '.join(map(str, BIT_WIDTHS))}")
        return tuple(sorted(set(bits), reverse=True))


class State(Spec):
    """How far a job is: `done` of `total`, in units of work of no meaning elsewhere; times are seconds since 1970.

    `remaining_s` is an estimate, None before the first step. `error` is for the reader, "" unless the job failed.
    """

    status: Status
    queued: float
    started: float | None = None
    updated: float
    stage: str = ""
    done: float = 0
    total: float = 0
    remaining_s: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Job:
    """One job as it is now."""

    key: str
    spec: JobSpec
    state: State

    @property
    def active(self) -> bool:
        return self.state.status in ACTIVE

    @property
    def title(self) -> str:
        """The name of its file or corpus."""
        return Path(self.spec.corpus.name).name

    @property
    def settings(self) -> str:
        """What is made, in words."""
        widths = f" and {', '.join(map(str, self.spec.bits))} bits" if self.spec.bits else ""
        return f"both models, float{widths}, weights seed 0"

    @property
    def share(self) -> float:
        """How much of it is done, in [0, 1]."""
        return min(self.state.done / self.state.total, 1.0) if self.state.total else 0.0


def submit(spec: JobSpec) -> str:
    """Start a job, or go on with one that ended early, and return its key; one that is under way stays as it is.

    It waits until the jobs before it have ended. Raises InputError if the corpus cannot be had.
    """
    spec = spec.model_copy(update={"corpus": inputs.resolve_corpus(spec.corpus)})
    folder = _folder(spec.fingerprint())
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(_HeldError), _hold(folder) as lock:
        write_file(folder / "spec.json", spec.model_dump_json().encode())
        (folder / "pid").unlink(missing_ok=True)
        now = time.time()
        write_state(folder, State(status="waiting", queued=now, updated=now))
        process = _start(folder, lock)
        write_file(folder / "pid", str(process.pid).encode())
        threading.Thread(target=process.wait, daemon=True).start()  # takes note of its end, so that no zombie stays
    return folder.name


def listed() -> list[Job]:
    """Return all jobs, the last submitted first."""
    found = (find(path.parent.name) for path in _folder("").glob("*/spec.json"))
    return sorted((job for job in found if job), key=lambda job: job.state.queued, reverse=True)


def find(key: str) -> Job | None:
    """Return a job, or None if there is none that can be read; one whose worker has died unheard is lost."""
    folder = _folder(key)
    try:
        spec = JobSpec.model_validate_json((folder / "spec.json").read_bytes())
        alive = _is_held(folder)  # asked first: a worker writes its last state before it dies
        state = read_state(folder)
    except (FileNotFoundError, ValidationError):
        return None
    if state.status in ACTIVE and not alive:
        state = state.model_copy(update={"status": "lost"})
    return Job(key, spec, state)


def cancel(key: str) -> None:
    """End a job's worker and say so in its state; what it has finished is kept. Does nothing if it has ended."""
    folder = _folder(key)
    job = find(key)
    if job is None or not job.active:
        return
    _end(folder)
    with suppress(_HeldError), _hold(folder):  # held: it was resumed meanwhile
        state = read_state(folder)
        if state.status in ACTIVE:
            write_state(folder, state.model_copy(update={"status": "cancelled", "updated": time.time()}))


def remove(key: str) -> None:
    """Take a job that has ended off the list, with its log; models and results stay. Does nothing if it is active."""
    job = find(key)
    if job and not job.active:
        shutil.rmtree(_folder(key), ignore_errors=True)


def log_tail(key: str, lines: int = 40) -> str:
    """Return the last lines of a job's log, "" if it has none."""
    try:
        with open(_folder(key) / "log.txt", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def describe(job: Job) -> str:
    """Say how a job stands, in a sentence."""
    state = job.state
    words = {
        "waiting": "It is starting, or waits until the job before it has ended.",
        "running": f"{state.stage or 'Starting'}; {_left(state)}.",
        "done": f"Both models are trained and evaluated; it took {duration(state.updated - (state.started or 0))}.",
        "failed": f"{state.error} Its log says more.",
        "cancelled": "Cancelled; what was finished is kept. Resume goes on from there.",
        "lost": "Its process ended without a word: it was killed, lacked memory, or the machine was restarted. "
        "Resume goes on from the last whole epoch.",
    }
    return words[state.status]


def duration(seconds: float) -> str:
    """Write a time as one reads it: 40 s, 12 min, 2 h 5 min."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def read_state(folder: Path) -> State:
    """Return the state in a job's folder. Raises FileNotFoundError, ValidationError."""
    return State.model_validate_json((folder / "state.json").read_bytes())


def write_state(folder: Path, state: State) -> None:
    """Replace the state in a job's folder."""
    write_file(folder / "state.json", json.dumps(state.model_dump(mode="json")).encode())


def read_spec(folder: Path) -> JobSpec:
    """Return the specification in a job's folder. Raises FileNotFoundError, ValidationError."""
    return JobSpec.model_validate_json((folder / "spec.json").read_bytes())


def _folder(key: str) -> Path:
    return runtime.cache_dir().absolute() / "local" / "jobs" / key


def _left(state: State) -> str:
    return (
        "the time left is not known yet" if state.remaining_s is None else f"about {duration(state.remaining_s)} left"
    )


def _start(folder: Path, lock: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the worker, which inherits the lock and leaves this process a processor."""
    spare = max(1, (os.cpu_count() or 1) - 1)
    threads = min(spare, int(os.environ.get("OMP_NUM_THREADS") or spare))
    paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
    with open(folder / "log.txt", "ab") as log:
        return subprocess.Popen(
            [sys.executable, *WORKER, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )


def _end(folder: Path) -> None:
    """End the worker and what it started, at once if it does not heed."""
    _wait((folder / "pid").exists, LOCK_LIMIT_S)
    pid = int((folder / "pid").read_bytes())
    for signal_ in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal_)
        if _wait(lambda: not _is_held(folder), END_LIMIT_S):
            return


class _HeldError(Exception):
    """Another process holds the lock."""


@contextmanager
def _hold(folder: Path) -> Iterator[IO[bytes]]:
    """Hold the lock of a job that has no worker. Raises _HeldError if it has one."""
    with open(folder / "alive", "ab") as lock:
        if not _wait(lambda: _lock(lock, fcntl.LOCK_EX), LOCK_LIMIT_S):  # who looks holds it for a moment
            raise _HeldError
        yield lock


def _is_held(folder: Path) -> bool:
    with open(folder / "alive", "ab") as lock:
        return not _lock(lock, fcntl.LOCK_SH)


def _lock(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(condition: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held

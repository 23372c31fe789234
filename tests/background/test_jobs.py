"""Jobs: what is listed of a worker that waits, runs, ends, fails, is cancelled or dies. The workers are stand-ins."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from pydantic import ValidationError

from core.background import jobs
from core.background.jobs import Job, JobSpec, State
from core.config import CorpusSpec
from core.errors import InputError

LIMIT_S = 30
RUN = (
    "import json, os, pathlib, sys, time; f = pathlib.Path(sys.argv[1]); s = json.loads((f / 'state.json').read_text())"
)
SAY = "; (f / 'new').write_text(json.dumps(s | {0})); os.replace(f / 'new', f / 'state.json')"
RUNNING = RUN + SAY.format("{'status': 'running', 'done': 1.0, 'total': 4.0}")
STAY, END = RUNNING + "; print('at work', flush=True); time.sleep(60)", RUNNING + SAY.format("{'status': 'done'}")


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Path]:
    with tiny.workplace(tmp_path) as path:
        yield path
        for job in jobs.listed():
            jobs.cancel(job.key)


def submit(patch: pytest.MonkeyPatch, corpus: Path, script: str, bits: tuple[int, ...] = (4,)) -> str:
    patch.setattr(jobs, "WORKER", ("-c", script))
    return jobs.submit(JobSpec(corpus=CorpusSpec(name=str(corpus)), bits=bits))


def wait(key: str, status: str) -> Job:
    deadline = time.monotonic() + LIMIT_S
    while (job := jobs.find(key)) is None or job.state.status != status:
        assert time.monotonic() < deadline, job
        time.sleep(0.02)
    return job


def worker(key: str) -> int:
    return int((jobs._folder(key) / "pid").read_text())


def test_a_job_runs_beside_the_one_who_asked_and_says_how_far_it_is(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = submit(monkeypatch, corpus, STAY)
    job = wait(key, "running")
    assert (job.active, job.share, job.title) == (True, 0.25, "news.csv")
    assert os.getpgid(worker(key)) == worker(key) != os.getpgid(0)
    deadline = time.monotonic() + LIMIT_S
    while "at work" not in jobs.log_tail(key):
        assert time.monotonic() < deadline
    assert submit(monkeypatch, corpus, END) == key
    assert wait(key, "running").state == job.state


def test_a_cancelled_job_has_no_process_left_and_can_go_on(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = submit(monkeypatch, corpus, STAY)
    wait(key, "running")
    jobs.cancel(key)
    job = wait(key, "cancelled")
    assert not job.active
    assert not jobs._is_held(jobs._folder(key))
    jobs.cancel(key)
    assert submit(monkeypatch, corpus, END) == key
    assert wait(key, "done").state.queued > job.state.queued


def test_a_job_that_another_reader_resumes_while_it_is_cancelled_goes_on(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = submit(monkeypatch, corpus, STAY)
    wait(key, "running")
    monkeypatch.setattr(jobs, "LOCK_LIMIT_S", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_end", lambda folder: None)  # ended and resumed at once: the lock is held again
        jobs.cancel(key)
    assert wait(key, "running").active
    jobs.cancel(key)


def test_a_worker_that_dies_unheard_is_lost(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = submit(monkeypatch, corpus, STAY)
    wait(key, "running")
    os.kill(worker(key), signal.SIGKILL)
    assert "without a word" in jobs.describe(wait(key, "lost"))
    assert jobs.read_state(jobs._folder(key)).status == "running"


def test_a_worker_that_does_not_heed_is_killed(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + STAY
    monkeypatch.setattr(jobs, "END_LIMIT_S", 0.3)
    key = submit(monkeypatch, corpus, deaf)
    wait(key, "running")
    jobs.cancel(key)
    wait(key, "cancelled")
    assert not jobs._is_held(jobs._folder(key))


def test_jobs_are_listed_last_first_and_ended_ones_can_be_removed(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jobs.listed() == []
    first, second = submit(monkeypatch, corpus, END, (4,)), submit(monkeypatch, corpus, STAY, (3,))
    wait(first, "done")
    wait(second, "running")
    assert [job.key for job in jobs.listed()] == [second, first]
    for key in (first, second):
        jobs.remove(key)
    assert [job.key for job in jobs.listed()] == [second]
    assert jobs.log_tail(first) == ""


def test_what_cannot_be_read_is_not_listed(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = submit(monkeypatch, corpus, END)
    wait(key, "done")
    (jobs._folder(key) / "state.json").write_text("{")
    assert jobs.find(key) is None
    assert jobs.find("0" * 16) is None
    assert jobs.listed() == []


def test_the_same_work_is_one_job_and_other_content_another(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = submit(monkeypatch, corpus, END, (4, 3, 4))
    wait(key, "done")
    assert submit(monkeypatch, corpus, END, (3, 4)) == key
    tiny.write_corpus(corpus, seed=1)
    assert submit(monkeypatch, corpus, END, (3, 4)) != key


def test_bad_jobs_are_refused(tmp_path: Path, tmp_cache: Path) -> None:
    with pytest.raises(ValidationError, match="bits=2: choose from 8, 7, 6, 5, 4, 3"):
        JobSpec(corpus=CorpusSpec(name="a.csv"), bits=(4, 2))
    with pytest.raises(InputError, match="does not exist"):
        jobs.submit(JobSpec(corpus=CorpusSpec(name=str(tmp_path / "no.csv"))))
    assert jobs.listed() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "running", "stage": "Training", "remaining_s": 600}, "Training; about 10 min left."),
        ({"status": "running"}, "Starting; the time left is not known yet."),
        ({"status": "done", "started": 10.0, "updated": 7_310.0}, "it took 2 h 2 min."),
        ({"status": "failed", "error": "No space."}, "No space. Its log says more."),
    ],
)
def test_a_state_is_said_in_words(changes: dict[str, object], words: str) -> None:
    state = State.model_validate({"queued": 0.0, "updated": 0.0, **changes})
    assert jobs.describe(Job("k", JobSpec(corpus=CorpusSpec(name="a.csv")), state)).endswith(words)


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (7500, "2 h 5 min")])
def test_times_are_written_as_one_reads_them(seconds: float, words: str) -> None:
    assert jobs.duration(seconds) == words

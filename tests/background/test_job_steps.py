"""The work of a job: both models and every width in the store, progress that only grows, failures in the state."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import tiny

from core import pipeline
from core.background import job_steps, jobs
from core.background.jobs import JobSpec, State
from core.config import CorpusSpec, default_run
from core.text import inputs


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tiny.workplace(tmp_path) as path:
        monkeypatch.setattr(pipeline, "default_run", partial(default_run, **tiny.RUN))
        specify = pipeline.specify
        monkeypatch.setattr(pipeline, "specify", lambda *given, **more: specify(*given, **{**tiny.QUICK, **more}))
        yield path


def job(folder: Path, corpus: Path, bits: tuple[int, ...] = (4,)) -> Path:
    spec = JobSpec(corpus=inputs.resolve_corpus(CorpusSpec(name=str(corpus))), bits=bits)
    folder.mkdir()
    (folder / "spec.json").write_text(spec.model_dump_json())
    jobs.write_state(folder, State(status="waiting", queued=1.0, updated=1.0))
    return folder


def states(monkeypatch: pytest.MonkeyPatch) -> list[State]:
    """Every state that is written from now on."""
    found: list[State] = []
    write = jobs.write_state

    def noted(folder: Path, state: State) -> None:
        found.append(state)
        write(folder, state)

    monkeypatch.setattr(jobs, "write_state", noted)
    monkeypatch.setattr(job_steps, "WRITE_EVERY_S", 0.0)
    return found


def test_a_job_fills_the_store_and_says_how_far_it_is(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, seen = job(tmp_path / "job", corpus), states(monkeypatch)
    assert job_steps.run(folder) == 0
    for model in ("generative", "discriminative"):
        for bits in (32, 4):
            assert pipeline.find(pipeline.specify(str(corpus), model, bits)) is not None
    done = [state.done for state in seen]
    assert done == sorted(done)
    assert seen[-1].done == seen[-1].total == pytest.approx(2 * (1 + 10) + 2 * 0.5 + 2 + 0.5)
    assert (seen[-1].status, seen[-1].queued) == ("done", 1.0)
    assert {state.status for state in seen[:-1]} == {"running"}
    stages = [state.stage for state in seen]
    assert "Training the discriminative model, epoch 2 of at most 2" in stages
    assert "The generative model at 4 bits: evaluate" in stages
    assert seen[0].remaining_s is None
    assert all(state.remaining_s is not None for state in seen if state.done > 1)
    assert "validation loss" in capsys.readouterr().out


def test_a_second_run_computes_nothing(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = job(tmp_path / "job", corpus, ())
    assert job_steps.run(folder) == 0
    counts = tiny.computations(monkeypatch)
    assert job_steps.run(folder) == 0
    assert counts["train"] == counts["evaluate"] == 0


def test_an_interrupted_training_goes_on_after_its_last_epoch(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, finish = job(tmp_path / "job", corpus, ()), job_steps.Record.finish
    seen: list[object] = []

    def stop(record: job_steps.Record, kind: job_steps.Kind, seconds: float | None, left: int) -> None:
        finish(record, kind, seconds, left)
        seen.append(seconds)
        if len([one for one in seen if one]) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job_steps.Record, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            job_steps.run(folder)
    assert "discriminative, epoch 2" in capsys.readouterr().out
    assert job_steps.run(folder) == 0
    printed = capsys.readouterr().out
    assert "discriminative, epoch 1" not in printed
    assert "generative, epoch 2" in printed


@pytest.mark.parametrize("error", [OSError("no space left"), RuntimeError("boom")])
def test_a_failure_is_in_the_state(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    folder = job(tmp_path / "job", corpus)
    monkeypatch.setattr(pipeline, "build_model", fail)
    assert job_steps.run(folder) == 1
    state = jobs.read_state(folder)
    assert state.status == "failed"
    assert str(error) in state.error


def test_a_file_that_has_changed_fails_in_words(corpus: Path, tmp_path: Path) -> None:
    folder = job(tmp_path / "job", corpus)
    tiny.write_corpus(corpus, seed=5)
    assert job_steps.run(folder) == 1
    assert "has changed since it was specified" in jobs.read_state(folder).error

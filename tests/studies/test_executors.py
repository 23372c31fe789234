"""Where work runs: every executor gives what a plain call gives, and a lost process costs only what it was at."""

import os
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
import torch
from browser import ROOT
from distributed.utils import get_mp_context
from small_studies import QUICKEST, lasting, stored_rows, study_of
from tiny import forget_corpora, workplace

from core.errors import InputError
from core.storage.store import Store
from core.studies import executors, study
from core.studies.executors import Cluster, Executor, InProcess

FAILURES = {"divide": ZeroDivisionError, "refuse": InputError}


def add(left: int, right: int) -> int:
    return left + right


def divide(number: int) -> float:
    return number / 0


def place() -> tuple[int, int, dict[str, str | None]]:
    return os.getpid(), torch.get_num_threads(), {name: os.environ.get(name) for name in executors.ENVIRONMENT}


def die_once(mark: str) -> str:
    """End this process as a lack of memory would, unless it has been done before."""
    if not os.path.exists(mark):
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_work(unit: str, mark: str) -> object:
    """Do a unit's work; the first process that has done some of it dies before it can tell."""
    done = study.work(unit)
    die_once(mark)
    return done


@pytest.fixture(scope="module")
def pool() -> Iterator[Cluster]:
    """Two processes that the tests of this module share; forked from one that has imported everything, to be quick."""
    forking = dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    with forking, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, [Path(__file__).parent, ROOT / "tests", ROOT])))
        get_mp_context().set_forkserver_preload(
            ["distributed", "core.studies.study", "core.quantization.ptq", "test_executors"]
        )
        with executors.local(2) as cluster:
            yield cluster


def both(pool: Cluster) -> tuple[Executor, ...]:
    return InProcess(), pool


def test_an_executor_gives_what_a_call_gives(pool: Cluster) -> None:
    for executor in both(pool):
        futures = {executor.submit(add, number, 10): number for number in range(5)}
        assert {futures[future]: future.result() for future in executor.completed(futures)} == {
            number: number + 10 for number in range(5)
        }


def test_an_error_is_raised_where_the_result_is_asked_for(pool: Cluster) -> None:
    for executor in both(pool):
        future = executor.submit(divide, 1)
        with pytest.raises(ZeroDivisionError) as raised:
            future.result()
        assert "number / 0" in "".join(traceback.format_exception(raised.value))


def test_nothing_runs_in_process_before_it_is_asked_for() -> None:
    calls: list[int] = []
    futures = [InProcess().submit(calls.append, number) for number in range(3)]
    assert calls == []
    for done, future in enumerate(InProcess().completed(futures), 1):
        future.result()
        assert calls == list(range(done))


def test_processes_get_the_callers_settings(pool: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for cache, data in (("/somewhere", None), (None, "/elsewhere")):
        for name, value in (("BITDIAL_CACHE", cache), ("BITDIAL_DATA_DIR", data)):
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        process, _, settings = pool.submit(place).result()
        assert process != os.getpid()
        assert settings == {name: os.environ.get(name) for name in executors.ENVIRONMENT}
        assert (settings["BITDIAL_CACHE"], settings["BITDIAL_DATA_DIR"]) == (cache, data)


def test_processes_share_the_cpus(pool: Cluster) -> None:
    assert pool.submit(place).result()[1] == max(1, (os.cpu_count() or 1) // 2)


def test_work_of_a_lost_process_is_done_by_another(pool: Cluster, tmp_path: Path) -> None:
    futures = [pool.submit(die_once, str(tmp_path / "mark")), *(pool.submit(add, number, 1) for number in range(4))]
    assert [future.result() for future in futures] == ["survived", 1, 2, 3, 4]


def test_work_that_kills_every_process_is_given_up_after_one_retry(pool: Cluster) -> None:
    deadly, harmless = pool.submit(die), [pool.submit(add, number, 1) for number in range(4)]
    with pytest.raises(Exception, match=f"on {executors.RETRIES + 1} different workers, but all those workers died"):
        deadly.result()
    assert [future.result() for future in harmless] == [1, 2, 3, 4]


# A study in processes


def test_a_study_gives_equal_rows_in_process_and_in_processes(pool: Cluster, tmp_path: Path) -> None:
    """One process is lost after it has computed a unit, before it has said so; nothing is computed again."""
    mark, seen = str(tmp_path / "mark"), []
    with workplace(tmp_path) as corpus:
        report = study.run(QUICKEST, str(corpus), _Deadly(pool, mark))
        assert (report.failures, os.path.exists(mark)) == ((), True)
        in_processes, created = stored_rows(), {row["key"]: row["created"] for row in Store().results()}
        # Undone before the workplace is left: a fixture's patch would come after it and put this folder back for good.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BITDIAL_CACHE", str(tmp_path / "other"))
            forget_corpora()
            assert study.run(QUICKEST, str(corpus), InProcess(), seen.append).failures == ()
            assert lasting(stored_rows()) == in_processes
    assert (len(created), seen[-1].done) == (3, 4)


class _Deadly:
    """An executor one of whose processes dies at the end of a unit."""

    def __init__(self, pool: Cluster, mark: str) -> None:
        self.pool, self.mark = pool, mark

    def submit(self, function: object, unit: str) -> executors.Future:
        return self.pool.submit(die_in_work, unit, self.mark)

    def completed(self, futures):  # type: ignore[no-untyped-def]
        return self.pool.completed(futures)


class _Fatal(_Deadly):
    """An executor whose processes all die of quantizing."""

    def submit(self, function: object, unit: str) -> executors.Future:
        deadly = study.Unit.from_json(unit).kind == "quantized"
        return self.pool.submit(die) if deadly else self.pool.submit(study.work, unit)


def test_a_unit_that_kills_its_processes_is_a_failure_of_its_cells_alone(pool: Cluster, tmp_path: Path) -> None:
    with workplace(tmp_path) as corpus:
        grid = study_of({"models": ["discriminative"], "bits": [32, 4]})
        report = study.run(grid, str(corpus), _Fatal(pool, ""))
        (failure,) = report.failures
        assert report.made == 2
        assert failure.reason.startswith("KilledWorker: ")
        assert " 4 bits uniform percentile round, conditional draw 0, noise 0 seed 0" in failure.cell


# Choosing


def test_the_executor_is_chosen_by_what_is_given(pool: Cluster) -> None:
    with executors.choose() as executor:
        assert isinstance(executor, InProcess)
    with executors.choose(scheduler=pool.client.scheduler.address) as executor:
        assert isinstance(executor, Cluster)
        assert executor.submit(add, 1, 2).result() == 3
        assert executor.threads is None
    assert pool.submit(add, 2, 2).result() == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": 0}, "workers=0: give 1 or more"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "exclude each other; give one of the two"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "no Dask scheduler answers at 'tcp://127.0.0.1:1'"),
        ({"scheduler": "nonsense://x"}, "no Dask scheduler answers at 'nonsense://x'"),
    ],
)
def test_what_cannot_be_used_is_refused(
    given: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "CONNECT_TIMEOUT_S", 0.2)
    with pytest.raises(InputError) as refusal, executors.choose(**given):  # type: ignore[arg-type]
        pass
    assert message in str(refusal.value)

"""Where work runs: one submit/result contract for this process, processes of this machine, and a Dask cluster.

with executors.choose(workers=4) as executor:
    futures = [executor.submit(work, unit) for unit in units]
    for future in executor.completed(futures):
        print(future.result())
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch

from core.errors import InputError

ENVIRONMENT = ("BITDIAL_CACHE", "BITDIAL_DATA_DIR", "BITDIAL_DEVICE")
CONNECT_TIMEOUT_S = 10
RETRIES = 1  # of work whose worker was lost


class Future(Protocol):
    """What `submit` returns; `result()` waits for it, and raises what the function raised."""

    def result(self) -> Any: ...


class Executor(Protocol):
    """Runs functions that a module defines, on arguments and with results that travel between processes."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future: ...

    def completed(self, futures: Iterable[Future]) -> Iterator[Future]:
        """Yield futures as they are done."""
        ...


class InProcess:
    """Runs a function here when its result is asked for, so that an error has its plain traceback."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        return _Deferred(function, arguments)

    def completed(self, futures: Iterable[Future]) -> Iterator[Future]:
        yield from list(futures)


class Cluster:
    """Runs functions on the workers of a Dask cluster, which get this process's BITDIAL_ settings.

    Work whose worker is lost is given to another one; how often says the cluster, RETRIES for `local`. After that
    `result()` raises KilledWorker. `threads` is what torch may use on a worker, None for what it has there.
    """

    def __init__(self, client: Any, threads: int | None = None) -> None:
        self.client, self.threads = client, threads

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        settings = {name: os.environ.get(name) for name in ENVIRONMENT}
        future: Future = self.client.submit(_call, settings, self.threads, function, *arguments, pure=False)
        return future

    def completed(self, futures: Iterable[Future]) -> Iterator[Future]:
        from distributed import as_completed

        yield from as_completed(list(futures))


def choose(workers: int | None = None, scheduler: str | None = None) -> AbstractContextManager[Executor]:
    """Return the executor that a person asked for: in this process, `workers` processes, or the cluster of `scheduler`.

    Raises InputError for both at once, for less than one worker, and for a scheduler that does not answer.
    """
    if workers is not None and scheduler is not None:
        raise InputError("workers of this machine and a scheduler's exclude each other; give one of the two")
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers}: give 1 or more")
    if scheduler is not None:
        return connect(scheduler)
    return nullcontext(InProcess()) if workers is None else local(workers)


@contextmanager
def local(workers: int) -> Iterator[Cluster]:
    """Start `workers` processes on this machine, which share its CPUs, and end them afterwards.

    A process that is lost is replaced.
    """
    import dask
    from distributed import Client, LocalCluster

    # One unit at a time on a worker, so that losing it costs what ran there and nothing that waited.
    settings = {"distributed.scheduler.allowed-failures": RETRIES, "distributed.scheduler.worker-saturation": 1.0}
    options = {"n_workers": workers, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    # What a lost worker costs is in the study's report; a worker that is being ended may still complain of its end.
    options["silence_logs"] = logging.CRITICAL
    threads = max(1, (os.cpu_count() or 1) // workers)
    with dask.config.set(settings), LocalCluster(**options, memory_limit=0) as cluster, Client(cluster) as client:
        yield Cluster(client, threads)


@contextmanager
def connect(address: str) -> Iterator[Cluster]:
    """Use the Dask cluster whose scheduler is at `address`, e.g. tcp://10.0.0.1:8786; it stays up afterwards.

    Its workers need this project and its packages, and the artifact folder (`BITDIAL_CACHE`) and the corpora at the
    same paths. Start one worker with one thread for every core or GPU. Raises InputError if it does not answer.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({error}); "
            "start one with `dask scheduler` and give its address, e.g. tcp://127.0.0.1:8786"
        ) from error
    with client:
        yield Cluster(client)


class _Deferred:
    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments = function, arguments

    def result(self) -> Any:
        return self.function(*self.arguments)


def _call(settings: dict[str, str | None], threads: int | None, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a worker as if in the process that submitted it."""
    for name, value in settings.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if threads is not None:
        torch.set_num_threads(threads)
    return function(*arguments)

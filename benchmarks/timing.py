"""Times of callables: each is run once unmeasured, then REPEATS times in turn with the others; the median counts."""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import torch

from core import runtime

REPEATS = 5


def timed(run: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    runtime.synchronize()
    start = time.perf_counter()
    run()
    runtime.synchronize()
    return time.perf_counter() - start


def medians(runs: Mapping[Any, Callable[[], Any]], repeats: int = REPEATS) -> dict[Any, float]:
    """Return the median seconds of each callable, taken in turn, so that a slow moment of the machine hits all."""
    for run in runs.values():
        run()
    rounds = [{name: timed(run) for name, run in runs.items()} for _ in range(repeats)]
    return {name: median(taken[name] for taken in rounds) for name in runs}


def best(runs: Mapping[int, Callable[[], Any]]) -> tuple[int, float]:
    """Return the batch size with the smallest median, and that median, after one look at each."""
    first = {size: timed(run) for size, run in runs.items()}
    size = min(first, key=lambda name: first[name])
    return size, medians({size: runs[size]})[size]


def report(
    about: str,
    measure: Callable[..., dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
    options: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> None:
    """The command line of a benchmark: measure with its options, and print Markdown rows or one JSON object."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of table rows")
    for name, settings in options.items():
        parser.add_argument(name, **settings)
    given = vars(parser.parse_args())
    as_json = given.pop("json")
    found = measure(**given)
    print(json.dumps(found) if as_json else table(found))


def peak_megabytes() -> float:
    """The largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def import_seconds(module: str) -> float:
    """Return the median time of a fresh process that imports one module, minus that of one that imports nothing."""
    codes = {"none": "", module: f"import {module}"}
    runs = {name: partial(subprocess.run, [sys.executable, "-c", code], check=True) for name, code in codes.items()}
    taken = medians(runs)
    return taken[module] - taken["none"]


def machine() -> str:
    """The processor, the cores used, and the versions that decide a time."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    where = torch.cuda.get_device_name() if runtime.device().type == "cuda" else (names or [platform.processor()])[0]
    return f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []

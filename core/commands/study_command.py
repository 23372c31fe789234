"""The verb `study`: run a grid of experiments, or list how much of it the store has."""

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from core import pipeline
from core.config import CorpusSpec
from core.errors import InputError
from core.studies import executors, study
from core.studies.study import Progress, Report, Study
from core.text import corpora

FAILED = 1


def study_command(
    corpus: Annotated[str, typer.Argument(help=f"{', '.join(corpora.REGISTERED)}, or a labelled file.")],
    spec: Annotated[Path | None, typer.Option(help="A study of yours as TOML (default: the paper's figures).")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this experiment; may be given several times.")] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Show the experiments and what is missing; run nothing.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Read the corpus from the hub, whole, whatever BITDIAL_DATA_DIR has of it.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Run in so many processes of this machine (default: in this one).")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Run on the Dask cluster of this scheduler, e.g. tcp://10.0.0.1:8786. "
            "Its workers need this project, and BITDIAL_CACHE and the corpora at the same paths."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Run a study: every cell of its experiments that the store lacks.

    Killed at any point, the same command goes on from there. A cell that fails is listed at the end and stops no other;
    the exit code is then 1.
    """
    grid = study.read_study(spec) if spec else study.read_study()
    grid = grid.only(only) if only else grid
    chosen = _from_hub(corpus) if full else CorpusSpec(name=corpus)
    report = None if list_ else _run(grid, chosen, workers, scheduler)
    listed = [
        {"name": one.name, "figure": one.figure, "title": one.title, "done": done, "cells": cells}
        for one, (done, cells) in zip(grid.experiment, study.progress_of(grid, chosen).values(), strict=True)
    ]
    if as_json:
        print(json.dumps({"experiments": listed} | (dataclasses.asdict(report) if report else {})))
    else:
        print("\n".join([*map(_line, listed), *(_report_lines(report) if report else ())]))
    if report and report.failures:
        raise typer.Exit(FAILED)


def _from_hub(corpus: str) -> CorpusSpec:
    """Forget the data folder, here and in workers. Raises InputError if the corpus cannot be had without it."""
    os.environ.pop("BITDIAL_DATA_DIR", None)
    try:
        return CorpusSpec(name=corpus, content=pipeline.load(CorpusSpec(name=corpus)).fingerprint)
    except InputError as error:
        raise InputError(f"--full does not read BITDIAL_DATA_DIR: {error}; or leave --full out") from error


def _run(grid: Study, corpus: CorpusSpec, workers: int | None, scheduler: str | None) -> Report:
    with executors.choose(workers, scheduler) as executor, _bar() as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total
            bar.set_postfix_str(_progress_words(progress), refresh=False)
            bar.update(progress.done + progress.failed - bar.n)
            bar.refresh()

        return study.run(grid, corpus, executor, show)


@contextmanager
def _bar() -> Iterator[tqdm]:
    shape = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} cells [{elapsed}{postfix}]"
    with tqdm(desc="study", total=0, bar_format=shape, disable=None, leave=False, file=sys.stderr) as bar:
        yield bar


def _progress_words(progress: Progress) -> str:
    failed = f"{progress.failed} failed" if progress.failed else ""
    left = "" if progress.remaining_s is None else f"about {tqdm.format_interval(progress.remaining_s)} left"
    return ", ".join(filter(None, (failed, left)))


def _line(experiment: dict[str, Any]) -> str:
    counted = f"{experiment['name']:14} {experiment['done']:4} of {experiment['cells']:4}"
    figure = f" ({experiment['figure']})" if experiment["figure"] else ""
    return f"{counted}  {experiment['title']}{figure}"


def _report_lines(report: Report) -> Iterator[str]:
    yield f"{report.made} made, {len(report.failures)} failed, {report.seconds:.0f} s"
    for failure in report.failures:
        yield f"failed: {failure.cell} ({failure.key}): {failure.reason}"

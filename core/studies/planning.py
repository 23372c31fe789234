"""From a study to units of work: what the store lacks, in an order that makes nothing twice.

A unit is everything that is missing of one variant, so that the variant is made once.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from core import pipeline
from core.config import CorpusSpec, DistanceSpec, EvaluationSpec, ModelRun, VariantSpec
from core.errors import InputError
from core.measurement.results import preset_name
from core.storage.store import Row, Store
from core.studies.experiments import Cell, Classes, Study

Kind = Literal["training", "float", "quantized", "distance"]
PHASES: tuple[tuple[Kind, ...], ...] = (("training",), ("float",), ("quantized", "distance"))
_SPECS: dict[Kind, type[ModelRun | EvaluationSpec | DistanceSpec]] = {
    "training": ModelRun,
    "float": EvaluationSpec,
    "quantized": EvaluationSpec,
    "distance": DistanceSpec,
}


@dataclass(frozen=True)
class Unit:
    """What one worker does in one go: a model's training, a distance, or the missing results of one variant."""

    kind: Kind
    cells: tuple[ModelRun | Cell, ...]

    @property
    def model_run(self) -> ModelRun:
        return run_of(self.cells[0])

    def to_json(self) -> str:
        return json.dumps({"kind": self.kind, "cells": [cell.model_dump(mode="json") for cell in self.cells]})

    @classmethod
    def from_json(cls, text: str) -> "Unit":
        content = json.loads(text)
        return cls(content["kind"], tuple(map(_SPECS[content["kind"]].model_validate, content["cells"])))


def plan(study: Study, corpus: str | CorpusSpec) -> list[Unit]:
    """Return what is to be done for a corpus, in order; [] if the store has everything.

    Models to train come first, then results of float models, which those of quantized ones are compared with, then
    the others, units of one model and calibration side by side. Raises InputError for a corpus that cannot be had.
    """
    cells = (cell for some in study.cells(open_corpus(corpus)).values() for cell in some)
    wanted = {cell.fingerprint(): cell for cell in cells}
    had = find_all(wanted.values())
    missing = {key: cell for key, cell in wanted.items() if key not in had}
    if references := {cell.fingerprint(): cell for cell in map(_reference, missing.values()) if cell}:
        had = find_all(references.values())
        missing |= {key: cell for key, cell in references.items() if key not in had}
    runs = {run.fingerprint(): run for run in map(run_of, missing.values())}
    trainings = [Unit("training", (run,)) for run in runs.values() if not pipeline.trained(run)]
    return trainings + _in_order(_units(missing.values()))


def open_corpus(corpus: str | CorpusSpec) -> Classes:
    """Return a corpus as experiments need it. Raises InputError for one that nothing is known of."""
    spec = pipeline.resolve_corpus(corpus if isinstance(corpus, CorpusSpec) else CorpusSpec(name=corpus))
    return Classes(spec, partial(_class_names, spec))


def find_all(cells: Iterable[Cell]) -> dict[str, Row]:
    """Return what the store has of these cells by their keys, evaluations in one look-up."""
    found, columns = dict[str, Row](), set[tuple[str, str, int]]()
    for cell in cells:
        if isinstance(cell, DistanceSpec):
            if row := pipeline.find_distance(cell):
                found[cell.fingerprint()] = row
        else:
            run, (_, bits) = cell.variant.run, preset_name(cell.variant.recipe)
            columns.add((run.corpus.name, run.model.kind, bits))
    if columns:
        names = ("corpus", "model", "bits")
        filters = {name: {row[place] for row in columns} for place, name in enumerate(names)}
        found |= {row["key"]: row | {"source": "store"} for row in Store().results(**filters)}
    return found


def describe(cell: ModelRun | Cell) -> str:
    """Say in words which cell this is."""
    model_run = run_of(cell)
    words = [model_run.model.kind, f"model seed {model_run.train.seed}"]
    if model_run.train.noise:
        words.append(f"trained with noise {model_run.train.noise:g}")
    if isinstance(cell, DistanceSpec):
        return ", ".join([*words, f"{cell.first.label} against {cell.second.label}, draw {cell.first.seed}"])
    if isinstance(cell, EvaluationSpec):
        recipe, drawn = cell.variant.recipe, cell.variant.calibration
        if recipe and drawn:
            preset, bits = preset_name(recipe)
            words += [f"{bits} bits {preset} {recipe.ranges} {recipe.head}", f"{drawn.label} draw {drawn.seed}"]
        words += [f"cell range {recipe.cell_range:g}"] if recipe and recipe.cell_range else []
        words.append(f"noise {cell.noise.level:g} seed {cell.noise.seed}")
    return ", ".join(words)


def run_of(cell: ModelRun | Cell) -> ModelRun:
    """Return the trained weights that a cell is about."""
    if isinstance(cell, ModelRun):
        return cell
    return cell.run if isinstance(cell, DistanceSpec) else cell.variant.run


def _units(cells: Iterable[Cell]) -> list[Unit]:
    groups: dict[tuple[Kind, str], list[Cell]] = {}
    for cell in cells:
        named = cell if isinstance(cell, DistanceSpec) else cell.variant
        groups.setdefault((_kind(cell), named.fingerprint()), []).append(cell)
    return [Unit(kind, tuple(group)) for (kind, _), group in groups.items()]


def _in_order(units: list[Unit]) -> list[Unit]:
    """Sort by phase, and within it put what shares a model, a calibration and a bit-width side by side."""
    phase = {kind: place for place, kinds in enumerate(PHASES) for kind in kinds}
    first: dict[tuple[str, str], int] = {}

    def neighbours(unit: Unit) -> tuple[int, int, int]:
        cell, bits, drawn = unit.cells[0], 0, None
        if isinstance(cell, EvaluationSpec):
            drawn, bits = cell.variant.calibration, preset_name(cell.variant.recipe)[1]
        name = (unit.model_run.fingerprint(), drawn.fingerprint() if drawn else unit.kind)
        return phase[unit.kind], first.setdefault(name, len(first)), -bits

    return sorted(units, key=neighbours)


def _kind(cell: ModelRun | Cell) -> Kind:
    if isinstance(cell, ModelRun):
        return "training"
    if isinstance(cell, DistanceSpec):
        return "distance"
    return "quantized" if cell.variant.recipe else "float"


def _reference(cell: Cell) -> EvaluationSpec | None:
    """Return the float result that a generative model's token losses are compared with, if this cell needs one."""
    if isinstance(cell, DistanceSpec) or not cell.variant.recipe or cell.variant.run.model.kind == "discriminative":
        return None
    return cell.model_copy(update={"variant": VariantSpec(run=cell.variant.run)})


def _class_names(corpus: CorpusSpec) -> list[str]:
    """Return a corpus's class names; those of a stored result where it cannot be had."""
    try:
        return list(pipeline.load(corpus).class_names)
    except InputError:
        of_it = (
            row["detail"]["class_names"]
            for row in Store().results(corpus=corpus.name)
            if row["spec"]["variant"]["run"]["corpus"]["content"] == corpus.content
        )
        if names := next(of_it, None):
            return list(names)
        raise

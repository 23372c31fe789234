"""A study as a person writes it down: experiments, each a grid of settings, and the cells they multiply out to.

[[experiment]]
name = "figure-9"
title = "How noise in the text changes the float models"
noise = [0.0, 0.05, 0.1]
noise_seeds = [0, 1, 2]
"""

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from core import pipeline
from core.config import (
    FLOAT_BITS,
    MAX_NOISE,
    MODEL_KINDS,
    CalibrationSpec,
    CorpusSpec,
    DistanceSpec,
    EvaluationSpec,
    HeadMethod,
    ModelKind,
    NoiseSpec,
    Preset,
    Ranges,
    TrainSpec,
    default_run,
)
from core.errors import InputError, describe_faults, message_of

PAPER = Path(__file__).parent / "paper.toml"
Cell = EvaluationSpec | DistanceSpec
Listed = Field(min_length=1)


def _checked_word(word: str) -> str:
    """Check a calibration as it is written in a study: a scheme, or a share of a corpus's own classes."""
    if (share := _share(word)) is not None and not 0 < share < 1:
        raise ValueError(f"{word}: the share of classes must lie between 0 and 1; for all of them write conditional")
    if share is None and word != "one":
        try:
            CalibrationSpec.parse(word)
        except ValidationError as error:
            raise ValueError(f"{describe_faults(error)}; or write one, or share:0.5") from error
    return word


class Experiment(BaseModel):
    """One question to measure. All lists multiply out; equal cells are one.

    A calibration is a scheme (conditional, unconditional, classes:a,b, mix:a=2,b=1), `share:0.75`, that share of the
    corpus's own classes, rounded up, or `one`: consecutive classes from position `draw` on, so that different draws
    leave out different classes. `draws` are calibration seeds. At 32 bits, float, what quantizes drops out.
    `cell_ranges` set the range of the cell state. With measure "distance" the cells are distances between
    conditional and unconditional draws, for which models, seeds and draws count. `corpora` are the only ones it is
    for, () for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    figure: str = ""
    measure: Literal["evaluation", "distance"] = "evaluation"
    models: Annotated[tuple[ModelKind, ...], Listed] = MODEL_KINDS
    model_seeds: Annotated[tuple[int, ...], Listed] = (0,)
    train_noise: Annotated[tuple[Annotated[float, Field(ge=0, le=MAX_NOISE)], ...], Listed] = (0.0,)
    bits: Annotated[tuple[Literal[32, 8, 7, 6, 5, 4, 3], ...], Listed] = (FLOAT_BITS,)
    presets: Annotated[tuple[Preset, ...], Listed] = ("uniform",)
    heads: Annotated[tuple[HeadMethod, ...], Listed] = ("gpfq",)
    ranges: Annotated[tuple[Ranges, ...], Listed] = ("fitted",)
    calibrations: Annotated[tuple[Annotated[str, AfterValidator(_checked_word)], ...], Listed] = ("conditional",)
    draws: Annotated[tuple[int, ...], Listed] = (0,)
    noise: Annotated[tuple[Annotated[float, Field(ge=0, le=MAX_NOISE)], ...], Listed] = (0.0,)
    noise_seeds: Annotated[tuple[int, ...], Listed] = (0,)
    cell_ranges: tuple[Annotated[float, Field(gt=0)], ...] = ()
    corpora: tuple[str, ...] = ()

    def cells(self, corpus: "Classes", train: dict[str, Any]) -> list[Cell]:
        """Return the distinct cells for a corpus, in the order of the lists; [] if it is not for this corpus.

        `train` overrides TrainSpec fields of every run. Raises InputError if the corpus's classes are needed and
        cannot be had.
        """
        if self.corpora and corpus.spec.name not in self.corpora:
            return []
        runs = product(self.models, self.model_seeds, self.train_noise)
        settings = [(kind, {**train, "seed": seed, "noise": noise}) for kind, seed, noise in runs]
        made = self._distances if self.measure == "distance" else self._evaluations
        cells = (cell for kind, run in settings for cell in made(corpus, kind, run))
        return list({cell.fingerprint(): cell for cell in cells}.values())

    def _distances(self, corpus: "Classes", kind: ModelKind, train: dict[str, Any]) -> Iterator[DistanceSpec]:
        run = default_run(corpus.spec, kind, **train)
        for draw in self.draws:
            pair = (CalibrationSpec.parse(scheme, seed=draw) for scheme in ("conditional", "unconditional"))
            yield DistanceSpec(run=run, first=next(pair), second=next(pair))

    def _evaluations(self, corpus: "Classes", kind: ModelKind, train: dict[str, Any]) -> Iterator[EvaluationSpec]:
        drawn = [draw_classes(word, draw, corpus) for word, draw in product(self.calibrations, self.draws)]
        levels = dict.fromkeys(
            NoiseSpec(level=level, seed=seed if level else 0) for level, seed in product(self.noise, self.noise_seeds)
        )
        grid = product(self.bits, self.presets, self.heads, self.ranges, self.cell_ranges or (None,), drawn)
        for bits, preset, head, ranges, cell_range, draw in grid:
            recipe: dict[str, Any] = {"head": head, "ranges": ranges, "cell_range": cell_range}
            cell = pipeline.specify(corpus.spec, kind, bits, preset, calibration=draw, run=train, **recipe)
            yield from (cell.model_copy(update={"noise": level}) for level in levels)


class Study(BaseModel):
    """Experiments in the order of their file, and TrainSpec fields that override how every model is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    experiment: Annotated[tuple[Experiment, ...], Listed]
    train: dict[str, Any] = {}

    @field_validator("train")
    @classmethod
    def _train_is_valid(cls, train: dict[str, Any]) -> dict[str, Any]:
        if taken := {"seed": "model_seeds", "noise": "train_noise"}.keys() & train:
            names = ", ".join(sorted(taken))
            raise ValueError(f"{names} cannot be set for all; use model_seeds and train_noise of an experiment")
        try:
            TrainSpec.model_validate(train)
        except ValidationError as error:
            raise ValueError(describe_faults(error)) from error
        return train

    @field_validator("experiment")
    @classmethod
    def _names_differ(cls, experiments: tuple[Experiment, ...]) -> tuple[Experiment, ...]:
        names = [experiment.name for experiment in experiments]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two experiments have the name {', '.join(twice)}; give each a name of its own")
        return experiments

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(experiment.name for experiment in self.experiment)

    def only(self, names: Sequence[str]) -> Self:
        """Return the study with the named experiments alone. Raises InputError for a name it does not have."""
        if unknown := [name for name in names if name not in self.names]:
            raise InputError(f"no experiment is named {', '.join(unknown)}; choose from: {', '.join(self.names)}")
        chosen = tuple(experiment for experiment in self.experiment if experiment.name in names)
        return self.model_copy(update={"experiment": chosen})

    def cells(self, corpus: "Classes") -> dict[str, list[Cell]]:
        """Return the cells of every experiment by its name; one cell may be in several."""
        return {experiment.name: experiment.cells(corpus, self.train) for experiment in self.experiment}


class Classes:
    """A resolved corpus and, once somebody asks, its class names."""

    def __init__(self, spec: CorpusSpec, class_names: Callable[[], Sequence[str]]) -> None:
        self.spec, self._find = spec, class_names

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self._find())


def draw_classes(word: str, draw: int, corpus: Classes) -> CalibrationSpec:
    """Return the calibration that a word of a study means for a corpus and a draw, e.g.

    share:0.5 at draw 2 of the classes a, b, c -> classes:a,c, whose documents are drawn with seed 2.
    """
    share = _share(word)
    if share is None and word != "one":
        return CalibrationSpec.parse(word, seed=draw)
    count = len(corpus.names)
    chosen = {(draw + step) % count for step in range(1 if share is None else math.ceil(share * count))}
    return CalibrationSpec(scheme="classes", classes=tuple(corpus.names[place] for place in sorted(chosen)), seed=draw)


def read_study(path: Path = PAPER) -> Study:
    """Read a study from a TOML file, by default the one that repeats the paper's figures.

    Raises InputError that names the file and every fault in it, each with its experiment and key.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a TOML file with [[experiment]]") from error
    except ValueError as error:
        raise InputError(f"{path} is no TOML file: {error}") from error
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {'; '.join(_fault(content, one) for one in error.errors())}") from error


def _share(word: str) -> Fraction | None:
    """Read `share:0.75` exactly; None for another word."""
    found = re.fullmatch(r"share:(\d+(?:\.\d+)?)", word)
    return Fraction(found[1]) if found else None


def _fault(content: dict[str, Any], error: ErrorDetails) -> str:
    place, message = list(error["loc"]), message_of(error)
    where = ""
    if place[0] == "experiment" and len(place) > 1:
        experiment = content["experiment"][place[1]]
        named = isinstance(experiment, dict) and "name" in experiment
        where = f"experiment {experiment['name']!r}: " if named else f"experiment {int(place[1]) + 1}: "
        place = place[2:]
    key = ".".join(map(str, place)) or "it"
    if error["type"] == "extra_forbidden":
        known = Experiment if where else Study
        return f"{where}{key} is no key of it; choose from: {', '.join(known.model_fields)}"
    return f"{where}{key}: {message}" if error["type"] == "missing" else f"{where}{key}={error['input']!r}: {message}"

"""A study as it is written down: what its lists multiply out to, and how it refuses."""

from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core import config, pipeline
from core.config import CalibrationSpec, CorpusSpec, DistanceSpec, EvaluationSpec, NoiseSpec, Recipe
from core.errors import InputError
from core.studies.experiments import PAPER, Classes, Experiment, Study, draw_classes, read_study

NAMES = tuple("abcdefgh")
RESOLVED = CorpusSpec(name="news.csv", content="0123456789abcdef")
CORPUS = Classes(RESOLVED, lambda: NAMES)


def experiment(**lists: Any) -> Experiment:
    return Experiment.model_validate({"name": "one", "title": "One", **lists})


def cells(**lists: Any) -> list[EvaluationSpec]:
    return [cell for cell in experiment(**lists).cells(CORPUS, {}) if isinstance(cell, EvaluationSpec)]


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


# What lists multiply out to


def slow_keys(one: Experiment) -> set[tuple[object, ...]]:
    """The cells of an experiment as plain words, float without what quantizes, 8 bits without its preset."""
    grid = product(
        one.models,
        one.model_seeds,
        one.train_noise,
        one.bits,
        one.presets,
        one.heads,
        one.ranges,
        one.calibrations,
        one.draws,
        one.noise,
        one.noise_seeds,
        one.cell_ranges or (None,),
    )
    found = set()
    for model, seed, trained, bits, preset, head, rule, scheme, draw, level, noise_seed, largest in grid:
        same = "any" if bits == 8 else preset
        quantized = () if bits == 32 else (bits, same, head, rule, scheme, draw, largest)
        found.add((model, seed, trained, *quantized, level, noise_seed if level else 0))
    return found


@pytest.mark.parametrize("one", read_study().experiment, ids=lambda one: one.name)
def test_an_experiment_has_one_cell_for_every_distinct_combination(one: Experiment) -> None:
    found = one.cells(CORPUS, {})
    expected = len(one.draws) if one.measure == "distance" else len(slow_keys(one))
    assert len(found) == len({cell.fingerprint() for cell in found}) == expected


def test_every_list_reaches_what_it_names() -> None:
    (cell,) = cells(
        models=["generative"],
        model_seeds=[4],
        train_noise=[0.1],
        bits=[3],
        presets=["paper-code"],
        heads=["gpfq-stock"],
        ranges=["minmax"],
        calibrations=["mix:a=2,b=1"],
        draws=[7],
        noise=[0.05],
        noise_seeds=[9],
        cell_ranges=[2.5],
    )
    run, recipe = cell.variant.run, cell.variant.recipe
    assert (run.corpus, run.model.kind, run.train.seed, run.train.noise) == (RESOLVED, "generative", 4, 0.1)
    assert recipe == Recipe.preset("paper-code", 3, head="gpfq-stock", ranges="minmax", cell_range=2.5)
    assert cell.variant.calibration == CalibrationSpec(scheme="mix", mix=(("a", 2.0), ("b", 1.0)), seed=7)
    assert cell.noise == NoiseSpec(level=0.05, seed=9)


def test_an_experiment_without_lists_is_both_float_models() -> None:
    assert cells() == [pipeline.specify(RESOLVED, kind) for kind in config.MODEL_KINDS]


def test_what_makes_no_difference_makes_no_cell() -> None:
    lists = {"models": ["generative"], "presets": ["uniform", "paper-code"], "draws": [0, 1], "noise_seeds": [0, 1, 2]}
    assert len(cells(bits=[32], **lists)) == 1
    assert len(cells(bits=[8], **lists)) == 2
    assert len(cells(bits=[4], **lists)) == 4
    assert len(cells(bits=[32, 8, 4], noise=[0.0, 0.1], **lists)) == 4 * (1 + 2 + 4)


def test_a_cell_is_the_one_that_evaluate_makes() -> None:
    """So that what was computed one by one is found by a study."""
    (cell,) = cells(models=["discriminative"], bits=[4], noise=[0.02], draws=[1], noise_seeds=[1])
    assert cell == pipeline.specify(RESOLVED, "discriminative", 4, noise=0.02, seed=1)


def test_a_study_overrides_how_models_are_trained() -> None:
    study = Study(experiment=(experiment(model_seeds=[3]),), train={"max_epochs": 1, "limit": 9})
    runs = [cell.variant.run.train for cell in study.cells(CORPUS)["one"] if isinstance(cell, EvaluationSpec)]
    assert [(train.max_epochs, train.limit, train.seed) for train in runs] == [(1, 9, 3)] * 2


def test_an_experiment_for_other_corpora_has_no_cells() -> None:
    assert cells(corpora=["ag-news"]) == []
    assert cells(corpora=["ag-news", "news.csv"]) == cells()


def test_a_distance_is_between_equal_draws_with_and_without_regard_to_class() -> None:
    found = experiment(measure="distance", models=["generative"], draws=[0, 5]).cells(CORPUS, {})
    assert [type(cell) for cell in found] == [DistanceSpec] * 2
    assert [(cell.first, cell.second) for cell in found if isinstance(cell, DistanceSpec)] == [
        (CalibrationSpec(seed=draw), CalibrationSpec(scheme="unconditional", seed=draw)) for draw in (0, 5)
    ]


# Shares of classes


@pytest.mark.parametrize("word", ["share:0.75", "share:0.5", "share:0.1", "share:0.01", "share:0.99", "one"])
@pytest.mark.parametrize("count", [2, 3, 4, 8, 10])
@pytest.mark.parametrize("draw", [0, 1, 5, 23])
def test_a_share_is_that_many_consecutive_classes(word: str, count: int, draw: int) -> None:
    names = [f"class {number:02}" for number in range(count)]
    spec = draw_classes(word, draw, Classes(RESOLVED, lambda: names))
    share = Fraction(word.partition(":")[2] or 0)
    size = next(n for n in range(1, count + 1) if n >= share * count)
    taken = names[draw % count :] + names[: draw % count]
    assert spec == CalibrationSpec(scheme="classes", classes=tuple(sorted(taken[:size])), seed=draw)


def test_shares_of_classes_are_rounded_up() -> None:
    sizes = {word: len(draw_classes(word, 0, CORPUS).classes) for word in ("share:0.75", "share:0.7", "one")}
    assert sizes == {"share:0.75": 6, "share:0.7": 6, "one": 1}


def test_class_names_are_asked_for_only_if_a_share_needs_them() -> None:
    unknown = Classes(RESOLVED, lambda: pytest.fail("asked"))
    every = read_study().cells(Classes(RESOLVED, lambda: NAMES))
    plain = [one for one in read_study().experiment if one.name != "figure-11"]
    assert {one.name: one.cells(unknown, {}) for one in plain}.items() <= every.items()


# The file


def test_the_papers_study_is_packaged_and_names_each_figure_once() -> None:
    study = read_study()
    assert PAPER.is_file()
    figures = [one.figure for one in study.experiment if one.figure]
    assert len(set(figures)) == len(figures)
    assert all(one.title for one in study.experiment)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[experiment]\n", "is no TOML file"),
        ("", "experiment: Field required"),
        ("experiment = []", "experiment=[]: Tuple should have at least 1 item"),
        ("experiment = [3]", "experiment 1: it=3"),
        ("seeds = [1]\n[[experiment]]\nname='a'\ntitle='A'", "seeds is no key of it; choose from: experiment, train"),
        ("[[experiment]]\ntitle='A'", "experiment 1: name: Field required"),
        ("[[experiment]]\nname='A b'\ntitle='A'", "experiment 'A b': name='A b': String should match"),
        (
            "[[experiment]]\nname='a'\ntitle='A'\nbit=[3]",
            "experiment 'a': bit is no key of it; choose from: name, title",
        ),
        (
            "[[experiment]]\nname='a'\ntitle='A'\nbits=[2]",
            "experiment 'a': bits.0=2: Input should be 32, 8, 7, 6, 5, 4 or 3",
        ),
        ("[[experiment]]\nname='a'\ntitle='A'\nbits=[]", "experiment 'a': bits=[]: Tuple should have at least 1 item"),
        ("[[experiment]]\nname='a'\ntitle='A'\nnoise=[0.2]", "experiment 'a': noise.0=0.2: Input should be less than"),
        (
            "[[experiment]]\nname='a'\ntitle='A'\ncell_ranges=[0]",
            "experiment 'a': cell_ranges.0=0: Input should be greater",
        ),
        (
            "[[experiment]]\nname='a'\ntitle='A'\ncalibrations=['half']",
            "experiment 'a': calibrations.0='half': scheme='half': Input should be 'conditional', 'unconditional', "
            "'classes' or 'mix'; or write one, or share:0.5",
        ),
        (
            "[[experiment]]\nname='a'\ntitle='A'\ncalibrations=['share:1']",
            "calibrations.0='share:1': share:1: the share of classes must lie between 0 and 1",
        ),
        (
            "[[experiment]]\nname='a'\ntitle='A'\n[[experiment]]\nname='a'\ntitle='B'",
            "two experiments have the name a; give each a name of its own",
        ),
        (
            "[train]\nepochs=3\n[[experiment]]\nname='a'\ntitle='A'",
            "train={'epochs': 3}: epochs=3: Extra inputs are not permitted",
        ),
        (
            "[train]\nseed=3\n[[experiment]]\nname='a'\ntitle='A'",
            "seed cannot be set for all; use model_seeds and train_noise of an experiment",
        ),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as refusal:
        read_study(path)
    assert str(refusal.value).startswith(f"{path}")
    assert message in str(refusal.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = "[[experiment]]\nname='a'\ntitle='A'\nbits=[2]\nmodels=['x']\n[[experiment]]\nname='b'\nbogus=1"
    with pytest.raises(InputError) as refusal:
        read_study(written(tmp_path, text))
    told = str(refusal.value)
    assert [word in told for word in ("bits.0=2", "models.0='x'", "'b': title", "'b': bogus")] == [True] * 4


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(No such file or directory\); give a TOML file"):
        read_study(tmp_path / "none.toml")


def test_only_takes_the_named_experiments_in_the_files_order() -> None:
    assert read_study().only(["gpfq", "table-1"]).names == ("table-1", "gpfq")
    with pytest.raises(InputError, match=r"no experiment is named figure-1, x; choose from: table-1, .*, gpfq$"):
        read_study().only(["figure-1", "gpfq", "x"])


def test_an_experiment_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        experiment().name = "other"

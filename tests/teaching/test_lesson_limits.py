"""A memory that moves or does not, and how many documents it takes to know a difference."""

import math
from pathlib import Path

import numpy as np
import pytest

from core.quantization.levels import Quantizer
from core.teaching import lesson_limits
from core.teaching.lesson_limits import ADDED, PERCENTS, WORDS
from core.teaching.scenes import LackingError

CORPUS = "reuters-r8"


def test_without_a_quantizer_the_memory_adds_up() -> None:
    assert lesson_limits.path(0.3, None) == pytest.approx([math.tanh(0.3 * word) for word in range(WORDS + 1)])


@pytest.mark.parametrize("added", ADDED)
def test_a_step_of_two_or_more_never_moves(added: float) -> None:
    assert set(lesson_limits.path(added, Quantizer(2.0, -4, 3))) == {0.0}


def test_on_a_grid_every_word_is_rounded_alone_and_the_end_cuts_off() -> None:
    found = lesson_limits.path(0.6, Quantizer(0.5, -4, 3), words=5)
    assert found == pytest.approx([math.tanh(value) for value in (0, 0.5, 1.0, 1.5, 1.5, 1.5)])


@pytest.mark.usefixtures("_shipped")
def test_the_dead_of_the_table_are_those_whose_step_is_too_coarse() -> None:
    table = lesson_limits.memory(CORPUS, 1.0).table
    assert {(row["LSTM"], row["One level"] >= 2) for row in table} == {("dead", True), ("alive", False)}


@pytest.mark.usefixtures("_shipped")
def test_the_chosen_sample_is_the_one_that_is_marked_and_told() -> None:
    for percent in (PERCENTS[0], PERCENTS[-1]):
        (panel,) = lesson_limits.chance(CORPUS, percent).panels
        mark = panel.figure.data[-1]
        assert panel.sentence.startswith(f"On {mark.x[0]:,} documents")


def test_a_sample_of_all_counts_every_document_and_repeats() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.random(200) < 0.9, draw.random(200) < 0.7
    whole = lesson_limits.sample(first, second, 100)
    assert (whole.n, whole.test.b, whole.test.c) == (200, (first & ~second).sum(), (~first & second).sum())
    assert lesson_limits.sample(first, second, 5) == lesson_limits.sample(first, second, 5)
    assert lesson_limits.describe(whole).endswith("More than chance explains.")
    assert lesson_limits.describe(lesson_limits.sample(first, first, 100)).endswith("explain the difference.")


@pytest.mark.parametrize("step", [lesson_limits.memory, lesson_limits.chance])
def test_an_empty_store_lacks_the_results(step: object, tmp_cache: Path) -> None:
    with pytest.raises(LackingError, match="not in the store"):
        step(CORPUS, 10)  # type: ignore[operator]

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import MAX_NOISE, NoiseSpec
from core.errors import InputError
from core.text import noise

LEVELS = (0.0, 0.01, 0.02, 0.05, 0.1)
TEXTS = [
    "Fed's rates up 2.5% as grain falls, traders say",
    "",
    "naïve café: 日本 wins 🙂 again and again and again",
    "x",
    "the the the the the the the the the the the the" * 20,
    "Oil firm Yukos halts output; prices at a record",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz.é"

texts_lists = st.lists(st.text(st.characters(exclude_categories=[]), max_size=40), max_size=5)
levels = st.sampled_from(LEVELS)


def changed(before: str, after: str) -> set[int]:
    return {position for position, (old, new) in enumerate(zip(before, after, strict=True)) if old != new}


def corrupt(texts: Sequence[str], level: float, seed: int = 0, characters: str = LETTERS) -> list[str]:
    return noise.corrupt(texts, NoiseSpec(level=level, seed=seed), characters).texts


# The alphabet


def test_the_alphabet_is_every_character_but_white_space_once_in_order() -> None:
    assert noise.alphabet(["ba a", "c\tb\u00a0\n", ""]) == "abc"
    assert noise.alphabet(iter(["é🙂A"])) == "Aé🙂"
    assert noise.alphabet([" ", ""]) == noise.alphabet([]) == ""


# What is replaced, by what


@given(texts=texts_lists, level=levels, seed=st.integers(0, 99))
def test_lengths_stay_and_every_new_character_is_from_the_alphabet(texts: list[str], level: float, seed: int) -> None:
    noisy = corrupt(texts, level, seed)
    assert [len(text) for text in noisy] == [len(text) for text in texts]
    for before, after in zip(texts, noisy, strict=True):
        assert {after[position] for position in changed(before, after)} <= set(LETTERS)


def test_the_rate_of_hits_is_the_level() -> None:
    texts = ["#" * 1000] * 50
    for level in LEVELS[1:]:
        spread = math.sqrt(level * (1 - level) / 50_000)
        rate = noise.corrupt(texts, NoiseSpec(level=level), LETTERS).character_rate
        assert rate == pytest.approx(level, abs=5 * spread)


@given(texts=texts_lists, level=levels)
def test_the_reported_rate_counts_the_characters_that_differ(texts: list[str], level: float) -> None:
    noisy = noise.corrupt(texts, NoiseSpec(level=level), "ab ")
    different = sum(len(changed(before, after)) for before, after in zip(texts, noisy.texts, strict=True))
    assert noisy.character_rate == (different / sum(map(len, texts)) if different else 0)


def test_a_draw_may_return_the_character_it_replaces() -> None:
    noisy = noise.corrupt(["a" * 40_000], NoiseSpec(level=0.1), "ab")
    assert noisy.character_rate == pytest.approx(0.05, abs=5 * math.sqrt(0.05 * 0.95 / 40_000))
    assert noise.corrupt(["a" * 1000], NoiseSpec(level=0.1), "a").character_rate == 0


def test_replacements_are_uniform_over_the_alphabet_and_over_positions() -> None:
    (after,) = corrupt(["#" * 200_000], 0.1)
    positions = sorted(changed("#" * 200_000, after))
    per_letter = np.array([sum(after[position] == letter for position in positions) for letter in LETTERS])
    expected = len(positions) / len(LETTERS)
    assert np.abs(per_letter - expected).max() < 5 * math.sqrt(expected)
    per_tenth = np.histogram(positions, bins=10, range=(0, 200_000))[0]
    assert np.abs(per_tenth - len(positions) / 10).max() < 5 * math.sqrt(len(positions) / 10)


def test_spaces_are_hit_as_often_as_letters() -> None:
    (after,) = corrupt([" #" * 50_000], 0.1)
    kept = (after.count(" "), after.count("#"))
    assert kept == pytest.approx((45_000, 45_000), abs=5 * math.sqrt(50_000 * 0.09))


# Which draws a corruption depends on


@given(texts=texts_lists, pair=st.tuples(levels, levels), seed=st.integers(0, 99))
def test_levels_are_nested(texts: list[str], pair: tuple[float, float], seed: int) -> None:
    mild, strong = (corrupt(texts, level, seed) for level in sorted(pair))
    for before, some, more in zip(texts, mild, strong, strict=True):
        assert all(some[position] == more[position] for position in changed(before, some))


def test_the_rate_rises_with_the_level() -> None:
    rates = [noise.corrupt(TEXTS, NoiseSpec(level=level), LETTERS).character_rate for level in LEVELS]
    assert rates == sorted(set(rates))


@given(texts=texts_lists.filter(bool), others=st.text(max_size=30), data=st.data())
def test_a_document_does_not_depend_on_the_others(texts: list[str], others: str, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(texts) - 1))
    alone = corrupt([others] * row + [texts[row]], MAX_NOISE)
    assert alone[row] == corrupt(texts, MAX_NOISE)[row]


def test_equal_texts_at_different_positions_are_hit_differently() -> None:
    assert len(set(corrupt([TEXTS[4]] * 20, MAX_NOISE))) == 20


def test_the_seed_decides_and_nothing_else() -> None:
    first = corrupt(TEXTS, 0.05, seed=1)
    corrupt(TEXTS, 0.1, seed=7)
    assert corrupt(TEXTS, 0.05, seed=1) == first
    assert corrupt(tuple(TEXTS), 0.05, seed=1) == first
    assert corrupt(TEXTS, 0.05, seed=2) != first


def test_stored_results_keep_their_noise() -> None:
    assert corrupt(["grain prices fell again in Chicago today"] * 2, MAX_NOISE) == [
        "grain prihes fill again in Chicago .oday",
        "grayn phices fell again in Chicawo tonay",
    ]


# Edges


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_nothing_to_corrupt_has_rate_0(texts: list[str], level: float) -> None:
    assert noise.corrupt(texts, NoiseSpec(level=level), LETTERS) == noise.Noisy(texts, 0.0)


def test_level_0_keeps_the_very_texts() -> None:
    noisy = noise.corrupt(TEXTS, NoiseSpec(level=0), LETTERS)
    assert all(after is before for before, after in zip(TEXTS, noisy.texts, strict=True))
    assert noisy.character_rate == 0


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_an_empty_alphabet_is_refused(level: float) -> None:
    with pytest.raises(InputError, match="there are no replacement characters; give the alphabet of a text"):
        noise.corrupt(["a"], NoiseSpec(level=level), "")

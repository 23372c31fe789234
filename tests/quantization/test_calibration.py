from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.config import CalibrationSpec
from core.errors import InputError
from core.quantization.calibration import Calibration, choose

NAMES = ("acq", "crude", "earn", "grain")
SIZES = (400, 60, 900, 33)  # documents per class


def split(sizes: tuple[int, ...]) -> np.ndarray:
    """Labels of a training split with so many documents of each class, shuffled."""
    return np.random.default_rng(7).permutation(np.repeat(np.arange(len(sizes)), sizes))


def drawn(sizes: tuple[int, ...] = SIZES, scheme: str = "conditional", **changes: Any) -> Calibration:
    return choose(split(sizes), NAMES[: len(sizes)], CalibrationSpec.parse(scheme, **changes))


def slow_fill(weights: list[float], available: list[int], size: int) -> list[float]:
    """Raise one water level until the classes, each `weight * level` deep at most, hold `size` documents."""
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        held = sum(min(weight * middle, most) for weight, most in zip(weights, available, strict=True))
        low, high = (middle, high) if held < size else (low, middle)
    return [min(weight * low, most) for weight, most in zip(weights, available, strict=True)]


# Composition


@pytest.mark.parametrize(
    ("scheme", "count", "counts"),
    [
        ("conditional", 40, [10, 10, 10, 10]),
        ("conditional", 400, [100, 100, 100, 100]),
        ("conditional", 42, [11, 11, 10, 10]),
        ("conditional", 3, [1, 1, 1, 0]),
        ("classes:acq,earn", 50, [25, 0, 25, 0]),
        ("classes:earn,acq,grain", 50, [17, 0, 17, 16]),
        ("classes:crude", 50, [0, 50, 0, 0]),
        ("mix:acq=3,crude=1", 40, [30, 10, 0, 0]),
        ("mix:acq=0.5,crude=0.3,earn=0.2", 10, [5, 3, 2, 0]),
        ("mix:acq=1,crude=0,earn=1", 10, [5, 0, 5, 0]),
        ("mix:acq=45,crude=35,earn=20", 10, [5, 3, 2, 0]),
        ("mix:acq=41,crude=38,earn=21", 10, [4, 4, 2, 0]),
    ],
)
def test_balanced_classes_give_exactly_their_shares(scheme: str, count: int, counts: list[int]) -> None:
    calibration = drawn((100, 100, 100, 100), scheme, count=count)
    assert list(calibration.counts.items()) == list(zip(NAMES, counts, strict=True))
    assert calibration.note == ""


@pytest.mark.parametrize(
    ("scheme", "count", "counts", "note"),
    [
        ("conditional", 160, [43, 42, 42, 33], "grain has 33 of the 40 asked"),
        ("conditional", 132, [33, 33, 33, 33], ""),
        # Once it shares what grain lacks, crude runs out as well, but it gave more than it was asked for.
        ("conditional", 227, [67, 60, 67, 33], "grain has 33 of the 56 asked"),
        ("conditional", 293, [100, 60, 100, 33], "crude has 60 of the 73 asked; grain has 33 of the 73 asked"),
        ("conditional", 1393, list(SIZES), "crude has 60 of the 348 asked; grain has 33 of the 348 asked"),
        ("classes:acq,grain", 100, [67, 0, 0, 33], "grain has 33 of the 50 asked"),
        (
            "classes:crude,grain",
            1300,
            [0, 60, 0, 33],
            "crude has 60 of the 650 asked; grain has 33 of the 650 asked; 93 of 1,300 documents in all",
        ),
        ("mix:earn=1,grain=1,acq=2", 200, [111, 0, 56, 33], "grain has 33 of the 50 asked"),
        ("mix:grain=1,crude=0", 50, [0, 0, 0, 33], "grain has 33 of the 50 asked; 33 of 50 documents in all"),
    ],
)
def test_what_a_class_lacks_is_shared_among_the_others(scheme: str, count: int, counts: list[int], note: str) -> None:
    calibration = drawn(scheme=scheme, count=count)
    assert list(calibration.counts.values()) == counts
    assert calibration.note == note


def test_an_absent_class_gives_nothing() -> None:
    calibration = drawn((0, 10, 10), count=6)
    assert calibration.counts == {"acq": 0, "crude": 3, "earn": 3}
    assert calibration.note == "acq has 0 of the 2 asked"


@given(
    classes=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), min_size=1, max_size=4),
    count=st.integers(1, 160),
)
def test_a_mix_is_filled_as_water_finds_its_level(classes: list[tuple[int, int]], count: int) -> None:
    sizes, weights = zip(*classes, strict=True)
    assume(count <= sum(sizes) and any(size and weight for size, weight in classes))
    pairs = list(zip(NAMES, weights, strict=False))
    calibration = choose(split(sizes), NAMES[: len(sizes)], CalibrationSpec(scheme="mix", mix=pairs, count=count))
    reachable = sum(size for size, weight in classes if weight)
    exact = slow_fill(list(weights), list(sizes), min(count, reachable))
    assert len(calibration.index) == min(count, reachable)
    assert np.abs(np.array(list(calibration.counts.values())) - exact).max() < 1 + 1e-6


@pytest.mark.parametrize(
    "scheme", ["unconditional", "conditional", "classes:acq,grain", "classes:crude", "mix:acq=2,crude=1,grain=1"]
)
@pytest.mark.parametrize("count", [1, 2, 45, 300, 1393])
def test_the_index_is_what_the_counts_say(scheme: str, count: int) -> None:
    calibration, labels = drawn(scheme=scheme, count=count), split(SIZES)
    assert calibration.index.dtype == np.int64
    assert (np.diff(calibration.index) > 0).all()
    found = Counter(NAMES[label] for label in labels[calibration.index])
    assert calibration.counts == {name: found[name] for name in NAMES}
    assert ("in all" in calibration.note) == (len(calibration.index) < count)


# Size


@pytest.mark.parametrize("scheme", ["unconditional", "conditional", "mix:earn=2,acq=1"])
@pytest.mark.parametrize(("changes", "size"), [({}, 348), ({"fraction": 0.1}, 139), ({"fraction": 0.1, "count": 7}, 7)])
def test_the_size_is_the_count_or_else_the_fraction_of_all(scheme: str, changes: dict[str, Any], size: int) -> None:
    assert len(drawn(scheme=scheme, **changes).index) == size


@pytest.mark.parametrize("scheme", ["unconditional", "conditional"])
def test_a_fraction_of_1_takes_every_document(scheme: str) -> None:
    assert drawn(scheme=scheme, fraction=1).index.tolist() == list(range(sum(SIZES)))


def test_unconditional_draws_follow_the_class_sizes() -> None:
    counts = np.array([list(drawn(scheme="unconditional", count=300, seed=seed).counts.values()) for seed in range(60)])
    np.testing.assert_allclose(counts.mean(axis=0), 300 * np.array(SIZES) / sum(SIZES), rtol=0.1)
    assert counts.std(axis=0).min() > 0


# Which draws depend on what


@pytest.mark.parametrize("scheme", ["unconditional", "conditional", "classes:acq,earn", "mix:acq=1,earn=2"])
def test_the_seed_decides(scheme: str) -> None:
    first = drawn(scheme=scheme, count=100, seed=3)
    assert np.array_equal(drawn(scheme=scheme, count=100, seed=3).index, first.index)
    assert not np.array_equal(drawn(scheme=scheme, count=100, seed=4).index, first.index)


@pytest.mark.parametrize("scheme", ["unconditional", "conditional", "classes:acq,earn", "mix:acq=1,earn=2"])
def test_a_smaller_draw_is_part_of_a_larger_one(scheme: str) -> None:
    small, large = drawn(scheme=scheme, count=40), drawn(scheme=scheme, count=90)
    assert set(small.index) < set(large.index)


def test_every_document_is_drawn_equally_often() -> None:
    times = np.zeros(40)
    for seed in range(400):
        times[choose(np.arange(40) % 4, NAMES, CalibrationSpec(count=20, seed=seed)).index] += 1
    assert np.abs(times - 200).max() < 5 * np.sqrt(400 * 0.25)


def test_shuffling_the_other_classes_leaves_a_classs_draw_alone() -> None:
    labels, spec = split(SIZES), CalibrationSpec(count=100)
    shuffled, others = labels.copy(), labels != 2
    shuffled[others] = np.random.default_rng(1).permutation(labels[others])
    before, after = choose(labels, NAMES, spec).index, choose(shuffled, NAMES, spec).index
    assert np.array_equal(before[labels[before] == 2], after[shuffled[after] == 2])
    assert not np.array_equal(before, after)


def test_a_class_gives_the_same_documents_whoever_else_is_asked() -> None:
    labels = split(SIZES)
    with_crude, with_grain = (
        choose(labels, NAMES, CalibrationSpec.parse(f"classes:earn,{other}", count=60)).index
        for other in ("crude", "grain")
    )
    assert np.array_equal(with_crude[labels[with_crude] == 2], with_grain[labels[with_grain] == 2])


def test_classes_of_one_size_do_not_give_the_same_places() -> None:
    labels = np.arange(200) % 2
    index = choose(labels, NAMES[:2], CalibrationSpec(count=40)).index
    assert not np.array_equal(index[labels[index] == 0] + 1, index[labels[index] == 1])


# Bad input


@pytest.mark.parametrize(
    ("scheme", "changes", "message"),
    [
        ("classes:acq,rice", {}, "class 'rice' is not known; choose from: acq, crude, earn, grain"),
        ("classes:Earn,rice", {}, "class 'Earn', 'rice' is not known; choose from: acq, crude, earn, grain"),
        ("mix:rice=1,acq=1", {}, "class 'rice' is not known; choose from: acq, crude, earn, grain"),
        ("classes:acq,acq", {}, "class 'acq' is given more than once; give it once"),
        ("mix:acq=1,acq=2", {}, "class 'acq' is given more than once; give it once"),
        (
            "conditional",
            {"fraction": 0.0001},
            "a fraction of 0.0001 of 1,393 training documents is none; raise it or set a count",
        ),
        (
            "unconditional",
            {"count": 1394},
            "count=1,394, but the training split has 1,393 documents; choose 1 to 1,393",
        ),
        ("classes:acq", {"count": 2000}, "count=2,000, but the training split has 1,393 documents; choose 1 to 1,393"),
    ],
)
def test_a_draw_that_cannot_be_made_is_refused(scheme: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        drawn(scheme=scheme, **changes)
    assert str(refusal.value) == message


@pytest.mark.parametrize("scheme", ["classes:acq", "mix:acq=1,crude=0"])
def test_classes_without_documents_are_refused(scheme: str) -> None:
    with pytest.raises(InputError) as refusal:
        drawn((0, 10, 10), scheme, count=5)
    label = CalibrationSpec.parse(scheme).label
    assert str(refusal.value) == f"the training split has no document of the classes in {label!r}; name others"

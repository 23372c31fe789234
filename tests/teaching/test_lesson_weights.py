"""The lesson's arithmetic on weights against plain loops, and its scenes on the shipped model."""

from pathlib import Path

import numpy as np
import pytest

from core.config import FLOAT_BITS
from core.measurement import stats
from core.quantization.levels import Quantizer
from core.teaching import lesson_weights
from core.teaching.scenes import LackingError

CORPUS = "reuters-r8"


def test_rounding_and_clipping_add_up_to_the_whole_error() -> None:
    values = np.random.default_rng(0).normal(size=500)
    quantizer = Quantizer.of_range(1.0, 3)
    rounding = clipping = outside = 0.0
    for value in values:
        level = round(value / quantizer.scale)
        kept = min(max(level, quantizer.low), quantizer.high)
        error = (kept * quantizer.scale - value) ** 2 / len(values)
        rounding, clipping = (rounding + error, clipping) if kept == level else (rounding, clipping + error)
        outside += (kept != level) / len(values)
    found = lesson_weights.range_error(values, quantizer)
    assert (found.rounding, found.clipping, found.clipped) == pytest.approx((rounding, clipping, outside))
    assert found.total == pytest.approx(((lesson_weights.rounded(values, quantizer) - values) ** 2).mean())


def test_the_largest_gap_is_the_kolmogorov_smirnov_distance() -> None:
    draw = np.random.default_rng(1)
    for _ in range(20):
        first, second = np.sort(draw.normal(size=40)), np.sort(draw.normal(0.5, 1, size=60))
        place, low, high = lesson_weights.largest_gap(first, second)
        assert (low, high) == pytest.approx(((first <= place).mean(), (second <= place).mean()))
        assert abs(low - high) == pytest.approx(stats.ks_two_sample(first, second).statistic)


@pytest.mark.usefixtures("_shipped")
def test_stairs_stand_on_the_levels_and_fewer_bits_are_further_off() -> None:
    errors = []
    for bits in (8, 5, 2):
        (panel,) = lesson_weights.stairs(CORPUS, bits).panels
        before, after = (np.array(trace.y) for trace in panel.figure.data)
        assert len(np.unique(after)) <= 2**bits
        assert f"{2**bits} levels" in panel.sentence
        errors.append(((before - after) ** 2).mean())
    assert errors == sorted(errors)


@pytest.mark.usefixtures("_shipped")
def test_the_marked_range_lies_on_the_curve_and_the_best_is_named() -> None:
    (panel,) = lesson_weights.span(CORPUS, 100).panels
    total, rounding, clipping, mark = panel.figure.data
    np.testing.assert_allclose(total.y, np.add(rounding.y, clipping.y))
    assert (mark.x[0], mark.y[0]) == (total.x[-1], total.y[-1])
    assert f"which is at {total.x[int(np.argmin(total.y))]} %" in panel.sentence


@pytest.mark.usefixtures("_shipped")
def test_the_gap_is_drawn_where_it_is_and_none_in_float() -> None:
    _, panel = lesson_weights.gap(CORPUS, 3)
    low, high = panel.figure.data[2].y
    assert panel.sentence.startswith(f"D = {abs(high - low):.3f}")
    assert lesson_weights.gap(CORPUS, FLOAT_BITS)[1].sentence.startswith("D = 0:")


def test_an_empty_store_lacks_the_model(tmp_cache: Path) -> None:
    for step in (lesson_weights.stairs, lesson_weights.span, lesson_weights.gap):
        with pytest.raises(LackingError) as lack:
            step(CORPUS, 100 if step is lesson_weights.span else 3)
        assert lack.value.commands == ["python -m core sweep reuters-r8 --model discriminative --bits 32"]

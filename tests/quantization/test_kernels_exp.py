"""The compiled exp next to numpy's in float64."""

import numpy as np
import pytest

from core.quantization import kernels


def exponentials(values: np.ndarray) -> np.ndarray:
    found = values.astype(np.float32)
    kernels.exponentiate(found, found.view(np.int32))
    return found


def test_exp_is_that_of_float64_within_a_rounding_or_two() -> None:
    values = np.linspace(-87, 88, 1_000_003, dtype=np.float32)
    expected = np.exp(values.astype(np.float64))
    assert np.abs(exponentials(values) / expected - 1).max() < 1e-7


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1537])
def test_exp_takes_any_number_of_values(size: int) -> None:
    values = np.random.default_rng(size).normal(0, 20, size).astype(np.float32)
    assert exponentials(values) == pytest.approx(np.exp(values.astype(np.float64)), rel=1e-7)


def test_exp_of_odd_values_is_the_limit_or_no_number() -> None:
    found = exponentials(np.array([-np.inf, -1e30, -88, 0, -0.0, np.nan]))
    assert found[:3] == pytest.approx(np.exp(-87.0), rel=1e-6)
    assert (found[3], found[4]) == (1, 1)
    assert np.isnan(found[5])

"""Spread and contrasts of draws: against formulas written out, scipy's own tests, and the edge cases."""

import math

import numpy as np
import pytest
import scipy.stats

from core.errors import InputError
from core.verdicts import draws

A, B = [95.1, 94.8, 95.6, 95.0, 94.9], [93.2, 94.1, 93.9, 94.6, 92.8]


def test_spread_is_the_mean_the_deviation_and_students_interval():
    found = draws.spread([1.0, 2.0, 4.0])
    deviation = math.sqrt(((1 - 7 / 3) ** 2 + (2 - 7 / 3) ** 2 + (4 - 7 / 3) ** 2) / 2)
    reach = 4.302652729911275 * deviation / math.sqrt(3)  # t of 97.5 % at 2 degrees of freedom, from a table
    assert (found.mean, found.deviation, found.n) == (pytest.approx(7 / 3), pytest.approx(deviation), 3)
    assert (found.low, found.high) == (pytest.approx(7 / 3 - reach), pytest.approx(7 / 3 + reach))


def test_one_draw_has_no_spread_and_equal_draws_have_none():
    assert draws.spread([5.0]) == draws.Spread(5.0, None, None, None, 1)
    assert draws.spread([5.0, 5.0]) == draws.Spread(5.0, 0.0, 5.0, 5.0, 2)


def test_a_paired_contrast_is_scipys_paired_interval():
    found = draws.paired_contrast(A, B)
    expected = scipy.stats.ttest_rel(A, B).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert (found.difference, found.draws) == (pytest.approx(np.mean(A) - np.mean(B)), 5)


def test_a_separate_contrast_is_scipys_welch_interval():
    found = draws.separate_contrast(A, B[:3])
    expected = scipy.stats.ttest_ind(A, B[:3], equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high, found.draws) == (pytest.approx(expected.low), pytest.approx(expected.high), 3)


def test_separate_draws_without_spread_have_an_interval_of_no_width():
    found = draws.separate_contrast([2.0, 2.0], [1.0, 1.0])
    assert (found.difference, found.low, found.high) == (1.0, 1.0, 1.0)


def test_exchanging_the_sides_turns_a_contrast_over():
    for contrast in (draws.paired_contrast, draws.separate_contrast):
        one, other = contrast(A, B), contrast(B, A)
        assert (one.difference, one.low) == (pytest.approx(-other.difference), pytest.approx(-other.high))


def test_a_single_draw_has_the_normal_interval_of_its_documents_if_that_is_known():
    found = draws.single_contrast(2.0, 0.25)
    assert (found.low, found.high) == (pytest.approx(2 - 1.959964 * 0.5), pytest.approx(2 + 1.959964 * 0.5))
    assert draws.single_contrast(2.0, 0.0).low is None


def test_the_variance_of_a_share_is_never_zero_and_close_to_the_binomial():
    assert draws.share_variance(10, 10) > 0
    assert draws.share_variance(900, 1000) == pytest.approx(0.9 * 0.1 / 1000, rel=0.02)
    with pytest.raises(InputError, match="correct=5 of n=4 is no share"):
        draws.share_variance(5, 4)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [[1.0, 2.0]]])
def test_draws_that_are_none_are_refused(values):
    with pytest.raises(InputError, match="give one number for each draw"):
        draws.spread(values)


def test_too_few_draws_are_refused():
    with pytest.raises(InputError, match="3 and 2 draws make no pairs"):
        draws.paired_contrast([1, 2, 3], [1, 2])
    with pytest.raises(InputError, match="1 and 2 draws have no spread"):
        draws.separate_contrast([1], [1, 2])

"""What several draws of one number say: mean and spread, and how two sets of draws differ, with 95 % intervals.

A draw is one value for each calibration, noise or weights seed. Every function raises InputError for empty or
non-finite values.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.stats

from core.errors import InputError
from core.measurement.stats import Floats, Values

Method = Literal["paired draws", "separate draws", "test documents", "one draw, no interval"]

CONFIDENCE = 0.95
NORMAL_REACH = float(scipy.stats.norm.ppf((1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Spread:
    """The mean of n draws, their sample standard deviation (n - 1) and Student's interval; None where n is 1."""

    mean: float
    deviation: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Contrast:
    """The mean of a minus the mean of b, its interval where there is one, the draws behind it (pairs, or the fewer)."""

    difference: float
    low: float | None
    high: float | None
    draws: int
    method: Method


def spread(values: Values) -> Spread:
    """Summarise draws (N,); identical draws have an interval of no width."""
    drawn = _draws(values)
    mean, n = float(drawn.mean()), drawn.size
    if n == 1:
        return Spread(mean, None, None, None, 1)
    deviation = float(drawn.std(ddof=1))
    reach = _student(n - 1) * deviation / math.sqrt(n)
    return Spread(mean, deviation, mean - reach, mean + reach, n)


def paired_contrast(a: Values, b: Values) -> Contrast:
    """Return a minus b for draws (N,) made in pairs, N of 2 or more (paired t)."""
    first, second = _draws(a), _draws(b)
    if first.size != second.size or first.size < 2:
        raise InputError(f"{first.size} and {second.size} draws make no pairs; give 2 or more of each, in one order")
    found = spread(first - second)
    return Contrast(found.mean, found.low, found.high, found.n, "paired draws")


def separate_contrast(a: Values, b: Values) -> Contrast:
    """Return a minus b for draws (N,) and (M,) made apart, 2 or more of each (Welch's t)."""
    groups = [_draws(a), _draws(b)]
    if min(group.size for group in groups) < 2:
        raise InputError(f"{groups[0].size} and {groups[1].size} draws have no spread; give 2 or more of each")
    difference = float(groups[0].mean() - groups[1].mean())
    shares = [float(group.var(ddof=1)) / group.size for group in groups]
    total = sum(shares)
    weight = sum(share**2 / (group.size - 1) for share, group in zip(shares, groups, strict=True))
    reach = _student(total**2 / weight) * math.sqrt(total) if total else 0.0
    fewer = min(group.size for group in groups)
    return Contrast(difference, difference - reach, difference + reach, fewer, "separate draws")


def single_contrast(difference: float, variance: float) -> Contrast:
    """Return a difference of single draws with the normal interval of `variance`, none if that is 0 (not known)."""
    if not variance:
        return Contrast(difference, None, None, 1, "one draw, no interval")
    reach = NORMAL_REACH * math.sqrt(variance)
    return Contrast(difference, difference - reach, difference + reach, 1, "test documents")


def widened(found: Contrast, variance: float) -> Contrast:
    """Return a contrast whose interval covers a source of `variance` too that is independent of the draws."""
    assert found.high is not None
    reach = math.hypot(found.high - found.difference, NORMAL_REACH * math.sqrt(variance))
    return replace(found, low=found.difference - reach, high=found.difference + reach)


def share_variance(correct: int, n: int) -> float:
    """Return the sampling variance of the share correct/n, never 0 (Agresti and Coull: 2 right, 2 wrong added)."""
    if n < 1 or not 0 <= correct <= n:
        raise InputError(f"correct={correct} of n={n} is no share; give n of 1 or more and correct of 0 to n")
    share = (correct + 2) / (n + 4)
    return share * (1 - share) / (n + 4)


def _draws(values: Values) -> Floats:
    drawn = np.asarray(values, dtype=np.float64)
    if drawn.ndim != 1 or drawn.size == 0 or not np.isfinite(drawn).all():
        raise InputError(f"draws of shape {drawn.shape} are empty or not finite; give one number for each draw")
    return drawn


def _student(degrees: float) -> float:
    return float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, degrees))

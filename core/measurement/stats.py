"""Statistics of two classifiers: numpy and scipy in, plain numbers out.

Counts are documents, shares lie in [0, 1], losses are in nats, densities in 1/nat. Classes are ids 0..C-1.
Every function raises InputError for empty, non-finite or mismatched input.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.special
import scipy.stats

from core.errors import InputError
from core.seeding import numpy_generator

Values = npt.ArrayLike
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BandwidthRule = Literal["silverman", "scott"]

BANDWIDTH_RULES: tuple[BandwidthRule, ...] = ("silverman", "scott")
DEAD_VARIANCE = 1e-8
"""A unit whose variance across documents is below this is constant: it says nothing about the text."""
UNDERFLOW = 750  # exp(-750) is 0 in float64

_BINS_PER_BANDWIDTH = 32
_REACH = 6  # bandwidths; the Gaussian kernel beyond holds 2e-9 of its mass


@dataclass(frozen=True)
class KsResult:
    """Kolmogorov-Smirnov D of two samples of n and m values. With millions of values p is about 0: read D."""

    statistic: float
    n: int
    m: int
    pvalue: float


@dataclass(frozen=True, eq=False)
class Kde:
    """A Gaussian kernel density (G,) in 1/nat on a grid (G,) in nats, with its sample's median and maximum."""

    grid: Floats
    density: Floats
    bandwidth: float
    rule: BandwidthRule
    n: int
    median: float
    maximum: float


@dataclass(frozen=True, eq=False)
class ClassReport:
    """Per class (C,): precision, recall, F1, support (documents), and their plain means over the C classes."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Ints
    macro_precision: float
    macro_recall: float
    macro_f1: float


@dataclass(frozen=True)
class McNemar:
    """b documents only the first model gets right, c only the second; two-sided exact p."""

    b: int
    c: int
    pvalue: float


@dataclass(frozen=True)
class Difference:
    """Accuracy of the second model minus the first, a share in [-1, 1], with a percentile interval."""

    difference: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Flips:
    """Documents, of n, whose prediction changed from the first model to the second, by what became of it."""

    right_to_wrong: int
    wrong_to_right: int
    wrong_to_other_wrong: int
    n: int

    @property
    def changed_share(self) -> float:
        return (self.right_to_wrong + self.wrong_to_right + self.wrong_to_other_wrong) / self.n


def ks_two_sample(a: Values, b: Values) -> KsResult:
    """Compare two samples of any shape (paper, section 6.1).

    p is exact up to 100 values, asymptotic beyond, and in both cases too large when values are tied.
    """
    x, y = both = [np.sort(_sample(values, f"{name} sample")) for name, values in (("first", a), ("second", b))]
    if max(x.size, y.size) <= 100:
        result = scipy.stats.ks_2samp(x, y, method="exact")
        return KsResult(float(result.statistic), x.size, y.size, float(result.pvalue))
    # Between two jumps of one function the other only rises: the largest gap is at a jump, just before it or at it.
    points = min((z[np.diff(z, prepend=np.nan) != 0] for z in both), key=len)
    shares = np.array([[np.searchsorted(z, points, side) / z.size for side in ("left", "right")] for z in both])
    distance = float(np.abs(shares[0] - shares[1]).max())
    pairs = round(x.size * y.size / (x.size + y.size))
    vanishing = 2 * pairs * distance**2 > UNDERFLOW  # p is about 2 exp of minus that, and slow to compute
    p = 0.0 if vanishing else float(np.clip(scipy.stats.kstwo.sf(distance, pairs), 0, 1))
    return KsResult(distance, x.size, y.size, p)


def gaussian_kde(values: Values, points: int = 512, rule: BandwidthRule = "silverman") -> Kde:
    """Estimate the density on `points` equal steps from 3 bandwidths below the sample to 3 above.

    Raises InputError as `kde_on`, and for points < 2.
    """
    if points < 2:
        raise InputError(f"points={points} makes no grid; give 2 or more")
    x = _sample(values, "values")
    margin = 3 * _bandwidth(x, rule)
    return kde_on(x, np.linspace(x.min() - margin, x.max() + margin, points), rule)


def kde_on(values: Values, grid: Values, rule: BandwidthRule = "silverman") -> Kde:
    """Estimate the density of values, any shape, on a grid (G,), so that two samples can share one.

    Bandwidth: standard deviation (n - 1) times (3n/4)^(-1/5) for silverman, n^(-1/5) for scott, as in
    scipy.stats.gaussian_kde. Values are linearly binned at h/32, which moves no density by more than
    max|K''| / (8 * 32^2) = 4.9e-5 / h; the cost is one pass over the values plus one over the grid.
    Raises InputError for a constant sample, a single value included: it has no density.
    """
    x, points = _sample(values, "values"), _sample(grid, "grid")
    bandwidth = _bandwidth(x, rule)
    density = _binned_density(x, points, bandwidth)
    return Kde(points, density, bandwidth, rule, x.size, float(np.median(x)), float(x.max()))


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval (low, high) of the share correct/n."""
    if n < 1 or not 0 <= correct <= n:
        raise InputError(f"correct={correct} of n={n} is no share; give n of 1 or more and correct of 0 to n")
    if not 0 < confidence < 1:
        raise InputError(f"confidence={confidence} is out of range; give a share between 0 and 1")
    interval = scipy.stats.binomtest(correct, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def confusion_matrix(labels: Values, predictions: Values, classes: int) -> Ints:
    """Count documents (C, C): row is the true class, column the predicted one. Inputs are ids (N,)."""
    truth, predicted = _ids(labels, "labels", classes), _ids(predictions, "predictions", classes)
    _check_paired(truth, predicted)
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def classification_report(matrix: Values) -> ClassReport:
    """Summarise a confusion matrix (C, C) of counts; a share whose denominator is 0 is 0.

    The macro means run over all C classes, those without a document included.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise InputError(f"a confusion matrix of shape {counts.shape} is not square; give (C, C) counts")
    if counts.dtype.kind not in "iu" or counts.min() < 0:
        raise InputError("the confusion matrix holds values that are no counts; give integers of 0 or more")
    counts = counts.astype(np.int64)
    hits, support, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall, f1 = _ratio(hits, predicted), _ratio(hits, support), _ratio(2 * hits, support + predicted)
    means = (float(share.mean()) for share in (precision, recall, f1))
    return ClassReport(precision, recall, f1, support, *means)


def prediction_histogram(predictions: Values, classes: int) -> Ints:
    """Count the documents (C,) given to each class, from ids (N,)."""
    return np.bincount(_ids(predictions, "predictions", classes), minlength=classes)


def majority_share(labels: Values) -> float:
    """Return the share of the most frequent class: the accuracy of always answering it."""
    ids = _ids(labels, "labels")
    return float(np.unique(ids, return_counts=True)[1].max() / ids.size)


def mcnemar_exact(correct_a: Values, correct_b: Values) -> McNemar:
    """Test whether two models, scored (N,) on the same documents, are right equally often (binomial, exact)."""
    a, b = _flags(correct_a, "correct_a"), _flags(correct_b, "correct_b")
    _check_paired(a, b)
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    discordant = only_a + only_b
    pvalue = float(scipy.stats.binomtest(only_a, discordant).pvalue) if discordant else 1.0
    return McNemar(only_a, only_b, pvalue)


def paired_bootstrap(
    correct_a: Values, correct_b: Values, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> Difference:
    """Return the accuracy of b minus a over the same documents (N,), with its bootstrap interval.

    A resample of N documents matters only through how many came from each of three groups (only a right,
    only b right, the rest), so the groups are drawn as a multinomial, which is the same distribution.
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise InputError(f"resamples={resamples}, confidence={confidence}: give 1 or more, and a share between 0 and 1")
    test = mcnemar_exact(correct_a, correct_b)
    n = np.size(correct_a)
    shares = np.array([test.b, test.c, n - test.b - test.c]) / n
    draws = numpy_generator(seed, "paired bootstrap").multinomial(n, shares, size=resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile((draws[:, 1] - draws[:, 0]) / n, [tail, 1 - tail])
    return Difference((test.c - test.b) / n, float(low), float(high), n)


def holm(pvalues: Values) -> Floats:
    """Adjust p-values (K,) for K tests by Holm's step-down rule; the order is kept."""
    p = _sample(pvalues, "p-values")
    if p.min() < 0 or p.max() > 1:
        raise InputError(f"p-values run from {p.min():g} to {p.max():g}; give values from 0 to 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def flips(labels: Values, predictions_a: Values, predictions_b: Values) -> Flips:
    """Count what became of each prediction (N,) from model a to model b."""
    truth, a, b = _ids(labels, "labels"), _ids(predictions_a, "predictions_a"), _ids(predictions_b, "predictions_b")
    _check_paired(truth, a, b)
    was_right, is_right = a == truth, b == truth
    other_wrong = ~was_right & ~is_right & (a != b)
    return Flips(
        int((was_right & ~is_right).sum()), int((~was_right & is_right).sum()), int(other_wrong.sum()), truth.size
    )


def kl_divergence(log_p: Values, log_q: Values) -> float:
    """Return the mean over documents of KL(p || q) in nats, from log-probabilities (N, C).

    -inf is a probability of 0: it adds nothing in p, and gives inf in q where p is not 0.
    Raises InputError unless the rows sum to 1 within 1e-3.
    """
    p, q = _log_probabilities(log_p, "log_p"), _log_probabilities(log_q, "log_q")
    if p.shape != q.shape:
        raise InputError(f"log_p {p.shape} and log_q {q.shape} differ in shape; give the same documents and classes")
    present = np.isfinite(p)
    gap = np.subtract(p, q, out=np.zeros_like(p), where=present)
    return max(float((np.exp(p) * gap).sum(axis=1).mean()), 0.0)


def dead_signal(variance: float) -> bool:
    """Say whether a variance across documents is that of a constant output, e.g. an LSTM stuck at zero.

    Take the variance of each unit over the documents, then the mean over units: constants that differ
    between units are dead too. Results that do not change with any setting usually have this cause.
    """
    if not variance >= 0:
        raise InputError(f"variance={variance} is no variance; give a number of 0 or more")
    return variance < DEAD_VARIANCE


def _sample(values: Values, name: str) -> Floats:
    flat = np.asarray(values, dtype=np.float64).ravel()
    if flat.size == 0:
        raise InputError(f"{name}: no values were given; give at least one")
    if not np.isfinite(flat).all():
        bad = flat.size - int(np.isfinite(flat).sum())
        raise InputError(f"{name}: {bad} of {flat.size} values are nan or infinite; give finite values")
    return flat


def _ids(values: Values, name: str, classes: int | None = None) -> Ints:
    ids = np.asarray(values)
    if ids.ndim != 1 or ids.size == 0:
        raise InputError(f"{name} has shape {ids.shape}; give one class id for each of 1 or more documents")
    if ids.dtype.kind not in "iu":
        raise InputError(f"{name} holds {ids.dtype} values; give integer class ids")
    if ids.min() < 0 or (classes is not None and ids.max() >= classes):
        allowed = "0 or more" if classes is None else f"0 to {classes - 1}"
        raise InputError(f"{name} runs from {ids.min()} to {ids.max()}; give class ids of {allowed}")
    return ids.astype(np.int64)


def _flags(values: Values, name: str) -> npt.NDArray[np.bool_]:
    flags = np.asarray(values)
    if flags.ndim != 1 or flags.size == 0 or flags.dtype != np.bool_:
        raise InputError(f"{name} is {flags.dtype} of shape {flags.shape}; give one bool for each document")
    return flags


def _check_paired(*documents: npt.NDArray[np.generic]) -> None:
    sizes = [array.size for array in documents]
    if len(set(sizes)) > 1:
        raise InputError(f"{' and '.join(map(str, sizes))} documents do not pair up; give the same documents each time")


def _log_probabilities(values: Values, name: str) -> Floats:
    logs = np.asarray(values, dtype=np.float64)
    if logs.ndim != 2 or logs.size == 0:
        raise InputError(f"{name} has shape {logs.shape}; give log-probabilities (documents, classes)")
    totals = scipy.special.logsumexp(logs, axis=1, keepdims=True)
    if not (np.abs(totals) <= 1e-3).all():
        raise InputError(f"{name}: rows do not sum to 1; give the log of probabilities, not scores")
    normalized: Floats = logs - totals
    return normalized


def _ratio(part: Ints, whole: Ints) -> Floats:
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)


def _bandwidth(x: Floats, rule: BandwidthRule) -> float:
    if rule not in BANDWIDTH_RULES:
        raise InputError(f"bandwidth rule {rule!r} is not known; choose one of: {', '.join(BANDWIDTH_RULES)}")
    if x.min() == x.max():
        raise InputError(f"all {x.size} values are {x[0]:g}: no density; give a sample with two different values")
    factor = (0.75 * x.size) ** -0.2 if rule == "silverman" else x.size**-0.2
    return float(x.std(ddof=1) * factor)


def _binned_density(x: Floats, grid: Floats, bandwidth: float) -> Floats:
    """Sum the kernel over the bins within `_REACH` bandwidths of each grid point.

    The standard deviation bounds the range, hence the bins: at most about 43 n^0.7, whatever the outliers.
    """
    step, reach = bandwidth / _BINS_PER_BANDWIDTH, _REACH * _BINS_PER_BANDWIDTH
    weights = _linear_bins((x - x.min()) / step)
    position = (grid - x.min()) / step
    bins = np.rint(position).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)  # (G, 2 reach + 1)
    inside = (bins >= 0) & (bins < weights.size)
    z = (position[:, None] - bins) / _BINS_PER_BANDWIDTH
    kernel = np.exp(-0.5 * z**2) * weights[bins.clip(0, weights.size - 1)] * inside
    density: Floats = kernel.sum(axis=1) / (x.size * bandwidth * np.sqrt(2 * np.pi))
    return density


def _linear_bins(position: Floats) -> Floats:
    """Share each value between the two bins beside it, in proportion to its nearness."""
    lower = position.astype(np.int64)
    upper_share = position - lower
    bins = np.zeros(int(lower.max()) + 2)
    bins[:-1] = np.bincount(lower, 1 - upper_share)
    bins[1:] += np.bincount(lower, upper_share)
    return bins

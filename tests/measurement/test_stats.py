"""Fast statistics against slow, obvious references; invariances; bad input by its message."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.measurement import stats


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def slow_ks(a, b):
    """The largest gap between the two empirical distribution functions, over every value that occurs."""
    return max(abs((a <= x).mean() - (b <= x).mean()) for x in np.concatenate([a, b]))


def slow_density(values, grid, bandwidth):
    """One Gaussian per value, summed at each grid point."""
    z = (grid[:, None] - values) / bandwidth
    return np.exp(-0.5 * z**2).mean(axis=1) / (bandwidth * math.sqrt(2 * math.pi))


# Kolmogorov-Smirnov


@pytest.mark.parametrize("levels", [None, 8, 2])
def test_ks_is_the_largest_gap_of_the_distribution_functions(rng, levels):
    a, b = rng.normal(size=300), rng.normal(0.3, 1.2, size=200)
    if levels:
        b = np.round(b * levels / 2) / levels
    result = stats.ks_two_sample(a, b)
    assert result.statistic == pytest.approx(slow_ks(a, b), abs=1e-12)
    assert (result.n, result.m) == (300, 200)


def test_ks_p_value_is_exact_for_few_values_and_kolmogorovs_limit_for_many(rng):
    # Of the 20 ways to split six values in two threes, 2 have D = 1.
    assert stats.ks_two_sample([1, 2, 3], [4, 5, 6]).pvalue == pytest.approx(2 / 20)
    result = stats.ks_two_sample(rng.normal(size=3000), rng.normal(0.05, size=4000))
    limit = scipy.stats.kstwobign.sf(math.sqrt(3000 * 4000 / 7000) * result.statistic)
    assert result.pvalue == pytest.approx(limit, rel=0.1)
    assert result.pvalue < 0.5


def test_ks_of_constants_and_of_equal_samples():
    assert stats.ks_two_sample(np.zeros(5), np.zeros(9)) == stats.KsResult(0.0, 5, 9, 1.0)
    assert stats.ks_two_sample([0.0] * 50, [1.0] * 50).statistic == 1.0
    assert stats.ks_two_sample([1.0], [2.0]) == stats.KsResult(1.0, 1, 1, 1.0)


def test_ks_ignores_shape_order_and_increasing_maps(rng):
    a, b = rng.normal(size=(40, 5)), rng.normal(0.5, size=(30, 5))
    expected = stats.ks_two_sample(a, b)
    assert stats.ks_two_sample(rng.permutation(a.ravel()), b.T) == expected
    assert stats.ks_two_sample(np.exp(a), np.exp(b)) == expected
    swapped = stats.ks_two_sample(b, a)
    assert (swapped.statistic, swapped.n, swapped.m) == (expected.statistic, expected.m, expected.n)


def test_ks_of_millions_of_quantized_values(rng):
    values = rng.normal(size=2_000_000)
    result = stats.ks_two_sample(values, np.round(values))
    # The largest gap sits at the jump of the level 0, which gathers everything from -0.5 to 0.5.
    assert result.statistic == pytest.approx(scipy.stats.norm.cdf(0.5) - 0.5, abs=0.002)
    assert result.n == result.m == 2_000_000


# Kernel density


@pytest.mark.parametrize("rule", stats.BANDWIDTH_RULES)
@pytest.mark.parametrize("shape", ["normal", "skewed with outliers", "ties", "two values"])
def test_kde_equals_scipys_within_the_binning_bound(rng, rule, shape):
    values = {
        "normal": rng.normal(2, 1, 2000),
        "skewed with outliers": np.append(rng.gamma(1.5, 2, 2000), [80.0, -200.0]),
        "ties": rng.integers(0, 5, 500).astype(float),
        "two values": np.array([0.25, 4.0]),
    }[shape]
    kde = stats.gaussian_kde(values, points=301, rule=rule)
    reference = scipy.stats.gaussian_kde(values, bw_method=rule)
    assert kde.bandwidth == pytest.approx(math.sqrt(reference.covariance[0, 0]), rel=1e-12)
    # Linear binning interpolates the kernel between bins h/32 apart: error at most (h/32)^2 / 8 * max|K''|.
    bound = 1 / (8 * 32**2 * math.sqrt(2 * math.pi) * kde.bandwidth)
    error = np.abs(kde.density - reference(kde.grid))
    assert error.max() <= bound * 1.001
    np.testing.assert_allclose(reference(kde.grid), slow_density(values, kde.grid, kde.bandwidth), atol=1e-12)


def test_kde_records_its_sample_and_integrates_to_one(rng):
    values = rng.gamma(2, 1, size=(100, 30)).astype(np.float32)
    kde = stats.gaussian_kde(values)
    assert (kde.n, kde.rule, kde.grid.shape, kde.density.shape) == (3000, "silverman", (512,), (512,))
    assert (kde.median, kde.maximum) == (pytest.approx(np.median(values)), values.max())
    assert np.trapezoid(kde.density, kde.grid) == pytest.approx(1, abs=2e-3)
    assert (kde.density >= 0).all()


def test_kde_moves_and_stretches_with_its_sample(rng):
    values, grid = rng.normal(size=400), np.linspace(-2, 2, 21)
    plain, moved = stats.kde_on(values, grid), stats.kde_on(3 * values + 7, 3 * grid + 7)
    np.testing.assert_allclose(moved.density, plain.density / 3, rtol=1e-9)


def test_two_samples_share_a_grid_and_points_far_away_have_no_density(rng):
    grid = np.array([-1e6, 0.0, 1e6])
    densities = [stats.kde_on(rng.normal(mean, 1, 500), grid).density for mean in (0, 1)]
    assert all(density[0] == density[2] == 0 for density in densities)
    assert densities[0][1] > densities[1][1] > 0


def test_kde_of_a_million_values_recovers_the_distribution(rng):
    kde = stats.gaussian_kde(rng.normal(size=1_000_000))
    np.testing.assert_allclose(kde.density, scipy.stats.norm.pdf(kde.grid), atol=0.01)


@pytest.mark.parametrize("values", [[3.0], [0.1] * 1000])
def test_a_constant_sample_has_no_density(values):
    with pytest.raises(InputError, match=rf"all {len(values)} values are .* two different values"):
        stats.gaussian_kde(values)


def test_kde_refuses_an_unknown_rule_and_no_grid():
    with pytest.raises(InputError, match="'scot' is not known; choose one of: silverman, scott"):
        stats.gaussian_kde([1.0, 2.0], rule="scot")
    with pytest.raises(InputError, match="points=1 makes no grid"):
        stats.gaussian_kde([1.0, 2.0], points=1)
    with pytest.raises(InputError, match="grid: no values"):
        stats.kde_on([1.0, 2.0], [])


@pytest.mark.parametrize("call", [lambda x: stats.ks_two_sample([1.0], x), stats.gaussian_kde, stats.holm])
def test_samples_must_be_finite_and_not_empty(call):
    with pytest.raises(InputError, match="no values were given"):
        call([])
    with pytest.raises(InputError, match="2 of 3 values are nan or infinite"):
        call([1.0, math.nan, math.inf])


# Shares and classes


def test_wilson_interval_is_the_textbook_formula():
    correct, n, z = 951, 1000, scipy.stats.norm.ppf(0.975)
    share = correct / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert stats.wilson_interval(correct, n) == pytest.approx((centre - half, centre + half), abs=1e-9)


def test_wilson_interval_at_the_ends_and_by_confidence():
    assert stats.wilson_interval(0, 10)[0] == 0
    assert stats.wilson_interval(10, 10)[1] == 1
    assert 0 < stats.wilson_interval(10, 10)[0] < 1
    narrow, wide = stats.wilson_interval(5, 10, 0.8), stats.wilson_interval(5, 10, 0.99)
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]


@pytest.mark.parametrize(("correct", "n", "confidence"), [(0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 2, 1)])
def test_wilson_interval_refuses_what_is_no_share(correct, n, confidence):
    with pytest.raises(InputError, match=f"confidence={confidence}" if n == 2 else f"correct={correct} of n={n} is no"):
        stats.wilson_interval(correct, n, confidence)


def slow_confusion(labels, predictions, classes):
    matrix = [[0] * classes for _ in range(classes)]
    for label, prediction in zip(labels, predictions, strict=True):
        matrix[label][prediction] += 1
    return matrix


def slow_report(matrix):
    rows = []
    for k in range(len(matrix)):
        hit, support, predicted = matrix[k][k], sum(matrix[k]), sum(row[k] for row in matrix)
        precision = hit / predicted if predicted else 0.0
        recall = hit / support if support else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        rows.append((precision, recall, f1, support))
    return rows


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_confusion_and_report_equal_a_slow_loop(pairs):
    labels, predictions = map(list, zip(*pairs, strict=True))
    matrix = stats.confusion_matrix(labels, predictions, 5)
    assert matrix.tolist() == slow_confusion(labels, predictions, 5)
    report, expected = stats.classification_report(matrix), slow_report(matrix.tolist())
    found = list(zip(report.precision, report.recall, report.f1, report.support, strict=True))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    means = np.mean(expected, axis=0)[:3]
    np.testing.assert_allclose([report.macro_precision, report.macro_recall, report.macro_f1], means, atol=1e-12)


def test_a_class_never_seen_or_never_predicted_scores_zero():
    report = stats.classification_report(stats.confusion_matrix([0, 0, 1], [0, 0, 0], 3))
    assert report.precision.tolist() == [2 / 3, 0, 0]
    assert report.recall.tolist() == [1, 0, 0]
    assert report.f1.tolist() == [0.8, 0, 0]
    assert report.macro_f1 == pytest.approx(0.8 / 3)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [([[1, 2]], r"shape \(1, 2\) is not square"), ([[0.5]], "no counts"), ([[-1]], "no counts")],
)
def test_report_refuses_what_is_no_confusion_matrix(matrix, message):
    with pytest.raises(InputError, match=message):
        stats.classification_report(matrix)


def test_histogram_and_majority_share():
    assert stats.prediction_histogram([2, 0, 2], 4).tolist() == [1, 0, 2, 0]
    assert stats.majority_share([5, 1, 5, 5]) == 0.75


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "1 or more documents"),
        ([[0, 1]], r"shape \(1, 2\)"),
        ([0.0, 1.0], "float64 values; give integer class ids"),
        ([0, 3], "labels runs from 0 to 3; give class ids of 0 to 2"),
        ([-1, 0], "labels runs from -1 to 0"),
        ([0, 1, 2], "3 and 2 documents do not pair up"),
    ],
)
def test_labels_are_checked(labels, message):
    with pytest.raises(InputError, match=message):
        stats.confusion_matrix(labels, [0, 1], 3)


# Pairs of models


def test_mcnemar_is_the_two_sided_binomial_test():
    a = np.array([True] * 9 + [False] * 2 + [True] * 20 + [False] * 5)
    b = np.array([False] * 9 + [True] * 2 + [True] * 20 + [False] * 5)
    # Twice the chance of 2 or fewer heads in 11 fair throws.
    expected = 2 * sum(math.comb(11, k) for k in range(3)) / 2**11
    assert stats.mcnemar_exact(a, b) == stats.McNemar(9, 2, pytest.approx(expected))
    assert stats.mcnemar_exact(b, a).pvalue == pytest.approx(expected)
    assert stats.mcnemar_exact(a, a) == stats.McNemar(0, 0, 1.0)


def test_bootstrap_interval_equals_resampling_documents(rng):
    a, b = rng.random(400) < 0.9, rng.random(400) < 0.8
    result = stats.paired_bootstrap(a, b, seed=1, resamples=20_000)
    drawn = rng.integers(0, 400, size=(20_000, 400))
    slow = (b[drawn].astype(int) - a[drawn]).mean(axis=1)
    assert result.difference == pytest.approx(b.mean() - a.mean())
    # An end of the interval has a Monte Carlo error of about 0.0005 here; a document is worth 0.0025.
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.0026)


def test_bootstrap_is_repeatable_mirrored_and_moves_with_its_seed(rng):
    a, b = rng.random(997) < 0.9, rng.random(997) < 0.85
    first = stats.paired_bootstrap(a, b, seed=3)
    assert stats.paired_bootstrap(a, b, seed=3) == first
    assert stats.paired_bootstrap(b, a, seed=3).difference == -first.difference
    assert len({stats.paired_bootstrap(a, b, seed=s, resamples=50).low for s in range(5)}) > 1
    assert stats.paired_bootstrap(a, a, seed=3) == stats.Difference(0.0, 0.0, 0.0, 997)
    narrow = stats.paired_bootstrap(a, b, seed=3, confidence=0.5)
    assert first.low < narrow.low < first.difference < narrow.high < first.high


def test_paired_tests_check_their_input():
    with pytest.raises(InputError, match="int64 of shape"):
        stats.mcnemar_exact(np.array([1, 0]), np.array([True, False]))
    with pytest.raises(InputError, match="2 and 1 documents do not pair up"):
        stats.mcnemar_exact(np.array([True, False]), np.array([True]))
    with pytest.raises(InputError, match="resamples=0"):
        stats.paired_bootstrap(np.array([True]), np.array([True]), seed=0, resamples=0)


def test_holm_on_a_worked_example_in_any_order_and_on_bad_input(rng):
    p, adjusted = np.array([0.01, 0.04, 0.03, 0.005]), np.array([0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(stats.holm(p), adjusted)
    order = rng.permutation(4)
    np.testing.assert_allclose(stats.holm(p[order]), adjusted[order])
    np.testing.assert_allclose(stats.holm([0.2]), [0.2])
    assert stats.holm([0.9, 0.8]).max() == 1
    with pytest.raises(InputError, match=r"p-values run from 0\.5 to 1\.5"):
        stats.holm([0.5, 1.5])


def test_flips_equal_a_slow_loop(rng):
    labels, a, b = rng.integers(0, 3, size=(3, 200))
    changed = [(p == y, q == y) for y, p, q in zip(labels, a, b, strict=True) if p != q]
    counts = [changed.count(kind) for kind in ((True, False), (False, True), (False, False))]
    result = stats.flips(labels, a, b)
    assert result == stats.Flips(*counts, 200)
    assert min(counts) > 0
    assert result.changed_share == (a != b).mean()
    back = stats.flips(labels, b, a)
    assert (back.right_to_wrong, back.wrong_to_right) == (result.wrong_to_right, result.right_to_wrong)
    with pytest.raises(InputError, match="2 and 2 and 3 documents do not pair up"):
        stats.flips([0, 1], [0, 1], [0, 1, 1])


def test_kl_equals_a_slow_sum(rng):
    p, q = rng.dirichlet(np.ones(4), size=(2, 30))
    slow = sum(p[i, k] * math.log(p[i, k] / q[i, k]) for i in range(30) for k in range(4)) / 30
    assert stats.kl_divergence(np.log(p), np.log(q)) == pytest.approx(slow)
    assert stats.kl_divergence(np.log(p), np.log(p)) == 0
    assert stats.kl_divergence(np.log(p) + 5e-4, np.log(q) - 5e-4) == pytest.approx(slow)  # rounding is normalized away
    assert stats.kl_divergence(np.log(p).astype(np.float32), np.log(q).astype(np.float32)) == pytest.approx(slow, 1e-5)


def test_kl_of_certain_answers():
    certain, even = np.array([[0.0, -np.inf]]), np.log([[0.5, 0.5]])
    assert stats.kl_divergence(certain, even) == pytest.approx(math.log(2))
    assert stats.kl_divergence(even, certain) == math.inf
    assert stats.kl_divergence(certain, certain) == 0
    far_below = np.array([[-2000.0, 0.0]])
    assert stats.kl_divergence(certain, far_below) == pytest.approx(2000)


@pytest.mark.parametrize(
    ("log_p", "message"),
    [
        ([[1.0, 2.0]], "log_p: rows do not sum to 1"),
        ([[math.nan, 0.0]], "log_p: rows do not sum to 1"),
        ([0.0], r"log_p has shape \(1,\)"),
        ([[0.0]], r"\(1, 1\) and log_q \(1, 2\) differ in shape"),
    ],
)
def test_kl_refuses_what_is_no_distribution(log_p, message):
    with pytest.raises(InputError, match=message):
        stats.kl_divergence(log_p, np.log([[0.5, 0.5]]))


def test_a_dead_signal_is_constant_across_documents(rng):
    units = rng.normal(size=16)
    constant = np.tile(units, (50, 1))  # (N, H): every document gives the same 16 different values
    alive = constant + 0.01 * rng.normal(size=constant.shape)
    assert stats.dead_signal(float(constant.var(axis=0).mean()))
    assert not stats.dead_signal(float(alive.var(axis=0).mean()))
    with pytest.raises(InputError, match="variance=nan is no variance"):
        stats.dead_signal(math.nan)

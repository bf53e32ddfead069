"""Statistics of several runs, against scipy, closed forms and simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxvision.sweeps import statistics

BASELINE = np.array([0.90, 0.92, 0.88, 0.91, 0.93, 0.89, 0.90, 0.94, 0.87, 0.91])
GAINS = np.array([0.05, 0.03, 0.07, 0.04, 0.02, -0.01, 0.01, 0.06, 0.03, 0.00])


def test_mean_is_students():
    values = [0.91, 0.95, 0.93, 0.97]
    found = statistics.mean(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(found['ci95'], [low, high])
    assert found['mean'] == pytest.approx(0.94)
    assert found['median'] == pytest.approx(0.94)
    assert found['n'] == 4


def test_one_run_has_no_interval():
    assert statistics.mean([0.5])['ci95'] is None
    assert statistics.over_folds([0.5], 0.25)['ci95'] is None
    found = statistics.paired_difference([0.6], [0.5])
    assert (found['ci95'], found['p'], found['better'], found['n']) == (None, 1.0, 1, 1)


def test_paired_difference_of_many_is_scipys_bca_at_the_expanded_level():
    found = statistics.paired_difference(BASELINE + GAINS, BASELINE)
    level = 1 - 2 * stats.norm.cdf(-np.sqrt(10 / 9) * stats.t.ppf(0.975, 9))
    expected = stats.bootstrap(
        (np.round(GAINS, 12),), np.mean, confidence_level=level, method='BCa', rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose(found['ci95'], [expected.low, expected.high], rtol=1e-6)
    assert found['interval'] == 'BCa'
    assert found['mean'] == pytest.approx(GAINS.mean())
    assert found['better'] == 8


def test_paired_difference_of_few_is_the_paired_t_interval():
    found = statistics.paired_difference((BASELINE + GAINS)[:6], BASELINE[:6])
    expected = stats.ttest_rel((BASELINE + GAINS)[:6], BASELINE[:6]).confidence_interval(0.95)
    np.testing.assert_allclose(found['ci95'], [expected.low, expected.high])
    assert found['interval'] == "Student's"


def test_the_expanded_level_makes_a_normal_interval_as_long_as_students():
    for n in (3, 8, 12, 1000):
        z = stats.norm.ppf((1 + statistics.expanded_level(n)) / 2)
        assert z * np.sqrt((n - 1) / n) == pytest.approx(stats.t.ppf(0.975, n - 1))
    assert statistics.expanded_level(12) == pytest.approx(0.9785, abs=1e-4)


@pytest.mark.parametrize('n', [5, 8, 12, 24])
def test_coverage(n):
    """Over simulated normal data the 95% interval of paired differences holds the truth as often as it says."""
    draw, count = np.random.default_rng(n), 2000 if n < statistics.FEWEST else 1000
    values = draw.normal(1.0, 1.0, (count, n))
    if n < statistics.FEWEST:
        intervals = np.array([statistics.paired_difference(row, np.zeros(n))['ci95'] for row in values])
    else:
        found = statistics.bootstrap_interval(values)
        intervals = np.array(found).T
    covered = np.mean((intervals[:, 0] <= 1.0) & (intervals[:, 1] >= 1.0))
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize('wrong', [2.0, 8.0])
def test_coverage_of_counted_errors(wrong):
    """What a sweep has are no normal values but shares of 360 images; the baseline gets four more of them wrong."""
    draw = np.random.default_rng(0)
    gains = (draw.poisson(wrong + 4, (2000, 12)) - draw.poisson(wrong, (2000, 12))) / 360
    low, high = statistics.bootstrap_interval(gains)
    assert 0.93 <= np.mean((low <= 4 / 360) & (high >= 4 / 360)) <= 0.97


def test_coverage_of_the_mean():
    values = np.random.default_rng(3).normal(1.0, 1.0, (2000, 12))
    covered = [low <= 1.0 <= high for low, high in (statistics.mean(row)['ci95'] for row in values)]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_coverage_over_folds_where_results_are_correlated():
    """Folds whose results share the correlation n_test / n: what Nadeau and Bengio correct for."""
    k, count = 10, 2000
    draw = np.random.default_rng(4)
    shared, own = draw.normal(size=(count, 1)), draw.normal(size=(count, k))
    values = np.sqrt(1 / k) * shared + np.sqrt(1 - 1 / k) * own
    found = np.array([statistics.over_folds(row, 1 / (k - 1))['ci95'] for row in values])
    assert 0.93 <= np.mean((found[:, 0] <= 0) & (found[:, 1] >= 0)) <= 0.97
    naive = np.array([statistics.mean(row)['ci95'] for row in values])
    assert np.mean((naive[:, 0] <= 0) & (naive[:, 1] >= 0)) < 0.9


def test_over_folds_by_hand():
    values = np.array([0.9, 0.92, 0.94, 0.91, 0.93])
    found = statistics.over_folds(values, 0.25)
    half = stats.t.ppf(0.975, 4) * np.sqrt((1 / 5 + 1 / 4) * values.var(ddof=1))
    np.testing.assert_allclose(found['ci95'], [0.92 - half, 0.92 + half])
    other = values - [0.0, 0.01, 0.02, 0.01, 0.01]
    gain = statistics.difference_over_folds(values, other, 0.25)
    d = values - other
    t = d.mean() / np.sqrt((1 / 5 + 1 / 4) * d.var(ddof=1))
    assert gain['p'] == pytest.approx(2 * stats.t.sf(t, 4))
    assert gain['better'] == 4
    assert gain['interval'] == 'Nadeau and Bengio'


def test_folds_that_all_differ_alike_are_not_certain():
    """One image more in each of two folds had p = 0."""
    found = statistics.difference_over_folds([0.901, 0.911], [0.9, 0.91], 1.0)
    assert found['p'] == 0.5
    assert statistics.difference_over_folds([0.9] * 10, [0.8] * 10, 1 / 9)['p'] == pytest.approx(2 / 2**10)


@pytest.mark.parametrize('comparisons', [1, 300, 2000])
def test_as_many_seeds_as_are_said_to_do_are_enough(comparisons):
    """Beyond 14, and 250 comparisons, none ever were."""
    for n in (statistics.fewest_seeds(comparisons), 15, 30):
        if n >= statistics.fewest_seeds(comparisons):
            assert statistics.sign_flip(np.linspace(0.9, 1.1, n)) <= statistics.LEVEL / comparisons


def test_sign_flip_by_hand():
    """All 2**10 patterns of signs, counted."""
    sums = np.array([np.dot(signs, GAINS) for signs in itertools.product((-1, 1), repeat=10)])
    as_large = np.mean(sums >= GAINS.sum() - 1e-12)
    assert statistics.sign_flip(GAINS) == pytest.approx(2 * as_large)
    assert statistics.sign_flip(np.full(12, 0.01)) == pytest.approx(2 / 2**12)
    assert statistics.sign_flip(np.zeros(12)) == 1.0


def test_sign_flip_of_many_is_drawn():
    draw = np.random.default_rng(0).normal(0.3, 1.0, 40)
    assert statistics.sign_flip(draw) == pytest.approx(stats.ttest_1samp(draw, 0).pvalue, abs=0.02)


def test_sign_flip_is_uniform_where_there_is_nothing():
    draw = np.random.default_rng(5).normal(size=(400, 8))
    p = np.array([statistics.sign_flip(row) for row in draw])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.06)


def test_holm_by_hand():
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(statistics.holm([0.6, 0.9]), [1.0, 1.0])
    assert statistics.holm([]) == []


def test_holm_rejects_what_it_should():
    """Step by step: the smallest against level / m, the next against level / (m - 1), until one is too large."""
    p = np.random.default_rng(6).uniform(0, 0.1, (200, 6))
    for row in p:
        rejected = np.zeros(6, bool)
        for place, index in enumerate(np.argsort(row)):
            if row[index] > 0.05 / (6 - place):
                break
            rejected[index] = True
        np.testing.assert_array_equal(np.array(statistics.holm(row)) <= 0.05, rejected)


def test_eight_seeds_cannot_pass_holm_over_ten_variants_and_twelve_can():
    """Why the default is 12."""
    for seeds, passes in ((8, False), (12, True)):
        best = [2 / 2**seeds] + [1.0] * 9
        assert (statistics.holm(best)[0] <= statistics.LEVEL) == passes


def test_probability_of_improvement_by_hand():
    a, b = [0.9, 0.8, 0.7], [0.8, 0.6]
    pairs = [(x > y) + 0.5 * (x == y) for x in a for y in b]
    assert statistics.probability_of_improvement(a, b) == pytest.approx(np.mean(pairs))


def test_identical_differences_have_an_interval_without_length():
    found = statistics.paired_difference(np.full(10, 0.75), np.full(10, 0.5))
    assert found['ci95'] == [0.25, 0.25]
    assert found['p'] == pytest.approx(2 / 2**10)


def test_seeds_needed_have_the_power():
    """Simulated: with so many seeds a paired t-test finds the difference four times of five."""
    needed = statistics.seeds_needed(0.5, 1.0, 10)
    assert needed is not None
    draw = np.random.default_rng(7).normal(0.5, 1.0, (2000, needed))
    found = np.mean(stats.ttest_1samp(draw, 0, axis=1).pvalue <= 0.05 / 10)
    assert found == pytest.approx(statistics.POWER, abs=0.04)
    # However large the difference, signs can only be flipped in 2**n ways.
    assert statistics.seeds_needed(100.0, 1.0, 10) == 9
    assert statistics.seeds_needed(1e-4, 1.0, 10) is None
    assert statistics.seeds_needed(0.0, 0.0, 3) is None

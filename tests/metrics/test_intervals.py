"""Intervals against scipy."""

import numpy as np
import pytest
from scipy import stats

from jaxvision import metrics
from jaxvision.metrics import intervals


@pytest.mark.parametrize(('hits', 'n'), [(0, 10), (10, 10), (3, 7), (345, 359), (9_000, 10_000)])
def test_wilson_is_scipys(hits, n):
    expected = stats.binomtest(hits, n).proportion_ci(method='wilson')
    np.testing.assert_allclose(metrics.wilson(hits, n), (expected.low, expected.high), atol=1e-12)


def test_wilson_of_arrays_and_of_nothing():
    low, high = metrics.wilson([0, 3], [0, 7])
    assert (low[0], high[0]) == (0.0, 1.0)
    assert (low[1], high[1]) == metrics.wilson(3, 7)


def test_wilson_holds_the_share_itself():
    """Found by a review: of 144 hits of 144, rounding ended it below 1."""
    for n in range(1, 500):
        low, high = metrics.wilson(np.array([0, n]), n)
        assert low[0] == 0.0 and high[1] == 1.0


@pytest.mark.parametrize('n', [1, 2, 5, 6, 9, 40, 80, 2000])
def test_median_leaves_out_a_fortieth_at_either_end(n):
    """As many of the n values as a fair coin shows so few heads with a chance of 2.5 % at most."""
    values = np.random.default_rng(n).permutation(n)
    low, high = intervals.median(list(values))
    assert low + high == n - 1
    assert low == max(0, stats.binom(n, 0.5).ppf(0.025) - 1)


def test_median_covers_a_skewed_one():
    values = np.random.default_rng(0).lognormal(size=(2000, 25))
    found = np.array([intervals.median(row) for row in values])
    covered = np.mean((found[:, 0] <= 1) & (found[:, 1] >= 1))
    assert covered == pytest.approx(1 - 2 * stats.binom(25, 0.5).cdf(7), abs=0.02)

"""Intervals against scipy."""

import numpy as np
import pytest
from scipy import stats

from jaxvision import metrics


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

"""Statistics of several runs, against scipy and closed forms."""

import numpy as np
import pytest
from scipy import stats

from jaxvision.sweeps import statistics


def test_mean_is_students():
    values = [0.91, 0.95, 0.93, 0.97]
    found = statistics.mean(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(found['ci95'], [low, high])
    assert found['mean'] == pytest.approx(0.94)
    assert found['median'] == pytest.approx(0.94)
    assert found['n'] == 4


def test_mean_of_one():
    assert statistics.mean([0.5])['ci95'] == [0.5, 0.5]


def test_paired_difference():
    baseline = np.array([0.90, 0.92, 0.88, 0.91, 0.93, 0.89])
    gains = np.array([0.05, 0.03, 0.07, 0.04, 0.02, -0.01])
    found = statistics.paired_difference(baseline + gains, baseline)
    assert found['mean'] == pytest.approx(gains.mean())
    assert found['better'] == 5
    low, high = found['ci95']
    assert low < gains.mean() < high
    half = stats.t.ppf(0.975, 5) * stats.sem(gains)
    assert high - low == pytest.approx(2 * half, rel=0.4)
    assert found == statistics.paired_difference(baseline + gains, baseline)


def test_paired_difference_of_equals():
    assert statistics.paired_difference([0.5, 0.6], [0.5, 0.6]) == {
        'n': 2,
        'mean': 0.0,
        'ci95': [0.0, 0.0],
        'better': 0,
    }


def test_coverage_of_the_paired_interval():
    """Over simulated normal data of 12 pairs, the 95% interval holds the truth about as often as it says."""
    draw = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        found = statistics.paired_difference(draw.normal(1.0, 1.0, 12), np.zeros(12))
        covered += found['ci95'][0] <= 1.0 <= found['ci95'][1]
    assert 0.87 <= covered / 300 <= 0.98  # BCa is known to be a little short at n = 12.

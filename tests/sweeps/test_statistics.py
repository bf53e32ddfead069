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


def test_one_run_has_no_interval():
    assert statistics.mean([0.5])['ci95'] is None


def test_paired_difference_is_the_paired_t_interval():
    baseline = np.array([0.90, 0.92, 0.88, 0.91, 0.93, 0.89])
    gains = np.array([0.05, 0.03, 0.07, 0.04, 0.02, -0.01])
    found = statistics.paired_difference(baseline + gains, baseline)
    assert found['mean'] == pytest.approx(gains.mean())
    assert found['better'] == 5
    expected = stats.ttest_rel(baseline + gains, baseline).confidence_interval(0.95)
    np.testing.assert_allclose(found['ci95'], [expected.low, expected.high])


def test_coverage_of_the_paired_interval():
    """Over simulated normal data of 12 pairs, the 95% interval holds the truth as often as it says."""
    draw = np.random.default_rng(1)
    found = [statistics.paired_difference(row, np.zeros(12))['ci95'] for row in draw.normal(1.0, 1.0, (2000, 12))]
    covered = np.mean([low <= 1.0 <= high for low, high in found])
    assert 0.93 <= covered <= 0.97

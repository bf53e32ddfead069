"""Calibration against a slow and obvious loop, and against scikit-learn."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from jaxvision import metrics
from jaxvision.metrics.calibration import bin_of

FIXED = settings(max_examples=100, deadline=None, derandomize=True)

CONFIDENCE = hnp.arrays(np.float64, (12,), elements=st.floats(0, 1))
CORRECT = hnp.arrays(bool, (12,))
LOGITS = hnp.arrays(np.float64, (4, 5), elements=st.floats(-50, 50))


def slow_calibration_error(confidence, correct, bins):
    """Bin after bin, straight from the definition: (0, 1/bins], (1/bins, 2/bins], ..."""
    total = 0.0
    for index in range(bins):
        members = [i for i, c in enumerate(confidence) if index / bins < c <= (index + 1) / bins]
        if index == 0:
            members += [i for i, c in enumerate(confidence) if c == 0]
        if members:
            stated = sum(confidence[i] for i in members) / len(members)
            right = sum(bool(correct[i]) for i in members) / len(members)
            total += len(members) / len(confidence) * abs(right - stated)
    return total


@given(CONFIDENCE, CORRECT, st.sampled_from([1, 2, 10, 15]))
@FIXED
def test_calibration_error_is_the_definition(confidence, correct, bins):
    got = metrics.calibration_error(confidence, correct, bins)
    np.testing.assert_allclose(got, slow_calibration_error(confidence, correct, bins), rtol=1e-12, atol=1e-15)
    assert 0 <= got <= 1


def test_calibration_error_by_hand():
    # Bin (0.5, 1] holds 0.6 (wrong) and 0.8 (right): |0.5 - 0.7|; bin (0, 0.5] holds 0.5 (right): |1 - 0.5|.
    got = metrics.calibration_error(np.array([0.6, 0.8, 0.5]), np.array([False, True, True]), bins=2)
    np.testing.assert_allclose(got, 2 / 3 * 0.2 + 1 / 3 * 0.5)


def test_perfect_and_worst():
    assert metrics.calibration_error(np.ones(5), np.ones(5, bool)) == 0
    assert metrics.calibration_error(np.ones(5), np.zeros(5, bool)) == 1
    assert metrics.calibration_error(np.array([]), np.array([], bool)) == 0


@pytest.mark.parametrize('bins', [1, 2, 10, 15, 20, 25, 50, 100])
def test_a_bin_holds_its_upper_edge(bins):
    edges = np.arange(1, bins + 1) / bins
    np.testing.assert_array_equal(bin_of(edges, bins), np.arange(bins))
    np.testing.assert_array_equal(bin_of(edges[:-1] + 1e-12, bins), np.arange(1, bins))


def test_ends_of_the_scale_fall_into_the_outer_bins():
    # A sum of rounded probabilities may be a little above 1.
    np.testing.assert_array_equal(bin_of(np.array([0.0, 1.0, 1 + 1e-12]), 15), [0, 14, 14])


def test_reliability_is_the_calibration_curve_of_scikit_learn():
    draw = np.random.default_rng(0)
    confidence = draw.uniform(0.2, 1, 300)  # The lower bins stay empty.
    correct = draw.uniform(size=300) < confidence**2
    table = metrics.reliability(confidence, correct, 15)
    assert table.counts.sum() == 300
    filled = table.counts > 0
    accuracy, stated = calibration_curve(correct, confidence, n_bins=15)
    np.testing.assert_allclose(table.accuracy[filled], accuracy, rtol=1e-12)
    np.testing.assert_allclose(table.confidence[filled], stated, rtol=1e-12)
    assert not filled[:3].any()
    np.testing.assert_array_equal(table.accuracy[~filled], 0)
    np.testing.assert_array_equal(table.confidence[~filled], 0)


@given(LOGITS, st.floats(0.05, 20))
@FIXED
def test_log_probabilities_are_those_of_scipy(logits, temperature):
    expected = log_softmax(logits / temperature, axis=1)
    np.testing.assert_allclose(metrics.log_probabilities(logits, temperature), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(metrics.probabilities(logits, temperature).sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize('temperature', [1e-3, 1e3])
def test_extreme_temperatures_stay_finite_in_float64(temperature):
    logits = np.float32([[30, -30, 0], [-30, -30, 29]])
    logs = metrics.log_probabilities(logits, temperature)
    assert logs.dtype == np.float64 and np.isfinite(logs).all()
    if temperature > 1:
        np.testing.assert_allclose(np.exp(logs), 1 / 3, atol=0.03)
    else:
        np.testing.assert_array_equal(metrics.probabilities(logits, temperature), [[1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize('temperature', [0.5, 1.0, 3.0])
def test_negative_log_likelihood_is_the_log_loss_of_scikit_learn(temperature):
    draw = np.random.default_rng(1)
    logits, labels = draw.normal(size=(30, 4)) * 3, draw.integers(0, 4, 30)
    nll = metrics.negative_log_likelihood(logits, labels, temperature)
    assert nll.shape == (30,)
    expected = log_loss(labels, np.asarray(metrics.probabilities(logits, temperature)), labels=range(4))
    np.testing.assert_allclose(nll.mean(), expected, rtol=1e-12)


def test_negative_log_likelihood_is_the_training_loss():
    from jaxvision import losses

    draw = np.random.default_rng(2)
    logits, labels = draw.normal(size=(6, 4)).astype(np.float32), draw.integers(0, 4, 6)
    nll = metrics.negative_log_likelihood(logits, labels, 2.0)
    np.testing.assert_allclose(jax.device_get(losses.cross_entropy(logits, labels, 2.0)), nll, rtol=1e-6)

"""Losses of a classifier against their closed forms in float64, and against optax and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from jaxvision import losses

FIXED = settings(max_examples=40, deadline=None, derandomize=True)
BATCH, CLASSES = 4, 5

LOGITS = hnp.arrays(np.float32, (BATCH, CLASSES), elements=st.floats(-30, 30, width=32))
LABELS = hnp.arrays(np.int32, (BATCH,), elements=st.integers(0, CLASSES - 1))
WEIGHTS = hnp.arrays(np.float32, (BATCH, CLASSES), elements=st.floats(0, 1, width=32))
TEMPERATURES = st.floats(np.float32(0.1), 20, width=32)

cross_entropy = jax.jit(losses.cross_entropy)
squared_error = jax.jit(losses.squared_error)
LOSSES = {'cross_entropy': losses.cross_entropy, 'squared_error': losses.squared_error}
GRADIENTS = {
    name: jax.jit(jax.grad(lambda logits, targets, t, f=f: jnp.sum(f(logits, targets, t))))
    for name, f in LOSSES.items()
}


def distributions(weights):
    """Rows that sum to one; a row without weight becomes uniform."""
    weights = weights.astype(np.float64) + 1e-3
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def one_hot(labels):
    return np.eye(CLASSES, dtype=np.float32)[labels]


def slack(logits, temperature):
    """The rounding error of logits / temperature in float32, which the losses carry on."""
    return 1e-6 + np.finfo(np.float32).eps * np.abs(logits).max() / temperature


def reference_cross_entropy(logits, targets, temperature):
    return -np.sum(targets.astype(np.float64) * log_softmax(logits.astype(np.float64) / temperature, axis=1), axis=1)


def reference_squared_error(logits, targets, temperature):
    return np.sum(np.square(softmax(logits.astype(np.float64) / temperature, axis=1) - targets), axis=1)


REFERENCES = {'cross_entropy': reference_cross_entropy, 'squared_error': reference_squared_error}


def finite_differences(f, logits, step=1e-4):
    """Central differences in float64 of the sum of f over the batch."""
    logits = logits.astype(np.float64)
    result = np.zeros_like(logits)
    for index in np.ndindex(logits.shape):
        ahead, behind = logits.copy(), logits.copy()
        ahead[index] += step
        behind[index] -= step
        result[index] = np.sum(f(ahead) - f(behind)) / (2 * step)
    return result


@given(LOGITS, WEIGHTS, TEMPERATURES)
@FIXED
def test_cross_entropy_is_the_closed_form(logits, weights, temperature):
    targets = distributions(weights)
    np.testing.assert_allclose(
        cross_entropy(logits, targets, temperature),
        reference_cross_entropy(logits, targets, temperature),
        rtol=1e-6,
        atol=slack(logits, temperature),
    )


@given(LOGITS, LABELS, TEMPERATURES)
@FIXED
def test_integer_labels_are_one_hot_targets(logits, labels, temperature):
    np.testing.assert_allclose(
        cross_entropy(logits, labels, temperature),
        cross_entropy(logits, one_hot(labels), temperature),
        rtol=1e-6,
        atol=2 * slack(logits, temperature),
    )
    np.testing.assert_array_equal(
        squared_error(logits, labels, temperature), squared_error(logits, one_hot(labels), temperature)
    )


@given(LOGITS, LABELS)
@FIXED
def test_cross_entropy_is_that_of_optax_and_scikit_learn(logits, labels):
    got = cross_entropy(logits, labels)
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=slack(logits, 1))
    expected = optax.softmax_cross_entropy(logits, one_hot(labels))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=2 * slack(logits, 1))
    logits = logits / 4  # scikit-learn clips probabilities below the float's epsilon.
    expected = log_loss(labels, softmax(logits.astype(np.float64), axis=1), labels=range(CLASSES))
    np.testing.assert_allclose(np.mean(cross_entropy(logits, labels)), expected, rtol=1e-6, atol=slack(logits, 1))


def test_cross_entropy_by_hand():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25]]))
    np.testing.assert_allclose(losses.cross_entropy(logits, jnp.array([1])), [np.log(4)], rtol=1e-6)
    # At T = 1/2 the odds are squared: 4 : 1 : 1.
    np.testing.assert_allclose(losses.cross_entropy(logits, jnp.array([0]), 0.5), [np.log(6 / 4)], rtol=1e-6)
    # (0.5 - 0)^2 + (0.25 - 1)^2 + 0.25^2
    np.testing.assert_allclose(losses.squared_error(logits, jnp.array([1])), [0.875], rtol=1e-6)


@given(LOGITS, WEIGHTS, TEMPERATURES)
@FIXED
def test_squared_error_is_the_brier_score(logits, weights, temperature):
    targets = distributions(weights)
    got = np.asarray(squared_error(logits, targets, temperature))
    expected = reference_squared_error(logits, targets, temperature)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=2 * slack(logits, temperature))
    assert np.all((got >= 0) & (got <= 2 + 1e-6))


@pytest.mark.parametrize('name', LOSSES)
@given(LOGITS, WEIGHTS, st.floats(0.5, 10, width=32))
@FIXED
def test_gradient_is_the_difference_quotient(name, logits, weights, temperature):
    targets = distributions(weights)
    expected = finite_differences(lambda at: REFERENCES[name](at, targets, temperature), logits)
    got = GRADIENTS[name](logits, targets, temperature)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=2 * slack(logits, temperature) / temperature)


@given(LOGITS, WEIGHTS, TEMPERATURES)
@FIXED
def test_gradient_of_cross_entropy_is_softmax_minus_targets(logits, weights, temperature):
    targets = distributions(weights)
    expected = (softmax(logits.astype(np.float64) / temperature, axis=1) - targets) / temperature
    got = GRADIENTS['cross_entropy'](logits, targets, temperature)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=slack(logits, temperature) / temperature)


def test_high_temperature_is_uniform_and_low_temperature_is_the_largest_logit():
    logits = np.tile(np.array([[-30.0, 30.0, 7.0, 0.0, 29.0]], np.float32), (CLASSES, 1))
    every_class = np.arange(CLASSES)
    np.testing.assert_allclose(
        np.exp(-losses.cross_entropy(logits, every_class, 1e6)), np.full(CLASSES, 1 / CLASSES), atol=2e-5
    )
    np.testing.assert_array_equal(np.exp(-losses.cross_entropy(logits, every_class, 1e-3)), [0, 1, 0, 0, 0])


@pytest.mark.parametrize('temperature', [1e-3, 1.0, 1e3])
@pytest.mark.parametrize('kind', ['labels', 'one_hot', 'soft'])
@pytest.mark.parametrize('name', LOSSES)
def test_extreme_temperatures_stay_finite(name, kind, temperature):
    logits = np.random.default_rng(0).choice(np.float32([-30, 30]), (BATCH, CLASSES))
    labels = np.arange(BATCH)
    targets = {'labels': labels, 'one_hot': one_hot(labels), 'soft': distributions(one_hot(labels))}[kind]
    value = np.asarray(LOSSES[name](logits, targets, temperature))
    gradient = np.asarray(GRADIENTS[name](logits, targets, temperature))
    assert np.isfinite(value).all() and np.isfinite(gradient).all()
    dense = one_hot(labels) if kind == 'labels' else targets
    expected = REFERENCES[name](logits, dense, temperature)
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=slack(logits, temperature))


@given(LOGITS, LOGITS, WEIGHTS)
@FIXED
def test_cross_entropy_is_least_at_the_targets(logits, other, weights):
    """Gibbs: H(p, q) >= H(p), with equality at q = p."""
    targets = distributions(weights)
    entropy = -np.sum(targets * np.log(targets.astype(np.float64)), axis=1)
    np.testing.assert_allclose(cross_entropy(np.log(targets), targets), entropy, rtol=1e-6, atol=2e-6)
    assert np.all(np.asarray(cross_entropy(logits, targets)) >= entropy - slack(logits, 1))


def test_half_precision_logits_are_computed_in_float32():
    logits = jnp.array([[1.0, 2.0, 3.0]], jnp.bfloat16)
    for loss in LOSSES.values():
        got = loss(logits, jnp.array([0]))
        assert got.dtype == jnp.float32
        np.testing.assert_array_equal(got, loss(logits.astype(jnp.float32), jnp.array([0])))


def test_temperature_is_traced():
    traces = []

    @jax.jit
    def both(logits, labels, temperature):
        traces.append(1)
        return losses.cross_entropy(logits, labels, temperature), losses.squared_error(logits, labels, temperature)

    logits, labels = jnp.array([[1.0, -2.0, 0.5]]), jnp.array([2])
    for temperature in (0.5, 2.0):
        for got, loss in zip(both(logits, labels, temperature), LOSSES.values(), strict=True):
            np.testing.assert_allclose(got, loss(logits, labels, temperature), rtol=1e-6)
    assert len(traces) == 1


@given(WEIGHTS, st.floats(0, 1, width=32))
@FIXED
def test_smoothed_labels_are_the_closed_form_and_stay_distributions(weights, smoothing):
    targets = distributions(weights)
    got = losses.smooth_labels(jnp.asarray(targets), smoothing)
    expected = (1 - np.float64(smoothing)) * targets + smoothing / CLASSES
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(np.sum(got, axis=1), 1, rtol=1e-6)


def test_smoothing_takes_from_the_label_and_gives_to_all():
    smooth = losses.smooth_labels(losses.soft_targets(jnp.array([2]), 4), 0.2)
    np.testing.assert_allclose(smooth, [[0.05, 0.05, 0.85, 0.05]], rtol=1e-6)
    hard = losses.soft_targets(jnp.array([2]), 4)
    np.testing.assert_array_equal(losses.smooth_labels(hard, 0.0), hard)
    np.testing.assert_allclose(losses.smooth_labels(hard, 1.0), np.full((1, 4), 0.25))


@pytest.mark.parametrize('kind', [jnp.int32, jnp.uint8])
def test_soft_targets_of_integers_are_one_hot(kind):
    got = losses.soft_targets(jnp.array([1, 0, 3], kind), 4)
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, np.eye(4)[[1, 0, 3]])


def test_soft_targets_of_distributions_are_themselves():
    targets = jnp.array([[0.25, 0.75], [1.0, 0.0]], jnp.bfloat16)
    got = losses.soft_targets(targets, 2)
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, [[0.25, 0.75], [1.0, 0.0]])

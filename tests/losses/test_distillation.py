"""Distillation against its closed form, and against what Hinton, Vinyals and Dean say of its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import entropy

from jaxvision import losses

FIXED = settings(max_examples=40, deadline=None, derandomize=True)
BATCH, CLASSES = 3, 5

LOGITS = hnp.arrays(np.float32, (BATCH, CLASSES), elements=st.floats(-30, 30, width=32))
TEMPERATURES = st.floats(0.5, 20, width=32)

distillation = jax.jit(losses.distillation)
gradients = jax.jit(jax.grad(lambda student, teacher, t: jnp.sum(losses.distillation(student, teacher, t)), (0, 1)))
hard_gradient = jax.jit(jax.grad(lambda student, labels: jnp.sum(losses.cross_entropy(student, labels))))


def slack(logits, temperature):
    """The rounding error of logits / temperature in float32, which the losses carry on."""
    return 1e-6 + np.finfo(np.float32).eps * np.abs(logits).max() / temperature


def draw(seed, scale=1.0):
    return (np.random.default_rng(seed).normal(size=(BATCH, CLASSES)) * scale).astype(np.float32)


def reference(student, teacher, temperature):
    student, teacher = student.astype(np.float64) / temperature, teacher.astype(np.float64) / temperature
    return -np.sum(softmax(teacher, axis=1) * log_softmax(student, axis=1), axis=1)


@given(LOGITS, LOGITS, TEMPERATURES)
@FIXED
def test_distillation_is_the_closed_form(student, teacher, temperature):
    got, error = distillation(student, teacher, temperature), slack([student, teacher], temperature)
    np.testing.assert_allclose(got, reference(student, teacher, temperature), rtol=2 * error, atol=error)


@given(LOGITS, LOGITS, TEMPERATURES)
@FIXED
def test_gradient_is_the_difference_of_the_softmaxes_and_none_flows_to_the_teacher(student, teacher, temperature):
    to_student, to_teacher = gradients(student, teacher, temperature)
    scaled = [softmax(logits.astype(np.float64) / temperature, axis=1) for logits in (student, teacher)]
    error = slack([student, teacher], temperature) / temperature
    np.testing.assert_allclose(to_student, (scaled[0] - scaled[1]) / temperature, rtol=1e-6, atol=2 * error)
    np.testing.assert_array_equal(to_teacher, np.zeros((BATCH, CLASSES)))


@given(LOGITS, LOGITS, TEMPERATURES)
@FIXED
def test_least_at_the_teacher_where_it_is_the_teachers_entropy(student, teacher, temperature):
    least = entropy(softmax(teacher.astype(np.float64) / temperature, axis=1), axis=1)
    error = slack([student, teacher], temperature)
    np.testing.assert_allclose(distillation(teacher, teacher, temperature), least, rtol=2 * error, atol=2 * error)
    at_teacher, _ = gradients(teacher, teacher, temperature)
    np.testing.assert_allclose(at_teacher, 0, atol=2 * error / temperature)
    assert np.all(np.asarray(distillation(student, teacher, temperature)) >= least - 2 * error * (1 + least))


@given(LOGITS, TEMPERATURES)
@FIXED
def test_log_probabilities_serve_as_the_teachers_logits(teacher, temperature):
    student = draw(0, 5)
    normalised = log_softmax(teacher.astype(np.float64), axis=1).astype(np.float32)
    np.testing.assert_allclose(
        distillation(student, normalised, temperature),
        distillation(student, teacher, temperature),
        rtol=4 * slack([teacher, student, normalised], temperature),
    )


@pytest.mark.parametrize('temperature', [1e-3, 1.0, 1e3])
def test_extreme_temperatures_stay_finite(temperature):
    draws = np.random.default_rng(0)
    student, teacher = (draws.choice(np.float32([-30, 30]), (BATCH, CLASSES)) for _ in range(2))
    value = np.asarray(distillation(student, teacher, temperature))
    assert np.isfinite(value).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients(student, teacher, temperature))
    error = slack(student, temperature)
    np.testing.assert_allclose(value, reference(student, teacher, temperature), rtol=2 * error, atol=error)


def test_low_temperature_is_the_teachers_hard_label():
    student, teacher = draw(1), draw(2)
    # At T the student's logits are sharpened too; so compare at the same temperature.
    np.testing.assert_allclose(
        distillation(student, teacher, 1e-3), losses.cross_entropy(student, teacher.argmax(axis=1), 1e-3), rtol=1e-6
    )


def test_hot_limit_of_the_gradient_matches_centred_logits():
    """T^2 * gradient -> (z_student - z_teacher, both centred) / num_classes as T -> infinity; section 2.1."""
    student, teacher = draw(3, 3), draw(4, 3)
    centred = [logits - logits.mean(axis=1, keepdims=True) for logits in (student, teacher)]
    limit = (centred[0] - centred[1]) / CLASSES
    distances = []
    for temperature in (10.0, 100.0, 1000.0):
        scaled = temperature**2 * np.asarray(gradients(student, teacher, temperature)[0])
        distances.append(np.abs(scaled - limit).max())
    assert distances[1] < 0.2 * distances[0]  # The error is of order 1 / T ...
    assert distances[2] < 0.005 * np.abs(limit).max()  # ... until float32 ends it.


@pytest.mark.parametrize('temperature', [1.0, 2.0, 5.0, 20.0, 50.0])
def test_factor_keeps_the_gradient_of_the_order_of_the_hard_one(temperature):
    student, teacher = draw(5), draw(6, 3)
    labels = teacher.argmax(axis=1)

    def combined(logits):
        imitation = losses.distillation(logits, teacher, temperature)
        return jnp.sum(losses.combine(jnp.zeros(BATCH), imitation, 1.0, temperature))

    ratio = np.linalg.norm(jax.grad(combined)(student)) / np.linalg.norm(hard_gradient(student, labels))
    assert 0.3 < ratio < 3
    bare = np.linalg.norm(gradients(student, teacher, temperature)[0]) / np.linalg.norm(hard_gradient(student, labels))
    np.testing.assert_allclose(bare * temperature**2, ratio, rtol=1e-4)


def test_combine_is_linear_between_its_ends():
    student, imitation = jnp.array([1.0, 2.0, 4.0]), jnp.array([3.0, 0.5, 0.25])
    np.testing.assert_array_equal(losses.combine(student, imitation, 0.0, 3.0), student)
    np.testing.assert_array_equal(losses.combine(student, imitation, 1.0, 3.0), 9 * imitation)
    np.testing.assert_allclose(losses.combine(student, imitation, 0.25, 2.0), 0.75 * student + imitation)


def test_weight_and_temperature_are_traced():
    traces = []

    @jax.jit
    def loss(student, teacher, weight, temperature):
        traces.append(1)
        hard = losses.cross_entropy(student, jnp.arange(BATCH))
        return losses.combine(hard, losses.distillation(student, teacher, temperature), weight, temperature)

    student, teacher = draw(7), draw(8)
    hard = np.asarray(losses.cross_entropy(student, np.arange(BATCH)))
    for weight, temperature in ((0.0, 1.0), (0.3, 4.0), (1.0, 2.0)):
        expected = (1 - weight) * hard + weight * temperature**2 * reference(student, teacher, temperature)
        np.testing.assert_allclose(loss(student, teacher, weight, temperature), expected, rtol=1e-6)
    assert len(traces) == 1


@given(st.lists(LOGITS, min_size=2, max_size=2))
@FIXED
def test_ensemble_is_the_log_of_the_mean_of_probabilities(members):
    got = losses.ensemble_log_probabilities(members)
    logs = np.stack([log_softmax(member.astype(np.float64), axis=1) for member in members])
    expected = logsumexp(logs, axis=0) - np.log(len(members))
    assert got.dtype == jnp.float32
    error = 2 * slack(members, 1)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=error)
    np.testing.assert_allclose(np.exp(got), np.mean(np.exp(logs), axis=0), rtol=1e-6, atol=error)
    np.testing.assert_allclose(np.exp(got).sum(axis=1), 1, atol=CLASSES * error)


def test_ensemble_of_one_is_that_one_normalised():
    member = draw(9, 5)
    np.testing.assert_allclose(
        losses.ensemble_log_probabilities([member]), log_softmax(member, axis=1), rtol=1e-6, atol=1e-6
    )


def test_ensemble_does_not_depend_on_the_members_order_or_scale():
    a, b, c = draw(10), draw(11), draw(12, 4)
    together = losses.ensemble_log_probabilities([a, b, c])
    np.testing.assert_allclose(losses.ensemble_log_probabilities([c, a, b]), together, rtol=1e-6, atol=1e-6)
    # Adding a constant to a member's logits changes nothing: it votes by its probabilities.
    np.testing.assert_allclose(losses.ensemble_log_probabilities([a, b + 8, c]), together, rtol=1e-5, atol=1e-6)


def test_ensemble_of_certain_members_that_disagree_stays_finite():
    certain = np.float32([[100.0, -100.0], [-100.0, 100.0]])
    np.testing.assert_allclose(
        losses.ensemble_log_probabilities([certain, certain[::-1]]), np.log(np.full((2, 2), 0.5)), rtol=1e-6
    )

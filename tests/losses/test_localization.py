"""The localiser's losses against loops in float64, and the switch: exactly no gradient where there is no object."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxvision import boxes, losses
from jaxvision.errors import UserError
from jaxvision.losses.localization import BOX_LOSSES

FIXED = settings(max_examples=40, deadline=None, derandomize=True)
BATCH, CLASSES = 5, 3
PARTS = ('class_loss', 'box_loss', 'objectness_loss')

ANYTHING = st.one_of(st.sampled_from((0.0, 0.5, 1.0, np.nan, np.inf, -np.inf, 1e30, -1e30)), st.floats(-2, 2, width=32))
GARBAGE = hnp.arrays(np.float32, (BATCH, 4), elements=ANYTHING)


def some_boxes(count, seed=0):
    """Boxes that all overlap one another, so that none of the losses is flat."""
    random = np.random.default_rng(seed)
    centre, half = random.uniform(0.4, 0.6, (count, 2)), random.uniform(0.15, 0.3, (count, 2))
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)


def reference_bce(logit, target):
    probability = 1 / (1 + math.exp(-logit))
    return -target * math.log(probability) - (1 - target) * math.log(1 - probability)


def reference_cross_entropy(logits, targets):
    partition = sum(math.exp(logit) for logit in logits)
    return -sum(target * math.log(math.exp(logit) / partition) for logit, target in zip(logits, targets, strict=True))


def reference_box_loss(kind, predicted, target, beta=1 / 9):
    errors = [abs(p - t) for p, t in zip(predicted.tolist(), target.tolist(), strict=True)]
    if kind == 'l1':
        return sum(errors)
    if kind == 'smooth_l1':
        return sum(e * e / (2 * beta) if e < beta else e - beta / 2 for e in errors)
    if kind == 'giou':
        return 1 - reference_giou(predicted.tolist(), target.tolist())
    # The others are held to their definitions in tests/test_boxes.py.
    return 1 - float(boxes.overlap(kind, jnp.asarray(predicted), jnp.asarray(target)))


def reference_giou(a, b):
    """Of boxes that overlap."""
    intersection = (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return intersection / union - (hull - union) / hull


def example(soft=False, seed=0):
    """(outputs, targets): the class logits, boxes and objectness; what they should be."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, BATCH)
    if soft:
        labels = random.dirichlet(np.ones(CLASSES), BATCH).astype(np.float32)
    logits = random.normal(0, 2, (BATCH, CLASSES)).astype(np.float32)
    objectness = random.normal(0, 2, BATCH).astype(np.float32)
    outputs = (logits, some_boxes(BATCH, seed), objectness)
    return outputs, {'labels': labels, 'target_boxes': some_boxes(BATCH, seed + 1000)}


@pytest.mark.parametrize('kind', BOX_LOSSES)
def test_box_loss_is_the_definition(kind):
    predicted, target = some_boxes(40), some_boxes(40, seed=1)
    expected = [reference_box_loss(kind, p, t) for p, t in zip(predicted, target, strict=True)]
    np.testing.assert_allclose(losses.box_loss(kind, predicted, target), expected, atol=1e-5)
    np.testing.assert_allclose(losses.box_loss(kind, target, target), 0, atol=1e-6)


def test_smooth_l1_is_quadratic_then_linear():
    zeros, near, far = jnp.zeros(4), jnp.array([0.1, 0.0, 0.0, 0.0]), jnp.array([0.0, 2.0, 0.0, 0.0])
    assert losses.box_loss('smooth_l1', near, zeros, beta=0.5) == pytest.approx(0.01)
    assert losses.box_loss('smooth_l1', far, zeros, beta=0.5) == pytest.approx(1.75)


@pytest.mark.parametrize('box', BOX_LOSSES)
@pytest.mark.parametrize('soft', [False, True], ids=['labels', 'distributions'])
def test_losses_are_the_definition(box, soft):
    (logits, predicted, objectness), targets = example(soft)
    present = np.array([True, False, True, True, False])
    weights = {'class_weight': 0.5, 'box_weight': 3.0, 'objectness_weight': 2.0}
    got = losses.localization(logits, predicted, objectness, present=present, **targets, box=box, **weights)
    for i in range(BATCH):
        labels = targets['labels'][i] if soft else np.eye(CLASSES)[targets['labels'][i]]
        class_loss = reference_cross_entropy(logits[i], labels) if present[i] else 0
        box_loss = reference_box_loss(box, predicted[i], targets['target_boxes'][i]) if present[i] else 0
        objectness_loss = reference_bce(objectness[i], float(present[i]))
        assert got['class_loss'][i] == pytest.approx(class_loss, abs=1e-5)
        assert got['box_loss'][i] == pytest.approx(box_loss, abs=1e-5)
        assert got['objectness_loss'][i] == pytest.approx(objectness_loss, abs=1e-5)
        assert got['loss'][i] == pytest.approx(0.5 * class_loss + 3 * box_loss + 2 * objectness_loss, abs=1e-4)


def test_smoothing_smooths_the_classes():
    outputs, targets = example()
    got = losses.localization(*outputs, present=np.ones(BATCH, bool), **targets, smoothing=0.3)
    for i in range(BATCH):
        smooth = 0.7 * np.eye(CLASSES)[targets['labels'][i]] + 0.3 / CLASSES
        assert got['class_loss'][i] == pytest.approx(reference_cross_entropy(outputs[0][i], smooth), abs=1e-5)


def test_soft_presence_weighs_class_and_box():
    outputs, targets = example()
    sure = losses.localization(*outputs, present=np.ones(BATCH, bool), **targets)
    half = losses.localization(*outputs, present=np.full(BATCH, 0.5, np.float32), **targets)
    np.testing.assert_allclose(half['class_loss'], sure['class_loss'] / 2, rtol=1e-6)
    np.testing.assert_allclose(half['box_loss'], sure['box_loss'] / 2, rtol=1e-6)
    expected = [reference_bce(logit, 0.5) for logit in outputs[2]]
    np.testing.assert_allclose(half['objectness_loss'], expected, rtol=1e-5)


@pytest.mark.parametrize('box', ['l1', 'smooth_l1', 'giou'])
def test_gradient_is_that_of_finite_differences(box):
    outputs, targets = example()
    present = np.array([1.0, 0.0, 0.5, 1.0, 0.0], np.float32)

    def total(*outputs):
        return jnp.sum(losses.localization(*outputs, present=present, **targets, box=box)['loss'])

    step = 1e-6
    for which, gradient in enumerate(jax.jit(jax.grad(total, (0, 1, 2)))(*outputs)):
        for index in np.ndindex(gradient.shape):
            ahead, behind = ([np.array(value, np.float64) for value in outputs] for _ in range(2))
            ahead[which][index] += step
            behind[which][index] -= step
            rise = reference_total(ahead, targets, present, box) - reference_total(behind, targets, present, box)
            assert gradient[index] == pytest.approx(rise / (2 * step), rel=1e-4, abs=1e-5)


def reference_total(outputs, targets, present, box):
    total = 0.0
    # Python's floats: a NumPy float32 would pull the sum down to its precision.
    for i, there in enumerate(present.tolist()):
        total += reference_bce(outputs[2][i], there)
        if there:
            total += there * reference_cross_entropy(outputs[0][i], np.eye(CLASSES)[targets['labels'][i]])
            total += there * reference_box_loss(box, outputs[1][i], targets['target_boxes'][i].astype(np.float64))
    return total


def parts_and_gradients(box, smoothing=0.1):
    def total(outputs, labels, target_boxes, present):
        targets = {'labels': labels, 'target_boxes': target_boxes, 'present': present}
        parts = losses.localization(*outputs, **targets, box=box, smoothing=smoothing)
        return jnp.sum(parts['loss']), parts

    return jax.jit(jax.grad(total, has_aux=True))


SWITCHED = {box: parts_and_gradients(box) for box in BOX_LOSSES}


@pytest.mark.parametrize('box', BOX_LOSSES)
@given(GARBAGE, GARBAGE, st.integers(-5, 1000), st.sampled_from((False, 0.0)))
@FIXED
def test_absent_objects_give_exactly_no_gradient(box, predicted, target, label, absent):
    """Examples 0 and 2 have an object and plain values; whatever the others hold, it does not matter."""
    (logits, plain, objectness), targets = example()
    present = np.array([not absent, absent, not absent, absent, absent], np.asarray(absent).dtype)
    there = present.astype(bool)
    labels = np.where(there, targets['labels'], label)
    outputs = (
        np.where(there[:, None], logits, predicted[:, :CLASSES]),
        np.where(there[:, None], plain, predicted),
        objectness,
    )
    target_boxes = np.where(there[:, None], targets['target_boxes'], target).astype(np.float32)
    (class_gradient, box_gradient, objectness_gradient), parts = SWITCHED[box](outputs, labels, target_boxes, present)
    for gradient in (class_gradient, box_gradient):
        np.testing.assert_array_equal(gradient[~there], 0.0)
        assert np.all(np.isfinite(gradient))
        assert np.all(np.any(gradient[there] != 0, axis=1))
    np.testing.assert_array_equal(parts['class_loss'][~there], 0.0)
    np.testing.assert_array_equal(parts['box_loss'][~there], 0.0)
    np.testing.assert_allclose(objectness_gradient, 1 / (1 + np.exp(-objectness)) - there, atol=1e-6)
    assert np.all(np.isfinite(parts['loss']))


def test_absent_objects_may_have_no_distribution():
    outputs, targets = example(soft=True)
    present = np.array([True, False, True, False, False])
    labels = np.where(present[:, None], targets['labels'], np.nan).astype(np.float32)
    gradients, parts = SWITCHED['giou'](outputs, labels, targets['target_boxes'], present)
    np.testing.assert_array_equal(gradients[0][~present], 0.0)
    assert np.all(np.isfinite(gradients[0])) and np.all(np.isfinite(parts['loss']))


@pytest.mark.parametrize('box', BOX_LOSSES)
@given(hnp.arrays(np.float32, (BATCH, 4), elements=st.floats(-2, 2, width=32)))
@FIXED
def test_degenerate_boxes_of_present_objects_give_finite_gradients(box, edges):
    (logits, _, objectness), targets = example()
    point = np.repeat(edges[:, :2], 2, axis=1)[:, [0, 2, 1, 3]]
    for predicted, target in ((edges, edges), (edges, point), (point, edges), (point, point)):
        outputs = (logits, predicted, objectness)
        gradients, parts = SWITCHED[box](outputs, targets['labels'], target, np.ones(BATCH, bool))
        assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
        assert np.all(np.isfinite(parts['loss']))


def test_binary_cross_entropy_is_stable():
    logits = jnp.array([-1e4, -50.0, 0.0, 50.0, 1e4])
    np.testing.assert_allclose(
        losses.binary_cross_entropy(logits, jnp.ones(5)), [1e4, 50, math.log(2), 0, 0], atol=1e-6
    )
    np.testing.assert_allclose(
        losses.binary_cross_entropy(logits, jnp.zeros(5)), [0, 0, math.log(2), 50, 1e4], atol=1e-6
    )


def test_unknown_box_loss_is_a_user_error():
    with pytest.raises(UserError, match='l2.*smooth_l1'):
        losses.box_loss('l2', jnp.zeros(4), jnp.zeros(4))


@pytest.mark.parametrize('temperature', [1.0, 4.0])
@pytest.mark.parametrize('box', ['giou', 'l1'])
def test_imitation_is_the_definition(temperature, box):
    student, teacher = example()[0], example(seed=1)[0]
    got = losses.imitate_localization(student, teacher, temperature, box=box)
    for i in range(BATCH):
        soft = np.exp(teacher[0][i] / temperature) / np.sum(np.exp(teacher[0][i] / temperature))
        belief = 1 / (1 + math.exp(-teacher[2][i]))
        expected = belief * reference_cross_entropy(student[0][i] / temperature, soft)
        expected += belief * reference_box_loss(box, student[1][i], teacher[1][i]) / temperature**2
        expected += reference_bce(student[2][i] / temperature, 1 / (1 + math.exp(-teacher[2][i] / temperature)))
        assert got[i] == pytest.approx(expected, abs=1e-5)


def test_imitation_moves_the_student_alone_and_rests_at_the_teacher():
    student, teacher = example()[0], example(seed=1)[0]
    gradient = jax.grad(lambda s, t: jnp.sum(losses.imitate_localization(s, t, 2.0)), (0, 1))
    to_student, to_teacher = gradient(student, teacher)
    assert all(np.any(value != 0) for value in to_student)
    assert all(np.all(value == 0) for value in to_teacher)
    class_gradient, _, objectness_gradient = gradient(teacher, teacher)[0]
    np.testing.assert_allclose(class_gradient, 0, atol=1e-6)
    np.testing.assert_allclose(objectness_gradient, 0, atol=1e-6)

"""The detector's losses against loops in float64, and what each anchor hears: exactly nothing where it should not."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxvision import losses
from jaxvision.errors import UserError

FIXED = settings(max_examples=40, deadline=None, derandomize=True)
A, CLASSES, OBJECTS = 7, 3, 4

LOGITS = hnp.arrays(np.float32, (A,), elements=st.floats(-40, 40, width=32))
GARBAGE = hnp.arrays(np.float32, (A, 4), elements=st.sampled_from((0.0, 0.5, 1.0, -3.0, np.nan, np.inf, -np.inf, 1e30)))


def some_boxes(random, count):
    """Boxes that all overlap one another."""
    centre, half = random.uniform(0.4, 0.6, (count, 2)), random.uniform(0.15, 0.3, (count, 2))
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)


def example(seed=0):
    """The outputs of one image's anchors, their assignment, the objects, and which anchors an ignored one covers."""
    random = np.random.default_rng(seed)
    outputs = (
        random.normal(0, 2, (A, CLASSES)).astype(np.float32),
        some_boxes(random, A),
        random.normal(0, 2, A).astype(np.float32),
    )
    positive = np.array([True, False, True, False, False, True, False])
    target = np.where(positive, random.integers(0, OBJECTS, A), 0).astype(np.int32)
    quality = np.where(positive, random.uniform(0.2, 1, A), 0).astype(np.float32)
    objects = (some_boxes(random, OBJECTS), random.integers(0, CLASSES, OBJECTS))
    # The third is positive, so it is heard all the same.
    ignored = np.array([False, True, True, False, True, False, False])
    return outputs, losses.Assignment(positive, target, quality), objects, ignored


def reference_bce(logit, target):
    probability = 1 / (1 + math.exp(-logit))
    return -target * math.log(probability) - (1 - target) * math.log(1 - probability)


def reference_focal(logit, target, alpha=0.25, gamma=2.0):
    probability = 1 / (1 + math.exp(-logit))
    if target:
        return -alpha * (1 - probability) ** gamma * math.log(probability)
    return -(1 - alpha) * probability**gamma * math.log(1 - probability)


def reference_giou_loss(a, b):
    """Of boxes that overlap."""
    intersection = (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return 1 - intersection / union + (hull - union) / hull


def reference(outputs, assignment, objects, ignored, classification, by_quality):
    logits, predicted, objectness = (value.astype(np.float64).tolist() for value in outputs)
    class_loss = box_loss = objectness_loss = 0.0
    for a in range(A):
        positive, target, quality = (value[a].item() for value in assignment)
        heard = positive or not ignored[a]
        for c in range(CLASSES):
            right = positive and objects[1][target] == c
            if classification == 'bce' and positive:
                class_loss += reference_bce(logits[a][c], quality if right else 0.0)
            if classification == 'focal' and heard:
                class_loss += reference_focal(logits[a][c], right)
        if positive:
            box_loss += reference_giou_loss(predicted[a], objects[0][target].astype(np.float64).tolist())
        if heard:
            objectness_loss += reference_bce(objectness[a], (quality if by_quality else 1.0) if positive else 0.0)
    return class_loss, box_loss, objectness_loss


@given(LOGITS, hnp.arrays(np.bool_, (A,)), st.floats(0, 1), st.sampled_from((0.0, 0.5, 1.0, 2.0, 5.0)))
@FIXED
def test_focal_is_the_definition_for_hard_targets(logits, targets, alpha, gamma):
    got = losses.focal(logits, targets, alpha=alpha, gamma=gamma)
    expected = optax.sigmoid_focal_loss(logits, targets.astype(np.float32), alpha=alpha, gamma=gamma)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)


def test_focal_against_numbers_worked_out():
    for logit in (-3.0, -0.5, 0.0, 2.0):
        for target in (0.0, 1.0):
            got = losses.focal(jnp.array(logit), jnp.array(target))
            assert got == pytest.approx(reference_focal(logit, target), rel=1e-5)


@given(LOGITS, hnp.arrays(np.float32, (A,), elements=st.floats(0, 1, width=32)))
@FIXED
def test_focal_without_focus_is_half_the_cross_entropy(logits, targets):
    got = losses.focal(logits, targets, alpha=0.5, gamma=0.0)
    np.testing.assert_allclose(got, losses.binary_cross_entropy(logits, targets) / 2, rtol=1e-5, atol=1e-6)


focal_gradient = jax.jit(jax.grad(lambda x, t, gamma: jnp.sum(losses.focal(x, t, gamma=gamma)), (0, 2)))


@given(
    hnp.arrays(np.float32, (A,), elements=st.sampled_from((-1e4, -90.0, -20.0, 0.0, 20.0, 90.0, 1e4))),
    hnp.arrays(np.bool_, (A,)),
    st.sampled_from((0.0, 0.5, 2.0)),
)
@FIXED
def test_focal_gradient_is_finite_however_sure(logits, targets, gamma):
    assert all(np.all(np.isfinite(gradient)) for gradient in focal_gradient(logits, targets, gamma))


@pytest.mark.parametrize('classification', ['bce', 'focal'])
@pytest.mark.parametrize('by_quality', [False, True])
@pytest.mark.parametrize('with_ignored', [False, True])
def test_losses_are_the_definition(classification, by_quality, with_ignored):
    outputs, assignment, objects, ignored = example()
    ignored = ignored if with_ignored else np.zeros(A, bool)
    got = losses.detection(
        *outputs,
        assignment,
        *objects,
        normaliser=2.5,
        ignored=ignored if with_ignored else None,
        classification=classification,
        quality_objectness=by_quality,
        class_weight=0.5,
        box_weight=3.0,
        objectness_weight=2.0,
    )
    expected = reference(outputs, assignment, objects, ignored, classification, by_quality)
    for name, value in zip(('class_loss', 'box_loss', 'objectness_loss'), expected, strict=True):
        assert got[name] == pytest.approx(value / 2.5, rel=1e-5)
    assert got['loss'] == pytest.approx(np.dot([0.5, 3.0, 2.0], expected) / 2.5, rel=1e-5)


@pytest.mark.parametrize('classification', ['bce', 'focal'])
def test_gradient_is_that_of_finite_differences(classification):
    outputs, assignment, objects, ignored = example()

    def loss(*outputs):
        kinds = {'ignored': ignored, 'classification': classification}
        return losses.detection(*outputs, assignment, *objects, normaliser=1.0, **kinds)['loss']

    step = 1e-6
    for which, gradient in enumerate(jax.jit(jax.grad(loss, (0, 1, 2)))(*outputs)):
        for index in np.ndindex(gradient.shape):
            ahead, behind = ([np.array(value, np.float64) for value in outputs] for _ in range(2))
            ahead[which][index] += step
            behind[which][index] -= step
            rise = sum(reference(ahead, assignment, objects, ignored, classification, False))
            rise -= sum(reference(behind, assignment, objects, ignored, classification, False))
            assert gradient[index] == pytest.approx(rise / (2 * step), rel=1e-4, abs=1e-5)


def gradients_of(classification, box):
    def loss(outputs, assignment, boxes, classes, ignored):
        parts = losses.detection(
            *outputs,
            assignment,
            boxes,
            classes,
            normaliser=1.0,
            ignored=ignored,
            classification=classification,
            box=box,
        )
        return parts['loss']

    return jax.jit(jax.value_and_grad(loss))


GRADIENTS = {(kind, box): gradients_of(kind, box) for kind in ('bce', 'focal') for box in ('l1', 'ciou')}


@pytest.mark.parametrize(('classification', 'box'), GRADIENTS)
@given(GARBAGE)
@FIXED
def test_what_is_not_heard_gives_exactly_no_gradient(classification, box, garbage):
    outputs, assignment, objects, ignored = example()
    positive = assignment.positive
    logits, predicted, objectness = outputs
    unheard = ~positive & ignored
    class_unheard = ~positive if classification == 'bce' else unheard
    logits = np.where(class_unheard[:, None], garbage[:, :CLASSES], logits)
    predicted = np.where(positive[:, None], predicted, garbage)
    objectness = np.where(unheard, garbage[:, 0], objectness)
    value, (to_classes, to_boxes, to_objectness) = GRADIENTS[classification, box](
        (logits, predicted, objectness), assignment, *objects, ignored
    )
    assert np.isfinite(value)
    np.testing.assert_array_equal(to_classes[class_unheard], 0)
    np.testing.assert_array_equal(to_boxes[~positive], 0)
    np.testing.assert_array_equal(to_objectness[unheard], 0)
    assert np.all(to_classes[~class_unheard] != 0)
    assert np.all(np.any(to_boxes[positive] != 0, axis=1))
    assert np.all(to_objectness[~unheard] != 0)
    assert all(np.all(np.isfinite(gradient)) for gradient in (to_classes, to_boxes, to_objectness))


@pytest.mark.parametrize(('classification', 'box'), GRADIENTS)
def test_an_image_without_objects_trains_its_background(classification, box):
    outputs, _, _, _ = example()
    nothing = losses.Assignment(np.zeros(A, bool), np.zeros(A, np.int32), np.zeros(A, np.float32))
    padding = (np.zeros((OBJECTS, 4), np.float32), np.zeros(OBJECTS, np.int32))
    value, (to_classes, to_boxes, to_objectness) = GRADIENTS[classification, box](
        outputs, nothing, *padding, np.zeros(A, bool)
    )
    assert np.isfinite(value) and value > 0
    assert np.all(to_objectness > 0)
    assert np.all(to_boxes == 0)
    assert np.all(to_classes > 0) if classification == 'focal' else np.all(to_classes == 0)


def test_unknown_class_loss_is_a_user_error():
    outputs, assignment, objects, _ = example()
    with pytest.raises(UserError, match='hinge.*bce, focal'):
        losses.detection(*outputs, assignment, *objects, normaliser=1.0, classification='hinge')


def pair(seed):
    """The outputs of a batch of two images."""
    return tuple(np.stack(values) for values in zip(example(seed)[0], example(seed + 1)[0], strict=True))


@pytest.mark.parametrize('temperature', [1.0, 3.0])
def test_imitation_is_the_definition(temperature):
    student, teacher = pair(0), pair(2)
    got = losses.imitate_detection(student, teacher, temperature)
    assert got.shape == (2,)
    for i in range(2):
        total = believed = 0.0
        for a in range(A):
            soft = [1 / (1 + math.exp(-logit / temperature)) for logit in teacher[0][i, a]]
            belief = 1 / (1 + math.exp(-teacher[2][i, a]))
            believed += belief
            for c in range(CLASSES):
                total += belief * reference_bce(student[0][i, a, c] / temperature, soft[c])
            boxes = (student[1][i, a].astype(np.float64).tolist(), teacher[1][i, a].astype(np.float64).tolist())
            total += belief * reference_giou_loss(*boxes) / temperature**2
            total += reference_bce(student[2][i, a] / temperature, 1 / (1 + math.exp(-teacher[2][i, a] / temperature)))
        assert got[i] == pytest.approx(total / max(believed, 1), rel=1e-5)


def test_imitation_of_a_teacher_that_sees_nothing_is_divided_by_one():
    student, teacher = pair(0), pair(2)
    blind = (teacher[0], teacher[1], np.full_like(teacher[2], -60))
    expected = np.sum(losses.binary_cross_entropy(student[2], jnp.zeros((2, A))), axis=1)
    np.testing.assert_allclose(losses.imitate_detection(student, blind, 1.0), expected, rtol=1e-5)


def test_imitation_moves_the_student_alone_and_rests_at_the_teacher():
    student, teacher = pair(0), pair(2)
    gradient = jax.jit(jax.grad(lambda s, t: jnp.sum(losses.imitate_detection(s, t, 2.0)), (0, 1)))
    to_student, to_teacher = gradient(student, teacher)
    assert all(np.any(value != 0) for value in to_student)
    assert all(np.all(value == 0) for value in to_teacher)
    to_classes, _, to_objectness = gradient(teacher, teacher)[0]
    np.testing.assert_allclose(to_classes, 0, atol=1e-6)
    np.testing.assert_allclose(to_objectness, 0, atol=1e-6)

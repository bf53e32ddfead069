"""Localisation: what is learnt of images with an object, of empty ones, and of those with nothing to be learnt."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import losses, models
from jaxvision.losses.localization import BOX_LOSSES
from jaxvision.models.detector import Localizer, Located
from jaxvision.tasks.distill import Distill
from jaxvision.tasks.localize import Localize, only_object
from jaxvision.tasks.objects import Targets
from jaxvision.tasks.task import Examples
from jaxvision.tasks.views import Views

SHAPE, CLASSES = (16, 16, 3), 3
ENCODER = models.build('convnet', 0, filters=(4, 8), norm='batch')
TASK = Localize(Localizer(ENCODER, CLASSES, features=8), SHAPE, CLASSES)
MOVED = dataclasses.replace(TASK, views=Views(mirror=True, crop=2))
EMPTY = np.arange(0, 16, 2, dtype=np.int32)  # Every other image has an object.
FULL = EMPTY + 1


def outputs(n=4, seed=0):
    draw = np.random.default_rng(seed)
    low = draw.uniform(0.1, 0.3, (n, 2))
    boxes = np.concatenate([low, low + draw.uniform(0.3, 0.5, (n, 2))], axis=1)  # All overlap `BOX`.
    parts = draw.normal(size=(n, CLASSES)), boxes, draw.normal(size=n)
    return Located(*(jnp.asarray(part, jnp.float32) for part in parts))


def targets(boxes, classes, valid, ignored=None):
    valid = jnp.asarray(valid)
    ignored = jnp.zeros_like(valid) if ignored is None else jnp.asarray(ignored)
    return Targets(
        jnp.asarray(boxes, jnp.float32),
        jnp.asarray(classes, jnp.int32),
        valid,
        ignored,
        jnp.ones(valid.shape),
        jnp.ones(len(valid)),
    )


BOX = [0.2, 0.3, 0.6, 0.8]
# An object; an object after padding and an ignored one; nothing; nothing but an ignored one.
MIXED = targets(
    [[BOX, [0] * 4, [0] * 4], [[0.0, 0.0, 0.1, 0.1], [0] * 4, BOX], [[0] * 4] * 3, [BOX, [0] * 4, [0] * 4]],
    [[2, 0, 0], [1, 0, 2], [0, 0, 0], [1, 0, 0]],
    [[True, False, False], [True, False, True], [False] * 3, [True, False, False]],
    [[False] * 3, [True, False, False], [False] * 3, [True, False, False]],
)


def test_only_object():
    labels, boxes, present = only_object(MIXED)
    np.testing.assert_array_equal(present, [True, True, False, False])
    np.testing.assert_array_equal(labels[:2], [2, 2])
    np.testing.assert_array_equal(boxes[:2], np.float32([BOX, BOX]))


@functools.partial(jax.jit, static_argnums=0)
def loss_and_gradients(task, out, examples, strengths):
    return jax.value_and_grad(lambda out: task.losses(out, examples, strengths)['loss'].sum())(out)


@pytest.mark.parametrize('box', BOX_LOSSES)
def test_without_an_object_class_and_box_learn_exactly_nothing(scenes, box):
    task, out = dataclasses.replace(TASK, box=box), outputs()
    # Not even from boxes without extent, inverted, or far out.
    out = out._replace(boxes=out.boxes.at[2].set(jnp.array([0.9, 0.9, 0.1, 0.1])))
    value, gradients = loss_and_gradients(task, out, Examples(None, MIXED), scenes['strengths'])
    assert np.isfinite(value)
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert np.all(np.asarray(gradient)[:2] != 0)
    assert np.all(np.asarray(gradients.class_logits)[2:] == 0)
    assert np.all(np.asarray(gradients.boxes)[2:] == 0)
    assert gradients.objectness[2] > 0  # It learns that nothing is there.


def test_what_is_ignored_is_neither_learnt_nor_background(scenes):
    out = outputs()
    _, gradients = loss_and_gradients(TASK, out, Examples(None, MIXED), scenes['strengths'])
    assert gradients.objectness[3] == 0
    parts = TASK.losses(out, Examples(None, MIXED), scenes['strengths'])
    assert all(part[3] == 0 for part in parts.values())


@pytest.mark.parametrize('box', BOX_LOSSES)
def test_the_losses_are_those_asked_for(scenes, box):
    task, out = dataclasses.replace(TASK, box=box), outputs()
    parts = task.losses(out, Examples(None, MIXED), scenes['strengths'])
    expected = losses.box_loss(box, out.boxes[:2], jnp.array([BOX, BOX], jnp.float32))
    np.testing.assert_allclose(parts['box_loss'][:2], expected, rtol=1e-5)
    soft = losses.smooth_labels(jax.nn.one_hot(jnp.array([2, 2]), CLASSES), 0.1)
    smoothed = losses.cross_entropy(out.class_logits[:2], soft)
    np.testing.assert_allclose(parts['class_loss'][:2], smoothed, rtol=1e-5)  # 0.1 is their strength.


def test_losses_are_weighted_by_their_strengths(scenes):
    parts = TASK.losses(outputs(), Examples(None, MIXED), scenes['strengths'])
    assert set(parts) == {'loss', 'class_loss', 'box_loss', 'objectness_loss'}
    expected = 0.5 * parts['class_loss'] + 2.0 * parts['box_loss'] + 1.5 * parts['objectness_loss']
    np.testing.assert_allclose(parts['loss'], expected, rtol=1e-6)
    assert parts['loss'].shape == (4,)


def test_decoded_is_a_probability(scenes):
    out = outputs()
    got = TASK.decode(out, Examples(None, MIXED), scenes['strengths'])
    np.testing.assert_allclose(got.objectness, 1 / (1 + np.exp(-out.objectness)), rtol=1e-6)
    np.testing.assert_array_equal(got.class_logits, out.class_logits)
    np.testing.assert_array_equal(got.boxes, out.boxes)
    np.testing.assert_array_equal(got.loss, TASK.losses(out, Examples(None, MIXED), scenes['strengths'])['loss'])


def test_an_ensemble_is_the_mean_of_its_members_probabilities():
    a, b = outputs(), outputs(seed=1)
    assert TASK.ensemble([a]) is a
    twice, both = TASK.ensemble([a, a]), TASK.ensemble([a, b])
    for name, one, two, mean in zip(Located._fields, a, twice, both, strict=True):
        of = {'class_logits': jax.nn.softmax, 'boxes': lambda x: x, 'objectness': jax.nn.sigmoid}[name]
        np.testing.assert_allclose(of(two), of(one), rtol=1e-5)
        np.testing.assert_allclose(of(mean), (of(one) + of(getattr(b, name))) / 2, rtol=1e-5)


@pytest.mark.parametrize('box', ['giou', 'smooth_l1'])
def test_who_imitates_himself_has_nothing_to_learn(box):
    task, teacher = dataclasses.replace(TASK, box=box), outputs()
    slope = jax.jit(jax.grad(lambda out, teacher: task.imitation(out, teacher, 3.0).sum()))
    for gradient in slope(teacher, teacher):
        np.testing.assert_allclose(gradient, 0, atol=1e-6)
    assert all(np.abs(gradient).max() > 0.01 for gradient in slope(outputs(seed=1), teacher))


@pytest.fixture(scope='module')
def learn(single_scenes, rgb, key):
    """ids -> loss and gradients of the parameters in training, compiled; and how often it was traced."""
    variables = {**jax.jit(TASK.init)(key), 'constants': rgb}
    traces = []

    @jax.jit
    def run(ids):
        traces.append(1)
        strengths = single_scenes['strengths']
        examples = MOVED.examples(single_scenes, ids, key, 0, None)

        def loss(params):
            out, _ = MOVED.forward(
                {**variables, 'params': params}, examples.images, MOVED.training(strengths, ids, key, 0, None)
            )
            return MOVED.losses(out, examples, strengths)['loss'].mean()

        return jax.value_and_grad(loss)(variables['params'])

    return run, traces


def test_a_batch_of_empty_images_trains(learn):
    run, traces = learn
    value, gradients = run(EMPTY)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    head = gradients['head']
    for name in ('logits', 'box'):
        assert all(np.all(np.asarray(leaf) == 0) for leaf in head[name].values())
    assert np.any(head['objectness']['kernel'])
    _, gradients = run(FULL)
    assert all(np.any(leaf) for name in ('logits', 'box', 'objectness') for leaf in gradients['head'][name].values())
    assert len(traces) == 1


def test_a_localiser_distils(single_scenes, rgb, key):
    variables = {**jax.jit(TASK.init)(key), 'constants': rgb}
    task = Distill(MOVED, (TASK, TASK))
    context = {**single_scenes, 'teachers': (variables, variables)}

    @jax.jit
    def run(ids):
        examples = task.examples(context, ids, key, 0, None)
        alone = MOVED.examples(single_scenes, ids, key, 0, None)
        out, _ = task.forward(variables, examples.images, None)
        return (
            out,
            examples.teacher,
            task.losses(out, examples, context['strengths']),
            MOVED.losses(out, alone, context['strengths']),
        )

    out, teacher, parts, alone = run(FULL)
    # The student is its own teacher here, and two alike are one.
    for mine, theirs in zip(out, teacher, strict=True):
        assert mine.shape == theirs.shape
    np.testing.assert_allclose(teacher.boxes, out.boxes, atol=1e-6)
    np.testing.assert_allclose(teacher.objectness, out.objectness, rtol=1e-4, atol=1e-5)
    assert set(parts) == {'loss', 'student_loss', 'distillation_loss'}
    np.testing.assert_allclose(parts['student_loss'], alone['loss'], rtol=1e-5)
    combined = 0.6 * parts['student_loss'] + 0.4 * 3.0**2 * parts['distillation_loss']
    np.testing.assert_allclose(parts['loss'], combined, rtol=1e-5)

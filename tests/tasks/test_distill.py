"""Distillation wraps a task: the teacher sees the student's pixels, and its outputs enter the loss."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import losses, models
from jaxvision.tasks.classify import Classify
from jaxvision.tasks.distill import Distill
from jaxvision.tasks.views import Views

SHAPE, CLASSES = (6, 5, 2), 3
IDS = np.array([8, 1, 4, 11], np.int32)
STUDENT = Classify(
    model=models.build('linear', CLASSES),
    shape=SHAPE,
    num_classes=CLASSES,
    views=Views(mirror=True, crop=1, rotate=True),
    smoothing=True,
)
MIXED = dataclasses.replace(STUDENT, mixup=True)
MLP = Classify(
    model=models.build('mlp', CLASSES, hidden=(8,), dropout=0.5, norm='batch'),
    shape=SHAPE,
    num_classes=CLASSES,
    dropout=True,
)


@dataclasses.dataclass(frozen=True)
class Looker:
    """A teacher whose outputs are a function of the pixels that it is shown, and nothing else."""

    sees: Callable

    def forward(self, variables, images, training):
        assert training is None  # A teacher is in evaluation mode.
        return self.sees(variables, images), {}


def pixels(variables, images):
    return images.reshape(len(images), -1)


def brightness(variables, images):
    """Logits by the mean of a channel, scaled by the teacher's variables."""
    means = images.mean(axis=(1, 2))
    return variables * jnp.stack([means[:, 0], means[:, 1], 1 - means[:, 0]], axis=1)


@functools.lru_cache
def network_of(task):
    return jax.jit(task.init)(jax.random.key(7))


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def taught(context, *variables):
    return {**context, 'teachers': tuple(variables)}


@pytest.fixture(scope='module')
def variables(constants):
    return {**network_of(STUDENT), 'constants': constants}


examples_of = jax.jit(lambda task, *args: task.examples(*args, None), static_argnums=0)


def test_teacher_sees_the_very_pixels_of_the_student(context, key):
    got = examples_of(Distill(MIXED, (Looker(pixels),)), taught(context, None), IDS, key, 3)
    np.testing.assert_array_equal(got.teacher.reshape(got.images.shape), got.images)
    alone = examples_of(MIXED, context, IDS, key, 3)
    np.testing.assert_allclose(got.images, alone.images, atol=1e-6)
    np.testing.assert_allclose(got.targets, alone.targets, atol=1e-6)
    clean = np.asarray(context['data']['images'])[IDS] / 255
    assert not np.allclose(got.images, clean, atol=0.05)  # Augmented and mixed.


def test_teacher_is_run_as_in_evaluation(context, constants, key):
    teacher = {**network_of(MLP), 'constants': constants}
    got = examples_of(Distill(STUDENT, (MLP,)), taught(context, teacher), IDS, key, 0)
    expected, _ = MLP.forward(teacher, got.images, None)
    np.testing.assert_allclose(got.teacher, expected, rtol=1e-5, atol=1e-5)


def test_teachers_keep_their_own_constants(context, constants, key):
    """Each normalises by its own statistics and divides by its own temperature."""
    theirs = {'mean': jnp.zeros(2), 'std': jnp.full(2, 0.5), 'temperature': jnp.float32(2.0)}
    teacher = {**network_of(MLP), 'constants': theirs}
    got = examples_of(Distill(STUDENT, (MLP,)), taught(context, teacher), IDS, key, 0)
    logits = MLP.model.apply({name: teacher[name] for name in ('params', 'batch_stats')}, got.images * 2)
    np.testing.assert_allclose(got.teacher, logits / 2, rtol=1e-5, atol=1e-5)


def test_several_teachers_are_an_ensemble_in_their_order(context, key):
    task = Distill(STUDENT, (Looker(brightness), Looker(brightness)))
    got = examples_of(task, taught(context, jnp.float32(1.0), jnp.float32(-4.0)), IDS, key, 0)
    members = [brightness(scale, got.images) for scale in (1.0, -4.0)]
    np.testing.assert_allclose(got.teacher, losses.ensemble_log_probabilities(members), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('count', [0, 2])
def test_every_teacher_needs_its_variables(context, key, count):
    task = Distill(STUDENT, (Looker(brightness),))
    with pytest.raises(ValueError, match='argument'):
        jax.eval_shape(lambda: task.examples(taught(context, *[jnp.float32(1.0)] * count), IDS, key, 0, None))


@pytest.mark.parametrize(('weight', 'temperature'), [(0.0, 3.0), (0.3, 1.0), (1.0, 5.0)])
def test_loss_is_the_combination_of_its_parts(context, variables, key, weight, temperature):
    task = Distill(STUDENT, (Looker(brightness),))
    strengths = {**context['strengths'], 'distill_weight': weight, 'distill_temperature': temperature}
    examples = examples_of(task, taught(context, jnp.float32(5.0)), IDS, key, 1)
    outputs, _ = task.forward(variables, examples.images, None)
    got = task.losses(outputs, examples, strengths)
    student = losses.cross_entropy(outputs, examples.targets)
    imitation = losses.distillation(outputs, examples.teacher, temperature)
    assert list(got) == ['loss', 'student_loss', 'distillation_loss']
    np.testing.assert_array_equal(got['student_loss'], student)
    np.testing.assert_array_equal(got['distillation_loss'], imitation)
    np.testing.assert_array_equal(got['loss'], losses.combine(student, imitation, weight, temperature))
    assert got['loss'].shape == (4,)


def gradient(task, examples, strengths, variables):
    """Of the mean loss by the parameters; not jitted, since XLA fuses, and so rounds, every program its own way."""

    def objective(params):
        outputs, _ = task.forward({**variables, 'params': params}, examples.images, None)
        return task.losses(outputs, examples, strengths)['loss'].mean()

    return jax.grad(objective)(variables['params'])


def test_weight_zero_is_the_student_alone_to_the_bit(context, variables, key):
    task = Distill(STUDENT, (Looker(brightness),))
    examples = examples_of(task, taught(context, jnp.float32(5.0)), IDS, key, 1)
    off = {**context['strengths'], 'distill_weight': jnp.float32(0.0)}
    alone = gradient(STUDENT, examples._replace(teacher=None), off, variables)
    jax.tree.map(np.testing.assert_array_equal, gradient(task, examples, off, variables), alone)
    on = gradient(task, examples, context['strengths'], variables)
    assert not np.allclose(jax.tree.leaves(on)[0], jax.tree.leaves(alone)[0])


def test_weight_one_does_not_look_at_the_targets(context, variables, key):
    task = Distill(STUDENT, (Looker(brightness),))
    examples = examples_of(task, taught(context, jnp.float32(5.0)), IDS, key, 1)
    others = examples._replace(targets=jnp.roll(examples.targets, 1, axis=1))
    strengths = {**context['strengths'], 'distill_weight': jnp.float32(1.0)}
    got = gradient(task, examples, strengths, variables)
    jax.tree.map(np.testing.assert_array_equal, got, gradient(task, others, strengths, variables))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(got))


def test_no_gradient_flows_to_the_teacher(context, variables, key):
    task = Distill(STUDENT, (Looker(brightness),))

    def loss(teacher):
        examples = task.examples(taught(context, teacher), IDS, key, 0, None)
        outputs, _ = task.forward(variables, examples.images, None)
        return task.losses(outputs, examples, context['strengths'])['loss'].sum()

    value, slope = jax.jit(jax.value_and_grad(loss))(jnp.float32(5.0))
    assert slope == 0
    assert value != jax.jit(loss)(jnp.float32(1.0))  # Though its outputs matter.


def test_weight_and_temperature_are_traced(context, variables, key):
    task = Distill(STUDENT, (Looker(brightness),))
    traces = []

    @jax.jit
    def loss(weight, temperature):
        traces.append(1)
        strengths = {**context['strengths'], 'distill_weight': weight, 'distill_temperature': temperature}
        examples = task.examples(taught(context, jnp.float32(5.0)), IDS, key, 0, None)
        outputs, _ = task.forward(variables, examples.images, None)
        return task.losses(outputs, examples, strengths)['loss']

    values = [loss(*strengths) for strengths in ((0.0, 2.0), (0.5, 2.0), (0.5, 6.0))]
    assert not np.allclose(values[0], values[1]) and not np.allclose(values[1], values[2])
    assert len(traces) == 1


def test_the_rest_is_the_students(context, constants, key):
    task = Distill(MLP, (Looker(brightness),))
    jax.tree.map(np.testing.assert_array_equal, jax.jit(task.init)(jax.random.key(7)), network_of(MLP))
    images = draw(4, *SHAPE)
    network = {**network_of(MLP), 'constants': constants}
    training = task.training(context['strengths'], IDS, key, 2, None)
    other = MLP.training(context['strengths'], IDS, key, 2, None)
    np.testing.assert_array_equal(jax.random.key_data(training.dropout_keys), jax.random.key_data(other.dropout_keys))
    for mode in (None, training):
        jax.tree.map(
            np.testing.assert_array_equal, task.forward(network, images, mode), MLP.forward(network, images, mode)
        )


def test_distillation_may_be_wrapped_again():
    """It is a task like any other."""
    inner = Distill(STUDENT, (Looker(brightness),))
    a, b = draw(2, 4, CLASSES)
    np.testing.assert_array_equal(inner.imitation(a, b, 2.0), STUDENT.imitation(a, b, 2.0))
    np.testing.assert_array_equal(inner.ensemble([a, b]), STUDENT.ensemble([a, b]))


def test_nothing_depends_on_the_number_of_devices(context, key):
    task = Distill(MIXED, (Looker(brightness),))
    full = taught(context, jnp.float32(5.0))
    whole = examples_of(task, full, IDS, key, 2)
    parts = jax.jit(jax.vmap(lambda ids: task.examples(full, ids, key, 2, 'devices'), axis_name='devices'))(
        IDS.reshape(2, 2)
    )
    np.testing.assert_allclose(parts.teacher.reshape(whole.teacher.shape), whole.teacher, rtol=1e-5, atol=1e-6)

"""Classification: which pixels and targets a step sees, and what it makes of them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import augment, losses, models, rng
from jaxvision.models.layers import Training
from jaxvision.tasks.classify import LOSSES, TEST_TIME, Classify
from jaxvision.tasks.views import Views

SHAPE, CLASSES = (6, 5, 2), 3
PLAIN = Classify(model=models.build('linear', CLASSES), shape=SHAPE, num_classes=CLASSES)
AUGMENTED = dataclasses.replace(PLAIN, views=Views(mirror=True, crop=1, rotate=True))
SMOOTHED = dataclasses.replace(AUGMENTED, smoothing=True)
MIXED = dataclasses.replace(SMOOTHED, mixup=True)
DROPPED = dataclasses.replace(PLAIN, model=models.build('mlp', CLASSES, hidden=(16,), dropout=0.5), dropout=True)
IDS = np.array([8, 1, 4, 11], np.int32)
ORDER = np.array([2, 0, 3, 1])

examples_of = jax.jit(lambda task, *args: task.examples(*args, None), static_argnums=0)


def with_strengths(context, **values):
    return {**context, 'strengths': {**context['strengths'], **{k: jnp.float32(v) for k, v in values.items()}}}


@functools.lru_cache
def network_of(task):
    return jax.jit(task.init)(jax.random.key(7))


def variables_of(task, constants):
    return {**network_of(task), 'constants': constants}


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_init_is_what_a_state_holds(key):
    normed = dataclasses.replace(PLAIN, model=models.build('mlp', CLASSES, norm='batch'))
    normed = jax.eval_shape(normed.init, key)
    init = jax.jit(PLAIN.init)
    plain, other = init(key), init(jax.random.key(8))
    assert set(plain) == set(normed) == {'params', 'batch_stats'}
    assert plain['batch_stats'] == {}
    assert jax.tree.leaves(normed['batch_stats'])
    assert not np.array_equal(jax.tree.leaves(plain)[-1], jax.tree.leaves(other)[-1])
    jax.tree.map(np.testing.assert_array_equal, plain, init(key))


@pytest.mark.parametrize('test_time', TEST_TIME)
def test_evaluation_averages_its_views(test_time, context, key):
    task = dataclasses.replace(PLAIN, test_time=test_time)
    variables = variables_of(task, {'mean': np.zeros(2), 'std': np.ones(2), 'temperature': 2.0})
    images = np.asarray(context['data']['images'])[IDS] / np.float32(255)
    forward = jax.jit(task.forward)

    def logits(pixels):
        return PLAIN.forward(variables, pixels, None)[0]

    def both(pixels):
        return (logits(pixels) + logits(pixels[:, :, ::-1])) / 2

    height, width, _ = SHAPE
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='reflect')
    moved = [padded[:, shift : shift + height, shift : shift + width] for shift in (0, 2)]
    expected = {
        'none': logits(images),
        'mirror': both(images),
        'mirror_shift': (both(images) + (both(moved[0]) + both(moved[1])) / 2) / 2,
    }
    np.testing.assert_allclose(forward(variables, images, None)[0], expected[test_time], rtol=1e-5, atol=1e-6)
    # In training each image is seen once.
    trained = forward(variables, images, Training())[0]
    np.testing.assert_allclose(trained, logits(images), rtol=1e-5, atol=1e-6)


def test_views_of_an_image_weigh_one_in_all():
    for views in TEST_TIME.values():
        assert sum(share for share, _, _ in views) == 1


def test_plain_examples_are_the_data(context, key):
    got = examples_of(PLAIN, context, IDS, key, 0)
    np.testing.assert_allclose(got.images, np.asarray(context['data']['images'])[IDS] / 255, rtol=1e-7)
    np.testing.assert_array_equal(got.targets, np.eye(CLASSES)[IDS % CLASSES])
    assert got.images.dtype == got.targets.dtype == jnp.float32
    assert got.teacher is None


def test_examples_are_pure_in_seed_step_and_id(context, key):
    base = examples_of(AUGMENTED, context, IDS, key, 3)
    again = examples_of(AUGMENTED, context, IDS, key, 3)
    shuffled = examples_of(AUGMENTED, context, IDS[ORDER], key, 3)
    np.testing.assert_array_equal(again.images, base.images)
    np.testing.assert_array_equal(shuffled.images, base.images[ORDER])
    np.testing.assert_array_equal(shuffled.targets, base.targets[ORDER])
    for other in (
        examples_of(AUGMENTED, context, IDS, key, 4),
        examples_of(AUGMENTED, context, IDS, jax.random.key(8), 3),
    ):
        for image, moved in zip(base.images, other.images, strict=True):
            assert not np.array_equal(image, moved)
        np.testing.assert_array_equal(other.targets, base.targets)


def test_augmentation_is_that_of_the_examples_own_key(context, key):
    @jax.jit
    def augmented(image, key):
        return augment.warp(image, augment.random_affine(key, *SHAPE[:2], mirror=True, crop=1, rotate=20.0))

    got = examples_of(AUGMENTED, context, IDS, key, 2)
    for image, example, example_key in zip(got.images, IDS, rng.key(key, 'augment', 2, IDS), strict=True):
        expected = augmented(np.asarray(context['data']['images'])[example] / np.float32(255), example_key)
        np.testing.assert_allclose(image, expected, atol=1e-5)


@pytest.mark.parametrize('part', [{'mirror': True}, {'crop': 1}, {'rotate': True}])
def test_each_augmentation_works_alone(context, key, part):
    task = dataclasses.replace(PLAIN, views=Views(**part))
    everything = np.arange(12, dtype=np.int32)
    got, clean = (np.asarray(examples_of(t, context, everything, key, 0).images) for t in (task, PLAIN))
    moved = (got != clean).any(axis=(1, 2, 3))
    assert moved.any()
    if 'mirror' in part:
        assert not moved.all()


def test_smoothing_spreads_the_targets(context, key):
    task = dataclasses.replace(PLAIN, smoothing=True)
    got = examples_of(task, with_strengths(context, label_smoothing=0.3), IDS, key, 0)
    np.testing.assert_allclose(got.targets, 0.7 * np.eye(CLASSES)[IDS % CLASSES] + 0.1, rtol=1e-6)


@pytest.mark.parametrize('partners', augment.mixing.PARTNERS)
def test_mixup_mixes_augmented_pixels_and_smoothed_targets_alike(context, key, partners):
    task = dataclasses.replace(MIXED, partners=partners)
    got = examples_of(task, context, IDS, key, 5)
    before = examples_of(SMOOTHED, context, IDS, key, 5)
    labels = IDS % CLASSES
    chosen = np.asarray(augment.draw_partners(rng.key(key, 'mixup', 5), jnp.asarray(labels), partners))
    weights = np.asarray(jax.jit(augment.mixing_weights)(rng.key(key, 'mixup', 5, IDS), 0.7))
    for at, (partner, weight) in enumerate(zip(chosen, weights, strict=True)):
        for mixed, unmixed in ((got.images, before.images), (got.targets, before.targets)):
            expected = weight * unmixed[at] + (1 - weight) * unmixed[partner]
            np.testing.assert_allclose(mixed[at], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.sum(got.targets, axis=1), 1, rtol=1e-6)
    if partners == 'other_class':
        assert np.all(labels[chosen] != labels)


def test_nothing_depends_on_the_number_of_devices(context, key):
    task = dataclasses.replace(MIXED, partners='other_class')
    whole = examples_of(task, context, IDS, key, 6)

    def on_device(ids):
        return task.examples(context, ids, key, 6, 'devices')

    parts = jax.jit(jax.vmap(on_device, axis_name='devices'))(IDS.reshape(2, 2))
    np.testing.assert_allclose(parts.images.reshape(whole.images.shape), whole.images, atol=1e-6)
    np.testing.assert_allclose(parts.targets.reshape(whole.targets.shape), whole.targets, atol=1e-6)


def test_forward_normalises_the_pixels_and_divides_by_the_temperature(context, constants, key):
    variables = variables_of(PLAIN, constants)
    images = examples_of(PLAIN, context, IDS, key, 0).images
    logits, stats = PLAIN.forward(variables, images, None)
    head = variables['params']['ClassifierHead_0']['logits']
    flat = ((np.asarray(images) - [0.5, 0.4]) / [0.3, 0.2]).reshape(4, -1)
    np.testing.assert_allclose(logits, flat @ head['kernel'] + head['bias'], rtol=1e-5, atol=1e-5)
    assert stats == {}
    hot = {**variables, 'constants': {**constants, 'temperature': jnp.float32(4.0)}}
    np.testing.assert_allclose(PLAIN.forward(hot, images, None)[0], logits / 4, rtol=1e-6)


def test_statistics_change_in_training_only(context, constants, key):
    task = dataclasses.replace(PLAIN, model=models.build('mlp', CLASSES, hidden=(4,), norm='batch'))
    variables = variables_of(task, constants)
    images = examples_of(PLAIN, context, IDS, key, 0).images
    _, evaluated = task.forward(variables, images, None)
    jax.tree.map(np.testing.assert_array_equal, evaluated, variables['batch_stats'])
    training = task.training(context['strengths'], IDS, key, 0, None)
    _, trained = task.forward(variables, images, training)
    assert jax.tree.structure(trained) == jax.tree.structure(variables['batch_stats'])
    for before, after in zip(jax.tree.leaves(evaluated), jax.tree.leaves(trained), strict=True):
        assert not np.allclose(before, after)


def test_evaluation_knows_no_dropout_and_training_does(context, constants, key):
    without = dataclasses.replace(DROPPED, model=models.build('mlp', CLASSES, hidden=(16,)), dropout=False)
    variables = variables_of(DROPPED, constants)
    images = examples_of(PLAIN, context, IDS, key, 0).images
    evaluated, _ = DROPPED.forward(variables, images, None)
    np.testing.assert_array_equal(evaluated, without.forward(variables, images, None)[0])
    off = without.training(context['strengths'], IDS, key, 0, None)
    np.testing.assert_allclose(without.forward(variables, images, off)[0], evaluated, rtol=1e-6)

    @functools.partial(jax.jit, static_argnums=2)
    def trained(ids, images, axis_name=None):
        return DROPPED.forward(variables, images, DROPPED.training(context['strengths'], ids, key, 0, axis_name))[0]

    assert not np.allclose(trained(IDS, images), evaluated)
    np.testing.assert_allclose(trained(IDS[ORDER], images[ORDER]), trained(IDS, images)[ORDER], rtol=1e-5, atol=1e-6)


def test_training_says_over_which_axis(context, key):
    for task in (PLAIN, DROPPED):
        assert task.training(context['strengths'], IDS, key, 0, 'devices').axis_name == 'devices'
    assert PLAIN.training(context['strengths'], IDS, key, 0, None).dropout_keys is None


@pytest.mark.parametrize('name', LOSSES)
def test_loss_is_the_one_named(context, key, name):
    task = dataclasses.replace(PLAIN, loss=name)
    examples = examples_of(PLAIN, context, IDS, key, 0)
    outputs = draw(4, CLASSES)
    got = task.losses(outputs, examples, context['strengths'])
    assert list(got) == ['loss']
    np.testing.assert_array_equal(got['loss'], getattr(losses, name)(outputs, examples.targets))


def test_ensemble_of_one_is_its_logits_and_of_more_their_mean_probability():
    a, b = draw(2, 4, CLASSES)
    np.testing.assert_array_equal(PLAIN.ensemble([a]), a)
    np.testing.assert_array_equal(PLAIN.ensemble([a, b]), losses.ensemble_log_probabilities([a, b]))


def test_imitation_is_the_distillation_loss():
    student, teacher = draw(2, 4, CLASSES)
    np.testing.assert_array_equal(PLAIN.imitation(student, teacher, 2.0), losses.distillation(student, teacher, 2.0))


def test_one_compilation_serves_every_strength(context, constants, key):
    task = dataclasses.replace(MIXED, model=DROPPED.model, dropout=True)
    variables = variables_of(task, constants)
    traces = []

    @jax.jit
    def loss(strengths):
        traces.append(1)
        examples = task.examples({**context, 'strengths': strengths}, IDS, key, 0, None)
        outputs, _ = task.forward(variables, examples.images, task.training(strengths, IDS, key, 0, None))
        return task.losses(outputs, examples, strengths)['loss']

    base = loss(context['strengths'])
    for name, value in (('dropout', 0.1), ('rotate', 90.0), ('mixup', 2.0), ('label_smoothing', 0.4)):
        assert not np.allclose(loss(with_strengths(context, **{name: value})['strengths']), base), name
    assert len(traces) == 1

"""Devices: eight give what one gives, pmap gives what shard_map gives, with every regulariser on."""

import jax
import numpy as np
import pytest

from jaxvision import models, optim, rng
from jaxvision.data import order, resident, sources
from jaxvision.errors import UserError
from jaxvision.tasks.classify import Classify
from jaxvision.tasks.distill import Distill
from jaxvision.tasks.views import Views
from jaxvision.training import parallel, state, step

BATCH, STEPS = 32, 3
STRENGTHS = {
    'learning_rate': 0.1,
    'weight_decay': 1e-3,
    'dropout': 0.3,
    'mixup': 0.4,
    'rotate': 10.0,
    'label_smoothing': 0.1,
    'distill_weight': 0.5,
    'distill_temperature': 2.0,
}


def optimizer(strengths, learning_rate):
    return optim.chain('momentum', learning_rate=learning_rate, weight_decay=strengths['weight_decay'], clip=5.0)


def distilled(source) -> Distill:
    model = models.build('convnet', source.num_classes, filters=(8,), dense=(16,), norm='batch', dropout=0.3)
    task = Classify(
        model,
        source.shape,
        source.num_classes,
        views=Views(mirror=True, crop=1, rotate=True),
        mixup=True,
        partners='other_class',
        smoothing=True,
        dropout=True,
    )
    return Distill(task, (task,))


def run(kind: str, devices: int, steps_per_call: int = 1):
    """(gradients of the first step, state after STEPS, metrics of each step, predictions), all on the host."""
    source = sources.load('generated', generated_examples=200)
    task, mapped = distilled(source), parallel.Parallel(kind, jax.devices()[:devices])
    constants = {**resident.pixel_statistics(source, np.arange(100)), 'temperature': np.float32(1)}
    context = {
        'data': resident.resident(source),
        'strengths': {name: np.float32(value) for name, value in STRENGTHS.items()},
    }

    def create(seed):
        return mapped.create(
            lambda key: state.create(task, optimizer, key, context, constants, True), rng.key(seed, 'init')
        )

    now = create(0)
    context = mapped.replicate({**context, 'teachers': (create(1).variables,)})
    train = mapped.train(step.train_step(task, optimizer, optim.schedule('cosine', 10), 0.9), steps_per_call)
    ids = np.stack([order.batch_ids(np.arange(100), 0, number, BATCH) for number in range(STEPS)])
    metrics = []
    if steps_per_call == STEPS:
        now, seen = train(now, context, mapped.cut(ids, axis=1), mapped.replicate(rng.base(0)))
        metrics = [{name: float(values[i]) for name, values in seen.items()} for i in range(STEPS)]
    else:
        for row in ids:
            now, seen = train(now, context, mapped.cut(row), mapped.replicate(rng.base(0)))
            metrics.append({name: float(value) for name, value in seen.items()})
    predict = mapped.predict(step.predict_step(task))
    logits = np.asarray(predict((now.variables,), context, mapped.cut(np.arange(BATCH)))).reshape(BATCH, -1)
    return jax.device_get(now), metrics, logits


@pytest.fixture(scope='module')
def alone():
    return run('pmap', 1)


def assert_close(result, expected, tolerance=1e-5):
    (now, metrics, logits), (now_expected, metrics_expected, logits_expected) = result, expected
    for leaf, other in zip(jax.tree.leaves(now), jax.tree.leaves(now_expected), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=0, atol=tolerance * (np.abs(other).max() + 1e-3))
    for one, other in zip(metrics, metrics_expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name] == pytest.approx(other[name], rel=tolerance), name
    np.testing.assert_allclose(logits, logits_expected, rtol=0, atol=tolerance * np.abs(logits_expected).max())


@pytest.mark.parametrize(('kind', 'devices'), [('pmap', 8), ('shard_map', 1), ('shard_map', 8)])
def test_devices_change_nothing(kind, devices, alone):
    """With momentum SGD, equal states mean equal gradients; BatchNorm, dropout, mixup and the teacher included."""
    assert_close(run(kind, devices), alone)


@pytest.mark.parametrize('kind', parallel.KINDS)
def test_many_steps_in_one_call(kind, alone):
    assert_close(run(kind, 2, steps_per_call=STEPS), alone)


def test_metrics_are_those_of_the_whole_batch(alone):
    _, metrics, _ = alone
    assert {'loss', 'student_loss', 'distillation_loss', 'learning_rate', 'gradient_norm', 'weight_norm'} == set(
        metrics[0]
    )
    for one in metrics:
        expected = 0.5 * one['student_loss'] + 0.5 * 2.0**2 * one['distillation_loss']
        assert one['loss'] == pytest.approx(expected, rel=1e-6)
    assert metrics[0]['loss'] != metrics[1]['loss']


def test_cut():
    mapped = parallel.Parallel('pmap', jax.devices()[:4])
    np.testing.assert_array_equal(mapped.cut(np.arange(8)), np.arange(8).reshape(4, 2))
    both = mapped.cut(np.arange(16).reshape(2, 8), axis=1)
    np.testing.assert_array_equal(both[3], [[6, 7], [14, 15]])


def test_pick_devices():
    assert len(parallel.pick_devices(0, 32)) == 8
    assert len(parallel.pick_devices(0, 50)) == 5
    assert len(parallel.pick_devices(0, 13)) == 1
    assert len(parallel.pick_devices(4, 32)) == 4
    with pytest.raises(UserError, match='only 8'):
        parallel.pick_devices(9, 9)
    with pytest.raises(UserError, match='batch_size is 10, which 4 devices cannot share'):
        parallel.pick_devices(4, 10)


def test_unknown_kind():
    with pytest.raises(ValueError, match='pmap, shard_map'):
        parallel.Parallel('pjit')

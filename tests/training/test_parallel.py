"""Devices: eight give what one gives, pmap gives what shard_map gives, with every regulariser on."""

import functools
import gc
import os
import subprocess
import sys
import weakref

import jax
import numpy as np
import pytest

from jaxvision import assembly, models, optim, rng
from jaxvision.benchmarks.cases import settings_of
from jaxvision.data import order, resident, sources
from jaxvision.data.source import Source
from jaxvision.errors import UserError
from jaxvision.models.detector import Detector, Localizer
from jaxvision.settings import override
from jaxvision.tasks.classify import Classify
from jaxvision.tasks.detect import Detect
from jaxvision.tasks.distill import Distill
from jaxvision.tasks.localize import Localize
from jaxvision.tasks.task import Task
from jaxvision.tasks.views import Views
from jaxvision.training import parallel, state, step, under_way
from jaxvision.training.programs import programs as programs_of

from ..conftest import ROOT

BATCH, STEPS = 32, 3
STRENGTHS = {
    'learning_rate': 0.1,
    'weight_decay': 1e-3,
    'dropout': 0.3,
    'mixup': 0.4,
    'mosaic': 0.5,
    'rotate': 10.0,
    'scale': 0.2,
    **dict.fromkeys(('brightness', 'contrast', 'saturation', 'hue'), 0.1),
    'label_smoothing': 0.1,
    'class_weight': 1.0,
    'box_weight': 2.0,
    'objectness_weight': 1.0,
    'distill_weight': 0.5,
    'distill_temperature': 2.0,
}


OPTIMIZER = optim.Optimizer('momentum', decays=True, clip=5.0, schedule='cosine', steps=10, averaging=0.9)


def classified() -> tuple[Source, Task]:
    source = sources.load('generated', generated_examples=200)
    model = models.build('convnet', source.num_classes, filters=(8,), dense=(16,), norm='batch', dropout=0.3)
    return source, Classify(
        model,
        source.shape,
        source.num_classes,
        views=Views(mirror=True, alternate=40, crop=1, border='reflect', rotate=True),
        mixup=True,
        partners='other_class',
        smoothing=True,
        dropout=True,
    )


def with_objects(most: int):
    size = {'generated_shape': (16, 16, 3), 'generated_classes': 3, 'generated_examples': 100}
    source = sources.load('generated_objects', generated_most=most, **size)
    views = Views(mirror=True, crop=2, rotate=True, scale=True, colors=('brightness', 'contrast'))
    # Smooth: where a ReLU or a maximum is a tie, rounding decides which side the gradient takes.
    smooth = {'activation': 'gelu', 'pool': 'average'}
    encoder = models.build('convnet', 0, filters=(4, 8), norm='batch', dropout=0.3, **smooth)
    return source, encoder, {'shape': source.shape, 'num_classes': 3, 'views': views, 'dropout': True}


def localized() -> tuple[Source, Task]:
    source, encoder, common = with_objects(1)
    return source, Localize(Localizer(encoder, 3, features=8), **common)


def detected() -> tuple[Source, Task]:
    source, encoder, common = with_objects(3)
    return source, Detect(Detector(encoder, 3, levels=2, features=8, convs=1), mosaic=True, mixup=True, **common)


TASKS = {'classify': classified, 'localize': localized, 'detect': detected}


def run(kind: str, devices: int, steps_per_call: int = 1, task: str = 'classify'):
    """(state after STEPS, metrics of each step, predictions) of a distillation, all on the host."""
    source, student = TASKS[task]()
    task, mapped = Distill(student, (student,)), parallel.Parallel(kind, jax.devices()[:devices])
    constants = {**resident.pixel_statistics(source, np.arange(100)), 'temperature': np.float32(1)}
    context = {
        'data': resident.resident(source),
        'strengths': {name: np.float32(value) for name, value in STRENGTHS.items()},
    }
    create = mapped.create(functools.partial(state.create, task, OPTIMIZER))
    now, teacher = (create(rng.key(seed, 'init'), context['strengths'], constants) for seed in range(2))
    context = mapped.replicate({**context, 'teachers': (teacher.variables,)})
    train = mapped.train(step.train_step(task, OPTIMIZER), steps_per_call)
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
    outputs = jax.device_get(predict((now.variables,), context, mapped.cut(np.arange(BATCH))))
    return jax.device_get(now), metrics, jax.tree.map(lambda leaf: leaf.reshape(BATCH, *leaf.shape[2:]), outputs)


@pytest.fixture(scope='module')
def alone():
    return run('pmap', 1)


def assert_close(result, expected, tolerance=1e-5):
    (now, metrics, outputs), (now_expected, metrics_expected, outputs_expected) = result, expected
    trees, expected_trees = (now, outputs), (now_expected, outputs_expected)
    for leaf, other in zip(jax.tree.leaves(trees), jax.tree.leaves(expected_trees), strict=True):
        # A bias before a softmax has no gradient but rounding: hence the sum.
        np.testing.assert_allclose(leaf, other, rtol=0, atol=tolerance * (np.abs(other).max() + 1e-2))
    for one, other in zip(metrics, metrics_expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name] == pytest.approx(other[name], rel=tolerance), name


@pytest.mark.parametrize(('kind', 'devices'), [('pmap', 8), ('shard_map', 1), ('shard_map', 8)])
def test_devices_change_nothing(kind, devices, alone):
    """With momentum SGD, equal states mean equal gradients; BatchNorm, dropout, mixup and the teacher included."""
    assert_close(run(kind, devices), alone)


@pytest.mark.parametrize(('kind', 'task'), [('shard_map', 'localize'), ('pmap', 'detect')])
def test_devices_change_nothing_with_objects(kind, task):
    """Mosaic, mixup, colours and affine maps, the density of objects and the assignment included."""
    assert_close(run(kind, 8, task=task), run('pmap', 1, task=task))


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


def test_small_networks_keep_one_cpu_device(monkeypatch):
    """Unless the user has asked for devices, as these tests do."""
    assert len(parallel.pick_devices(0, 32, spread=False)) == 8
    monkeypatch.setenv('XLA_FLAGS', '')
    assert len(parallel.pick_devices(0, 32, spread=False)) == 1
    assert len(parallel.pick_devices(0, 32, spread=True)) == 8
    assert len(parallel.pick_devices(4, 32, spread=False)) == 4


@pytest.mark.parametrize(
    'flops, parameters, spread',
    [(3e8, 99_498, True), (1.4e8, 669_706, False), (7e6, 13_706, False), (2.4e10, 2_693_578, True)],
    ids=['classify', 'perceptron', 'ablation', 'vit'],
)
def test_several_devices_pay_where_each_weight_is_used_often(flops, parameters, spread):
    assert parallel.pays(flops, parameters) == spread


@pytest.mark.parametrize('name, count', [('cnn', 8), ('vit', 8), ('mlp', 1)])
def test_a_run_takes_the_devices_that_pay(name, count, monkeypatch):
    run = assembly.assemble(settings_of(name))
    assert len(run.parallel.devices) == 8
    monkeypatch.setenv('XLA_FLAGS', '')
    assert len(assembly.assemble(settings_of(name)).parallel.devices) == count


def test_a_few_images_are_left_to_one_device(monkeypatch):
    monkeypatch.setenv('XLA_FLAGS', '')
    few = override(settings_of('cnn'), {'data.batch_size': 8})
    assert len(assembly.assemble(few).parallel.devices) == 1


def test_programs_are_those_of_the_convolutions(monkeypatch):
    run = assembly.assemble(settings_of('cnn'))
    before = run.programs
    assert run.programs is before
    monkeypatch.setenv('JAXVISION_CONVOLUTION', 'xla')
    assert run.programs is not before


@pytest.mark.parametrize('kind', parallel.KINDS)
def test_programs_that_nobody_has_any_more_are_gone(kind):
    """For they hold mapped functions, of which JAX may keep what it compiled: see the test of letting go."""
    run = assembly.assemble(override(settings_of('mlp'), {'parallel': kind, 'model.hidden': (4,)}))
    programs = weakref.ref(run.programs)
    ids = order.batch_ids(run.splits.train, 0, 0, run.plan.batch_size)
    run.programs.train(1)(run.initial(), run.context(), run.parallel.cut(ids), rng.base(0))
    assert programs().names
    programs_of.cache_clear()
    gc.collect()
    assert programs() is None


def test_steps_are_queued_on_one_cpu_device_alone():
    devices = jax.local_devices()
    assert under_way.in_flight(devices[:1]) == 1
    assert under_way.in_flight(devices) == 0


def test_unknown_kind():
    with pytest.raises(ValueError, match='pmap, shard_map'):
        parallel.Parallel('pjit')


FIRST_STATE = """
import os
import jax, numpy as np
from jaxvision import assembly
from jaxvision.benchmarks.cases import settings_of
from jaxvision.training import parallel
run = assembly.assemble(settings_of('resnet20'))
one, other = (jax.device_get(jax.jit(run.programs._create)(*run.creation)), jax.device_get(run.initial()))
assert parallel.QUICKLY and all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
seen = []
jax.jit, plain = (lambda *args, **values: seen.append(values) or plain(*args, **values)), jax.jit
run.parallel.create(run.programs._create)
os.environ['XLA_FLAGS'] = '--xla_backend_optimization_level=0'
run.parallel.create(run.programs._create)
assert [values['compiler_options'] for values in seen] == [parallel.QUICKLY, None]
"""


def test_a_first_state_is_compiled_quickly_to_the_same_bits():
    """In a process that compiles as a user's does, for here everything is compiled with no effort at all."""
    environment = {name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'}
    done = subprocess.run(
        [sys.executable, '-c', FIRST_STATE], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('kind', parallel.KINDS)
def test_programs_of_mapped_functions_that_are_gone_are_let_go(kind):
    over = parallel.Parallel(kind, jax.local_devices()[:1])
    ids, alive = np.zeros((1, 2), np.int32), jax.local_devices()[0].client.live_executables

    def plus(number):
        return over.predict(lambda variables, context, ids, *, axis_name: variables + context + ids + number)

    kept, before = plus(-1), len(alive())
    for number in range(3 * parallel.LEFT):
        assert plus(number)(1, 2, ids).tolist() == [[3 + number, 3 + number]]
        assert len(alive()) <= before + parallel.LEFT + 2  # Those of this function, and of `kept`.
        assert kept(1, 2, ids).tolist() == [[2, 2]]

"""Steps a call on CPU, how a run begins, settings that a dataset has no use for, what an optimizer takes for heads."""

import dataclasses

import cv2
import jax
import numpy as np
import pytest

from jaxvision import assembly, optim, rng, settings
from jaxvision.errors import UserError
from jaxvision.sweeps import designs, trials
from jaxvision.training import parallel

DATA = {'data.name': 'generated', 'data.generated_examples': 200, 'data.batch_size': 20}


def run(teacher=None, **model):
    resolved = settings.override(
        settings.Settings(), {**DATA, **{f'model.{key}': value for key, value in model.items()}}
    )
    return assembly.assemble(resolved, teacher)


@pytest.mark.parametrize(
    ('model', 'steps'),
    [
        ({'name': 'linear'}, assembly.SCANNED),
        ({'name': 'mlp'}, assembly.SCANNED),
        ({'name': 'mlp', 'hidden': (4000, 4000)}, 6),  # Of 0.66 GFLOP each.
        ({'name': 'mlp', 'hidden': (40000, 40000)}, 1),
        ({'name': 'convnet'}, 1),
        ({'name': 'vit'}, 1),  # Its patches are convolved.
    ],
)
def test_steps_a_call(model, steps):
    assert run(**model).plan.steps_per_call == steps


def test_a_perceptron_under_a_convolutional_teacher_takes_its_steps_one_by_one():
    student = run(name='mlp')
    for name, steps in (('mlp', assembly.SCANNED), ('convnet', 1)):
        teacher = assembly.Teacher((run(name=name).task,), (), {}, None)
        assert run(teacher, name='mlp').plan.steps_per_call == steps
    assert student.plan.steps_per_call == assembly.SCANNED


@pytest.mark.parametrize('kind', parallel.KINDS)
@pytest.mark.parametrize('steps', [1, 3])
def test_what_trains_is_compiled_once_before_its_first_call(caplog, kind, steps):
    begun = run(name='mlp', hidden=(7,))
    begun = dataclasses.replace(begun, parallel=parallel.Parallel(kind, begun.parallel.devices))
    compiled = 'Finished XLA compilation'
    with jax.log_compiles():
        state, wanted = begun.begin(steps), jax.device_get(begun.initial())
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), wanted)
        context, key = begun.context(), begun.parallel.replicate(rng.base(0))
        ids = begun.described(calls=steps)[2]
        assert compiled in caplog.text
        caplog.clear()
        jax.block_until_ready(begun.programs.train(steps)(state, context, ids, key))
        begun.begin(steps)
    assert compiled not in caplog.text


@pytest.fixture
def split_folder(tmp_path):
    """Settings of a folder with all three splits, under the names that ImageNet has."""
    draw = np.random.default_rng(0)
    for split, count in (('train', 10), ('val', 7), ('test', 3)):
        for name in 'ab':
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(count):
                cv2.imwrite(str(tmp_path / split / name / f'{index}.png'), draw.integers(0, 255, (4, 4, 3), np.uint8))
    chosen = {'data.name': 'image_folder', 'data.path': str(tmp_path), 'data.batch_size': 4}
    return settings.override(settings.Settings(), chosen)


@pytest.mark.parametrize('key', ['data.validation_fraction', 'data.test_fraction', 'data.split_seed'])
def test_splits_of_the_datasets_own_are_not_cut(split_folder, key):
    _, splits = assembly.load_data(split_folder.data)
    assert [len(getattr(splits, name)) for name in ('train', 'validation', 'test')] == [20, 14, 6]
    with pytest.raises(UserError, match=f'config.{key} is set, but image_folder has .*of its own'):
        assembly.check_read(split_folder, [key])


def test_folds_cut_validation_anew(split_folder):
    """Its share was refused, though it was read."""
    folded = settings.override(split_folder, {'data.folds': 3})
    assembly.check_read(folded, ['data.validation_fraction', 'data.split_seed'])
    sizes = {
        len(assembly.load_data(settings.override(folded, {'data.validation_fraction': share}).data)[1].validation)
        for share in (0.1, 0.3)
    }
    assert len(sizes) == 2


@pytest.mark.parametrize('key', ['augment.hue', 'augment.saturation', 'teacher.augment.hue'])
def test_grey_images_have_no_hue(key):
    """A sweep would have trained its baseline twice, and told that it makes no difference."""
    grey = settings.override(settings.Settings(), {**DATA, 'data.generated_shape': (8, 8, 1), 'distill.weight': 0.5})
    with pytest.raises(UserError, match=f'config.{key} is set, but the images of generated have no hue'):
        assembly.check_read(grey, [key])
    assembly.check_read(grey, ['augment.brightness'])
    sweep = designs.seeds({'plain': {}, 'colours': {key: 0.2}})
    with pytest.raises(UserError, match=f"variant 'colours' sets {key}, but the images of generated have no hue"):
        trials.check_overrides(grey, sweep, [])
    with pytest.raises(UserError, match=f'config.{key} is set, but nothing reads it in this sweep'):
        trials.check_overrides(grey, designs.seeds({'plain': {}, 'other': {'optim.lr': 0.2}}), [key])
    colored = settings.override(grey, {'data.generated_shape': (8, 8, 3)})
    trials.check_overrides(colored, sweep, [])


@pytest.mark.parametrize('task', ['localize', 'detect'])
def test_output_layers_of_detectors_are_heads(task):
    """Muon took them for hidden kernels, and lost how small a fresh detector's are."""
    chosen = {'task': task, 'data.name': 'generated_objects', 'data.generated_most': 1, 'data.batch_size': 20}
    run = assembly.assemble(settings.override(settings.Settings(), chosen | {'data.generated_examples': 60}))
    named = jax.tree_util.tree_leaves_with_path(optim.groups(run.like().variables['params']))
    heads = {path[-2].key for path, name in named if name == 'head'}
    assert heads == {'logits', 'box', 'objectness'} | ({'attention'} if task == 'localize' else set())

"""A user's mistake costs one clear line and a non-zero exit, never a stack of frames."""

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from jaxvision import assembly, experiment
from jaxvision.errors import UserError
from jaxvision.settings import defaults, resolve

from .conftest import ROOT, child_environment

SMALL = (
    '--config=configs/classify.py',
    '--config.data.name=generated',
    '--config.data.generated_examples=120',
    '--config.data.batch_size=20',
    '--config.model.filters=(4,)',
    '--config.train.epochs=0.5',
)


def fails(result: subprocess.CompletedProcess, *words: str) -> str:
    """Checks that the command failed with a single line on stderr that holds all the words."""
    told = result.stderr.strip().splitlines()
    assert result.returncode not in (0, 1), result.stderr
    assert len(told) == 1, result.stderr
    assert told[0].startswith('error: ')
    for word in words:
        assert word in told[0], told[0]
    return told[0]


CASES = {
    'unknown key': (['--config.model.colour=red'], ['colour']),
    'unknown flag': (['--colour=red'], ['colour']),
    'a word too many': (['red'], ["'red'", '--name=value']),
    'wrong type': (['--config.data.batch_size=many'], ['batch_size', 'many']),
    'wrong type, float for int': (['--config.data.batch_size=1.5'], ['batch_size', '1.5']),
    'batch size 0': (['--config.data.batch_size=0'], ['data.batch_size is 0', 'at least 1']),
    'mixup -1': (['--config.augment.mixup=-1.0'], ['augment.mixup is -1.0', 'at least 0']),
    'temperature 0': (['--config.model.temperature=0.0'], ['model.temperature is 0.0', 'above 0']),
    'train_fraction 2': (['--config.data.train_fraction=2.0'], ['data.train_fraction is 2.0', 'at most 1']),
    'nan': (['--config.optim.lr=nan'], ['optim.lr is nan', 'finite']),
    'tuple of words': (['--config.model.filters=("a",)'], ['model.filters']),
    'unknown model': (['--config.model.name=alexnet'], ["'alexnet'", 'convnet', 'resnet']),
    'unknown optimizer': (['--config.optim.name=lion'], ["'lion'", 'adamw', 'nesterov']),
    'unknown task': (['--config.task=segment'], ["'segment'", 'classify']),
    'fold beyond folds': (['--config.data.folds=3', '--config.data.fold=3'], ['data.fold is 3', 'data.folds, 3']),
    'coupled adamw': (
        ['--config.optim.name=adamw', '--config.optim.weight_decay=0.1', '--config.optim.decay=coupled'],
        ['adamw is decoupled'],
    ),
    'override nothing reads: model': (['--config.model.patch=4'], ['model.patch', 'nothing reads', 'convnet']),
    'override nothing reads: teacher': (['--config.teacher.optim.lr=0.1'], ['teacher.optim.lr', 'distill.weight is 0']),
    'override nothing reads: schedule': (['--config.optim.factor=0.5'], ['optim.factor', 'schedule is cosine']),
    'override nothing reads: fold': (['--config.data.fold=0'], ['data.fold', 'data.folds is 0']),
    'unknown dataset': (['--config.data.name=cifar0', '--config.data.data_dir=/nowhere'], ["'cifar0'", '/nowhere']),
    'batch larger than split': (['--config.data.batch_size=5000'], ['data.batch_size is 5000', '1294']),
    'no such folder': (['--config.data.name=image_folder', '--config.data.path=/nowhere'], ["'/nowhere'"]),
    'no such voc folder': (
        ['--config.task=detect', '--config.data.name=voc_folder', '--config.data.path=/nowhere'],
        ["'/nowhere'"],
    ),
    'override nothing reads: mosaic': (['--config.augment.mosaic=0.5'], ['augment.mosaic', 'task is classify']),
    'too small to pool': (['--config.model.filters=(4,4,4,4)'], ['nothing left to pool']),
    'too many devices': (['--config.devices=64'], ['devices is 64', 'only']),
    'split left empty': (['--config.data.train_fraction=0.0001'], ['train split is empty']),
    'more folds than examples': (['--config.data.folds=1000'], ['data.folds=1000', 'smallest class']),
    'teacher missing': (
        ['--config.distill.weight=0.5', '--config.teacher.workdir=/nowhere'],
        ['/nowhere', 'not exist'],
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_bad_flags(case, launch, tmp_path):
    flags, words = CASES[case]
    result = launch('train.py', '--config=configs/classify.py', f'--workdir={tmp_path}/run', *flags)
    fails(result, *words)
    assert not (tmp_path / 'run' / 'result.json').exists()


OBJECTS = {'data.name': 'generated_objects', 'data.generated_examples': 60, 'data.batch_size': 8}


def assembled(values: dict, teacher=None):
    config = defaults()
    config.update_from_flattened_dict(values)
    return assembly.assemble(resolve(config), teacher)


@pytest.mark.parametrize(
    ('values', 'said'),
    [
        ({'task': 'detect'}, 'task is detect, but uci_digits has no objects'),
        ({'task': 'localize'}, 'task is localize, but uci_digits has no objects'),
        ({'task': 'localize', **OBJECTS}, 'has images with several objects; set task to detect'),
        (OBJECTS, 'has objects, not one label an image; set task to localize or detect'),
        ({'task': 'detect', **OBJECTS, 'data.generated_shape': (8, 9, 1)}, 'not square'),
        ({'task': 'detect', **OBJECTS, 'model.filters': (4, 4, 4, 4)}, 'nothing left to pool'),
    ],
)
def test_a_task_and_data_that_do_not_fit(values, said):
    with pytest.raises(UserError, match=said) as raised:
        assembled(values)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    'values',
    [
        {'task': 'localize'},
        {'model.levels': 1},
        {'model.levels': 3},
        {'model.pool': 'none'},
        {'data.generated_classes': 9},
    ],
)
def test_a_teacher_of_other_outputs(values):
    """Another task, other levels, other strides, other classes; told before anything is trained under it."""
    student = {'task': 'detect', **OBJECTS, 'data.generated_most': 1, 'model.filters': (4, 8), 'model.levels': 2}
    same, other = (assembled(one).task for one in (student, {**student, **values}))
    assembled(student, assembly.Teacher((same, same), (), {}, None))
    with pytest.raises(UserError, match='the teacher puts out arrays of .* the same model.levels') as raised:
        assembled(student, assembly.Teacher((same, other), (), {}, None))
    assert '\n' not in str(raised.value)


def test_batch_not_divisible_by_devices(launch, tmp_path):
    result = launch('train.py', *SMALL, '--config.devices=8', f'--workdir={tmp_path}', devices=8)
    fails(result, 'data.batch_size is 20', '8 devices')


def test_missing_config(launch):
    fails(launch('train.py'), '--config is missing', 'configs/distill.py')
    fails(launch('evaluate.py'), '--workdir is missing')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        (None, ['none.py']),
        ('def get_config():\n  raise RuntimeError("no luck")\n', ['no luck']),
        ('x = = 1\n', ['syntax']),
        ('def config():\n  return 1\n', ['get_config']),
        ('def get_config():\n  return {}\n', ['ConfigDict']),
        ('import ml_collections\ndef get_config():\n  return ml_collections.ConfigDict({"seed": 0})\n', ['missing']),
    ],
)
def test_bad_config_files(text, words, launch, tmp_path):
    path = tmp_path / 'none.py'
    if text is not None:
        path.write_text(text)
    fails(launch('train.py', f'--config={path}', f'--workdir={tmp_path}/run'), *words)


def test_teachers_that_do_not_fit(launch, tmp_path):
    small = {
        **{'data.name': 'generated', 'data.generated_examples': 120, 'data.batch_size': 20},
        **{'model.filters': (4,), 'train.epochs': 0.5, 'devices': 1},
    }
    teacher = tmp_path / 'teacher'

    def run(path: str, **values) -> None:
        config = defaults()
        config.update_from_flattened_dict({**small, **{name.replace('__', '.'): values[name] for name in values}})
        experiment.run(resolve(config), str(tmp_path / path), stream=io.StringIO())

    def refused(*words: str, given: pathlib.Path = teacher, **values) -> None:
        with pytest.raises(UserError) as raised:
            run('student', distill__weight=0.5, teacher__workdir=str(given), **values)
        assert '\n' not in str(raised.value)
        assert all(word in str(raised.value) for word in words), raised.value

    run('teacher')
    refused('10 classes', 'has 5', data__generated_classes=5)
    refused('(8, 8, 1)', '(9, 9, 1)', data__generated_shape=(9, 9, 1))
    refused('other splits', 'data.split_seed', data__split_seed=1)
    unread = ('--config.distill.weight=0.5', f'--config.teacher.workdir={teacher}', '--config.teacher.seed=1')
    fails(launch('train.py', *SMALL, *unread, f'--workdir={tmp_path}/student'), 'teacher.seed', 'nothing reads')
    (teacher / 'result.json').unlink()
    refused('unfinished', str(teacher))
    fails(launch('evaluate.py', f'--workdir={teacher}'), 'not a finished run')
    (tmp_path / 'empty').mkdir()
    refused('holds no run', given=tmp_path / 'empty')
    (tmp_path / 'sweep').mkdir()
    (tmp_path / 'sweep' / 'config.json').write_text('{"settings": {}, "sweep": {}}')
    refused('is a sweep', given=tmp_path / 'sweep')


def test_what_is_wrong_with_the_teacher_is_called_its(tmp_path):
    """The student's batch of 10 was told to be of 500."""
    config = defaults()
    config.update_from_flattened_dict({'data.name': 'generated', 'data.generated_examples': 120})
    config.update_from_flattened_dict({'data.batch_size': 10, 'teacher.data.batch_size': 500, 'distill.weight': 0.5})
    with pytest.raises(UserError, match='the teacher cannot be trained: data.batch_size is 500'):
        experiment.run(resolve(config), str(tmp_path / 'student'), stream=io.StringIO())
    config.update_from_flattened_dict({'teacher.seed': 2**32 - 1, 'teacher.members': 2})
    with pytest.raises(UserError, match='config.teacher.seed leaves no seed for the last of the members'):
        resolve(config)


def test_workdir_of_another_config(launch, tmp_path):
    assert launch('train.py', *SMALL, f'--workdir={tmp_path}').returncode == 0
    told = fails(
        launch('train.py', *SMALL, '--config.seed=7', f'--workdir={tmp_path}'), 'another config', str(tmp_path)
    )
    assert 'seed (0 there, 7 now)' in told
    assert 'optim.lr' not in told


def test_unwritable_workdir(launch, tmp_path):
    (tmp_path / 'file').write_text('in the way')
    fails(launch('train.py', *SMALL, f'--workdir={tmp_path}/file/run'), 'cannot write', f'{tmp_path}/file/run')


def test_full_disk(launch, tmp_path):
    disk = tmp_path / 'disk'
    disk.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=600k', 'tmpfs', disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f'a small disk cannot be mounted here: {mounted.stderr.strip()}')
    try:
        told = fails(launch('train.py', *SMALL, f'--workdir={disk}/run'), 'cannot write checkpoint', f'{disk}/run')
        assert 'MiB are free' in told
    finally:
        subprocess.run(['umount', disk], check=True)


def test_nan_loss_stops_and_keeps_the_last_good_checkpoint(launch, tmp_path):
    flags = [flag for flag in SMALL if 'epochs' not in flag]
    flags += ['--config.train.epochs=20.0', '--config.train.eval_every=2', '--config.optim.name=sgd']
    result = launch('train.py', *flags, '--config.optim.lr=1e18', '--config.model.norm=none', f'--workdir={tmp_path}')
    told = fails(result, 'the loss is', 'at step', 'optim.lr')
    step = int(told.split('at step ')[1].split(':')[0])
    kept = [int(path.name) for path in (tmp_path / 'checkpoints').iterdir() if path.name.isdigit()]
    assert all(number < step for number in kept)
    assert f'checkpoint {max(kept)} ' in told if kept else 'none is saved' in told
    for line in (tmp_path / 'metrics.jsonl').read_text().splitlines():
        assert json.loads(line)['step'] < step


def test_weights_that_explode_are_not_saved_even_where_the_loss_is_finite(launch, tmp_path):
    flags = [*SMALL, '--config.optim.name=sgd', '--config.optim.lr=1e25', '--config.train.eval_every=1']
    told = fails(launch('train.py', *flags, f'--workdir={tmp_path}'), 'at step 1', 'none is saved')
    assert 'inf' in told or 'nan' in told


def test_a_student_that_cannot_be_trained_is_told_before_its_teacher_is(launch, tmp_path):
    flags = ['--config=configs/distill.py', '--config.data.train_fraction=0.01', f'--workdir={tmp_path}']
    result = launch('train.py', *flags)
    fails(result, 'data.batch_size is 50', 'only 12 examples')
    assert result.stdout == ''


def test_dry_run_looks_for_a_given_teacher(launch):
    flags = ['--config=configs/distill.py', '--config.teacher.workdir=/nowhere', '--dry_run']
    fails(launch('train.py', *flags), 'teacher.workdir /nowhere does not exist')


def test_sweep_over_seeds_takes_no_seed(launch, tmp_path):
    fails(launch('sweep.py', *SMALL, '--config.seed=3', f'--workdir={tmp_path}'), 'config.seed is set', '--seeds')


def write_images(folder, draw, count=12, classes=('cat', 'dog')):
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / name / f'{index}-{draw.integers(10**9)}.png'), picture)


def test_resuming_on_other_data_is_refused(launch, tmp_path):
    draw, folder = np.random.default_rng(0), tmp_path / 'images'
    write_images(folder, draw)
    flags = [flag for flag in SMALL if 'generated' not in flag and 'batch' not in flag]
    flags += ['--config.data.name=image_folder', f'--config.data.path={folder}', '--config.data.batch_size=4']
    flags += [f'--workdir={tmp_path}/run']
    assert launch('train.py', *flags).returncode == 0
    (tmp_path / 'run' / 'result.json').unlink()
    write_images(folder, draw, count=1)
    fails(launch('train.py', *flags), f'{tmp_path}/run was trained on other data')


def test_a_fraction_that_the_dataset_does_not_read(launch, tmp_path):
    draw, folder = np.random.default_rng(0), tmp_path / 'images'
    write_images(folder / 'train', draw)
    write_images(folder / 'test', draw, count=4)
    flags = ['--config=configs/classify.py', '--config.data.name=image_folder', f'--config.data.path={folder}']
    result = launch('train.py', *flags, '--config.data.test_fraction=0.3', f'--workdir={tmp_path}/run')
    fails(result, 'config.data.test_fraction is set', 'test split of its own')


def test_ctrl_c_before_training_is_one_line(tmp_path):
    process = subprocess.Popen(
        [sys.executable, 'launch/train.py', *SMALL, f'--workdir={tmp_path}/a run'],
        cwd=ROOT,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / 'a run').exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert len(errors.strip().splitlines()) == 1, errors
    assert f"'--workdir={tmp_path}/a run'" in errors

"""Seconds and accuracy over seeds, with a stand-in for the interpreter that runs the published script."""

import dataclasses
import json

import pytest

from jaxvision import assembly, runs, settings
from jaxvision.benchmarks import speedrun
from jaxvision.benchmarks.partner import Partner
from jaxvision.errors import UserError
from jaxvision.settings import Settings
from jaxvision.training.records import Workdir

STAND_IN = """
import sys, numpy
with numpy.load(sys.argv[3]) as arrays:
    assert [len(arrays[name]) for name in ('train_images', 'test_labels')] == [800, 200], arrays
print('0.0', {parameters}, flush=True)
for number, _ in enumerate(sys.stdin):
    print(100.0 if number == 0 else 0.5 * number, 0.25 * number, flush=True)
    if number == {ends}:
        sys.exit('out of memory')
"""
SMALL = {
    'data.name': 'generated',
    'data.generated_shape': (6, 6, 3),
    'data.generated_examples': 300,
    'data.batch_size': 40,
    'model.name': 'airbench',
    'model.filters': (4,),
    'model.activation': 'gelu',
    'train.epochs': 2.0,
    'augment.test_time': 'mirror_shift',
}
TAKEN = SMALL | {'data.generated_shape': (32, 32, 3), 'data.generated_examples': 1000, 'train.epochs': 0.1}
PARAMETERS = 24 + 9 * (24 * 4 + 4 * 4) + 2 * 4 + 4 * 10


@pytest.fixture
def interpreter(stand_in):
    return lambda parameters=PARAMETERS, ends=-1: stand_in(STAND_IN, parameters=parameters, ends=ends)


@pytest.mark.parametrize('seed', [0, 1])
def test_accuracy_is_that_of_the_real_run(tmp_path, seed):
    small = settings.override(Settings(), SMALL)
    seconds, accuracy = speedrun.Runner(small).train(seed)
    run = assembly.assemble(dataclasses.replace(small, seed=seed))
    with (tmp_path / 'said').open('w') as stream:
        result = runs.train(run, Workdir(tmp_path / 'run'), stream=stream)
    assert seconds > 0
    assert accuracy == pytest.approx(result['splits']['test']['accuracy']['value'], abs=1e-9)
    assert 0.2 < accuracy <= 1  # Of ten classes, and something was learnt.


def test_a_loss_that_is_no_number_is_told():
    runner = speedrun.Runner(settings.override(Settings(), SMALL | {'optim.name': 'sgd', 'optim.lr': 1e30}))
    with pytest.raises(UserError, match='seed 0 ends with a metric that is no number'):
        runner.train(0)


def test_both_sides_in_turn(interpreter):
    taken = settings.override(Settings(), TAKEN)
    told = list(speedrun.compare(taken, interpreter(), 'airbench94_muon.py', repeats=3, theirs=2))
    assert [row['runs'] for row in told] == [1, 2, 3] and [len(row['rounds']) for row in told] == [1, 2, 3]
    theirs = told[-1]['theirs']
    assert theirs['rounds'] == [(0.5, 0.25), (1.0, 0.5)] and theirs['first_s'] == 100.0
    assert theirs['accuracy']['mean'] == pytest.approx(0.375) and theirs['seconds'] == 0.75
    ratios = [ours[0] / other[0] for ours, other in zip(told[-1]['rounds'], theirs['rounds'], strict=False)]
    assert told[-1]['ratio'] == pytest.approx(sum(ratios) / 2) and told[-1]['spread'] == [min(ratios), max(ratios)]


def test_another_network_is_told(interpreter):
    with pytest.raises(UserError, match=f'airbench has {PARAMETERS:,} parameters here, 7 there'):
        next(speedrun.compare(settings.override(Settings(), TAKEN), interpreter(7), 'x.py', repeats=1, theirs=1))


def test_other_images_are_told(interpreter):
    with pytest.raises(UserError, match='takes images of .32, 32, 3. in 10 classes, as CIFAR-10 has, not generated'):
        next(speedrun.compare(settings.override(Settings(), SMALL), interpreter(), 'x.py', repeats=1, theirs=1))


def test_an_interpreter_that_ends_is_told(interpreter):
    rounds = speedrun.compare(settings.override(Settings(), TAKEN), interpreter(ends=1), 'x.py', repeats=5, theirs=5)
    assert next(rounds)['runs'] == 1
    with pytest.raises(UserError, match='the interpreter of --pytorch ended: out of memory'):
        next(rounds)


@pytest.mark.parametrize(
    ('says', 'words'), [('hello', "said 'hello', not 2 figures"), ('2.11 many', 'many'), ('', 'it said nothing')]
)
def test_an_interpreter_that_says_something_else_is_told(tmp_path, says, words):
    (tmp_path / 'python').write_text(f'#!/bin/sh\nprintf "%s" "{says}"\n')
    (tmp_path / 'python').chmod(0o755)
    with pytest.raises(UserError, match=words):
        Partner(str(tmp_path / 'python'), 'published.py')


def test_rows_are_kept_and_told(launch, tmp_path):
    output = tmp_path / 'speedrun.json'
    flags = ('--config.train.epochs=0.1', '--repeats=1', f'--output={output}')
    done = launch('benchmark.py', '--of=speedrun', '--config=configs/classify.py', *flags)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(output.read_text())['rows']
    assert row['runs'] == 1 and row['accuracy']['ci95'] is None
    assert f'{row["seconds"]:.3f} s' in done.stdout and 'interval' not in done.stdout


@pytest.mark.parametrize(
    ('config', 'flags', 'words'),
    [
        ('classify', ['--reference=launch/train.py'], '--pytorch is missing'),
        ('classify', ['--reference=nowhere.py', '--pytorch=python'], '--reference=nowhere.py is no file'),
        ('detect', [], 'task has to be classify'),
        ('distill', [], 'distill.weight 0'),
    ],
)
def test_mistakes_are_told(launch, config, flags, words):
    done = launch('benchmark.py', '--of=speedrun', f'--config=configs/{config}.py', *flags)
    assert done.returncode == 2, done.stdout
    assert done.stderr.count('\n') == 1 and words in done.stderr


def test_an_unknown_part_is_told(launch, tmp_path):
    done = launch('benchmark.py', '--of=parts', '--parts=whole', f'--output={tmp_path / "parts.json"}')
    assert done.returncode == 2 and done.stderr.count('\n') == 1
    assert '--parts=whole is unknown; there are evaluation, distillation, stack' in done.stderr

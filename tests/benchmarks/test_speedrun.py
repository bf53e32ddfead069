"""Seconds and accuracy over seeds, with a stand-in for the interpreter that runs the published script."""

import dataclasses
import json
import sys

import pytest

from jaxvision import assembly, runs, settings
from jaxvision.benchmarks import speedrun
from jaxvision.settings import Settings
from jaxvision.training.records import Workdir

STAND_IN = """#!{python}
import sys, numpy
with numpy.load(sys.argv[3]) as arrays:
    sizes = [len(arrays[name]) for name in ('train_images', 'test_labels')]
print('0.0', sum(sizes), flush=True)
for number, _ in enumerate(sys.stdin):
    print(100.0 if number == 0 else 0.5 * number, 0.25 * number, flush=True)
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


def test_both_sides_in_turn(launch, tmp_path):
    python, output = tmp_path / 'python', tmp_path / 'speedrun.json'
    python.write_text(STAND_IN.format(python=sys.executable))
    python.chmod(0o755)
    done = launch(
        'benchmark.py',
        '--of=speedrun',
        '--config=configs/classify.py',
        '--config.train.epochs=0.1',
        f'--pytorch={python}',
        '--reference=airbench94_muon.py',
        '--repeats=3',
        '--theirs=2',
        f'--output={output}',
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(output.read_text())['rows']
    assert row['runs'] == 3 and len(row['rounds']) == 3
    theirs = row['theirs']
    assert theirs['rounds'] == [[0.5, 0.25], [1.0, 0.5]] and theirs['first_s'] == 100.0
    assert theirs['accuracy']['mean'] == pytest.approx(0.375) and theirs['seconds'] == 0.75
    ratios = [ours[0] / other[0] for ours, other in zip(row['rounds'], theirs['rounds'], strict=False)]
    assert row['ratio'] == pytest.approx(sum(ratios) / 2) and row['spread'] == [min(ratios), max(ratios)]
    assert done.stdout.count('published') == 3 + 1 and 'ratio' in done.stdout


def test_a_reference_needs_its_interpreter(launch):
    done = launch('benchmark.py', '--of=speedrun', '--config=configs/classify.py', '--reference=airbench94_muon.py')
    assert done.returncode == 2 and done.stderr.count('\n') == 1 and '--pytorch is missing' in done.stderr

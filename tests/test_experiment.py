"""The main job as a user runs it: distillation end to end on the digits, its records, and the commands on them."""

import json

import numpy as np
import pytest

SHORT = [
    '--config=configs/distill.py',
    '--config.train.epochs=20.0',
    '--config.train.eval_every=30',
    '--config.teacher.members=2',
    '--config.teacher.train.epochs=2.0',
]
METRICS = {'accuracy', 'error', 'top5_accuracy', 'nll', 'ece'}


@pytest.fixture(scope='module')
def distilled(tmp_path_factory):
    """(workdir, what the command printed) of a short distillation."""
    import subprocess
    import sys

    from .conftest import ROOT, child_environment

    workdir = tmp_path_factory.mktemp('distilled') / 'run'
    done = subprocess.run(
        [sys.executable, 'launch/train.py', *SHORT, f'--workdir={workdir}'],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=child_environment(2),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    return workdir, done.stdout


def read(path):
    return json.loads(path.read_text())


def assert_form(result):
    assert {'task', 'steps', 'seconds', 'examples_per_second', 'parameters', 'splits', 'best', 'gap'} <= result.keys()
    for splits in (result['splits'], result['best']['splits']):
        assert splits.keys() == {'train', 'validation', 'test'}
        for split in splits.values():
            assert split.keys() == {'n', 'loss'} | METRICS
            for name in METRICS:
                low, high = split[name]['ci95']
                assert 0 <= low <= high
                assert set(split[name]) == {'value', 'ci95'}
            assert split['error']['value'] == pytest.approx(1 - split['accuracy']['value'])
    expected = result['splits']['test']['error']['value'] - result['splits']['train']['error']['value']
    assert result['gap']['value'] == pytest.approx(expected)


def test_result_of_all_three(distilled):
    result = read(distilled[0] / 'result.json')
    for one in (result, result['teacher'], result['alone']):
        assert_form(one)
    assert result['parameters'] == result['alone']['parameters'] < result['teacher']['parameters']
    assert result['teacher']['members'] == 2
    assert result['splits']['train']['n'] == 150
    assert result['splits']['test']['n'] == result['teacher']['splits']['test']['n'] == 359
    assert result['alone'] == read(distilled[0] / 'alone' / 'result.json')


def test_records(distilled):
    workdir = distilled[0]
    environment = read(workdir / 'environment.json')
    assert environment['dataset']['name'] == 'uci_digits'
    assert environment['dataset']['splits'] == {'train': 150, 'validation': 288, 'test': 359}
    assert environment['versions']['jax']
    assert environment['devices'] == ['cpu:0', 'cpu:1']
    config = read(workdir / 'config.json')
    assert config['train']['epochs'] == 20.0
    assert config['teacher']['members'] == 2
    records = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    assert [record['step'] for record in records] == [30, 60]
    for record in records:
        assert next(iter(record)) == 'step'
        weighted = 0.1 * record['student_loss'] + 0.9 * 16 * record['distillation_loss']
        assert record['loss'] == pytest.approx(weighted, rel=1e-5)
        for name in ('learning_rate', 'gradient_norm', 'weight_norm', 'train_accuracy', 'validation_nll', 'epoch'):
            assert np.isfinite(record[name])
    assert list(workdir.glob('events.out.tfevents.*'))
    assert (workdir / 'report.html').stat().st_size > 100_000
    with np.load(workdir / 'predictions.npz') as predictions:
        logits, labels = predictions['test_logits'], predictions['test_labels']
        assert predictions['teacher_test_logits'].shape == predictions['alone_test_logits'].shape == logits.shape
        accuracy = read(workdir / 'result.json')['splits']['test']['accuracy']['value']
        assert (logits.argmax(axis=1) == labels).mean() == pytest.approx(accuracy)


def test_closing_table(distilled):
    lines = distilled[1].strip().splitlines()
    rows = [line for line in lines if line.startswith(('teacher  ', 'student alone  ', 'student distilled  '))]
    assert len(rows) == 3
    result = read(distilled[0] / 'result.json')
    for row, one in zip(rows, (result['teacher'], result['alone'], result), strict=True):
        assert f'{one["parameters"]:,}' in row
        assert f'{one["splits"]["test"]["accuracy"]["value"] * 100:.1f} [' in row
    assert not any('\r' in line for line in lines)


def test_the_teacher_is_kept(distilled, launch, tmp_path):
    again = launch('train.py', *SHORT, '--config.seed=1', f'--workdir={tmp_path}/again', devices=2)
    assert again.returncode == 0, again.stderr
    assert 'teacher 1/2' in distilled[1]
    assert 'teacher 1/2' not in again.stdout
    results = [read(path / 'result.json') for path in (distilled[0], tmp_path / 'again')]
    assert results[0]['teacher']['hash'] == results[1]['teacher']['hash']
    assert results[0]['splits'] != results[1]['splits']


def test_a_named_teacher_is_restored(distilled, launch, tmp_path):
    kept = read(distilled[0] / 'result.json')['teacher']
    flags = [flag for flag in SHORT if 'teacher' not in flag]
    given = launch(
        'train.py', *flags, f'--config.teacher.workdir={kept["workdir"]}', f'--workdir={tmp_path}', devices=2
    )
    assert given.returncode == 0, given.stderr
    result = read(tmp_path / 'result.json')
    assert result['teacher']['hash'] == kept['hash']
    assert result['splits'] == read(distilled[0] / 'result.json')['splits']


def test_evaluate(distilled, launch):
    result = read(distilled[0] / 'result.json')
    found = launch('evaluate.py', f'--workdir={distilled[0]}', '--json', devices=2)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told['metrics'] == result['splits']['test']
    assert told['verdict'] == result['verdict']
    confusion = np.array(told['confusion'])
    assert confusion.sum() == 359
    assert np.trace(confusion) / 359 == pytest.approx(told['metrics']['accuracy']['value'])
    for index, name in enumerate(told['class_names']):
        assert told['per_class'][name]['value'] == pytest.approx(confusion[index, index] / confusion[index].sum())

    text = launch('evaluate.py', f'--workdir={distilled[0]}', '--split=validation', '--temperature=3', devices=2).stdout
    assert 'validation split, 288 examples\nsoftmax at T = 3' in text
    for word in ('NLL', 'ECE', 'per class', 'confusion', 'empirical error', 'real error', 'gap', 'temperature fitted'):
        assert word in text


def test_dry_run_trains_nothing(launch, tmp_path):
    shown = launch('train.py', *SHORT, '--config.optim.weight_decay=0.01', '--dry_run', f'--workdir={tmp_path}/none')
    assert shown.returncode == 0, shown.stderr
    for words in (
        'parameters 3,714',
        'MFLOPs',
        'weight decay 0.01 (decoupled) on: ClassifierHead_0/logits/kernel, Conv_0/kernel',
        'not on: ClassifierHead_0/logits/bias',
        'train 150, validation 288, test 359',
        '60 steps of 50',
        'memory',
        'members trained',
    ):
        assert words in shown.stdout, words
    assert not (tmp_path / 'none').exists()


def test_benchmark_of_the_loop(launch):
    flags = ['--config=configs/classify.py', '--config.data.name=generated', '--config.model.filters=(4,)']
    done = launch('benchmark.py', *flags, '--steps=5', '--repeats=1')
    assert done.returncode == 0, done.stderr
    assert 'bare step' in done.stdout and '% of the images/s' in done.stdout

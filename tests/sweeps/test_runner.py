"""Sweeps as a user runs them: killed, stopped, resumed, reproduced; and their mistakes, one line each."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxvision.sweeps import table

from ..conftest import ROOT, child_environment

CONFIG = """
from jaxvision import settings
from jaxvision.sweeps import designs


def get_config():
    config = settings.defaults()
    config.data.update({'name': 'generated', 'generated_examples': 120, 'batch_size': 20})
    config.data.update({'generated_shape': (6, 6, 1), 'generated_classes': 3})
    config.model.name = 'linear'
    config.optim.lr = 0.01
    config.train.update({'epochs': EPOCHS, 'eval_every': 4})
    return config


def get_sweep():
    return SWEEP
"""
LADDER = "designs.ladder({'decay': {'optim.weight_decay': 0.1}, 'smoothing': {'loss.label_smoothing': 0.1}}, seeds=3)"


@pytest.fixture
def config(tmp_path):
    """Writes a config file with a sweep; returns its flag."""

    def write(sweep: str = LADDER, epochs: float = 2.0) -> str:
        (tmp_path / 'config.py').write_text(CONFIG.replace('SWEEP', sweep).replace('EPOCHS', str(epochs)))
        return f'--config={tmp_path / "config.py"}'

    return write


def start(*flags: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, 'launch/sweep.py', *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=child_environment(),
    )


def timeless(path) -> list[dict]:
    rows = table.read(path / 'results.csv')
    return [{column: value for column, value in row.items() if column not in table.TIMES} for row in rows]


def finished(path) -> int:
    return len(list(path.glob('trials/*/*/result.json')))


def wait_for(path, count: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while finished(path) < count:
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.01)


def test_killed_at_random_and_started_again(config, tmp_path):
    """The same results.csv, times aside, as of a sweep that nobody killed, whatever the number of processes."""
    flag = config(epochs=40.0)
    whole = start(flag, f'--workdir={tmp_path}/whole')
    _, wrong = whole.communicate(timeout=300)
    assert whole.returncode == 0, wrong
    draw = np.random.default_rng()
    for count in sorted(draw.choice(np.arange(1, 11), 2, replace=False)):
        killed = start(flag, f'--workdir={tmp_path}/killed')
        wait_for(tmp_path / 'killed', int(count), killed)
        time.sleep(draw.uniform(0, 0.1))
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    assert finished(tmp_path / 'killed') < 12
    again = start(flag, f'--workdir={tmp_path}/killed', '--processes=1')
    told, wrong = again.communicate(timeout=300)
    assert again.returncode == 0, wrong
    assert 'trials are done already' in told
    assert timeless(tmp_path / 'killed') == timeless(tmp_path / 'whole')
    assert len(timeless(tmp_path / 'whole')) == 12
    summaries = [json.loads((tmp_path / name / 'summary.json').read_text()) for name in ('killed', 'whole')]
    assert summaries[0]['variants'] == summaries[1]['variants']


def test_workers_end_with_the_sweep(config, tmp_path):
    """Killed as it is, it cannot end them: they see that nobody listens any more."""
    killed = start(config(epochs=5000.0), f'--workdir={tmp_path}/killed')
    wait_for(tmp_path / 'killed', 0, killed)
    mark = str(tmp_path / 'killed')

    def workers() -> list[str]:
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/cmdline') as file, open(f'/proc/{pid}/stat') as state:
                    if 'sweeps.engines.worker' in file.read() and state.read().split()[3] == str(killed.pid):
                        found.append(pid)
            except OSError:
                continue
        return found

    until = time.monotonic() + 60
    while not (pids := workers()):
        assert time.monotonic() < until, mark
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    until = time.monotonic() + 20
    while any(os.path.exists(f'/proc/{pid}') for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_stopped_with_a_partial_report(number, config, tmp_path):
    flag = config(epochs=40.0)
    stopped = start(flag, f'--workdir={tmp_path}/sweep')
    wait_for(tmp_path / 'sweep', 2, stopped)
    stopped.send_signal(number)
    _, wrong = stopped.communicate(timeout=120)
    assert stopped.returncode == 128 + number
    assert wrong.startswith('stopped after ') and 'to go on: ' in wrong and wrong.count('\n') == 1, wrong
    summary = json.loads((tmp_path / 'sweep' / 'summary.json').read_text())
    assert 2 <= summary['trials']['done'] < 12
    assert summary['trials']['done'] + summary['trials']['missing'] == 12
    assert sum(variant['n'] for variant in summary['variants'].values()) == summary['trials']['done']
    assert (tmp_path / 'sweep' / 'report.html').exists()
    assert [row['status'] for row in timeless(tmp_path / 'sweep')].count('missing') == summary['trials']['missing']


@pytest.fixture(scope='module')
def ladder(tmp_path_factory):
    """The workdir of a finished sweep, and what it printed."""
    folder = tmp_path_factory.mktemp('ladder')
    (folder / 'config.py').write_text(CONFIG.replace('SWEEP', LADDER).replace('EPOCHS', '2.0'))
    done = start(f'--config={folder / "config.py"}', f'--workdir={folder}/sweep')
    told, wrong = done.communicate(timeout=300)
    assert done.returncode == 0, wrong
    assert wrong == ''
    return folder / 'sweep', told


def test_records(ladder):
    path, told = ladder
    summary = json.loads((path / 'summary.json').read_text())
    assert list(summary['variants']) == ['baseline', '+ decay', '+ smoothing', 'all']
    for name, variant in summary['variants'].items():
        assert {'n', 'mean', 'ci95', 'gap', 'difference'} <= variant.keys()
        assert variant['n'] == 3
        if name == summary['baseline']:
            assert variant['difference'] is None
        else:
            assert {'mean', 'ci95', 'p_holm', 'p_improvement'} <= variant['difference'].keys()
        assert f'{100 * variant["mean"]:.2f} [' in told
    rows = table.read(path / 'results.csv')
    assert len(rows) == 12
    assert [row['optim.weight_decay'] for row in rows[::3]] == [0.0, 0.1, 0.0, 0.1]
    assert [row['loss.label_smoothing'] for row in rows[::3]] == [0.0, 0.0, 0.1, 0.1]
    for row in rows:
        result = json.loads((path / 'trials' / FOLDERS[row['variant']] / f'seed-{row["seed"]}/result.json').read_text())
        assert row['test_accuracy'] == result['splits']['test']['accuracy']['value']
        assert row['gap'] == pytest.approx(row['test_error'] - row['train_error'])
        assert row['status'] == 'done'
    values = {name: [row['test_accuracy'] for row in rows if row['variant'] == name] for name in FOLDERS}
    for name, variant in summary['variants'].items():
        assert variant['mean'] == pytest.approx(np.mean(values[name]))
        if name != 'baseline':
            expected = np.subtract(values[name], values['baseline']).mean()
            assert variant['difference']['mean'] == pytest.approx(expected)
    assert 'sweep: 12/12 trials' in told and 'ETA 0:00' in told
    trial = path / 'trials/baseline/seed-0'
    assert sorted(file.name for file in trial.iterdir()) == [
        '.lock',
        'config.json',
        'environment.json',
        'metrics.jsonl',
        'result.json',
    ]


FOLDERS = {'baseline': 'baseline', '+ decay': 'decay', '+ smoothing': 'smoothing', 'all': 'all'}


def test_more_seeds_later(ladder, config, launch, tmp_path):
    """They are added; what was trained stays, and another sweep is refused."""
    import shutil

    shutil.copytree(ladder[0], tmp_path / 'sweep')
    more = launch('sweep.py', config(), f'--workdir={tmp_path}/sweep', '--seeds=4')
    assert more.returncode == 0, more.stderr
    assert 'sweep: 12 of 16 trials are done already' in more.stdout
    other = launch('sweep.py', config(), f'--workdir={tmp_path}/sweep', '--config.train.epochs=3.0')
    assert other.returncode == 2
    assert 'belongs to another config: settings.train.epochs (2.0 there, 3.0 now)' in other.stderr
    assert other.stderr.count('\n') == 1


def test_reproduce_a_sweep(ladder, launch, tmp_path):
    again = launch('sweep.py', f'--reproduce={ladder[0]}', f'--workdir={tmp_path}/again')
    assert again.returncode == 0, again.stderr
    same = 'Versions, code, data and machine are those of the record.'
    assert (
        again.stdout.startswith(same) and again.stdout.count(same) == 2
    )  # Before anything is trained, and at the end.
    assert 'Every bit came back of all 12 runs' in again.stdout
    assert timeless(tmp_path / 'again') == timeless(ladder[0])


def test_a_reproduction_sees_no_results(ladder, launch, tmp_path):
    """Found by a review: into a finished workdir, it compared without running anything."""
    for into in (ladder[0], ladder[0] / 'trials/all/seed-1'):
        wrong = launch('sweep.py', f'--reproduce={ladder[0]}/trials/all/seed-1', f'--workdir={into}')
        assert wrong.returncode == 2
        assert 'has results already, which a reproduction must not see' in wrong.stderr


def test_reproduce_a_trial_whose_record_was_changed(ladder, launch, tmp_path):
    """What has changed is named first, then what did not come back."""
    import shutil

    trial = tmp_path / 'trial'
    shutil.copytree(ladder[0] / 'trials/all/seed-1', trial)
    same = launch('sweep.py', f'--reproduce={trial}')
    assert same.returncode == 0, same.stderr
    assert 'Every bit came back of the run' in same.stdout
    environment = json.loads((trial / 'environment.json').read_text())
    environment['versions']['jax'] = '0.1.2'
    environment['dataset']['fingerprint'] = 'other'
    (trial / 'environment.json').write_text(json.dumps(environment))
    result = json.loads((trial / 'result.json').read_text())
    result['splits']['test']['accuracy'] = {'value': 0.001, 'ci95': [0.0, 0.002]}
    (trial / 'result.json').write_text(json.dumps(result))
    other = launch('sweep.py', f'--reproduce={trial}', f'--workdir={tmp_path}/other')
    assert other.returncode == 1
    lines = other.stdout.strip().splitlines()
    starts = [i for i, line in enumerate(lines) if line == 'Since the record was made, this has changed:']
    assert len(starts) == 2 and starts[0] == 0  # Before it is trained, and with what came back.
    for first in starts:
        assert lines[first + 1].startswith('  jax was 0.1.2, is 0.')
        assert lines[first + 2].startswith('  data fingerprint: was other, is ')
    after = lines[starts[1] + 3 :]
    assert after[0].startswith('Of 1 run, none came back to the bit.')
    assert after[1] == 'Outside of their recorded intervals, by run:'
    assert 'test accuracy is 0.' in after[2] and 'was 0.0010 [0.0000, 0.0020]' in after[2]


def test_a_config_without_a_sweep_is_swept_over_seeds(launch, tmp_path):
    """A distillation against the same student alone."""
    flags = (
        *('--config=configs/distill.py', '--seeds=2', '--config.train.epochs=2.0', '--config.train.eval_every=6'),
        *('--config.teacher.members=1', '--config.teacher.train.epochs=1.0', '--config.teacher.model.name=linear'),
        *('--config.model.name=linear', f'--workdir={tmp_path}'),
    )
    done = launch('sweep.py', *flags)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert list(summary['variants']) == ['student alone', 'student distilled']
    assert summary['baseline'] == 'student alone'
    assert len(summary['teachers']) == 1
    results = [json.loads(path.read_text()) for path in sorted(tmp_path.glob('trials/student-distilled/*/result.json'))]
    assert {result['teacher']['hash'] for result in results} == set(summary['teachers'].values())
    assert not any('alone' in result for result in results)
    assert 'teacher: step' in done.stdout and done.stdout.count('teacher: step') <= 10


@pytest.mark.parametrize(
    ('sweep', 'flags', 'words'),
    [
        ("designs.seeds({'a': {'model.widht': 2.0}})", (), "variant 'a': config.model.widht is unknown"),
        ("designs.grid({'model.width': ()})", (), 'the grid is empty: model.width has no values'),
        ("designs.folds(41, {'a': {}})", (), 'data.folds=41 is more than the'),
        ('1 / 0', (), 'get_sweep() of'),
        ('None', (), 'returned a NoneType, not a sweep'),
        (LADDER, ('--engine=slurm', '--slurm.partition=gpu'), 'finds no SLURM here'),
        (LADDER, ('--reproduce=nowhere',), 'leave out --config and --seeds'),
    ],
)
def test_mistakes_are_one_line_before_any_trial(sweep, flags, words, config, launch, tmp_path):
    wrong = launch('sweep.py', config(sweep), f'--workdir={tmp_path}/sweep', *flags)
    assert wrong.returncode == 2
    assert words in wrong.stderr and wrong.stderr.startswith('error: ')
    assert wrong.stderr.count('\n') == 1
    assert wrong.stdout == ''
    assert not list((tmp_path / 'sweep').glob('trials/*/*/result.json'))


def test_reproduce_what_is_not_there(launch, tmp_path):
    wrong = launch('sweep.py', f'--reproduce={tmp_path}/nowhere')
    assert wrong.returncode == 2
    assert 'is not a finished run: it has no result.json' in wrong.stderr

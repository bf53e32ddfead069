"""A run that was killed and resumed has the same bits as one that never was, with every regulariser on."""

import io
import json
import os
import pathlib
import random
import shlex
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxvision import assembly, runs
from jaxvision.errors import Stopped
from jaxvision.settings import defaults, resolve
from jaxvision.training.checkpoints import Checkpoints
from jaxvision.training.records import Workdir

from .conftest import ROOT, child_environment

EVERYTHING = [
    '--config=configs/classify.py',
    '--config.data.name=generated',
    '--config.data.generated_examples=200',
    '--config.data.batch_size=30',
    '--config.model.filters=(4, 8)',
    '--config.model.convs=1',
    '--config.model.dense=(8,)',
    '--config.model.norm=batch',
    '--config.model.width=0.5',
    '--config.model.dropout=0.2',
    '--config.augment.mirror=True',
    '--config.augment.crop=1',
    '--config.augment.rotate=15.0',
    '--config.augment.mixup=0.4',
    '--config.loss.label_smoothing=0.1',
    '--config.optim.weight_decay=0.001',
    '--config.optim.ema=0.9',
    '--config.optim.clip=1.0',
    '--config.distill.weight=0.5',
    '--config.distill.compare_alone=False',
    '--config.teacher.model.filters=(4,)',
    '--config.teacher.train.epochs=0.2',
    '--config.teacher.data.batch_size=30',
    '--config.train.epochs=70.0',
    '--config.train.eval_every=97',
    '--config.train.checkpoint_every=41',
]


def start(workdir: pathlib.Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, 'launch/train.py', *EVERYTHING, f'--workdir={workdir}'],
        cwd=ROOT,
        env=child_environment(2),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(workdir: pathlib.Path) -> None:
    process = start(workdir)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def saved(workdir: pathlib.Path) -> list[int]:
    folder = workdir / 'checkpoints'
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.exists() else []


def leaves(workdir: pathlib.Path, step: int):
    path = workdir / 'checkpoints' / str(step) / 'state'
    tree = ocp.StandardCheckpointer().restore(path)
    return {jax.tree_util.keystr(key): np.asarray(leaf) for key, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def lines(workdir: pathlib.Path):
    records = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != 'examples_per_second'} for record in records]


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('unbroken') / 'run'
    finish(workdir)
    return workdir


def wait_for_checkpoint(process: subprocess.Popen, workdir: pathlib.Path, at_least: int) -> None:
    deadline = time.monotonic() + 200
    while not saved(workdir) or saved(workdir)[-1] < at_least:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, 'no checkpoint'
        time.sleep(0.002)


def assert_same(workdir: pathlib.Path, other: pathlib.Path) -> None:
    step = saved(other)[-1]
    mine, theirs = leaves(workdir, step), leaves(other, step)
    assert mine.keys() == theirs.keys()
    assert any('average' in name for name in mine)
    assert any('opt_state' in name for name in mine)
    for name, leaf in mine.items():
        assert leaf.tobytes() == theirs[name].tobytes(), name
    assert lines(workdir) == lines(other)
    results = [json.loads((path / 'result.json').read_text()) for path in (workdir, other)]
    for name in results[0].keys() - {'seconds', 'examples_per_second'}:
        assert results[0][name] == results[1][name], name
    assert results[0].keys() == results[1].keys()


def test_killed_at_random_and_resumed_is_the_same_bits(unbroken, tmp_path):
    workdir, draw = tmp_path / 'run', random.Random()
    steps = saved(unbroken)[-1]
    for at_least in sorted(draw.sample(range(1, steps * 2 // 3), 2)):
        process = start(workdir)
        wait_for_checkpoint(process, workdir, at_least)
        time.sleep(draw.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert not (workdir / 'result.json').exists()
    finish(workdir)
    assert_same(workdir, unbroken)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_names_the_command(unbroken, tmp_path, number):
    workdir = tmp_path / 'run'
    process = start(workdir)
    wait_for_checkpoint(process, workdir, 1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    last = errors.strip().splitlines()[-1]
    assert 'stopped at step' in last
    command = shlex.split(last.split('to go on: ')[1])
    assert command == [sys.executable, 'launch/train.py', *EVERYTHING, f'--workdir={workdir}']
    assert f'stopped at step {saved(workdir)[-1]} of' in last
    if number == signal.SIGTERM:
        finish(workdir)
        assert_same(workdir, unbroken)


def test_another_process_is_kept_out(unbroken, tmp_path):
    workdir = tmp_path / 'run'
    process = start(workdir)
    wait_for_checkpoint(process, workdir, 1)
    second = start(workdir)
    _, errors = second.communicate(timeout=60)
    process.kill()
    process.communicate()
    assert second.returncode == 2
    assert errors == f'error: another process is training in workdir {workdir}\n'


def test_a_finished_run_is_not_trained_again(unbroken):
    before = {path: os.stat(path).st_mtime_ns for path in unbroken.rglob('*') if path.is_file()}
    finish(unbroken)
    assert {path: os.stat(path).st_mtime_ns for path in unbroken.rglob('*') if path.is_file()} == before


def test_checkpoints_kept_are_the_newest_two_and_the_best(unbroken):
    best = json.loads((unbroken / 'result.json').read_text())['best']['step']
    steps = saved(unbroken)
    assert best in steps
    assert len(steps) <= 3
    records = lines(unbroken)
    top = max(records, key=lambda r: (r['validation_accuracy'], -r['validation_nll'], r['step']))
    assert top['step'] == best


def test_a_detector_that_was_stopped_and_resumed_is_the_same_bits(tmp_path, monkeypatch):
    """Mosaic, mixup, dropout and the moving average included; all in this process, which spares the starts."""
    config = defaults()
    config.update_from_flattened_dict(
        {
            'task': 'detect',
            'devices': 1,
            'data.name': 'generated_objects',
            'data.generated_shape': (16, 16, 3),
            'data.generated_classes': 3,
            'data.generated_examples': 60,
            'data.batch_size': 8,
            'model.filters': (4,),
            'model.norm': 'batch',
            'model.dropout': 0.2,
            'model.levels': 1,
            'model.features': 4,
            'model.head_convs': 1,
            'augment.mosaic': 0.5,
            'augment.mixup': 0.5,
            'optim.name': 'adamw',
            'optim.weight_decay': 0.01,
            'optim.ema': 0.9,
            'train.epochs': 2.0,
            'train.eval_every': 4,
            'train.checkpoint_every': 3,
        }
    )
    run, save = assembly.assemble(resolve(config)), Checkpoints.save
    unbroken, stopped = Workdir(tmp_path / 'unbroken'), Workdir(tmp_path / 'stopped')
    runs.train(run, unbroken, stream=io.StringIO())

    def asked_to_stop(checkpoints, step, state, meta):
        save(checkpoints, step, state, meta)
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, 'save', asked_to_stop)
        with pytest.raises(Stopped, match='stopped at step 3 of'):
            runs.train(run, stopped, stream=io.StringIO())
    assert not stopped.complete
    runs.train(run, stopped, stream=io.StringIO())
    assert_same(stopped.path, unbroken.path)

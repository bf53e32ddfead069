"""The first start prepares its set in another process, and compiles meanwhile what it will call."""

import contextlib
import shutil

import jax
import pytest

from jaxvision import assembly, beforehand, experiment, interpreters, meanwhile, settings
from jaxvision.data import blank, prepared
from jaxvision.errors import UserError
from jaxvision.training import allocator, programs

CHANGES = {'model.filters': (3,), 'model.dense': (), 'data.batch_size': 8, 'train.epochs': 0.02, 'devices': 2}


@pytest.fixture(autouse=True)
def nothing_compiled():
    programs.programs.cache_clear()


@pytest.fixture
def chosen(tmp_path):
    """Settings of the digits, in a folder that has none."""
    return settings.override(settings.Settings(), {**CHANGES, 'data.data_dir': str(tmp_path / 'data')})


@pytest.fixture
def others(monkeypatch):
    """The modules that other processes were started for; none is."""
    started = []

    class Other(contextlib.nullcontext):
        def __init__(self, module, *arguments):
            super().__init__()
            started.append((module, *arguments))

        def wait(self): ...

        def terminate(self): ...

    monkeypatch.setattr(interpreters, 'start', Other)
    return started


def test_both_are_done(chosen, caplog):
    meanwhile.prepare(chosen)
    data = chosen.data
    assert not prepared.unprepared(data.name, data.data_dir)
    real = assembly.assemble(chosen)
    steps = real.plan.in_one_call(0)
    assert real.programs.compiled(steps)
    ids, key = real.plan.feed(real.splits.train, 0, real.parallel)[1], real.parallel.replicate(jax.random.key(0))
    with jax.log_compiles():
        real.programs.train(steps)(real.begin(steps), real.context(), ids, key)
    assert 'Compiling' not in caplog.text


def test_the_state_is_that_of_the_real_data(chosen):
    meanwhile.prepare(chosen)
    run = assembly.assemble(chosen)
    mean = jax.device_get(run.begin(run.plan.in_one_call(0)).variables['constants']['mean'])
    assert mean == pytest.approx(run.source.images[run.splits.train].mean() / 255, rel=1e-5)


@pytest.mark.parametrize(
    'changes',
    [
        {'data.full_batch': True, 'devices': 1},
        {'data.batch_size': 8, 'data.folds': 10, 'data.fold': 3},
        {'data.folds': 7, 'data.train_fraction': 0.13},
        {'data.name': 'uci_digits:1.0.0', 'data.image_size': 12, 'augment.mirror': True, 'augment.alternate': True},
        {'task': 'localize', 'data.batch_size': 4, 'data.name': 'digit_scenes/localization'},
        {'task': 'detect', 'data.batch_size': 4, 'data.name': 'digit_scenes/detection', 'data.image_size': 32},
        {'parallel': 'shard_map'},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_programs_are_those_of_the_real_data(changes, few_scenes, tmp_path):
    where = {'model.filters': (3, 3), 'data.data_dir': str(tmp_path), 'devices': 2}
    chosen = settings.override(settings.Settings(), {**where, **changes})
    real = assembly.assemble(chosen)
    unreal = assembly.assemble(chosen, source=blank.source(chosen.data.name, chosen.data.image_size))
    assert (unreal.task, unreal.optimizer, unreal.plan) == (real.task, real.optimizer, real.plan)
    assert unreal.programs is real.programs
    steps = real.plan.in_one_call(0)
    assert str(unreal.described(calls=steps)) == str(real.described(calls=steps))


def test_of_a_distillation_the_teacher(others, tmp_path):
    changes = {
        'distill.weight': 0.5,
        'teacher.model.filters': (5,),
        'teacher.model.dense': (),
        'data.data_dir': str(tmp_path),
    }
    chosen = settings.override(settings.Settings(), {**CHANGES, **changes})
    meanwhile.prepare(chosen)
    assert others == [('jaxvision.data.prepared', 'uci_digits', str(tmp_path), '0')]
    run = assembly.assemble(chosen.teacher_member(0))
    assert run.programs.compiled(run.plan.in_one_call(0))
    alone = assembly.assemble(chosen.alone())
    assert not alone.programs.compiled(alone.plan.in_one_call(0))


@pytest.mark.parametrize('why', ['there', 'generated'])
def test_it_is_left_alone(why, chosen, others):
    if why == 'there':
        assembly.load_data(chosen.data)
    elif why == 'generated':
        chosen = settings.override(chosen, {'data.name': 'generated'})
    meanwhile.prepare(chosen)
    assert not others


def test_for_a_result_that_is_there_nothing_is_compiled(chosen, others, monkeypatch, tmp_path):
    path = str(tmp_path / 'run')
    first = experiment.run(chosen, path)
    shutil.rmtree(tmp_path / 'data')
    others.clear()
    monkeypatch.setattr(assembly.Run, 'begin', lambda *args: pytest.fail('compiled'))
    assert experiment.run(chosen, path) == first
    assert len(others) == 1


def test_a_long_run_does_not_compile_in_this_process(chosen, others, monkeypatch):
    monkeypatch.setattr(allocator, '_shared', True)
    monkeypatch.setattr(beforehand, 'PAYS_FROM', 0.0)
    monkeypatch.setattr(assembly.Run, 'begin', lambda *args: pytest.fail('compiled'))
    meanwhile.prepare(chosen)
    assert len(others) == 1


def test_nor_under_a_given_teacher(chosen, others, monkeypatch, tmp_path):
    monkeypatch.setattr(assembly.Run, 'begin', lambda *args: pytest.fail('compiled'))
    meanwhile.prepare(settings.override(chosen, {'distill.weight': 0.5, 'teacher.workdir': str(tmp_path)}))
    assert len(others) == 1


def test_what_is_wrong_is_told_by_the_experiment(chosen, tmp_path, capfd):
    (tmp_path / 'data').write_text('no folder')
    meanwhile.prepare(chosen)
    assert capfd.readouterr() == ('', '')
    with pytest.raises(UserError, match='cannot write the dataset uci_digits'):
        assembly.load_data(chosen.data)


def test_what_the_shape_tells_is_told_at_once(chosen, tmp_path, others):
    large = settings.override(chosen, {'data.batch_size': 5000})
    with pytest.raises(UserError, match='^data.batch_size is 5000, but the train split has only 1294 examples'):
        experiment.run(large, str(tmp_path / 'run'))
    assert len(others) == 1 and not any((tmp_path / 'run').iterdir())
    changes = {'distill.weight': 0.5, 'teacher.data.batch_size': 5000}
    with pytest.raises(UserError, match='^the teacher cannot be trained: data.batch_size is 5000'):
        meanwhile.prepare(settings.override(chosen, changes))

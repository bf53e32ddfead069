"""Engines: stacked trials equal separate ones, a worker serves many trials, and one that fails or dies costs itself."""

import contextlib
import csv
import io
import signal
import time

import pytest
import submitit

from jaxvision import settings
from jaxvision.errors import Stopped, UserError
from jaxvision.sweeps import designs, reproduce, runner, table, trials
from jaxvision.sweeps.engines import processes, slurm
from jaxvision.sweeps.reports import entries
from jaxvision.training import parallel, stack
from jaxvision.training.records import Workdir


def tiny(**changes) -> settings.Settings:
    """A classifier of generated images that trains in no time."""
    config = settings.defaults()
    config.data.update({'name': 'generated', 'generated_examples': 120, 'batch_size': 20})
    config.data.update({'generated_shape': (6, 6, 1), 'generated_classes': 3})
    config.model.update({'filters': (4,), 'dense': (8,), 'norm': 'batch'})
    config.optim.update({'name': 'adam', 'lr': 0.01})
    config.train.update({'epochs': 2.0, 'eval_every': 4})
    return settings.override(settings.resolve(config), changes)


def rows(path) -> list[dict]:
    return table.read(path / 'results.csv')


def stacked(sweep, path, base) -> list[dict]:
    runner.run(base, sweep, str(path), 'stacked', stream=io.StringIO())
    return rows(path)


def one_by_one(some, root, stop):
    """An engine: each trial by itself, in this process."""
    for trial in trials.waiting(some):
        trials.perform(trial)
        yield trial


def separate(sweep, path, base) -> list[dict]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(runner.ENGINES, 'separate', one_by_one)
        runner.run(base, sweep, str(path), 'separate', stream=io.StringIO())
    return rows(path)


STRENGTHS = {
    'model.dropout': (0.1, 0.3),
    'optim.weight_decay': (0.01, 0.1),
}
EVERYTHING = {
    'augment.mixup': 0.5,
    'augment.rotate': 10.0,
    'loss.label_smoothing': 0.1,
    'optim.ema': 0.9,
    'distill.weight': 0.5,
    'teacher.train.epochs': 1.0,
    'teacher.data.batch_size': 20,
    'teacher.model.filters': (4,),
    'devices': 1,
}


@pytest.mark.parametrize('kind', ['grid', 'folds'])
def test_stacked_trials_equal_separate_ones(kind, tmp_path):
    """Seeds, folds and traced strengths of one program, with batch norm, mixup, an average and a teacher."""
    base, sweep = tiny(**EVERYTHING), designs.grid(STRENGTHS, seeds=2)
    if kind == 'folds':
        base = tiny(devices=1)  # Each fold would want a teacher of its own.
        sweep = designs.folds(3, {f'smoothing {v}': {'loss.label_smoothing': v} for v in (0.1, 0.2)})
    one, other = stacked(sweep, tmp_path / 'stacked', base), separate(sweep, tmp_path / 'separate', base)
    assert len(one) == len(other) == (8 if kind == 'grid' else 6)
    for first, second in zip(one, other, strict=True):
        assert first['status'] == second['status'] == table.DONE, first['failure'] or second['failure']
        for column in first.keys() - {*table.TIMES, 'hash'}:
            close = pytest.approx(second[column], rel=1e-3, abs=1e-6) if isinstance(second[column], float) else None
            assert first[column] == (second[column] if close is None else close), column
    assert len({row['test_nll'] for row in one}) == len(one)
    for path in (tmp_path / 'stacked').glob('trials/*/*'):
        mine, theirs = (
            Workdir(place) for place in (path, tmp_path / 'separate' / path.relative_to(tmp_path / 'stacked'))
        )
        assert mine.read('config.json') == theirs.read('config.json')
        assert [one.read('environment.json')['convolution'] for one in (mine, theirs)] == ['im2col', 'winograd']
        for record, expected in zip(mine.metrics(), theirs.metrics(), strict=True):
            assert record.keys() == expected.keys()
            for name in record.keys() - {'examples_per_second'}:
                assert record[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-6), name


def test_stacked_trials_record_the_one_device_that_they_use(tmp_path):
    stacked(designs.seeds({'plain': {}}, seeds=2), tmp_path, tiny())
    places = [Workdir(place) for place in tmp_path.glob('trials/*/*')]
    assert [place.read('environment.json')['devices'] for place in places] == [['cpu:0']] * 2


def test_compiling_a_stack_is_not_in_its_speed(monkeypatch, tmp_path):
    train, slow = stack.Stack.train, 2.0

    def compiling(self, steps, called=set()):  # noqa: B006
        program = train(self, steps)
        if steps not in called:
            called.add(steps)
            time.sleep(slow)
        return program

    monkeypatch.setattr(stack.Stack, 'train', compiling)
    stacked(designs.seeds({'plain': {}}, seeds=2), tmp_path, tiny(**{'train.epochs': 6.0}))
    for row in rows(tmp_path):
        share = row['examples_per_second'] / 2  # Of the two, which train at once.
        assert 0 < (row['steps'] - 1) * 20 / share < slow < 2 * row['seconds']


def test_a_stack_is_not_refused_for_devices_that_it_does_not_use(monkeypatch, tmp_path):
    """On accelerators a batch was, which not all of them could share."""

    def refuse(*args):
        raise UserError('devices cannot share evenly')

    monkeypatch.setattr(parallel, 'pick_devices', refuse)
    with pytest.raises(UserError, match='config.devices is 2, but stacked trials share one'):
        stacked(designs.seeds({'plain': {}}, seeds=2), tmp_path, tiny(devices=2))
    assert {row['status'] for row in stacked(designs.seeds({'plain': {}}, seeds=2), tmp_path, tiny())} == {'done'}


def run(engine: str, path, base, sweep, **options) -> tuple[dict, str]:
    """summary.json, and what was told meanwhile."""
    told = io.StringIO()
    summary = runner.run(base, sweep, str(path), engine, {engine: options}, stream=told)
    return summary, told.getvalue()


@pytest.fixture
def children(monkeypatch):
    """The processes that a test starts have one device each, and programs that compile quickly."""
    from ..conftest import child_environment

    monkeypatch.setenv('XLA_FLAGS', child_environment()['XLA_FLAGS'])


@pytest.mark.parametrize('engine', ['processes', 'slurm', 'stacked'])
def test_a_failing_trial_ends_no_other(engine, children, tmp_path):
    """Its error stands in the table, and it alone is tried again. SLURM is submitit's local stand-in."""
    sweep = designs.seeds({'plain': {}, 'diverges': {'optim.lr': 1e30, 'optim.name': 'sgd'}}, seeds=2)
    options = {'wanted': {'cluster': 'local'}} if engine == 'slurm' else {}
    summary, told = run(engine, tmp_path, tiny(), sweep, **options)
    assert summary['trials'] == {'done': 2, 'failed': 2, 'missing': 0}
    assert [row['status'] for row in rows(tmp_path)] == ['done', 'done', 'failed', 'failed']
    for row in rows(tmp_path)[2:]:
        assert 'lower optim.lr' in row['failure']
        assert row['optim.lr'] == 1e30
    assert 'diverges, seed 0 failed: the' in told
    assert summary['variants']['diverges']['n'] == 0
    assert summary['variants']['plain']['n'] == 2
    before = (tmp_path / 'trials/plain/seed-0/result.json').stat().st_mtime_ns
    again, _ = run(engine, tmp_path, tiny(), sweep, **options)
    assert again['trials'] == summary['trials']
    assert (tmp_path / 'trials/plain/seed-0/result.json').stat().st_mtime_ns == before


@pytest.mark.parametrize('engine', ['stacked', 'separate'])
def test_a_failure_is_written_before_others_may_begin(engine, monkeypatch, tmp_path):
    """It was after: another process could have begun, and the error was then left beside its result."""
    fail, alone = trials.fail, []

    def record(trial, error):
        with pytest.raises(UserError, match='another process is training'), trial.workdir.alone():
            pass
        alone.append(trial.seed)
        fail(trial, error)

    def break_down(trial):
        raise RuntimeError('no such teacher' + 10 * csv.field_size_limit() * '!')  # More than a table reads again.

    monkeypatch.setattr(trials, 'fail', record)
    monkeypatch.setattr(trials, 'restored', break_down)
    monkeypatch.setitem(runner.ENGINES, 'separate', one_by_one)
    summary, _ = run(engine, tmp_path, tiny(), designs.seeds({'plain': {}}, seeds=1))
    assert summary['trials']['failed'] == len(alone) == 1


def test_options_are_those_of_the_engine_that_runs(children, tmp_path):
    """Found when the speed-up was measured: the number of processes was not heard unless the engine was named, too."""
    sweep = designs.seeds({'plain': {}}, seeds=3)
    runner.run(tiny(), sweep, str(tmp_path), 'auto', {'processes': {'count': 1}}, stream=io.StringIO())
    assert [path.name for path in tmp_path.glob('worker-*.log')] == ['worker-0.log']
    with pytest.raises(UserError, match='options of the engine slurm, but the trials run by processes'):
        runner.run(tiny(), sweep, str(tmp_path), 'processes', {'slurm': {'wanted': {}}}, stream=io.StringIO())


def test_a_worker_that_dies_costs_its_trial(children, monkeypatch, tmp_path):
    """Killed in the middle, as the kernel does where memory ends."""
    (tmp_path / 'sitecustomize.py').write_text(
        'import os\n'
        'def _watch():\n'
        '    from jaxvision.sweeps import trials\n'
        '    before = trials.perform\n'
        '    trials.perform = lambda one: os.kill(os.getpid(), 9) if one.seed == 1 else before(one)\n'
        "if 'worker' in ' '.join(__import__('sys').orig_argv):\n"
        '    _watch()\n'
    )
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    sweep = designs.seeds({'plain': {}}, seeds=4)
    summary, told = run('processes', tmp_path / 'sweep', tiny(), sweep, count=2)
    assert summary['trials'] == {'done': 3, 'failed': 1, 'missing': 0}
    assert rows(tmp_path / 'sweep')[1]['failure'].startswith('its process was killed by SIGKILL; see worker-')
    assert 'plain, seed 1 failed' in told
    monkeypatch.delenv('PYTHONPATH')
    summary, _ = run('processes', tmp_path / 'sweep', tiny(), sweep, count=2)
    assert summary['trials']['done'] == 4
    assert not list((tmp_path / 'sweep').glob('trials/*/*/error.json'))


def test_a_worker_that_cannot_start_is_told(children, monkeypatch, tmp_path):
    (tmp_path / 'sitecustomize.py').write_text("import sys\nif 'worker' in ' '.join(sys.orig_argv): raise SystemExit\n")
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    with pytest.raises(UserError, match='a worker exited with 1 before it was ready; see .*worker-0.log'):
        run('processes', tmp_path / 'sweep', tiny(), designs.seeds({'plain': {}}, seeds=2), count=1)


def test_a_trial_that_ends_before_the_submission_does_is_told(monkeypatch, tmp_path):
    """Found by a review: the progress counted one too few."""

    class Ended:
        def done(self):
            return True

    class Executor:
        def __init__(self, **options):
            self.batch, self.update_parameters = contextlib.nullcontext, lambda **parameters: None

        def submit(self, job):
            job()
            return Ended()

    monkeypatch.setattr(submitit, 'AutoExecutor', Executor)
    monkeypatch.setattr(slurm.setup, 'process', lambda small: None)
    monkeypatch.setattr(slurm.suited, 'run', one_by_one)
    _, told = run('slurm', tmp_path, tiny(), designs.seeds({'plain': {}}, seeds=2), wanted={'cluster': 'local'})
    assert 'sweep: 2/2 trials' in told


def test_slurm_is_wanted_but_not_here(monkeypatch, tmp_path):
    """Told before anything is trained or claimed."""
    monkeypatch.setenv('PATH', str(tmp_path))
    sweep = designs.seeds({'plain': {}}, seeds=1)
    with pytest.raises(UserError, match='finds no SLURM here'):
        run('slurm', tmp_path / 'sweep', tiny(), sweep)
    with pytest.raises(UserError, match='--slurm.trials is 0, but must be at least 1'):
        run('slurm', tmp_path / 'sweep', tiny(), sweep, wanted={'cluster': 'local', 'trials': 0})
    assert not (tmp_path / 'sweep' / 'config.json').exists()


def test_a_process_has_one_device(tmp_path):
    with pytest.raises(UserError, match="variant 'plain': config.devices is 2, but each process of a sweep has one"):
        run('processes', tmp_path / 'sweep', tiny(devices=2), designs.seeds({'plain': {}}, seeds=1))
    assert not (tmp_path / 'sweep' / 'config.json').exists()


def test_a_member_that_cannot_begin_costs_itself(tmp_path):
    """Found by a review: a stack failed as a whole."""
    sweep = designs.seeds({'plain': {}}, seeds=4)
    other = tmp_path / 'trials/plain/seed-1'
    other.mkdir(parents=True)
    (other / 'config.json').write_text('{"seed": 77}')
    summary, _ = run('stacked', tmp_path, tiny(), sweep)
    assert [row['status'] for row in rows(tmp_path)] == ['done', 'failed', 'done', 'done']
    assert 'belongs to another config' in rows(tmp_path)[1]['failure']
    assert summary['trials'] == {'done': 3, 'failed': 1, 'missing': 0}


def test_a_result_that_cannot_be_read_is_made_again(tmp_path):
    sweep = designs.seeds({'plain': {}}, seeds=2)
    run('stacked', tmp_path, tiny(), sweep)
    before = rows(tmp_path)
    (tmp_path / 'trials/plain/seed-1/result.json').write_text('{"task": "cla')
    run('stacked', tmp_path, tiny(), sweep)
    for row in (*before, *rows(tmp_path)):
        row.update(dict.fromkeys(table.TIMES))
    assert rows(tmp_path)[1]['status'] == 'done'
    assert [row['hash'] for row in rows(tmp_path)] == [row['hash'] for row in before]


def test_flags_of_a_worker():
    """Small trials' programs compile quickly, unless the user has said how they should; large ones' run quickly."""
    assert processes.xla_flags('', small=True) == processes.LEVEL
    assert processes.xla_flags('--a=b', small=True) == f'--a=b {processes.LEVEL}'
    assert processes.xla_flags('--xla_backend_optimization_level=3', small=True) == '--xla_backend_optimization_level=3'
    assert processes.xla_flags('--a=b', small=False) == '--a=b'


def stopped(some, root, stop):
    """An engine: after its first trial it is asked to stop."""
    yield next(one_by_one(some, root, stop))
    raise Stopped('stopped', signal.SIGTERM)


def test_trials_that_ended_after_the_summary_are_reported(monkeypatch, tmp_path):
    """A sweep that was stopped, went on and was killed was reported as it had been when it was stopped."""
    monkeypatch.setitem(runner.ENGINES, 'stopped', stopped)
    with pytest.raises(Stopped):
        runner.run(tiny(), designs.seeds({'plain': {}}, seeds=2), str(tmp_path), 'stopped', stream=io.StringIO())
    assert Workdir(tmp_path).read('summary.json')['trials'] == {'done': 1, 'failed': 0, 'missing': 1}
    base, sweep = runner.stored(Workdir(tmp_path))
    list(one_by_one(trials.check(trials.expand(base, sweep, tmp_path)), tmp_path, None))
    assert entries.concluded(str(tmp_path)).read('summary.json')['trials'] == {'done': 2, 'failed': 0, 'missing': 0}


def test_a_reproduction_goes_on_where_it_was_stopped(monkeypatch, tmp_path):
    """The command that it told for that was refused."""
    monkeypatch.setitem(runner.ENGINES, 'separate', one_by_one)
    monkeypatch.setitem(runner.ENGINES, 'stopped', stopped)
    for name in ('one', 'other'):
        runner.run(tiny(), designs.seeds({name: {}}, seeds=2), str(tmp_path / name), 'separate', stream=io.StringIO())

    def again(name: str, engine: str):
        return reproduce.run(str(tmp_path / name), str(tmp_path / 'again'), engine, stream=io.StringIO())

    with pytest.raises(Stopped):
        again('one', 'stopped')
    with pytest.raises(UserError, match='has results already'):
        again('other', 'separate')
    assert again('one', 'separate').held
    with pytest.raises(UserError, match='has results already'):
        again('one', 'separate')


def test_one_run_is_reproduced_by_no_engine(monkeypatch, tmp_path):
    """What was said of engines was not heard."""
    monkeypatch.setitem(runner.ENGINES, 'separate', one_by_one)
    runner.run(tiny(), designs.seeds({'a': {}}, seeds=1), str(tmp_path / 'a'), 'separate', stream=io.StringIO())
    run = str(tmp_path / 'a' / 'trials' / 'a' / 'seed-0')
    for more in ({'engine': 'stacked'}, {'options': {'processes': {'count': 1}}}):
        with pytest.raises(UserError, match='is one run, not a sweep'):
            reproduce.run(run, str(tmp_path / 'again'), stream=io.StringIO(), **more)

"""The loop: what happens when, and how it is told."""

import dataclasses
import io
import os
import signal
import time

import pytest
from tensorboardX.proto import event_pb2

from jaxvision import assembly, runs, settings
from jaxvision.errors import Stopped
from jaxvision.training import evaluation, loop, progress
from jaxvision.training.checkpoints import Checkpoints
from jaxvision.training.clock import typical_rate
from jaxvision.training.records import Workdir


@pytest.mark.parametrize(
    ('step', 'expected'), [(0, 4), (3, 4), (4, 8), (8, 10), (9, 10), (10, 12), (18, 20), (20, 23), (22, 23)]
)
def test_next_event(step, expected):
    plan = loop.Plan(steps=23, batch_size=1, seed=0, eval_every=10, checkpoint_every=4)
    assert plan.next_event(step) == expected


@pytest.mark.parametrize(('step', 'expected'), [(0, 3), (3, 1), (4, 3), (7, 1), (8, 1), (20, 3), (21, 1)])
def test_a_call_runs_past_no_event(step, expected):
    plan = loop.Plan(steps=23, batch_size=1, seed=0, eval_every=10, checkpoint_every=4, steps_per_call=3)
    assert plan.in_one_call(step) == expected


def test_progress_is_one_plain_line_an_evaluation_where_nobody_watches():
    stream = io.StringIO()
    told = progress.Progress('student', 100, 0, stream)
    told.advance(10, 0.5, 1000.0)
    assert stream.getvalue() == ''
    record = {
        'step': 10,
        'loss': 0.51234,
        'train_accuracy': 0.9,
        'validation_accuracy': 0.875,
        'examples_per_second': 1234.5,
    }
    told.evaluated(record, 12.4)
    told.close()
    assert stream.getvalue() == (
        'student: step 10/100, loss 0.5123, clean train 90.0%, validation 87.5%, 1,234 images/s, ETA 12 s\n'
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_on_a_terminal():
    stream = Terminal()
    told = progress.Progress('student', 100, 20, stream)
    told.advance(60, 0.5, 1000.0)
    record = {'step': 60, 'loss': 0.5, 'train_accuracy': 0.9, 'validation_accuracy': 0.875, 'examples_per_second': 1.0}
    told.evaluated(record, 1.0)
    told.close()
    shown = stream.getvalue().split('\r')[-1]
    for word in ('student', '60/100', 'loss=0.5000', 'images/s=1,000', 'validation=87.5%'):
        assert word in shown


def test_many_steps_in_one_call_tell_the_same_story(tmp_path):
    """On an accelerator the loop calls several steps at once; records and events fall on the same steps as before."""
    config = settings.defaults()
    config.data.update({'name': 'generated', 'generated_examples': 100, 'batch_size': 20})
    config.model.update({'filters': (4,), 'dense': (8,), 'norm': 'batch'})
    config.train.update({'epochs': 6.0, 'eval_every': 8, 'checkpoint_every': 5})
    config.devices = 2
    run = assembly.assemble(settings.resolve(config))
    stories = []
    for count in (1, 3):
        plan = dataclasses.replace(run.plan, steps_per_call=count)
        workdir = Workdir(tmp_path / str(count))
        runs.train(dataclasses.replace(run, plan=plan), workdir, stream=io.StringIO())
        stories.append(workdir.metrics())
    assert [record['step'] for record in stories[0]] == [8, 16, 22]
    for one, many in zip(*stories, strict=True):
        assert one.keys() == many.keys()
        for name in one.keys() - {'examples_per_second'}:
            assert many[name] == pytest.approx(one[name], rel=1e-4), name


def linear(*, epochs: float, eval_every: int, steps_per_call: int = 1):
    config = settings.defaults()
    config.data.update({'name': 'generated', 'generated_examples': 100, 'batch_size': 20})
    config.model.name = 'linear'
    config.train.update({'epochs': epochs, 'eval_every': eval_every})
    run = assembly.assemble(settings.resolve(config))
    return dataclasses.replace(run, plan=dataclasses.replace(run.plan, steps_per_call=steps_per_call))


def test_events_of_a_session_that_saved_nothing_are_superseded(tmp_path):
    """TensorBoard drops what earlier files hold from the step on that a session begins with; it kept the first's."""
    runs.train(linear(epochs=4.0, eval_every=8), Workdir(tmp_path), stream=io.StringIO())
    (file,) = tmp_path.glob('events.out.tfevents.*')
    told = [event_pb2.Event.FromString(text) for text in chunks(file.read_bytes())]
    begun = [event.step for event in told if event.session_log.status == event_pb2.SessionLog.START]
    assert begun == [1]
    assert min(event.step for event in told if event.summary.value) == 8


def chunks(data: bytes):
    """Of a file of TFRecords: 8 bytes of length, 4 of checksum, the text, 4 of checksum."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], 'little')
        yield data[at + 12 : at + 12 + size]
        at += 16 + size


def test_speed_is_that_of_training_alone(tmp_path, monkeypatch):
    """However long the evaluations take: it was once too low, above all in short runs."""
    run, collect = linear(epochs=4.0, eval_every=8), evaluation.collect

    def slow(*args):
        time.sleep(0.5)
        return collect(*args)

    monkeypatch.setattr(evaluation, 'collect', slow)
    workdir = Workdir(tmp_path)
    seconds = runs.train(run, workdir, stream=io.StringIO())['seconds']
    first, *_, last = workdir.metrics()
    for record in (first, last):
        assert (record['step'] - 1) * 20 / record['examples_per_second'] < seconds  # The first step compiles.


def test_no_first_call_of_some_steps_is_in_the_speed(tmp_path, monkeypatch):
    """Where an evaluation comes in between, a second program is called, and compiled, when the clock runs already."""
    run = linear(epochs=8.0, eval_every=100, steps_per_call=3)
    assert run.plan.steps % 3 == 2
    train, slow = run.programs.train, 0.5

    def compiling(count, called=set()):  # noqa: B006
        program = train(count)
        if count not in called:
            called.add(count)
            time.sleep(slow)
        return program

    monkeypatch.setattr(run.programs, 'train', compiling)
    result = runs.train(run, Workdir(tmp_path), stream=io.StringIO())
    counted = run.plan.steps - 3 - 1
    assert 0 < counted * 20 / result['examples_per_second'] < slow < result['seconds']


def test_a_rate_that_nothing_tells_is_none(tmp_path):
    """It was 0 images/s where each call was the first of so many steps, and halved the rate where one more came."""
    steps = linear(epochs=1.0, eval_every=100).plan.steps
    run, stream = linear(epochs=1.0, eval_every=100, steps_per_call=steps), io.StringIO()
    assert runs.train(run, Workdir(tmp_path), stream=stream)['examples_per_second'] == 0
    assert ' – images/s' in stream.getvalue()
    slow, quick, untold = ({'examples_per_second': rate} for rate in (3000.0, 5000.0, 0.0))
    assert typical_rate([untold, slow, quick]) == 4000.0 and typical_rate([untold]) == 0.0


def test_signal_while_losses_are_fetched_saves_the_next_step(tmp_path, monkeypatch):
    """It was told that all was saved when nothing was."""
    run = linear(epochs=40.0, eval_every=150)
    fetch, asked = loop.jax.device_get, []

    def fetched(what):
        if isinstance(what, list) and not asked:
            asked.append(os.kill(os.getpid(), signal.SIGTERM))
        return fetch(what)

    monkeypatch.setattr(loop.jax, 'device_get', fetched)
    with pytest.raises(Stopped, match=f'stopped at step {loop.DRAIN_EVERY + 1} of'):
        runs.train(run, Workdir(tmp_path), stream=io.StringIO())
    with Checkpoints(Workdir(tmp_path), run.rank) as checkpoints:
        assert checkpoints.steps == [loop.DRAIN_EVERY + 1]


def test_sums_of_a_state_that_is_held_stay_as_they_were():
    """A trial's best state is written later, and with it the sums of its own step."""
    tally = loop._Tally({})
    tally.add({'loss': 1.0})
    meta = tally.meta()
    tally.add({'loss': 2.0})
    assert meta['sums'] == {'loss': 1.0} and tally.meta()['sums'] == {'loss': 3.0}

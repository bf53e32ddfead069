"""What a step costs beside others, on networks as small as can be."""

import itertools

import pytest

from jaxvision import assembly, settings
from jaxvision.benchmarks import apart, parts, timing
from jaxvision.benchmarks.cases import COMMON, MODELS
from jaxvision.settings import Settings
from jaxvision.training import evaluation

TINY = {**COMMON, **parts.TINY, 'data.generated_examples': 128, 'model.name': 'mlp', 'model.hidden': (4,)}
ONCE = {'repeats': 1, 'seconds': 0.01}


@pytest.fixture
def clock(monkeypatch):
    """Sides take 10, 20, 30 ... ms a call, by turns; what was called and how often."""
    told, turns = [], itertools.cycle((0.01, 0.02, 0.03))

    def seconds(call, calls, devices):
        del devices
        call()
        told.append(calls)
        return next(turns)

    monkeypatch.setattr(timing, 'seconds', seconds)
    return told


def test_stacked_networks_are_told_by_the_network(clock):
    row = parts.stack(settings.override(Settings(), TINY), 'tiny', 3, repeats=1, seconds=0.1)
    # Two sides: after the calls that tell how many fit (10 and 20 ms), the round has 30 and 10 ms a call.
    assert clock == [3, 3, 10, 5]
    steps = assembly.assemble(settings.override(Settings(), TINY)).plan.steps_per_call
    assert steps > 1 and (row['one_ms'], row['stacked_ms']) == pytest.approx((30 / steps, 10 / steps))
    assert row['times'] == pytest.approx(3 * 3) and (row['model'], row['count']) == ('tiny', 3)


def test_evaluation_is_told_by_the_image(monkeypatch):
    monkeypatch.setitem(MODELS, 'mlp', {**TINY})
    row = parts.evaluate('mlp', **ONCE)
    images = evaluation.batch_size((8, 8, 1)) * len(
        assembly.assemble(settings.override(Settings(), TINY)).parallel.devices
    )
    assert row['times'] == pytest.approx(images / row['evaluate_ms'] / (64 / row['train_ms']))
    assert row['spread'] == [row['times']] * 2


def test_a_distilled_step_is_told_beside_both_of_its_halves(monkeypatch):
    monkeypatch.setitem(MODELS, 'mlp', {**TINY})
    monkeypatch.setitem(MODELS, 'cnn', {**TINY, 'model.hidden': (8,)})
    row = parts.distil('mlp', 'cnn', **ONCE)
    assert row['times'] == pytest.approx(row['distilled_ms'] / (row['student_ms'] + row['teacher_ms']))
    assert row['model'] == 'mlp < cnn'


def test_only_the_parts_asked_for_are_measured(monkeypatch):
    monkeypatch.setattr(apart, 'call', lambda what, *args, **options: what(*args, **options))
    for name in ('evaluate', 'distil', 'stack'):
        monkeypatch.setattr(parts, name, lambda *args, name=name, **_: {'by': name})
    rows = list(parts.measure(('stack', 'evaluation')))
    assert {row['by'] for row in rows} == {'evaluate', 'stack'}
    assert {row['part'] for row in rows} == {'evaluation', 'stack'}
    assert len(rows) == len(parts.MODELS) + len(parts.SMALL)

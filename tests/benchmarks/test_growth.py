"""Growth and parts: their figures follow from what was timed, and their files say what they should."""

import json

import matplotlib.image
import pytest

from jaxvision.benchmarks import cases, growth, parts, record
from jaxvision.settings import Settings, override

SMALL = {'data.generated_examples': 256, 'data.generated_shape': (8, 8, 1), 'model.filters': (4,), 'model.convs': 1}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(
        growth,
        'AXES',
        {
            'batch': ('data.batch_size', (8, 16), SMALL),
            'devices': ('devices', (1, 2), {'data.batch_size': 16, **SMALL}),
        },
    )


@pytest.mark.parametrize('axis', ['batch', 'devices'])
def test_points_along_an_axis(axis, small, tmp_path):
    found = {axis: growth.along(axis, repeats=2, seconds=0.01)}
    assert [point['at'] for point in found[axis]] == list(growth.AXES[axis][1])
    for point in found[axis]:
        low, high = point['spread']
        assert 0 < low <= point['images_per_second'] <= high
    assert axis != 'devices' or [point['devices'] for point in found[axis]] == [1, 2]
    growth.draw({**found, 'trials': found[axis]}, 2, tmp_path / 'growth.png')
    assert matplotlib.image.imread(tmp_path / 'growth.png').std() > 0


def test_a_sweep_of_trials(monkeypatch):
    monkeypatch.setattr(growth, 'TRIALS', (1, 2))
    monkeypatch.setattr(growth, 'TRIAL', {**growth.TRIAL, 'train.epochs': 1.0})
    found = growth.along('trials', repeats=1)
    assert [point['at'] for point in found] == [1, 2]
    assert all(point['images_per_second'] > 0 for point in found)


def test_medians_and_spread():
    (point,) = growth._points([4], [[30.0], [10.0], [20.0]], [2])
    assert point == {'at': 4, 'images_per_second': 20.0, 'spread': [10.0, 30.0], 'devices': 2}


def test_stacked_networks():
    small = override(Settings(), {'data.name': 'generated', **parts.TINY, 'model.name': 'mlp', 'model.hidden': (4,)})
    row = parts.stack(small, 'tiny', 3, repeats=2, seconds=0.01)
    assert (row['model'], row['count']) == ('tiny', 3)
    assert row['spread'][0] <= row['times'] <= row['spread'][1]


def test_parts_are_measured_one_by_one(monkeypatch):
    monkeypatch.setattr(parts, 'SMALL', {'tiny': {'model.name': 'mlp', 'model.hidden': (4,)}})
    (row,) = parts.measure(['stack'], repeats=1, seconds=0.01)
    assert (row['part'], row['model']) == ('stack', 'tiny')


def test_evaluation_and_distillation(monkeypatch):
    for name in ('mlp', 'cnn'):
        monkeypatch.setitem(cases.MODELS, name, {**parts.TINY, 'model.name': 'mlp', 'model.hidden': (4,)})
    evaluated = parts.evaluate('mlp', repeats=1, seconds=0.01)
    assert evaluated['spread'] == [evaluated['times']] * 2
    distilled = parts.distil('mlp', 'cnn', repeats=1, seconds=0.01)
    assert distilled['model'] == 'mlp < cnn'
    both = distilled['student_ms'] + distilled['teacher_ms']
    assert distilled['times'] == pytest.approx(distilled['distilled_ms'] / both)


def test_what_is_written_can_be_read(tmp_path):
    record.write(tmp_path / 'deep' / 'parts.json', {'rows': [1.5]})
    assert json.loads((tmp_path / 'deep' / 'parts.json').read_text()) == {'rows': [1.5]}

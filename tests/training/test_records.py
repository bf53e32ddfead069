"""Records: atomic, refusing another config, and cut back on resume."""

import numpy as np
import pytest

from jaxvision.errors import UserError
from jaxvision.training import records
from jaxvision.training.records import Workdir


def test_flatten():
    assert records.flatten({'a': {'b': 1, 'c': {'d': (2,)}}, 'e': 3}) == {'a.b': 1, 'a.c.d': (2,), 'e': 3}


def test_claim_names_what_differs(tmp_path):
    workdir = Workdir(tmp_path / 'new' / 'run')
    workdir.claim({'seed': 0, 'model': {'filters': (1, 2)}})
    workdir.claim({'seed': 0, 'model': {'filters': (1, 2)}})
    with pytest.raises(UserError, match=r'model.filters \(\[1, 2\] there, \[1, 3\] now\)') as error:
        workdir.claim({'seed': 0, 'model': {'filters': (1, 3)}})
    assert 'seed' not in str(error.value).split('config:')[1]


def test_check_writes_nothing(tmp_path):
    workdir = Workdir(tmp_path / 'run')
    workdir.check({'seed': 0})
    assert list(workdir.path.iterdir()) == []


def test_cut_back_and_torn_lines(tmp_path):
    workdir = Workdir(tmp_path)
    for step in (10, 20, 30):
        workdir.append({'step': step, 'loss': step / 7})
    with (tmp_path / 'metrics.jsonl').open('a') as file:
        file.write('{"step": 40, "lo')
    assert [record['step'] for record in workdir.metrics()] == [10, 20, 30]
    workdir.cut_back(20)
    assert workdir.metrics() == [{'step': 10, 'loss': 10 / 7}, {'step': 20, 'loss': 20 / 7}]
    workdir.cut_back(0)
    assert workdir.metrics() == []


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.write('result.json', {'good': True})

    def fails(path):
        path.write_text('half')
        raise OSError(28, 'No space left on device')

    with pytest.raises(UserError, match='cannot write .*result.json: No space left'):
        workdir.replace('result.json', fails)
    assert workdir.read('result.json') == {'good': True}
    assert [path.name for path in tmp_path.iterdir()] == ['result.json']


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match='JSON'):
        Workdir(tmp_path).write('result.json', {'loss': float('nan')})
    assert list(tmp_path.iterdir()) == []


def test_arrays(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.write_arrays('samples.npz', a=np.arange(3), allow=np.ones(2))
    with np.load(workdir / 'samples.npz') as found:
        assert set(found) == {'a', 'allow'}


def test_reading_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match='not a finished run: it has no result.json'):
        Workdir(tmp_path).read('result.json')
    (tmp_path / 'result.json').write_text('{')
    with pytest.raises(UserError, match='cannot read'):
        Workdir(tmp_path).read('result.json')

"""What is recorded of the machine and the code."""

import pathlib

import pytest

from jaxvision.training import environment


@pytest.mark.parametrize('above', ['src', 'reports', 'benchmarks'])
def test_hash_is_of_all_code_that_trains_wherever_it_lies(tmp_path, monkeypatch, above):
    root = tmp_path / above / 'jaxvision'
    for name in ('training/environment.py', 'models/mlp.py', 'training/reports/drawing.py', 'benchmarks/loop.py'):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('1')
    monkeypatch.setattr(environment, '__file__', str(root / 'training' / 'environment.py'))

    def changed(name: str) -> bool:
        before = environment.code.__wrapped__()
        pathlib.Path(root / name).write_text('2')
        return environment.code.__wrapped__() != before

    assert changed('models/mlp.py')
    assert not changed('training/reports/drawing.py')
    assert not changed('benchmarks/loop.py')

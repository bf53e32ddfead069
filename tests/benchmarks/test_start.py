"""Seconds to the first step."""

import pytest

from jaxvision.benchmarks import start
from jaxvision.errors import UserError


def test_starts_are_timed():
    found = start.seconds('configs/ablation.py', repeats=1)
    assert found['config'] == 'ablation'
    assert found['spread'] == [found['later']] * 2
    assert found['first'] > 0 and found['later'] > 0


def test_a_command_that_ends_early_is_told():
    with pytest.raises(UserError, match=r'configs/nowhere.py failed: .*nowhere'):
        start.seconds('configs/nowhere.py', repeats=1)


def test_a_command_that_comes_to_no_step_is_told(monkeypatch):
    monkeypatch.setattr(start, 'output_of', lambda entry, flags, environment: 'over before it began')
    with pytest.raises(UserError, match='configs/classify.py came to no step'):
        start.seconds('configs/classify.py', repeats=1)

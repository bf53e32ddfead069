"""Memory foretold and taken."""

import pytest

from jaxvision.benchmarks import memory
from jaxvision.errors import UserError


def test_both_are_told():
    found = memory.peak('configs/capacity.py', ['--config.train.epochs=0.1'])
    assert found['config'] == 'capacity'
    assert found['foretold_mib'] > 0 and found['taken_mib'] > 0
    assert found['ratio'] == pytest.approx(found['foretold_mib'] / found['taken_mib'])


def test_a_command_that_fails_is_told():
    with pytest.raises(UserError, match=r'configs/nowhere.py failed: .*nowhere'):
        memory.peak('configs/nowhere.py')

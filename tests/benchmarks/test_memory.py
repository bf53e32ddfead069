"""Memory foretold and taken."""

import numpy as np
import pytest

from jaxvision.benchmarks import memory
from jaxvision.errors import UserError

SHORT = ['--config.train.epochs=0.1']


def test_both_are_told():
    found = memory.peak('configs/capacity.py', SHORT, repeats=2)
    assert found['config'] == 'capacity'
    assert found['ratio'] == pytest.approx(found['foretold_mib'] / found['taken_mib'])
    assert found['spread'][0] <= found['taken_mib'] <= found['spread'][1]
    assert found['ratio'] == pytest.approx(1, abs=0.3)  # On eight fake devices, so not what is published.


def test_a_run_is_not_charged_for_the_memory_of_what_measures_it():
    """As it was by ru_maxrss, which in a child begins with its parent's size."""
    mine = np.ones(2**30, np.uint8)  # Written to, so it is resident.
    found = memory.peak('configs/capacity.py', SHORT, repeats=1)
    assert found['taken_mib'] < mine.nbytes / 2**20


def test_a_command_that_fails_is_told():
    with pytest.raises(UserError, match=r'configs/nowhere.py failed: .*nowhere'):
        memory.peak('configs/nowhere.py')

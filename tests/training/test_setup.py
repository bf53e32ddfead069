"""What every process sets up, those of a sweep's engines included."""

import gc

from jaxvision.training import allocator, parallel, setup


def test_cycles_are_looked_for_rarely(monkeypatch):
    # The devices of this process are there already, and its memory is the other tests' too.
    monkeypatch.setattr(parallel, 'set_up_cpu', lambda cores: None)
    monkeypatch.setattr(allocator, 'keep', lambda small: None)
    before = gc.get_threshold()
    try:
        setup.process()
        assert gc.get_threshold()[0] == setup.RARELY
    finally:
        gc.set_threshold(*before)

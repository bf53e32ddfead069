"""What a long run compiles is compiled in a process of its own, and then found."""

import contextlib
import dataclasses
import io
import json
import sys

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxvision import assembly, beforehand, interpreters, memory, settings
from jaxvision.training import allocator, setup

CHANGES = {
    'data.name': 'generated',
    'data.generated_examples': 40,
    'data.batch_size': 8,
    'model.filters': (4,),
    'model.dense': (),
    'devices': 2,
}


@pytest.fixture
def chosen():
    return settings.override(settings.Settings(), CHANGES)


@pytest.fixture
def long(monkeypatch, tmp_path):
    """Every run is long in this process, which has one arena and an empty cache."""
    monkeypatch.setattr(allocator, '_shared', True)
    monkeypatch.setattr(beforehand, 'PAYS_FROM', 0.0)
    monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path))
    before = jax.config.values['jax_compilation_cache_dir']
    try:
        use(str(tmp_path))
        yield tmp_path
    finally:
        use(before)


def use(cache: str | None) -> None:
    jax.config.update('jax_compilation_cache_dir', cache)
    compilation_cache.reset_cache()


def test_the_run_finds_what_trains_it(caplog, chosen, long):
    run = assembly.assemble(chosen)
    beforehand.fill(chosen, run)
    assert [path.suffix for path in long.glob('*.filled')] == ['.filled']
    jax.clear_caches()
    with jax.log_compiles():
        run.programs.lower(1, *run.described()).compile()
    assert 'Persistent compilation cache hit' in caplog.text
    assert 'PERSISTENT COMPILATION CACHE MISS' not in caplog.text


def test_it_is_done_once(chosen, long, monkeypatch):
    run, calls = assembly.assemble(chosen), []

    class Other(contextlib.nullcontext):
        def __init__(self, module):
            super().__init__()
            calls.append(module)
            self.returncode = len(calls) == 1

        def communicate(self, text): ...

        def wait(self): ...

    monkeypatch.setattr(interpreters, 'start', Other)
    beforehand.fill(chosen, run)  # It fails, and that is told by nobody.
    beforehand.fill(chosen, run)
    beforehand.fill(chosen, run)
    assert len(calls) == 2
    weaker = settings.override(chosen, {'optim.lr': 0.01, 'seed': 1})  # The very same programs.
    beforehand.fill(weaker, assembly.assemble(weaker))
    assert len(calls) == 2
    other = settings.override(chosen, {'model.filters': (5,)})
    beforehand.fill(other, assembly.assemble(other))
    assert len(calls) == 3


def test_it_trains_nothing_and_so_shares_no_arena(chosen, long, monkeypatch):
    done = []
    monkeypatch.setattr(setup, 'process', lambda **how: done.append(how))
    monkeypatch.setattr(memory, 'compiled', lambda *args: done.append('compiled'))
    monkeypatch.setattr(sys, 'stdin', io.StringIO(json.dumps(dataclasses.asdict(chosen))))
    beforehand.main()
    assert done == [{'small': True}, 'compiled']


@pytest.mark.parametrize('why', ['arenas', 'short', 'images', 'cache'])
def test_a_run_that_would_not_gain_compiles_for_itself(chosen, long, monkeypatch, why):
    monkeypatch.setattr(interpreters, 'start', lambda *args: pytest.fail('another process'))
    if why == 'arenas':
        monkeypatch.setattr(allocator, '_shared', False)
    elif why == 'short':
        monkeypatch.setattr(beforehand, 'PAYS_FROM', 1e12)
    elif why == 'images':
        monkeypatch.setattr(beforehand, 'MOST', 40 * 8 * 8 - 1)
    else:
        use(None)
    beforehand.fill(chosen, assembly.assemble(chosen))
    assert not [*long.glob('*.filled')]

"""Eight fake CPU devices, and a cache of the tests' own, for every test and what it starts."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys

import pytest

QUICK_TO_COMPILE = ['--xla_backend_optimization_level=0', '--xla_llvm_disable_expensive_passes=true']
if tuple(map(int, importlib.metadata.version('jaxlib').split('.')[:2])) < (0, 11):  # Later, it is no flag.
    QUICK_TO_COMPILE.append('--xla_cpu_use_fusion_emitters=false')
os.environ['XLA_FLAGS'] = ' '.join(('--xla_force_host_platform_device_count=8', *QUICK_TO_COMPILE))
os.environ['JAX_PLATFORMS'] = 'cpu'

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session', autouse=True)
def cache(tmp_path_factory):
    """A cache folder of this session: datasets, teachers and compiled programs."""
    folder = tmp_path_factory.mktemp('cache')
    before = os.environ.get('JAXVISION_CACHE')
    os.environ['JAXVISION_CACHE'] = str(folder)
    # What several tests compile alike is compiled once, as launch/ does it.
    import jax

    jax.config.update('jax_compilation_cache_dir', str(folder / 'compilation'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)
    yield folder
    if before is None:
        del os.environ['JAXVISION_CACHE']
    else:
        os.environ['JAXVISION_CACHE'] = before


@pytest.fixture
def few_scenes(monkeypatch):
    """Both the drawn and the blank scenes are few, but enough that one has the most objects."""
    from jaxvision.data import blank, digit_scenes

    few = {'train': 12, 'validation': 4, 'test': 4}
    monkeypatch.setattr(digit_scenes, 'SCENES', few)
    for name, (_, side, slots) in blank.FORMS.items():
        if slots is not None:
            monkeypatch.setitem(blank.FORMS, name, (few, side, slots))


@pytest.fixture
def launch():
    """Runs a launch/ command as a user would; returns the finished process with its text."""

    def start(script: str, *args: str, devices: int = 1) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, str(ROOT / 'launch' / script), *args],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=ROOT,
            env=child_environment(devices),
        )

    return start


def child_environment(devices: int = 1) -> dict[str, str]:
    """Of a command as a user would run it, but for programs that compile quickly and run slowly."""
    flags = (f'--xla_force_host_platform_device_count={devices}', *QUICK_TO_COMPILE)
    return {**os.environ, 'XLA_FLAGS': ' '.join(flags)}

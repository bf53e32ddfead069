"""A set of our own is prepared in another process, begun before JAX is imported."""

import contextlib
import pathlib
import signal
import subprocess
import sys

import pytest

from jaxvision import interpreters, preparing, settings
from jaxvision.data import prepared

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture
def data(tmp_path):
    """Settings of the digits, in a folder that has none."""
    return settings.Data(data_dir=str(tmp_path))


def test_it_is_begun_once_and_waited_for(data, monkeypatch):
    started, real = [], interpreters.start

    def start(*words):
        started.append(words)
        return real(*words)

    monkeypatch.setattr(interpreters, 'start', start)
    preparing.begin(data)
    preparing.begin(data)
    with preparing.beside(data) as begun:
        assert begun
    assert not prepared.unprepared(data.name, data.data_dir)
    with preparing.beside(data) as begun:
        assert not begun
    assert started == [('jaxvision.data.prepared', 'uci_digits', data.data_dir, '0')]


def test_a_process_that_cannot_be_started_leaves_it_to_whoever_loads(data, monkeypatch):
    def start(*words):
        raise OSError

    monkeypatch.setattr(interpreters, 'start', start)
    preparing.begin(data)
    with preparing.beside(data) as begun:
        assert not begun


@pytest.mark.parametrize(
    'within',
    [
        'preparing.begin(data)',
        'with preparing.beside(data): raise KeyboardInterrupt',
        'preparing.begin(data); raise SystemExit(1)',
    ],
)
def test_it_ends_with_this_process_and_needs_no_jax(within, tmp_path):
    code = f"""
import subprocess, sys
from jaxvision import interpreters, preparing, settings
interpreters.start = lambda *words: subprocess.Popen(['sleep', '300'])
data = settings.Data(data_dir={str(tmp_path)!r})
print('jax' in sys.modules, flush=True)
{within}
"""
    # It returns when both have ended, as both hold the output.
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert done.stdout == 'False\n'


def test_the_command_begins_it(tmp_path):
    code = f"""
import runpy, sys
sys.path.insert(0, 'launch')
from jaxvision import preparing
preparing.begin = lambda data: print('begun', data.name, 'jax' in sys.modules) or sys.exit()
sys.argv = ['launch/train.py', '--config=configs/classify.py', '--workdir={tmp_path}', *sys.argv[1:]]
runpy.run_path(sys.argv[0], run_name='__main__')
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == 'begun uci_digits False\n'


def test_an_error_ends_the_other_process():
    other = subprocess.Popen(['sleep', '100'], text=True)
    with contextlib.suppress(KeyboardInterrupt), interpreters.waited_for(other):
        raise KeyboardInterrupt
    assert other.returncode == -signal.SIGTERM


def test_the_other_process_has_this_package():
    with interpreters.waited_for(interpreters.start('jaxvision.data.prepared')) as other:
        pass
    assert other.returncode == 1  # It wants to be told what to prepare.
    with interpreters.waited_for(interpreters.start('jaxvision.nowhere')) as other:
        pass
    assert other.returncode == 1

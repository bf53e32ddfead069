"""A set of our own is prepared in another process, begun before JAX is imported."""

import contextlib
import pathlib
import signal
import subprocess
import sys
import time

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


@pytest.mark.parametrize('end', ['sys.exit(1)', 'os._exit(1)', 'os.kill(os.getpid(), signal.SIGKILL)'])
def test_it_ends_with_the_process_that_began_it(end, tmp_path):
    code = f"""
import os, pathlib, signal, sys, time
from jaxvision import preparing, settings
preparing.begin(settings.Data(name='digit_scenes/localization', data_dir={str(tmp_path)!r}))
while not [*pathlib.Path({str(tmp_path)!r}).glob('tmp*/digit_scenes')]: time.sleep(0.01)
{end}
"""
    subprocess.run([sys.executable, '-c', code], capture_output=True, cwd=ROOT, timeout=100)
    for _ in range(600):  # It clears away what it has begun; or, if it went on, puts it in its place.
        if not [*tmp_path.glob('tmp*')]:
            break
        time.sleep(0.1)
    assert not [*tmp_path.iterdir()]


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

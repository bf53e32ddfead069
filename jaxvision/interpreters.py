"""Other Python processes, at work on modules of this very package."""

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator


def path() -> str:
    """PYTHONPATH of such processes, so that they import this package from where it is now."""
    here = str(pathlib.Path(__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, (here, os.environ.get('PYTHONPATH'))))


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
    """Runs a module; it says nothing.

    Raises:
      OSError: no process can be started.
    """
    return subprocess.Popen(
        [sys.executable, '-P', '-m', module, *arguments],
        env={**os.environ, 'PYTHONPATH': path()},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def waited_for(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """It is waited for at the end, or ended by an error."""
    with process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise

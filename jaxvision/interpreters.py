"""Other Python processes, at work on modules of this very package."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
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
            process.wait()  # Its standard input is closed only then.
        except BaseException:
            process.terminate()
            raise


def end_with_the_first() -> None:
    """Has this process, started so, end as if terminated when the one that started it has ended, however it did."""

    def watch() -> None:
        os.read(0, 1)  # Nothing comes but the end.
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()

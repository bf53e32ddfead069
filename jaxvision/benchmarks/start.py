"""The way from the command to the first step: launch/train.py in processes of its own, until a step is done."""

import importlib
import os
import pathlib
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxvision.errors import UserError

TRAIN = pathlib.Path(__file__).resolve().parents[2] / 'launch' / 'train.py'
DONE = 'the first step is done'


def seconds(config: str, *, repeats: int = 5) -> dict[str, Any]:
    """From the start of the process to the end of its first training step.

    Args:
      config: path of a config file.
      repeats: starts after the first; all of them find its compiled programs and its datasets.

    Returns:
      {'config', 'first': with empty caches, 'later': the median of the others, 'spread': [least, most]}, in seconds.

    Raises:
      UserError: the command ended before its first step.
    """
    with tempfile.TemporaryDirectory() as folder:
        caches = {**os.environ, 'JAXVISION_CACHE': f'{folder}/cache'}
        first, *later = (_start(config, f'{folder}/{number}', caches) for number in range(1 + repeats))
    name = pathlib.Path(config).stem
    return {'config': name, 'first': first, 'later': statistics.median(later), 'spread': [min(later), max(later)]}


def _start(config: str, workdir: str, environment: Mapping[str, str]) -> float:
    started = time.perf_counter()
    said = output_of(until_first_step, [f'--config={config}', f'--workdir={workdir}'], environment)
    elapsed = time.perf_counter() - started
    if DONE not in said:
        raise UserError(f'{config} came to no step')
    return elapsed


def output_of(entry: Callable[[], None], flags: Sequence[str], environment: Mapping[str, str]) -> str:
    """What launch/train.py writes to its standard output in a process of its own.

    Args:
      entry: a public function of a module, by which the process runs the script: see `run_script`.
      flags: of the script, its config first.
      environment: of the process.

    Raises:
      UserError: the script failed; it says how.
    """
    beside = f'import sys; sys.path.insert(0, {str(TRAIN.parent)!r})'  # As Python does where it runs a script.
    program = f'{beside}; import {entry.__module__} as module; module.{entry.__name__}()'
    command = [sys.executable, '-c', program, str(TRAIN), *flags]
    done = subprocess.run(command, env=environment, cwd=TRAIN.parents[1], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f'{flags[0]} failed: {(done.stderr.strip().splitlines() or ["it said nothing"])[-1]}')
    return done.stdout


def until_first_step() -> None:
    """Runs the script that the command line names, with its arguments, and leaves when a training step is done."""
    command: Any = importlib.import_module('command')
    set_up = command.set_up

    def set_up_to_leave(small: bool) -> None:
        set_up(small)  # Here the script itself imports JAX, and no sooner.
        import jax

        from jaxvision.training import clock

        def leave(self, steps: int, given) -> None:
            del self, steps
            jax.block_until_ready(given)
            print(DONE, flush=True)
            os._exit(0)

        clock.Clock.after = leave

    command.set_up = set_up_to_leave
    run_script()


def run_script() -> None:
    """Runs the script of launch/ that the command line names, with its arguments."""
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name='__main__')

"""Peak memory: what launch/train.py --dry_run foretells, and what the run then takes, in processes of their own."""

import atexit
import os
import pathlib
import re
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from jaxvision.benchmarks.start import output_of, run_script
from jaxvision.errors import UserError

FORETOLD = re.compile(r'([\d,]+) MiB in all')
TAKEN = re.compile(r'^VmHWM:\s*(\d+) kB', re.MULTILINE)
STATUS = pathlib.Path('/proc/self/status')
SHORT = ('--config.train.epochs=1.0',)  # What a run takes does not grow with its length.


def peak(config: str, flags: Sequence[str] = SHORT, *, repeats: int = 3) -> dict[str, Any]:
    """The largest resident size of runs whose programs are in the cache, beside what was foretold of them.

    Args:
      config: path of a config file.
      flags: further ones of launch/train.py.
      repeats: runs after the first, which fills the cache; the allocator makes them differ.

    Returns:
      {'config', 'foretold_mib', 'taken_mib': the median run's, 'spread': [least, most], 'ratio': foretold / taken,
      'compiling_mib': of the first run}.

    Raises:
      UserError: one of the commands failed, or the system does not tell what a process has.
    """
    with tempfile.TemporaryDirectory() as folder:
        caches = {**os.environ, 'JAXVISION_CACHE': f'{folder}/cache'}
        compiling = _taken([f'--config={config}', *flags, f'--workdir={folder}/first'], caches)
        foretold = FORETOLD.search(output_of(until_the_end, [f'--config={config}', *flags, '--dry_run'], caches))
        later = [f'{folder}/{number}' for number in range(repeats)]
        taken = [_taken([f'--config={config}', *flags, f'--workdir={workdir}'], caches) for workdir in later]
    if foretold is None:
        raise UserError(f'{config} --dry_run foretells no memory of the process on this system')
    foretold, median = float(foretold[1].replace(',', '')), statistics.median(taken)
    return {
        'config': pathlib.Path(config).stem,
        'foretold_mib': foretold,
        'taken_mib': median,
        'spread': [min(taken), max(taken)],
        'ratio': foretold / median,
        'compiling_mib': compiling,
    }


def _taken(flags: Sequence[str], environment: Mapping[str, str]) -> float:
    """The largest resident size of launch/train.py, in MiB."""
    found = TAKEN.search(output_of(until_the_end, flags, environment))
    if found is None:
        raise UserError('this system does not tell the largest size of a process')
    return int(found[1]) / 2**10


def until_the_end() -> None:
    """Runs the script that the command line names, with its arguments, and then tells what its process has taken.

    The process itself has to: what the system tells its parent (ru_maxrss) is never less than the parent's own size.
    """
    if STATUS.exists():
        atexit.register(lambda: print(STATUS.read_text(), flush=True))
    run_script()

"""Peak memory: what launch/train.py --dry_run foretells, and what the run then takes, in processes of their own."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from jaxvision.benchmarks.start import TRAIN
from jaxvision.errors import UserError

FORETOLD = re.compile(r'([\d,]+) MiB in all')
SHORT = ('--config.train.epochs=1.0',)  # What a run takes does not grow with its length.


def peak(config: str, flags: Sequence[str] = SHORT) -> dict[str, Any]:
    """The largest resident size of a run whose programs are in the cache, beside what was foretold of it.

    Args:
      config: path of a config file.
      flags: further ones of launch/train.py.

    Returns:
      {'config', 'foretold_mib', 'taken_mib', 'ratio': foretold / taken, 'taken_compiling_mib': with an empty cache}.

    Raises:
      UserError: one of the commands failed, or the system does not tell what a process has.
    """
    with tempfile.TemporaryDirectory() as folder:
        caches = {**os.environ, 'JAXVISION_CACHE': f'{folder}/cache'}
        command = [sys.executable, str(TRAIN), f'--config={config}', *flags]
        _, first = _run([*command, f'--workdir={folder}/first'], caches)  # Fills the cache.
        said, _ = _run([*command, '--dry_run'], caches)
        _, taken = _run([*command, f'--workdir={folder}/second'], caches)
    found = FORETOLD.search(said)
    if found is None:
        raise UserError(f'{config} --dry_run foretells no memory of the process on this system')
    foretold = float(found[1].replace(',', ''))
    name = pathlib.Path(config).stem
    return {
        'config': name,
        'foretold_mib': foretold,
        'taken_mib': taken,
        'ratio': foretold / taken,
        'taken_compiling_mib': first,
    }


def _run(command: list[str], environment: Mapping[str, str]) -> tuple[str, float]:
    """What a command writes, and its largest resident size in MiB."""
    with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as err:
        process = subprocess.Popen(command, env=environment, cwd=TRAIN.parents[1], stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise UserError(f'{command[2]} failed: {(err.read().strip().splitlines() or ["it said nothing"])[-1]}')
        # Linux tells kibibytes, macOS bytes.
        return out.read(), used.ru_maxrss / (2**10 if sys.platform.startswith('linux') else 2**20)

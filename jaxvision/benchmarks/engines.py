"""Measurements of the engines: the same sweep by each of them in turn, and what a trial costs beyond its own work."""

import io
import pathlib
import statistics
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from jaxvision import assembly
from jaxvision.errors import UserError
from jaxvision.settings import Settings
from jaxvision.sweeps import runner, trials
from jaxvision.sweeps.designs import Sweep

# Name -> engine and options.
SIDES: dict[str, tuple[str, dict[str, Any]]] = {
    'one process': ('processes', {'count': 1}),
    'processes': ('processes', {}),
    'stacked': ('stacked', {}),
}


def throughput(base: Settings, sweep: Sweep, *, repeats: int = 3) -> dict[str, Any]:
    """Trials a second of each engine, start-up and compilation from the cache included; A B C A B C ...

    Args:
      base, sweep: what is run, whole, in each round.
      repeats: rounds; the medians are compared.

    Returns:
      {'trials', 'rounds': {side: [trials a second]}, 'rate': {side: their median}, 'ratio': {side: over one process}}.
    """
    count = len(trials.expand(base, sweep, pathlib.Path('.')))
    rounds: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(repeats + 1):
        for side, (engine, options) in SIDES.items():
            rate = count / _timed(base, sweep, engine, options)
            if number:  # The first round fills the cache of compiled programs.
                rounds[side].append(rate)
    rate = {side: statistics.median(values) for side, values in rounds.items()}
    return {
        'trials': count,
        'rounds': rounds,
        'rate': rate,
        'ratio': {side: value / rate['one process'] for side, value in rate.items()},
    }


def images_per_second(base: Settings, sweep: Sweep) -> float:
    """Of training, over a whole sweep by processes: its start, evaluations, records and statistics included."""
    plan = assembly.assemble(base).plan
    some = trials.expand(base, sweep, pathlib.Path('.'))
    return len(some) * plan.steps * plan.batch_size / _timed(base, sweep, 'processes', {})


def _timed(base: Settings, sweep: Sweep, engine: str, options: Mapping[str, Any]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        summary = runner.run(base, sweep, folder, engine, {engine: options}, stream=io.StringIO())
        seconds = time.perf_counter() - started
    if summary['trials']['failed']:
        raise RuntimeError(f'{summary["trials"]["failed"]} trials failed')
    return seconds


def overhead(base: Settings, sweep: Sweep, *, processes: int) -> dict[str, Any]:
    """What a trial costs beyond its own work: in process time of the whole sweep, all of its start and end included.

    Args:
      base, sweep: many short trials.
      processes: how many.

    Returns:
      {'trials', 'seconds': of the sweep, 'own': seconds that a trial takes in a warm process, its records included,
      'overhead': processes * seconds / trials - own}.

    Raises:
      UserError: a trial has a teacher, whose training would count as overhead.
    """
    some = trials.expand(base, sweep, pathlib.Path('.'))
    if any(trial.settings.distills for trial in some):
        raise UserError('the overhead of a trial is that of one without a teacher: set distill.weight to 0')
    own = []
    with tempfile.TemporaryDirectory() as folder:
        for trial in trials.check(trials.expand(base, sweep, pathlib.Path(folder)))[:20]:
            started = time.perf_counter()
            trials.perform(trial)
            own.append(time.perf_counter() - started)
    seconds = _timed(base, sweep, 'processes', {'count': processes})
    work = statistics.median(own)
    return {
        'trials': len(some),
        'seconds': seconds,
        'own': work,
        'overhead': processes * seconds / len(some) - work,
    }

"""Runs a sweep: config and design -> trials, on some engine -> results.csv, summary.json and report.html."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax

from jaxvision import assembly, settings, teachers
from jaxvision.errors import Stopped, UserError
from jaxvision.settings import Settings
from jaxvision.sweeps import designs, findings, table, trials
from jaxvision.sweeps.designs import Sweep
from jaxvision.sweeps.engines import processes, slurm, stacked, suited
from jaxvision.sweeps.progress import Progress
from jaxvision.sweeps.reports import page
from jaxvision.sweeps.trials import Trial
from jaxvision.training import environment
from jaxvision.training.records import Workdir
from jaxvision.training.signals import Signals

# All trials, the root, whether to stop, and options -> those that had no result, as they end.
ENGINES: dict[str, Callable[..., Iterator[Trial]]] = {
    'processes': processes.run,
    'stacked': stacked.run,
    'slurm': slurm.run,
}

# What an engine makes sure of before anything is trained: all trials, and options.
CHECKS: dict[str, Callable[..., None]] = {
    'processes': processes.check,
    'slurm': slurm.check,
    'stacked': stacked.check,
}


def run(
    base: Settings,
    sweep: Sweep,
    path: str,
    engine: str = 'auto',
    options: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    stream=None,
) -> dict[str, Any]:
    """Runs what is missing of a sweep, and draws its conclusions.

    Args:
      base: the config, as the command line left it.
      sweep: what to compare.
      path: of the sweep's workdir. The same sweep goes on where it stopped; failed trials are tried again.
      engine: where the trials run: a key of `ENGINES`, or auto for what suits the backend.
      options: by engine: {'processes': {'count'}, 'slurm': {'wanted'}}; those of another engine are a mistake.
      stream: where the progress goes; stdout if None.

    Returns:
      summary.json; see `findings.conclude`.

    Raises:
      UserError: something is wrong with a variant (told before any trial starts), or the workdir is another sweep's.
      Stopped: on SIGTERM or SIGINT; what is done is in the table and in the report.
    """
    workdir = Workdir(path)
    engine = suited.name() if engine == 'auto' else engine
    for other in (options or {}).keys() - {engine}:
        raise UserError(f'there are options of the engine {other}, but the trials run by {engine}')
    chosen = (options or {}).get(engine, {})
    devices = stacked.devices() if engine == 'stacked' else None
    everything = trials.check(trials.expand(base, sweep, workdir.path), devices)
    record = {'settings': dataclasses.asdict(base), 'sweep': dataclasses.asdict(sweep)}
    seeds = record['sweep'].pop('seeds')  # More seeds later are welcome.
    workdir.check(record)
    if engine in CHECKS:
        CHECKS[engine](everything, **chosen)
    with workdir.alone():
        workdir.claim(record)
        taught, hashes = _teachers(everything, stream)
        _record_environment(workdir, everything, {'teachers': hashes, 'seeds': seeds, 'engine': engine})
        waiting = len(trials.waiting(taught))
        with Signals() as signals, contextlib.closing(Progress(len(taught), waiting, stream)) as progress:
            start = functools.partial(ENGINES[engine], **chosen)
            try:
                for ended in start(taught, workdir.path, lambda: signals.received is not None) if waiting else ():
                    progress.ended(ended)
            finally:
                summary = conclude(workdir, taught, sweep)
        if signals.received is not None:
            done = summary['trials'][table.DONE]
            raise Stopped(f'stopped after {done} of {len(taught)} trials, reported in {workdir}', signals.received)
    return summary


def conclude(workdir: Workdir, everything: Sequence[Trial], sweep: Sweep) -> dict[str, Any]:
    """Writes results.csv, summary.json and report.html from what the trials have left."""
    rows = table.gather(everything, sweep)
    workdir.replace('results.csv', lambda path: table.write(path, rows))
    headline = assembly.EVALUATORS[everything[0].settings.task].headline
    summary = findings.conclude(rows, sweep, headline)
    summary |= {key: workdir.read('environment.json')[key] for key in ('teachers', 'versions', 'git')}
    workdir.write('summary.json', summary)
    page.write(workdir.path)
    return summary


def stored(workdir: Workdir) -> tuple[Settings, Sweep]:
    """The config and the sweep that a workdir records.

    Raises:
      UserError: it is no sweep's, or not of this version of the code.
    """
    record = workdir.read('config.json')
    if 'sweep' not in record:
        raise UserError(f'{workdir} is no sweep: its config.json has no sweep')
    fields = dict(record['sweep'], seeds=workdir.read('environment.json')['seeds'])
    fields['rungs'] = tuple(designs.Rung(*rung) for rung in fields['rungs'])
    fields |= {key: tuple(fields[key]) for key in ('axes', 'references')}
    return settings.from_dict(record['settings']), Sweep(**fields)


def _teachers(some: Sequence[Trial], stream) -> tuple[list[Trial], dict[str, str]]:
    """Restores or trains each teacher once, with all cores; the trials with its folder, and the hashes by folder."""
    places: dict[Any, str] = {}
    hashes: dict[str, str] = {}
    taught = []
    for trial in some:
        if trial.reference or not trial.settings.distills:
            taught.append(trial)
            continue
        whose = (trial.settings.teacher, trial.settings.data, trial.settings.task)
        if whose not in places:
            teacher = teachers.provide(trial.settings, stream=stream)
            places[whose] = teacher.record['workdir']
            hashes[places[whose]] = teacher.record['hash']
        taught.append(dataclasses.replace(trial, teacher=places[whose]))
    return taught, hashes


def _record_environment(workdir: Workdir, some: Sequence[Trial], more: Mapping[str, Any]) -> None:
    """Writes environment.json; when the sweep goes on, checks first that data and teachers are what they were."""
    source, splits = assembly.load_data(some[0].settings.data)
    now = {**environment.describe(jax.local_devices(), source, splits), **more}
    if (workdir / 'environment.json').exists():
        before = workdir.read('environment.json')
        if before['dataset']['fingerprint'] != source.fingerprint:
            raise UserError(f'workdir {workdir} is of other data; give this sweep another --workdir')
        if sorted(before['teachers'].values()) != sorted(more['teachers'].values()):
            raise UserError(f'workdir {workdir} was begun under another teacher; give this sweep another --workdir')
        earlier = before.pop('earlier', [])
        now['earlier'] = earlier if before.items() >= now.items() else [*earlier, before]
    workdir.write('environment.json', now)

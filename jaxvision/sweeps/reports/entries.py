"""Finished runs and sweeps in one form, so that they can be laid side by side: a run is an entry, a sweep several."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxvision import assembly
from jaxvision.errors import UserError
from jaxvision.sweeps import runner, table, trials
from jaxvision.sweeps.reports import reading
from jaxvision.sweeps.reports.reading import Band
from jaxvision.training.records import Workdir, flatten
from jaxvision.training.reports.reading import interval, number

SPLITS = ('train', 'validation', 'test')


@dataclass(frozen=True)
class Entry:
    """A row of the comparison.

    Attributes:
      name: what it is called on the page.
      source: the number of its workdir.
      n: how many seeds or folds its numbers are means of; 0 for a single run.
      unit: seeds or folds; '' for a single run, whose intervals are over test examples.
      headline: split -> {'value', 'ci95'} of the metric.
      errors: split -> {'value', 'ci95'}.
      gap: {'value', 'ci95'}.
      parameters, steps, seconds: of one run; the mean where there are several.
      curves: split -> the error against step.
    """

    name: str
    source: int
    n: int
    unit: str
    headline: Mapping[str, Any]
    errors: Mapping[str, Any]
    gap: Mapping[str, Any]
    parameters: float | None
    steps: float | None
    seconds: float | None
    curves: Mapping[str, Band]


@dataclass(frozen=True)
class Source:
    """A workdir and what is in it.

    Attributes:
      name: its folder's, with as much of the path as tells it from the others.
      task, metric: what was learnt, and the metric told first.
      settings: dotted key -> value; of a sweep those that its variants start from.
      varied: the keys that the variants of a sweep override.
      seeds: in words.
      folds: over which its numbers are means, of a cross-validation; else 0.
      environment: environment.json, {} where it is missing.
      entries: at least one.
    """

    name: str
    task: str
    metric: str
    settings: Mapping[str, Any]
    varied: Sequence[str]
    seeds: str
    folds: int
    environment: Mapping[str, Any]
    entries: Sequence[Entry]


def is_sweep(path: str) -> bool:
    """Whether the workdir at `path` is a sweep's; else it is a run's.

    Raises:
      UserError: it is neither, or its config.json cannot be read.
    """
    workdir = Workdir(path)
    if not workdir.path.is_dir():
        raise UserError(f'{path} is not a workdir: there is no such folder')
    if not (workdir / 'config.json').exists():
        raise UserError(f'{path} is not a workdir: it has no config.json')
    config = workdir.read('config.json')
    if not isinstance(config, dict):
        raise UserError(f'{path} is not a workdir: its config.json is no object')
    return 'sweep' in config


def concluded(path: str) -> Workdir:
    """The workdir of a sweep with its summary, which is written first where trials have ended since, or there is none.

    So it is where the sweep was killed before it could.
    """
    workdir = Workdir(path)
    if len(list(workdir.path.glob('trials/*/*/result.json'))) > _done(workdir):
        base, sweep = runner.stored(workdir)
        runner.conclude(workdir, trials.expand(base, sweep, workdir.path), sweep)
    return workdir


def _done(workdir: Workdir) -> int:
    """How many trials the summary is of; -1 where there is none."""
    if not all((workdir / name).exists() for name in ('summary.json', 'results.csv')):
        return -1
    return workdir.read('summary.json').get('trials', {}).get(table.DONE, -1)


def load(paths: Sequence[str]) -> list[Source]:
    """What lies in these workdirs, in their order.

    Raises:
      UserError: one is no workdir, or its run is not finished; or two are the same.
    """
    whole = [Workdir(path).path.resolve() for path in paths]
    twice = [path for path, real in zip(paths, whole, strict=True) if whole.count(real) > 1]
    if twice:
        raise UserError(f'{twice[-1]} is given twice')
    names = _names(whole)
    return [
        (_sweep if is_sweep(path) else _run)(path, name, number)
        for number, (path, name) in enumerate(zip(paths, names, strict=True))
    ]


def _names(paths: Sequence[pathlib.Path]) -> list[str]:
    """The last parts of each path, as few as tell all of them apart."""
    for count in range(1, max(len(path.parts) for path in paths) + 1):
        names = [os.path.join(*path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _run(path: str, name: str, source: int) -> Source:
    workdir = Workdir(path)
    result, config = workdir.read('result.json'), workdir.read('config.json')
    task = result.get('task')
    if task not in assembly.EVALUATORS:
        raise UserError(f'{path}: its result.json has task {task!r}; there are {", ".join(assembly.EVALUATORS)}')
    metric = assembly.EVALUATORS[task].headline
    splits = result.get('splits') or {}
    curves = {}
    for split in ('train', 'validation'):
        key = f'{split}_{metric}'
        found = reading.band(
            [{row['step']: 1 - row[key] for row in workdir.metrics() if number(row.get(key)) is not None}]
        )
        if found is not None:
            curves[split] = found
    entry = Entry(
        name=name,
        source=source,
        n=0,
        unit='',
        headline={split: splits.get(split, {}).get(metric) for split in SPLITS},
        errors={split: splits.get(split, {}).get('error') for split in SPLITS},
        gap=result.get('gap') or {},
        parameters=number(result.get('parameters')),
        steps=number(result.get('steps')),
        seconds=number(result.get('seconds')),
        curves=curves,
    )
    seeds = str(config.get('seed', '–'))
    return Source(name, task, metric, flatten(config), (), seeds, 0, _environment(workdir), (entry,))


def _sweep(path: str, name: str, source: int) -> Source:
    records = reading.read(concluded(path))
    metric = records.metric
    entries = []
    for variant, one in records.measured.items():
        curves = {split: records.curve(variant, split) for split in ('train', 'validation')}
        errors = {split: {'value': found['mean'], 'ci95': found['ci95']} for split, found in one['errors'].items()}
        headline = {
            split: {
                'value': 1 - found['value'],
                'ci95': [1 - found['ci95'][1], 1 - found['ci95'][0]] if found['ci95'] else None,
            }
            for split, found in errors.items()
        }
        headline['test'] = {'value': one['mean'], 'ci95': interval(one)}
        entries.append(
            Entry(
                name=variant if len(records.measured) == 1 and variant == name else f'{name}: {variant}',
                source=source,
                n=one['n'],
                unit=records.unit,
                headline=headline,
                errors=errors,
                gap={'value': one['gap'], 'ci95': one['gap_ci95']},
                parameters=number(one['parameters']),
                steps=_mean(records.values(variant, 'steps')),
                seconds=_mean(records.values(variant, 'seconds')),
                curves={split: curve for split, curve in curves.items() if curve is not None},
            )
        )
    if not entries:
        raise UserError(f'{path}: no trial of this sweep is done')
    settings = flatten(records.config)
    varied = list(dict.fromkeys(key for changes in records.sweep['variants'].values() for key in changes))
    seeds = number(records.environment.get('seeds'))
    told = '–' if seeds is None else '0' if seeds == 1 else f'0 to {int(seeds) - 1}'
    folds = records.sweep.get('folds') or 0
    task = settings.get('task', 'classify')
    return Source(name, task, metric, settings, varied, told, folds, dict(records.environment), entries)


def _environment(workdir: Workdir) -> Mapping[str, Any]:
    try:
        return workdir.read('environment.json')
    except UserError:
        return {}


def _mean(values: Mapping[int, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None

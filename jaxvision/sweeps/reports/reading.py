"""A sweep's records, read for its page: the summary, the table, and the curves that the trials have left."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxvision.sweeps import designs, findings, table
from jaxvision.training.records import Workdir
from jaxvision.training.reports.reading import Record, number, read_json

# What became of a variant against the baseline.
HELPS, HARMS, OPEN, BASELINE, NOTHING = 'helps', 'harms', 'cannot tell', 'baseline', 'no trial'


class Group(NamedTuple):
    """Variants that belong together.

    Attributes:
      title: of the group; '' where there is one alone.
      names: of its variants.
    """

    title: str
    names: tuple[str, ...]


class Band(NamedTuple):
    """A curve of several runs: their mean, the lowest and the highest at each step; all float [n]."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Records:
    """What the workdir of a sweep holds. `rows` are the lines of results.csv, `sweep` is config.json's."""

    workdir: Workdir
    config: Record
    environment: Record
    sweep: Mapping[str, Any]
    summary: Record
    rows: Sequence[Mapping[str, Any]]

    @property
    def name(self) -> str:
        return self.workdir.path.name

    @property
    def metric(self) -> str:
        return self.summary['metric']

    @property
    def unit(self) -> str:
        return self.summary['unit']

    @property
    def baseline(self) -> str:
        return self.summary['baseline']

    @property
    def variants(self) -> Mapping[str, Mapping[str, Any]]:
        return self.summary['variants']

    @property
    def measured(self) -> dict[str, Mapping[str, Any]]:
        """The variants of which a trial is done."""
        return {name: one for name, one in self.variants.items() if one['n']}

    @property
    def references(self) -> Sequence[str]:
        return self.sweep.get('references') or ()

    @property
    def groups(self) -> list[Group]:
        """Every variant but the baseline, once."""
        rungs = [designs.Rung(*rung) for rung in self.sweep.get('rungs') or ()]
        wanted = {
            'Each alone': [rung.alone for rung in rungs],
            'All up to': [rung.cumulative for rung in rungs],
            'All but one': [rung.without for rung in rungs],
            'scikit-learn, for reference': self.references,
        }
        taken, found = {self.baseline}, []
        for title, names in wanted.items():
            some = tuple(name for name in names if name in self.variants and name not in taken)
            taken |= set(some)
            found.append(Group(title, some))
        rest = tuple(name for name in self.variants if name not in taken)
        found.insert(0, Group('Variants' if any(some for _, some in found) else '', rest))
        return [group for group in found if group.names]

    def outcome(self, name: str) -> str:
        """What became of a variant: one of HELPS, HARMS, OPEN, BASELINE, NOTHING."""
        one = self.variants[name]
        if not one['n']:
            return NOTHING
        return BASELINE if name == self.baseline else outcome(one['difference'])

    @functools.cached_property
    def chosen(self) -> str | None:
        """The variant with the lowest validation error, the first of equals; None where none was validated."""
        errors = {
            name: number((one['errors'].get('validation') or {}).get('mean'))
            for name, one in self.measured.items()
            if name not in self.references
        }
        there = {name: error for name, error in errors.items() if error is not None}
        return min(there, key=lambda name: there[name]) if there else None

    def values(self, name: str, column: str) -> dict[int, float]:
        """The values of a variant by seed, or by fold: each then the mean over its seeds."""
        found: dict[int, list[float]] = {}
        for row in self.rows:
            value = number(row.get(column))
            if row['variant'] == name and row['status'] == table.DONE and value is not None:
                found.setdefault(row['fold' if self.unit == 'folds' else 'seed'], []).append(value)
        return {which: float(np.mean(some)) for which, some in found.items()}

    def curve(self, name: str, split: str) -> Band | None:
        """The error of a split, clean, against step, over the trials that are done; at the steps that all have."""
        runs = [self._lines[path] for path in self._places(name)]
        key = f'{split}_{self.metric}'
        curves = [{row['step']: 1 - row[key] for row in rows if number(row.get(key)) is not None} for rows in runs]
        return band([curve for curve in curves if curve])

    def _places(self, name: str) -> list[str]:
        folder = self._folders[name]
        done = [row for row in self.rows if row['variant'] == name and row['status'] == table.DONE]
        return [f'trials/{folder}/{designs.place(row["seed"], row.get("fold"))}' for row in done]

    @functools.cached_property
    def _folders(self) -> dict[str, str]:
        return designs.folders(self.variants)

    @functools.cached_property
    def _lines(self) -> dict[str, list[dict[str, Any]]]:
        places = [place for name in self.measured for place in self._places(name)]
        return {place: Workdir(self.workdir / place).metrics() for place in places}


def outcome(difference: Mapping[str, Any] | None) -> str:
    """What a difference to the baseline says: HELPS, HARMS or OPEN."""
    if difference is None or not findings.significant(difference):
        return OPEN
    return HELPS if difference['mean'] > 0 else HARMS


def band(curves: Sequence[Mapping[int, float]]) -> Band | None:
    """Curves {step: value} as one; None without a step that all have."""
    steps = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    if not steps:
        return None
    values = np.array([[curve[step] for step in steps] for curve in curves])
    return Band(np.array(steps), values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def read(workdir: Workdir) -> Records:
    """The records of a sweep.

    Raises:
      UserError: there is no readable summary.json, results.csv or config.json.
    """
    config = workdir.read('config.json')
    return Records(
        workdir=workdir,
        config=Record(config['settings'], 'config.json'),
        environment=read_json(workdir, 'environment.json'),
        sweep=config['sweep'],
        summary=Record(workdir.read('summary.json'), 'summary.json'),
        rows=table.read(workdir / 'results.csv'),
    )

"""A grid over two keys as a heat map."""

import json
from typing import Any

import numpy as np

from jaxvision.sweeps import designs
from jaxvision.sweeps.reports import words
from jaxvision.sweeps.reports.plots.heat import heat
from jaxvision.sweeps.reports.reading import HARMS, HELPS, Records
from jaxvision.training.reports import pieces
from jaxvision.training.reports.reading import Absent

MARKS = {HELPS: ' ▲', HARMS: ' ▼'}


def cells(records: Records) -> str:
    """Two maps: how well each cell does on test, and how much worse that is than on train."""
    grid = _Grid(records)
    marked = _map(records, grid, f'Test {records.metric}, %', _level, marks=True)
    gap = _map(records, grid, 'Gap, test − clean train error, points', _gap)
    beside = records.variants[records.baseline]
    what = 'framed' if grid.baseline is not None else f'beside the grid, at {words.percent(beside.get("mean") or 0)} %'
    if grid.baseline is None and not beside['n']:
        what = 'beside the grid, and not done'
    first = (
        f'Mean test {records.metric} in %, ± half of its 95% interval; darker is better. The baseline is {what}; '
        '▲ significantly better than it, ▼ significantly worse.'
    )
    second = (
        'How much the train error promises too much: darker is a larger gap. Where the map above is light and this one '
        'dark, the network overfits; where both are light, it underfits.'
    )
    keys = ' and '.join(grid.keys)
    return pieces.figure(marked, f'Test {records.metric} for each pair of {keys}.', first) + pieces.figure(
        gap, f'Gap between test and clean train error for each pair of {keys}.', second
    )


def _level(one):
    return one['mean'], one['ci95'], words.percent


def _gap(one):
    return one['gap'], one['gap_ci95'], words.points


class _Grid:
    """Where each variant lies."""

    def __init__(self, records: Records):
        self.keys = tuple(records.sweep['axes'])
        where: dict[tuple[str, str], str] = {}
        for name, one in records.variants.items():
            changes = one['overrides']
            if set(changes) == set(self.keys):
                where[_told(changes[self.keys[0]]), _told(changes[self.keys[1]])] = name
        if not any(records.variants[name]['n'] for name in where.values()):
            raise Absent('no trial of the grid is done')
        self.rows, self.columns = (list(dict.fromkeys(pair[side] for pair in where)) for side in (0, 1))
        self.places = {
            name: (self.rows.index(row), self.columns.index(column)) for (row, column), name in where.items()
        }
        self.baseline = self.places.get(records.baseline)


def _map(records: Records, grid: _Grid, title: str, read, marks: bool = False):
    """One map; read(variant) -> value, its interval or None, and how it is told."""
    values = np.full((len(grid.rows), len(grid.columns)), np.nan)
    texts = [['–'] * len(grid.columns) for _ in grid.rows]
    for name, at in grid.places.items():
        one = records.variants[name]
        if not one['n']:
            continue
        value, spread, form = read(one)
        values[at] = value
        mark = MARKS.get(records.outcome(name), '') if marks else ''
        half = f'\n± {words.percent((spread[1] - spread[0]) / 2)}' if spread else ''
        texts[at[0]][at[1]] = f'{form(value)}{mark}{half}'
    return heat(values, texts, grid.rows, grid.columns, (grid.keys[0], grid.keys[1]), title, grid.baseline)


def _told(value: Any) -> str:
    return designs.told(value) if not isinstance(value, bool | None) else json.dumps(value)

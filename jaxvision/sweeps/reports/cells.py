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
    rows_of, columns_of = records.sweep['axes']
    where: dict[tuple[str, str], str] = {}
    for name, one in records.variants.items():
        changes = one['overrides']
        if set(changes) == {rows_of, columns_of}:
            where[_told(changes[rows_of]), _told(changes[columns_of])] = name
    if not any(records.variants[name]['n'] for name in where.values()):
        raise Absent('no trial of the grid is done')
    rows, columns = (list(dict.fromkeys(pair[side] for pair in where)) for side in (0, 1))
    values = np.full((len(rows), len(columns)), np.nan)
    texts = [['–'] * len(columns) for _ in rows]
    baseline = None
    for (row, column), name in where.items():
        at, one = (rows.index(row), columns.index(column)), records.variants[name]
        if name == records.baseline:
            baseline = at
        if one['n']:
            values[at] = one['mean']
            half = (one['ci95'][1] - one['ci95'][0]) / 2 if one['ci95'] else None
            text = f'{words.percent(one["mean"])}{MARKS.get(records.outcome(name), "")}'
            texts[at[0]][at[1]] = text if half is None else f'{text}\n± {words.percent(half)}'
    figure = heat(values, texts, rows, columns, (rows_of, columns_of), baseline)
    beside = records.variants[records.baseline]
    what = 'framed' if baseline is not None else f'beside the grid, at {words.percent(beside["mean"])} %'
    if baseline is None and not beside['n']:
        what = 'beside the grid, and not done'
    caption = (
        f'Mean test {records.metric} in %, ± half of its 95% interval; darker is better. The baseline is {what}; '
        '▲ significantly better than it, ▼ significantly worse.'
    )
    alt = f'Test {records.metric} for each pair of {rows_of} and {columns_of}.'
    return pieces.figure(figure, alt, caption)


def _told(value: Any) -> str:
    return designs.told(value) if not isinstance(value, bool | None) else json.dumps(value)

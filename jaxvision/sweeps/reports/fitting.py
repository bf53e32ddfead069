"""Over- and underfitting: what each variant gets wrong of what it was trained on, and of what it never saw."""

from jaxvision.sweeps.reports import words
from jaxvision.sweeps.reports.effects import key
from jaxvision.sweeps.reports.plots.fit import Fit, fit_map, gaps
from jaxvision.sweeps.reports.reading import BASELINE, HARMS, HELPS, OPEN, Records
from jaxvision.training.reports import pieces
from jaxvision.training.reports.reading import Absent, interval, number

MOST = 60  # Rows of the chart.


def fitting(records: Records) -> str:
    rows = [row for name in records.measured if (row := _fit(records, name)) is not None]
    if not rows:
        raise Absent('no trial has train and test errors')
    rows.sort(key=lambda row: (row.test, row.train))
    shown = rows if len(rows) <= MOST else rows[: MOST // 2] + rows[-MOST // 2 :]
    cut = '' if len(rows) <= MOST else f' Of {len(rows)} variants the {MOST // 2} best and the {MOST // 2} worst.'
    bars = pieces.figure(
        gaps(shown),
        'Clean train error and test error of each variant, from the lowest test error: '
        + '; '.join(f'{row.name} {row.train:.1%} and {row.test:.1%}' for row in shown)
        + '.',
        'From the lowest test error to the highest. A long bar that starts near zero is overfitting: learnt by heart, '
        'not understood. A short bar far to the right is underfitting. Lines are 95% intervals.' + cut,
    )
    dots = pieces.figure(
        fit_map(_ranked(records, rows), height=min(max(19 * len(shown) + 66, 280), 430)),
        f'Test error against clean train error of {len(rows)} variants.',
        'The same as a map. The dashed diagonal is a gap of zero: the higher above it, the larger the gap. A '
        'regulariser should lead down; one that only leads to the right has taken from the training error and given '
        'nothing. Triangles at the edge lie beyond it.',
    )
    return key(HELPS, HARMS, OPEN, BASELINE) + pieces.group('pair', [bars, dots])


def _fit(records: Records, name: str) -> Fit | None:
    errors = records.variants[name]['errors']
    train, test = (errors.get(split) or {} for split in ('train', 'test'))
    at = number(train.get('mean')), number(test.get('mean'))
    if at[0] is None or at[1] is None:
        return None
    color = words.COLORS[records.outcome(name)]
    return Fit(name, at[0], at[1], interval(train), interval(test), color, 0)


def _ranked(records: Records, rows: list[Fit]) -> list[Fit]:
    """With which names are most worth telling: baseline, best, worst, the most train error, then the others."""
    first = [records.baseline, records.chosen, rows[0].name, rows[-1].name]
    first += [row.name for row in sorted(rows, key=lambda row: -row.train)]
    order = {name: place for place, name in reversed(list(enumerate(first)))}
    return [row._replace(notable=order[row.name]) for row in rows]

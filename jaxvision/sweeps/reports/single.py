"""Every seed, or every fold, by itself: what the means are made of."""

from jaxvision.sweeps.reports import words
from jaxvision.sweeps.reports.plots.strips import Strip, strips
from jaxvision.sweeps.reports.reading import Records
from jaxvision.training.reports import pieces
from jaxvision.training.reports.reading import Absent, interval

REFERENCE = '#75539a'
MOST = 60


def single(records: Records) -> str:
    rows = []
    order = sorted(records.measured, key=lambda name: -records.variants[name]['mean'])
    for name in order[:MOST]:
        one, reference = records.variants[name], name in records.references
        values = list(records.values(name, f'test_{records.metric}').values())
        called = f'{name} (scikit-learn)' if reference else name
        color = REFERENCE if reference else words.COLORS[records.outcome(name)]
        rows.append(Strip(called, values, one['mean'], interval(one), color))
    if not rows:
        raise Absent('no trial is done')
    figure = strips(rows, f'test {records.metric}')
    each = records.unit[:-1]
    caption = (
        f'A dot a {each}, a diamond the mean, the bar behind it its 95% interval; the best mean first.'
        + (f' The {MOST} best of {len(order)}.' if len(order) > MOST else '')
        + (
            ' A fold’s dot is the mean over its seeds. Purple: scikit-learn’s models on the pixels of the very same '
            'folds, with their default settings.'
            if records.references
            else ''
        )
    )
    alt = f'Test {records.metric} of every {each}: ' + '; '.join(
        f'{row.name} from {min(row.values):.1%} to {max(row.values):.1%}' for row in rows if row.values
    )
    return pieces.figure(figure, alt + '.', caption)

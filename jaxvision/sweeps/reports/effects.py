"""Effects: every variant against the baseline, as a forest plot and as a table."""

import html

from jaxvision.sweeps import findings, statistics
from jaxvision.sweeps.reports import words
from jaxvision.sweeps.reports.plots.forest import Estimate, forest, is_cut
from jaxvision.sweeps.reports.reading import BASELINE, HARMS, HELPS, OPEN, Records
from jaxvision.training.reports import pieces
from jaxvision.training.reports.reading import Absent, interval


def effects(records: Records) -> str:
    """The forest plot, and the table under it."""
    if not records.measured:
        raise Absent('no trial is done')
    return _plot(records) + _table(records)


def estimate(name: str, difference, color: str, sure: bool) -> Estimate:
    """A row of the forest, in points; empty without a difference."""
    if difference is None:
        return Estimate(name, None, None, None, color, False, 'no pair is done')
    low, high = (100 * end for end in difference['ci95']) if difference['ci95'] else (None, None)
    text = f'{words.points(difference["mean"])}{words.bracket(difference, words.points)}'
    return Estimate(name, 100 * difference['mean'], low, high, color, sure, text)


def key(*outcomes: str) -> str:
    """What the colours mean."""
    meaning = {
        HELPS: 'helps',
        HARMS: 'harms',
        OPEN: 'cannot be told from the baseline',
        BASELINE: 'the baseline',
    }
    spans = ''.join(f'<span>{pieces.dot(words.COLORS[which])}{meaning[which]}</span>' for which in outcomes)
    return f'<p class="key">{spans}</p>'


def _plot(records: Records) -> str:
    groups = {}
    for group in records.groups:
        rows = []
        for name in group.names:
            outcome = records.outcome(name)
            found = records.variants[name].get('difference')
            rows.append(estimate(name, found, words.COLORS[outcome], outcome in (HELPS, HARMS)))
        groups[group.title] = rows
    if not groups:
        return ''
    marks, ladder = {}, records.summary['kind'] == 'ladder'
    everything = records.variants.get('all', {}).get('difference')
    if everything is not None and 'All but one' in groups:
        marks = {'All but one': (100 * everything['mean'], 'all')}
    figure = forest(
        groups,
        f'test {records.metric}, difference to {records.baseline}, points',
        ends=('← worse', 'better →'),
        marks=marks,
        shared=not ladder,
    )
    cut = any(map(is_cut, groups.values())) if ladder else is_cut([row for some in groups.values() for row in some])
    counted = ', '.join(f'{title or "variants"}: {len(rows)}' for title, rows in groups.items())
    caption = (
        f'Mean differences to {records.baseline}, paired by {records.unit[:-1]}, with 95% intervals. A filled dot is '
        f'significant: p ≤ {statistics.LEVEL:g} after Holm’s correction over all of them.'
        + (' Where an interval is cut, a triangle ends it.' if cut else '')
        + (
            ' The dashed line is the difference that all rungs together make: right of it, a rung is better left out.'
            if marks
            else ''
        )
        + (' Each part has a scale of its own.' if ladder and len(groups) > 1 else '')
    )
    alt = f'Forest plot of the difference of each variant to {records.baseline} in test {records.metric}; {counted}.'
    return key(HELPS, HARMS, OPEN) + pieces.figure(figure, alt, caption)


def _table(records: Records) -> str:
    head = (
        'variant',
        'n',
        f'test {records.metric}, %',
        'difference, points',
        'p, Holm',
        'P(better)',
        'gap, points',
        'parameters',
    )
    groups = {'Baseline': [_row(records, records.baseline)]} if records.baseline in records.variants else {}
    for group in records.groups:
        groups[group.title or 'Variants'] = [_row(records, name) for name in group.names]
    note = (
        f'n: {records.unit} that are done. P(better): how often a run of the variant beats one of the baseline, under '
        'any seeds; a tie counts half. Gap: test minus clean train error.'
    )
    return pieces.table(head, groups, 'stacked tight') + f'<p class="note">{html.escape(note)}</p>'


def _row(records: Records, name: str) -> tuple[str, str, list[str]]:
    one, color = records.variants[name], words.COLORS[records.outcome(name)]
    if not one['n']:
        return color, name, ['0', *['–'] * 6]
    difference = one['difference']
    compared = ['', '', ''] if name == records.baseline else ['–', '–', '–']
    if difference is not None:
        compared = [
            pieces.cell({'value': difference['mean'], 'ci95': difference['ci95']}, words.points),
            findings.p_value(difference['p_holm']).replace('<', '&lt;'),
            f'{difference["p_improvement"]:.2f}',
        ]
    cells = [
        str(one['n']),
        pieces.cell({'value': one['mean'], 'ci95': interval(one)}, words.percent),
        *compared,
        pieces.cell({'value': one['gap'], 'ci95': one['gap_ci95']}, words.points),
        pieces.count(one['parameters']) if one['parameters'] else '–',
    ]
    return color, name, cells

"""The top of a sweep's page: what was compared, what came of it in a few sentences, and the most important numbers."""

import html
from collections import Counter
from typing import Any

from jaxvision.sweeps import statistics
from jaxvision.sweeps.reports import words
from jaxvision.sweeps.reports.reading import HARMS, HELPS, OPEN, Records
from jaxvision.sweeps.table import DONE, FAILED, MISSING
from jaxvision.training.reports import pieces
from jaxvision.training.reports.reading import number

KINDS = {
    'seeds': 'variants',
    'grid': 'grid',
    'sample': 'random search',
    'ladder': 'ladder of regularisers',
    'folds': 'cross-validation',
}


def header(records: Records) -> str:
    told = ' '.join(sentences(records))
    cells = ''.join(f'<div><span>{html.escape(name)}</span><b>{cell}</b></div>' for name, cell in _cells(records))
    return (
        f'<header><p class="kind">{html.escape(_kind(records))}</p><h1>{html.escape(records.name)}</h1>'
        f'<p class="verdict">{html.escape(told)}</p>{_warning(records)}'
        f'<div class="numbers">{cells}</div>'
        f'<p class="note">At the last step; in brackets, 95% intervals over {records.unit}. Of the variants, that with '
        'the least validation error is called the best, so its test number was not chosen for being high.</p></header>'
    )


def _kind(records: Records) -> str:
    settings, trials = records.config, records.summary['trials']
    runs = [f'{records.sweep["folds"]} folds'] if records.sweep.get('folds') else []
    seeds = number(records.environment.get('seeds'))
    runs += [words.many(int(seeds), 'seeds')] if seeds else []
    what = [
        KINDS.get(records.summary['kind'], records.summary['kind']),
        settings.get('data', {}).get('name'),
        settings.get('model', {}).get('name'),
        words.many(len(records.variants), 'variants'),
        *runs,
        words.many(sum(trials.values()), 'trials'),
    ]
    return ' · '.join(str(part) for part in what if part)


def sentences(records: Records) -> list[str]:
    """What a reader should know who reads no further."""
    base = records.variants[records.baseline]
    if not base['n']:
        return [f'No trial of the baseline, {records.baseline}, is done: there is nothing to compare with.']
    level = f'{words.percent(base["mean"])} %{words.within(base)}'
    others = [name for name in records.variants if name != records.baseline and name not in records.references]
    if not others:
        return [f'{records.baseline}: test {records.metric} {level}, over {words.many(base["n"], records.unit)}.']
    return [_best(records, level), *_counts(records, others), *_enough(records, others)]


def _best(records: Records, level: str) -> str:
    best = records.chosen
    if best is None or best == records.baseline:
        return f'No variant is better on validation than {records.baseline}, with test {records.metric} {level}.'
    one = records.variants[best]
    told = f'Best on validation is “{best}”: test {records.metric} {words.percent(one["mean"])} %, the baseline {level}'
    difference = one['difference']
    if difference is None:
        return f'{told}.'
    sure = '' if records.outcome(best) != OPEN else ', which may be chance'
    return f'{told}; {words.points(difference["mean"])} points{words.within(difference, words.points)}{sure}.'


def _counts(records: Records, others: list[str]) -> list[str]:
    found = Counter(records.outcome(name) for name in others if records.measured.get(name))
    total = sum(found.values())
    if not total:
        return []
    if total == 1:
        return []
    verbs = {HELPS: ('helps', 'help'), HARMS: ('harms', 'harm'), OPEN: ('cannot be told from it',) * 2}
    parts = [f'{found[which]} {one if found[which] == 1 else more}' for which, (one, more) in verbs.items()]
    return [f'Of {total} variants beside the baseline {words.joined(parts)}.']


def _enough(records: Records, others: list[str]) -> list[str]:
    """Whether so many seeds could have told anything at all."""
    seeds = records.variants[records.baseline]['n']
    there = [one for name in others if (one := records.variants[name].get('difference')) is not None]
    if records.unit != 'seeds' or not there:
        return []
    least = statistics.fewest_seeds(len(there))
    if seeds >= least:
        return []
    return [
        f'{words.many(seeds, "seeds").capitalize()} cannot tell: with {words.many(len(there), "comparisons")} no '
        f'p-value can pass below {least} seeds, however large the effect.'
    ]


def _warning(records: Records) -> str:
    trials = records.summary['trials']
    missing = [f'{trials[FAILED]} failed'] if trials[FAILED] else []
    missing += [f'{trials[MISSING]} {"is" if trials[MISSING] == 1 else "are"} not run yet'] if trials[MISSING] else []
    if not missing:
        return ''
    total = sum(trials.values())
    return (
        f'<div class="warning"><p>Not complete: of {words.many(total, "trials")} {words.joined(missing)}; all numbers '
        f'are of the {trials[DONE]} that are done, and differences of the pairs that are.</p></div>'
    )


def _cells(records: Records) -> list[tuple[str, str]]:
    base, best = records.variants[records.baseline], records.chosen
    cells: list[tuple[str, str]] = []
    if base['n']:
        cells.append((f'Baseline, test {records.metric}', _value(base)))
    if best is not None and best != records.baseline:
        one = records.variants[best]
        cells.append((f'The best, test {records.metric}', _value(one)))
        if one['difference'] is not None:
            shown = {'value': one['difference']['mean'], 'ci95': one['difference']['ci95']}
            cells.append(('Difference', pieces.cell(shown, words.points, ' points')))
        gaps = {'value': base.get('gap'), 'ci95': base.get('gap_ci95')}, {'value': one['gap'], 'ci95': one['gap_ci95']}
        cells.append(('Gap of the baseline', pieces.cell(gaps[0], words.points, ' points')))
        cells.append(('Gap of the best', pieces.cell(gaps[1], words.points, ' points')))
    elif base['n']:
        shown = {'value': base['gap'], 'ci95': base['gap_ci95']}
        cells.append(('Gap, test − train error', pieces.cell(shown, words.points, ' points')))
    trials = records.summary['trials']
    total = sum(trials.values())
    cells.append(('Trials done', f'{trials[DONE]:,} <small>of {total:,}</small>'))
    seconds = [value for row in records.rows if (value := number(row.get('seconds'))) is not None]
    if seconds:
        cells.append(('Training, all trials', pieces.duration(sum(seconds))))
    return cells


def _value(one: Any) -> str:
    return pieces.cell({'value': one['mean'], 'ci95': one['ci95']}, words.percent, ' %')

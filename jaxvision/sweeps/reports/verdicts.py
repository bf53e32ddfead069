"""Verdicts: a sentence on every variant; of a ladder, on every rung, alone and in the company of the others."""

import html
from collections.abc import Mapping
from typing import Any

from jaxvision.sweeps import designs, findings, statistics
from jaxvision.sweeps.reports import words
from jaxvision.sweeps.reports.effects import estimate, key
from jaxvision.sweeps.reports.plots.forest import forest
from jaxvision.sweeps.reports.reading import HARMS, HELPS, OPEN, Records, outcome
from jaxvision.training.reports import pieces
from jaxvision.training.reports.reading import Absent

ENDS = ('← worse', 'better →')


def verdicts(records: Records) -> str:
    rungs = [designs.Rung(*rung) for rung in records.sweep.get('rungs') or ()]
    if rungs:
        return _ladder(records, rungs) + _few(records)
    lines = [(name, _told(records, name)) for name in records.variants if name != records.baseline]
    if not lines:
        raise Absent('there is one variant, and nothing to compare it with')
    return _listed(lines) + _few(records)


def _ladder(records: Records, rungs: list[designs.Rung]) -> str:
    company = records.summary.get('contributions') or {}
    lines, rows = [], {'Alone': [], 'In company': []}
    for rung in rungs:
        told = [f'Alone, it {_rest(records, rung.alone)}']
        rows['Alone'].append(_estimate(rung.name, records.variants[rung.alone].get('difference')))
        if rung.name in company:
            found = company[rung.name]
            rows['In company'].append(_estimate(rung.name, found))
            text = 'is not known: no pair is done' if found is None else findings.tell(found, records.unit)
            told.append(f'In company, it {text}.')
        lines.append((rung.name, [_marked(sentence) for sentence in told]))
    if len(rungs) > 1:
        lines.append(('all together', [_sentence(records, 'all')]))
    unit = f'test {records.metric}, difference, points'
    figures = [forest({title: some}, unit, ends=ENDS, width=470) for title, some in rows.items() if some]
    captions = (
        f'Alone: each rung with nothing else, minus {records.baseline}. Filled where significant.',
        'In company: all rungs, minus all but this one. What helps alone and not in company does what others do '
        'already; what harms in company is better left out.',
    )
    alt = (
        f'What each of {len(rungs)} regularisers is worth alone, as a forest plot.',
        f'What each of {len(rungs)} regularisers is worth beside all others, as a forest plot.',
    )
    drawn = [pieces.figure(*each) for each in zip(figures, alt, captions, strict=False)]
    return key(HELPS, HARMS, OPEN) + pieces.group('pair', drawn) + '<h3>In words</h3>' + _listed(lines)


def _estimate(name: str, difference: Mapping[str, Any] | None):
    found = outcome(difference)
    return estimate(name, difference, words.COLORS[found], found in (HELPS, HARMS))


def _rest(records: Records, name: str) -> str:
    """The verdict on a variant without its name."""
    verdict = records.variants[name]['verdict']
    rest = verdict.removeprefix(name).removeprefix(':').strip()
    return rest if records.variants[name].get('difference') else f'is not known: {rest}'


def _sentence(records: Records, name: str) -> str:
    verdict = records.variants[name]['verdict'].removeprefix(name).removeprefix(':').strip()
    return _marked(verdict[:1].upper() + verdict[1:])


def _told(records: Records, name: str) -> list[str]:
    """The verdict, and of a draw, whose name says nothing, what was drawn."""
    if records.summary['kind'] != 'sample':
        return [_sentence(records, name)]
    drawn = records.variants[name]['overrides'].items()
    values = ', '.join(f'{key} = {designs.told(value)}' for key, value in drawn)
    return [_sentence(records, name), f'<small>{html.escape(values)}</small>']


def _marked(sentence: str) -> str:
    """As HTML: the word that matters in its colour."""
    text = html.escape(sentence.replace(' -', ' −'))
    for verb, which in (('helps', HELPS), ('harms', HARMS)):
        for word in (verb, verb.capitalize()):
            text = text.replace(f'{word}:', f'<b style="color:{words.COLORS[which]}">{word}:</b>', 1)
    return text


def _listed(lines: list[tuple[str, list[str]]]) -> str:
    items = ''.join(
        f'<dt>{html.escape(name)}</dt><dd>{"".join(f"<p>{sentence}</p>" for sentence in told)}</dd>'
        for name, told in lines
    )
    return f'<dl class="rungs">{items}</dl>'


def _few(records: Records) -> str:
    """How the sentences are to be read."""
    if records.unit != 'seeds':
        return ''
    return (
        '<p class="note">To make no difference that so many seeds can tell is not to make none: the interval says how '
        f'large it may still be. The number of seeds that would tell is for a power of {statistics.POWER:.0%}, if the '
        'difference seen is the true one, under the least favourable correction; take it for its order of magnitude.'
        '</p>'
    )

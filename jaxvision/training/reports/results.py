"""The numbers: the header with the most important ones, and the tables of splits and of teacher and student."""

import html
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxvision.training.reports import pieces, plots
from jaxvision.training.reports.reading import Absent, Records, number

SPLITS = ('train', 'validation', 'test')
MODELS = {'teacher': 'Teacher', 'alone': 'Student alone', 'student': 'Student, distilled'}
MOST_COLUMNS = 8  # For which there is room at full size.


class Column(NamedTuple):
    """A metric in a table: its head, its key in result.json, and whether it is a share, told in percent."""

    head: str
    key: str
    share: bool = True

    def cell(self, split: Mapping[str, Any], records: Records, unit: str = '') -> str:
        """Its value in a split, with a unit if it is a share."""
        form = pieces.percent(records) if self.share else pieces.plain
        return pieces.cell(split.get(self.key), form, unit if self.share else '')


def header(records: Records, headline: Column, others: Sequence[tuple[str, str]]) -> str:
    """What the run is, its verdict, and its numbers.

    Args:
      records: of the run.
      headline: the metric of the test split that is told first.
      others: what else is worth knowing: name and cell.
    """
    result, percent = records.result, pieces.percent(records)
    best = choices(result).get('best', {}).get('test', {})
    cells = [
        (f'Test {headline.head}', pieces.cell(records.test.get(headline.key), percent, ' %')),
        ('Gap, test − train error', pieces.cell(result.get('gap'), pieces.points, ' points')),
        *others,
        ('Parameters', pieces.cell(result.get('parameters'), pieces.count)),
        ('Steps', pieces.cell(result.get('steps'), pieces.count)),
        ('Training time', pieces.cell(result.get('seconds'), pieces.duration)),
        (f'Test {headline.head}, best on validation', pieces.cell(best.get(headline.key), percent, ' %')),
    ]
    what = [
        records.config.get('data', {}).get('name'),
        records.config.get('model', {}).get('name'),
        'distilled' if records.distilled else None,
        f'seed {records.config["seed"]}' if 'seed' in records.config else None,
    ]
    parts = [f'<p class="kind">{html.escape(" · ".join(str(part) for part in what if part))}</p>']
    parts.append(f'<h1>{html.escape(records.name)}</h1>')
    if result.get('verdict'):
        parts.append(f'<p class="verdict">{html.escape(str(result["verdict"]))}</p>')
    if number(records.test.get(headline.key)) is None:
        parts.append(f'<p class="absent">result.json has no test {html.escape(headline.head)}.</p>')
    parts.append(
        pieces.group('numbers', [f'<div><span>{html.escape(name)}</span><b>{cell}</b></div>' for name, cell in cells])
    )
    parts.append('<p class="note">At the last step, unless it says best; in brackets, 95% intervals.</p>')
    return '<header>' + ''.join(parts) + '</header>'


def choices(entry: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The two models that a run reports: what it is called -> its splits."""
    best = entry.get('best') or {}
    found = {'last': entry.get('splits'), 'best': best.get('splits')}
    return {choice: splits for choice, splits in found.items() if splits}


def titles(records: Records) -> dict[str, str]:
    """What the two are called on the page."""
    steps, best = records.result.get('steps'), (records.result.get('best') or {}).get('step')
    return {
        'last': 'Last step' + (f' ({steps:,})' if number(steps) is not None else ''),
        'best': 'Best on validation' + (f' (step {best:,})' if number(best) is not None else ''),
    }


def by_split(records: Records, columns: Sequence[Column]) -> str:
    """A row a split, for the last step and for the best."""
    groups = {}
    for choice, splits in choices(records.result).items():
        rows = []
        for name in (name for name in SPLITS if name in splits):
            cells = [column.cell(splits[name], records) for column in columns]
            rows.append((plots.COLORS[name], name, [pieces.cell(splits[name].get('n'), pieces.count), *cells]))
        groups[titles(records)[choice]] = rows
    if not groups:
        raise Absent('result.json has no splits')
    return pieces.table(('split', 'n', *(column.head for column in columns)), groups) + (
        '<p class="note">Every split is measured clean: no augmentation, no dropout, each example once. Best was '
        'chosen on validation, so of its rows only the test one is an honest estimate.</p>'
    )


def teacher_and_student(records: Records, headline: Column, others: Sequence[Column]) -> str:
    """A row a network, if there was a teacher; else nothing.

    Args:
      records: of the run.
      headline: the metric that is told of every split.
      others: those that are told of the test split alone.
    """
    if not records.distilled:
        return ''
    groups: dict[str, list] = {}
    for key, name in MODELS.items():
        entry = records.result if key == 'student' else records.result.get(key) or {}
        for choice, splits in choices(entry).items():
            cells = [pieces.cell(entry.get('parameters'), pieces.count)]
            cells += [headline.cell(splits.get(split, {}), records) for split in SPLITS]
            cells += [column.cell(splits.get('test', {}), records) for column in others]
            cells.append(pieces.cell(_gap(entry, choice, splits, headline.key), pieces.points))
            title = titles(records)[choice].partition(' (')[0]
            members = entry.get('members') or 1
            called = f'{name}, {members} members' if members > 1 else name
            groups.setdefault(title, []).append((plots.COLORS[key], called, cells))
    tested = [f'test {column.head}' for column in (headline, *others)]
    head = ('model', 'parameters', 'train', 'validation', *tested, 'gap, points')
    return (
        '<h3>Teacher and student</h3>'
        + pieces.table(head, groups, 'stacked' if len(head) <= MOST_COLUMNS else 'stacked tight')
        + '<p class="note">What distillation is worth is the difference between the two students: same network, same '
        'data, with and without the teacher. Where their intervals overlap widely, one run cannot tell.</p>'
    )


def _gap(entry: Mapping[str, Any], choice: str, splits: Mapping[str, Any], headline: str) -> Any:
    if choice == 'last' and 'gap' in entry:
        return entry['gap']
    train, test = (number(splits.get(split, {}).get(headline)) for split in ('train', 'test'))
    return None if train is None or test is None else train - test

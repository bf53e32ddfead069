"""The trials that have no result: why they failed, and which were never run."""

import html

from jaxvision.sweeps.reports import words
from jaxvision.sweeps.reports.reading import Records
from jaxvision.sweeps.table import FAILED, MISSING

MOST = 40  # Failed trials that are told one by one.


def undone(records: Records) -> str:
    failed = [row for row in records.rows if row['status'] == FAILED]
    missing = [row for row in records.rows if row['status'] == MISSING]
    again = 'The same command again tries what failed, and runs what is missing.'
    return _failed(failed) + _missing(missing) + f'<p class="note">{again}</p>'


def _failed(rows) -> str:
    if not rows:
        return ''
    items = ''.join(
        f'<li><b>{html.escape(_label(row))}</b>: {html.escape(str(row.get("failure") or "no error.json"))}</li>'
        for row in rows[:MOST]
    )
    rest = f'<p class="note">And {len(rows) - MOST} more; see results.csv.</p>' if len(rows) > MOST else ''
    return f'<h3>Failed: {len(rows)}</h3><ul class="errors">{items}</ul>{rest}'


def _missing(rows) -> str:
    if not rows:
        return ''
    by: dict[str, int] = {}
    for row in rows:
        by[row['variant']] = by.get(row['variant'], 0) + 1
    items = ''.join(f'<li>{html.escape(name)}: {words.many(count, "trials")}</li>' for name, count in by.items())
    return f'<h3>Not run: {len(rows)}</h3><ul class="errors">{items}</ul>'


def _label(row) -> str:
    fold = '' if row.get('fold') is None else f', fold {row["fold"]}'
    return f'{row["variant"]}, seed {row["seed"]}{fold}'

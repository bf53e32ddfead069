"""The table of a sweep: one row a trial, with every override and what came out."""

import csv
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from jaxvision import assembly, settings
from jaxvision.errors import UserError
from jaxvision.sweeps.designs import Sweep
from jaxvision.sweeps.trials import Trial

DONE, FAILED, MISSING = 'done', 'failed', 'missing'
TIMES = ('seconds', 'examples_per_second')  # The columns that differ between two runs of the same sweep.
Row = dict[str, Any]


def gather(trials: Sequence[Trial], sweep: Sweep) -> list[Row]:
    """Reads what the trials have left, in their order.

    Returns:
      Rows of {'variant', 'seed', 'fold' (in a cross-validation), 'status': done, failed or missing, each key that the
      sweep overrides, '<split>_n' and '<split>_<metric>' at the last step, 'gap', 'best_step',
      'best_<split>_<headline>', 'steps', 'parameters', 'hash' of the weights, 'seconds', 'examples_per_second',
      'failure'}. All have the same columns.
    """
    rows = [_row(trial, sweep) for trial in trials]
    columns = dict.fromkeys(column for row in rows for column in row)
    # The longest texts and what differs from time to time go last.
    last = [column for column in (*TIMES, 'failure') if column in columns]
    order = [column for column in columns if column not in last] + last
    return [{column: row.get(column) for column in order} for row in rows]


def _row(trial: Trial, sweep: Sweep) -> Row:
    row: Row = {'variant': trial.variant, 'seed': trial.seed}
    if trial.fold is not None:
        row['fold'] = trial.fold
    row['status'] = MISSING
    row |= {key: None if trial.reference else settings.value_of(trial.settings, key) for key in sweep.keys}
    workdir = trial.workdir
    if workdir.complete:
        row['status'] = DONE
        row |= _measured(workdir.read('result.json'))
    elif (workdir / 'error.json').exists():
        row['status'] = FAILED
        row['failure'] = workdir.read('error.json')['error']
    return row


def _measured(result: dict[str, Any]) -> Row:
    headline = assembly.EVALUATORS[result['task']].headline
    row: Row = {}
    for split, metrics in result['splits'].items():
        row[f'{split}_n'] = metrics['n']
        for name, entry in metrics.items():
            if isinstance(entry, dict) and 'value' in entry:
                row[f'{split}_{name}'] = entry['value']
    row |= {'gap': result['gap']['value'], 'best_step': result['best']['step']}
    row |= {f'best_{split}_{headline}': values[headline]['value'] for split, values in result['best']['splits'].items()}
    return row | {key: result.get(key) for key in ('steps', 'parameters', 'hash', *TIMES)}


def write(path: pathlib.Path, rows: Sequence[Row]) -> None:
    """Writes results.csv; tuples as JSON lists, what is not there as nothing."""
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({column: _cell(value) for column, value in row.items()})


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (tuple, list, bool)) else value


def read(path: pathlib.Path) -> list[Row]:
    """Reads a results.csv back.

    Raises:
      UserError: there is none.
    """
    try:
        with path.open(newline='') as file:
            return [{column: _value(column, text) for column, text in row.items()} for row in csv.DictReader(file)]
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror or error}') from error


def _value(column: str, text: str) -> Any:
    if column in ('variant', 'status', 'hash', 'failure'):
        return text
    if text == '':
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text

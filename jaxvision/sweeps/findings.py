"""From the table of a sweep to what it says: every variant against the baseline, and a sentence on each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxvision.sweeps import statistics
from jaxvision.sweeps.designs import Sweep
from jaxvision.sweeps.table import DONE, FAILED, MISSING, Row
from jaxvision.training import columns

SPLITS = ('train', 'validation', 'test')
Values = dict[int, float]  # seed, or fold -> value


def conclude(rows: Sequence[Row], sweep: Sweep, headline: str) -> dict[str, Any]:
    """What summary.json says.

    Args:
      rows: from `table.gather`.
      sweep: what they are rows of.
      headline: the metric that variants are compared by on test, a share of which more is better.

    Returns:
      {'kind', 'metric', 'split': 'test', 'unit': seeds or folds, 'trials': {'done', 'failed', 'missing'}, 'baseline',
      'variants': {name: {'n', 'mean', 'median', 'std', 'ci95': of the headline on test, 'gap': mean test error minus
      clean train error, 'gap_ci95', 'errors': {split: {'mean', 'ci95'}}, 'parameters', 'overrides', 'difference':
      {'n', 'mean', 'ci95', 'interval', 'p', 'p_holm', 'p_improvement', 'better', 'seeds_needed'} against the baseline,
      or None, 'verdict'}}, and of a ladder 'contributions': {rung: such a difference, of all rungs minus all but
      this one}}.
      A variant of which no trial is done has n = 0 and no numbers. Intervals are of 95 %; see `statistics`.
    """
    found = _Table(rows, sweep, headline)
    variants: dict[str, Any] = {}
    for name in (*sweep.variants, *sweep.references):
        variants[name] = found.describe(name)
    differences = {name: found.difference(name, sweep.baseline) for name in variants if name != sweep.baseline}
    _correct(differences)
    for name, one in variants.items():
        one['difference'] = differences.get(name)
        one['verdict'] = _verdict(name, one, sweep, found.unit)
    contributions = {rung.name: found.difference('all', rung.without) for rung in sweep.rungs if rung.without}
    _correct(contributions)
    statuses = [row['status'] for row in rows]
    return {
        'kind': sweep.kind,
        'metric': headline,
        'split': 'test',
        'unit': found.unit,
        'trials': {status: statuses.count(status) for status in (DONE, FAILED, MISSING)},
        'baseline': sweep.baseline,
        'variants': variants,
        **({'contributions': contributions} if sweep.rungs else {}),
    }


class _Table:
    """The rows, read column by column."""

    def __init__(self, rows: Sequence[Row], sweep: Sweep, headline: str):
        self._sweep, self._headline = sweep, headline
        self._done = [row for row in rows if row['status'] == DONE]
        self.unit = 'folds' if sweep.folds else 'seeds'

    def _ratio(self, name: str) -> float:
        """n_test / n_train, of a cross-validation."""
        sizes = [(row['test_n'], row['train_n']) for row in self._done if row['variant'] == name]
        return float(np.mean([test / train for test, train in sizes])) if sizes else 0.0

    def _trials(self, name: str, column: str) -> dict[tuple[int, int], float]:
        """The values of a variant, by fold and seed; outside of a cross-validation all are of fold 0."""
        return {
            (row.get('fold') or 0, row['seed']): row[column]
            for row in self._done
            if row['variant'] == name and row.get(column) is not None
        }

    def _by_unit(self, found: Mapping[tuple[int, int], float]) -> Values:
        """By seed; in a cross-validation by fold, each the mean over its seeds."""
        by: dict[int, list[float]] = {}
        for (fold, seed), value in found.items():
            by.setdefault(fold if self._sweep.folds else seed, []).append(value)
        return {number: float(np.mean(some)) for number, some in by.items()}

    def values(self, name: str, column: str) -> Values:
        return self._by_unit(self._trials(name, column))

    def mean(self, name: str, column: str) -> dict[str, Any]:
        values = list(self.values(name, column).values())
        return statistics.over_folds(values, self._ratio(name)) if self._sweep.folds else statistics.mean(values)

    def share(self, name: str, column: str) -> dict[str, Any]:
        """The same of a share: its interval ends at 0 and 1, where Student's would go on."""
        found = self.mean(name, column)
        if found['ci95'] is not None:
            found['ci95'] = [max(found['ci95'][0], 0.0), min(found['ci95'][1], 1.0)]
        return found

    def describe(self, name: str) -> dict[str, Any]:
        overrides = {key: _plain(value) for key, value in self._sweep.variants.get(name, {}).items()}
        if not self.values(name, f'test_{self._headline}'):
            return {'n': 0, 'overrides': overrides}
        gap = self.mean(name, 'gap')
        parameters = self.values(name, 'parameters').values()
        return {
            **self.share(name, f'test_{self._headline}'),
            'gap': gap['mean'],
            'gap_ci95': gap['ci95'],
            'errors': {
                split: {key: found[key] for key in ('mean', 'ci95')}
                for split in SPLITS
                if (found := self.share(name, f'{split}_error'))
            },
            'parameters': int(max(parameters)),
            'overrides': overrides,
        }

    def difference(self, name: str, baseline: str) -> dict[str, Any] | None:
        """Paired by seed, or by fold and seed; None where no pair is done."""
        ours, theirs = (self._trials(one, f'test_{self._headline}') for one in (name, baseline))
        if name in self._sweep.references:  # They have no seeds: a fold's value is one.
            ours, theirs = ({(fold, 0): v for fold, v in self._by_unit(one).items()} for one in (ours, theirs))
        common = sorted(ours.keys() & theirs.keys())
        if not common:
            return None
        values, others = (
            list(self._by_unit({pair: side[pair] for pair in common}).values()) for side in (ours, theirs)
        )
        if self._sweep.folds:
            return statistics.difference_over_folds(values, others, max(self._ratio(name), self._ratio(baseline)))
        return statistics.paired_difference(values, others)


def _correct(differences: Mapping[str, dict[str, Any] | None]) -> None:
    """Adds Holm's correction over all of them, and how many seeds those that are not significant would want."""
    there = [one for one in differences.values() if one is not None]
    for one, corrected in zip(there, statistics.holm([one['p'] for one in there]), strict=True):
        one['p_holm'] = corrected
        one['seeds_needed'] = None
        if corrected > statistics.LEVEL and one['n'] > 1 and one['interval'] != 'Nadeau and Bengio':
            wanted = statistics.seeds_needed(one['mean'], one['std'], len(there))
            one['seeds_needed'] = None if wanted is None else max(wanted, one['n'] + 1)


def significant(difference: Mapping[str, Any] | None) -> bool:
    return difference is not None and difference['p_holm'] <= statistics.LEVEL


def _verdict(name: str, one: Mapping[str, Any], sweep: Sweep, unit: str) -> str:
    """One sentence, backed by its interval."""
    if not one['n']:
        return f'{name}: no trial is done.'
    if name == sweep.baseline:
        return f'{name}: test {_percent(one["mean"])}{_within(one, "")}, n = {one["n"]}.'
    difference = one['difference']
    if difference is None:
        return f'{name}: no {unit[:-1]} is done that the baseline has, too.'
    return f'{name} {tell(difference, unit)}.'


def tell(difference: Mapping[str, Any], unit: str, verbs: tuple[str, str] = ('helps', 'harms')) -> str:
    """A difference in words, without its subject."""
    numbers = f'{_points(difference["mean"])} points{_within(difference, "+")}'
    better = f'better in {difference["better"]} of {difference["n"]}'
    backed = f'{numbers}, p {p_value(difference["p_holm"], "= ")} after Holm, {better}'
    if significant(difference):
        return f'{verbs[0] if difference["mean"] > 0 else verbs[1]}: {backed}'
    count = f'{difference["n"]} {unit}' if difference['n'] > 1 else f'one {unit[:-1]}'
    if difference['ci95'] is not None and (difference['ci95'][0] > 0 or difference['ci95'][1] < 0):
        backed += ' (the interval is of this comparison alone, Holm minds that there are others)'
    few = f'makes no difference that {count} can tell: {backed}'
    if difference['n'] < 2:
        return f'{few}; one says nothing of the spread, so nor how many would do'
    if unit != 'seeds':
        return few
    wanted = difference['seeds_needed']
    if wanted is None:
        return f'{few}; if this is its true size, {statistics.MOST_SEEDS:,} seeds would not tell it from none'
    return f'{few}; if this is its true size, about {wanted:,} seeds would tell'


def _percent(value: float) -> str:
    return f'{100 * value:.2f} %'


def _points(value: float) -> str:
    return f'{100 * value:+.2f}'


def p_value(value: float, equal: str = '') -> str:
    """A p-value in words; `equal` stands before it where it is not below what is told."""
    if value < 0.001:
        return f'{"< " if equal else "<"}0.001'
    return f'{equal}{value:.3f}' if value < 0.1 else f'{equal}{value:.2f}'


def _within(value: Mapping[str, Any], sign: str) -> str:
    if value['ci95'] is None:
        return ''
    low, high = value['ci95']
    return f' (95% interval {100 * low:{sign}.2f} to {100 * high:{sign}.2f})'


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def text(summary: Mapping[str, Any]) -> str:
    """The closing table: one row a variant, then what cannot be left unsaid."""
    rows: list[tuple[str, ...]] = [
        ('', 'n', f'test {summary["metric"]}, %', 'gap, points', 'difference, points', 'p (Holm)', 'P(better)')
    ]
    for name, one in summary['variants'].items():
        if not one['n']:
            rows.append((name, '0', *['–'] * 5))
            continue
        difference = one['difference']
        compared = ('', '', '')
        if difference is not None:
            star = ' *' if significant(difference) else '  '
            compared = (
                f'{_points(difference["mean"])}{_bracket(difference, "+")}{star}',
                p_value(difference['p_holm']),
                f'{difference["p_improvement"]:.2f}',
            )
        rows.append(
            (name, str(one['n']), f'{100 * one["mean"]:.2f}{_bracket(one, "")}', _points(one['gap']), *compared)
        )
    lines = [*columns.aligned(rows), note(summary)]
    trials = summary['trials']
    if trials[FAILED] or trials[MISSING]:
        lines.append(f'Of the trials {trials[FAILED]} failed and {trials[MISSING]} were not run.')
    return '\n'.join(lines)


def note(summary: Mapping[str, Any]) -> str:
    """How the numbers were made, in a line."""
    if summary['unit'] == 'folds':
        how = 'Means over folds; 95% intervals and p-values after Nadeau and Bengio'
    else:
        kinds = dict.fromkeys(
            one['difference']['interval'] for one in summary['variants'].values() if one.get('difference')
        )
        theirs = f', with {" or ".join(kinds)} intervals' if kinds else ''
        how = f"Means over seeds with Student's 95% intervals; differences are paired by seed{theirs}"
    return f'{how}; against {summary["baseline"]!r}; *: p <= {statistics.LEVEL} after Holm.'


def _bracket(value: Mapping[str, Any], sign: str) -> str:
    if value['ci95'] is None:
        return ''
    low, high = value['ci95']
    return f' [{100 * low:{sign}.2f}, {100 * high:{sign}.2f}]'

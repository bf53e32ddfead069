"""Runs one experiment under several seeds, and gathers what came out."""

import csv
import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxvision import experiment, runs
from jaxvision.settings import Settings
from jaxvision.sweeps import statistics
from jaxvision.training import environment
from jaxvision.training.records import Workdir

HELD_OUT = ('validation', 'test')


def over_seeds(settings: Settings, seeds: Sequence[int], path: str, *, stream=None) -> dict[str, Any]:
    """Trains the experiment once a seed, each in a workdir of its own; finished ones are not trained again.

    Args:
      settings: of the experiment; its own seed is not used.
      seeds: which.
      path: of the workdir of the sweep; trial s lies in seed-s/.
      stream: where the progress goes; stdout if None.

    Returns:
      What is written to summary.json: {'n', 'versions', 'git', 'metric': the task's first one, e.g. accuracy,
      'test_accuracy' and 'validation_accuracy': as statistics.mean returns them, and in a distillation
      'alone_test_accuracy' and 'difference': paired, distilled minus alone}. Each trial is a row of results.csv.
    """
    workdir = Workdir(path)
    workdir.check({})
    rows = []
    for seed in seeds:
        result = experiment.run(dataclasses.replace(settings, seed=seed), str(workdir / f'seed-{seed}'), stream=stream)
        row = {'seed': seed, **_columns(result)}
        if 'alone' in result:
            row |= {f'alone_{name}': value for name, value in _columns(result['alone']).items()}
        rows.append(row)
    metric = runs.EVALUATORS[settings.task].headline
    summary = {
        'n': len(rows),
        'metric': metric,
        'versions': environment.versions(),
        'git': environment.commit(),
        **{f'{split}_{metric}': statistics.mean([row[f'{split}_{metric}'] for row in rows]) for split in HELD_OUT},
    }
    if all(f'alone_test_{metric}' in row for row in rows):
        alone = [row[f'alone_test_{metric}'] for row in rows]
        summary[f'alone_test_{metric}'] = statistics.mean(alone)
        summary['difference'] = statistics.paired_difference([row[f'test_{metric}'] for row in rows], alone)
    workdir.replace('results.csv', lambda path: _write(path, rows))
    workdir.write('summary.json', summary)
    return summary


def _columns(result: dict[str, Any]) -> dict[str, float]:
    metric = runs.EVALUATORS[result['task']].headline
    columns = {f'{split}_{metric}': result['splits'][split][metric]['value'] for split in result['splits']}
    test = result['splits']['test'].items()
    columns |= {f'test_{name}': entry['value'] for name, entry in test if isinstance(entry, dict) and 'value' in entry}
    return columns | {'gap': result['gap']['value'], 'seconds': result['seconds']}


def _write(path, rows) -> None:
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def tell(summary: dict[str, Any]) -> str:
    """The summary in words."""

    def percent(name: str) -> str:
        value = summary[name]
        return f'mean {value["mean"]:.2%}{_within(value)}, median {value["median"]:.2%}, n = {value["n"]} seeds'

    metric = summary['metric']
    lines = [f'test {metric}: {percent(f"test_{metric}")}']
    if 'difference' in summary:
        value = summary['difference']
        lines.append(f'the same student alone: {percent(f"alone_test_{metric}")}')
        lines.append(
            f'distilled minus alone, paired by seed: {value["mean"] * 100:+.2f} points{_within(value, "+")}, better in '
            f'{value["better"]} of {value["n"]}; the teacher is one, so its variance is not in the interval'
        )
    return '\n'.join(lines)


def _within(value: dict[str, Any], sign: str = '') -> str:
    if value['ci95'] is None:
        return ' (one run has no interval)'
    low, high = value['ci95']
    return f' (95% interval {low * 100:{sign}.2f} to {high * 100:{sign}.2f})'

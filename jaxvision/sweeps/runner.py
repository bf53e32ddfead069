"""Runs one experiment under several seeds, and gathers what came out."""

import csv
import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxvision import experiment
from jaxvision.settings import Settings
from jaxvision.sweeps import statistics
from jaxvision.training import environment
from jaxvision.training.records import Workdir


def over_seeds(settings: Settings, seeds: Sequence[int], path: str, *, stream=None) -> dict[str, Any]:
    """Trains the experiment once a seed, each in a workdir of its own; finished ones are not trained again.

    Args:
      settings: of the experiment; its own seed is not used.
      seeds: which.
      path: of the workdir of the sweep; trial s lies in seed-s/.
      stream: where the progress goes; stdout if None.

    Returns:
      What is written to summary.json: {'n', 'versions', 'git', 'test_accuracy' and 'validation_accuracy': as
      statistics.mean returns them, and in a distillation 'alone_test_accuracy' and 'difference': paired, distilled
      minus alone}. Each trial is a row of results.csv.
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
    summary = {
        'n': len(rows),
        'versions': environment.versions(),
        'git': environment.commit(),
        'test_accuracy': statistics.mean([row['test_accuracy'] for row in rows]),
        'validation_accuracy': statistics.mean([row['validation_accuracy'] for row in rows]),
    }
    if all('alone_test_accuracy' in row for row in rows):
        alone = [row['alone_test_accuracy'] for row in rows]
        summary['alone_test_accuracy'] = statistics.mean(alone)
        summary['difference'] = statistics.paired_difference([row['test_accuracy'] for row in rows], alone)
    workdir.replace('results.csv', lambda path: _write(path, rows))
    workdir.write('summary.json', summary)
    return summary


def _columns(result: dict[str, Any]) -> dict[str, float]:
    columns = {f'{split}_accuracy': result['splits'][split]['accuracy']['value'] for split in result['splits']}
    columns |= {f'test_{name}': result['splits']['test'][name]['value'] for name in ('nll', 'ece')}
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

    lines = [f'test accuracy: {percent("test_accuracy")}']
    if 'difference' in summary:
        value = summary['difference']
        lines.append(f'the same student alone: {percent("alone_test_accuracy")}')
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

"""An experiment: settings -> a trained, evaluated, reported workdir; teacher, student alone, student distilled."""

import dataclasses
from collections.abc import Collection
from typing import Any

import jax

from jaxvision import metrics, runs, teachers
from jaxvision.errors import UserError
from jaxvision.settings import Settings
from jaxvision.training import evaluation
from jaxvision.training.records import Workdir
from jaxvision.training.reports import page


def run(settings: Settings, path: str, *, overridden: Collection[str] = (), stream=None) -> dict[str, Any]:
    """The main job: trains what the settings describe in one workdir, with its report.

    A distillation first restores or trains the teacher, then trains the student alone (under `alone/`), then under the
    teacher.

    Args:
      settings: checked settings.
      path: of the workdir. The same settings resume, or return the result if it is complete.
      overridden: dotted keys that the user set by hand; one that this dataset does not read is an error.
      stream: where the progress goes; stdout if None.

    Returns:
      result.json.
    """
    workdir = Workdir(path)
    workdir.check(dataclasses.asdict(settings))
    source, _ = runs.load_data(settings.data)
    for split in ('validation', 'test'):
        if f'data.{split}_fraction' in overridden and split in source.official:
            raise UserError(f'config.data.{split}_fraction is set, but {source.name} has a {split} split of its own')
    with workdir.alone():
        return _run(settings, workdir, stream)


def _run(settings: Settings, workdir: Workdir, stream) -> dict[str, Any]:
    if workdir.complete:
        result = workdir.read('result.json')
    elif not settings.distills:
        result = runs.train(runs.assemble(settings), workdir, stream=stream)
    else:
        # Whatever is wrong with the student is told before the teacher is trained.
        student_alone, alone = runs.assemble(settings.alone()), None
        if settings.distill.compare_alone:
            alone = Workdir(workdir / 'alone')
            alone.check(dataclasses.asdict(settings.alone()))
        teacher = teachers.provide(settings, stream=stream)
        if alone is not None:
            runs.train(student_alone, alone, label='student alone', stream=stream)
        student = runs.assemble(settings, teacher)
        result = runs.train(student, workdir, teacher=teacher, alone=alone, label='student distilled', stream=stream)
    if not (workdir / 'report.html').exists():
        page.write(workdir.path)
    return result


def evaluate(path: str, split: str, *, at: str = 'last', temperature: float = 1.0) -> dict[str, Any]:
    """Looks closely at one split of a finished run, with its weights run again over the data.

    Args:
      path: of the workdir.
      split: train, validation or test.
      at: `last` step, or `best` on validation.
      temperature: of the softmax, on top of the model's own.

    Returns:
      {'workdir', 'split', 'checkpoint', 'temperature', 'metrics': as in result.json, 'per_class': {name: share with
      interval}, 'confusion': [true][predicted] counts, 'class_names', 'gap', 'verdict', 'calibration': the temperature
      fitted on validation and what it does on test}.

    Raises:
      UserError: the run is not finished, or its data is not what it was.
    """
    workdir = Workdir(path)
    workdir.read('result.json')
    run = runs.assemble(runs.settings_of(workdir).alone(), devices=jax.local_devices())
    runs.same_data(workdir, run.source, run.splits)
    variables = run.parallel.replicate(runs.restore(run, workdir, at).variables)
    outputs = runs.outputs(run, variables)
    labels = run.source.labels[getattr(run.splits, split)]
    confusion = metrics.confusion_matrix(outputs[split].argmax(axis=1), labels, run.source.num_classes)
    concluded = runs.conclude(outputs, run.source.labels, run.splits)
    return {
        'workdir': str(workdir),
        'split': split,
        'checkpoint': at,
        'temperature': temperature,
        'metrics': evaluation.summarize(outputs[split], labels, temperature),
        'per_class': {
            name: evaluation.share_of(int(row[index]), int(row.sum()))
            for index, (name, row) in enumerate(zip(run.source.class_names, confusion, strict=True))
        },
        'confusion': confusion.tolist(),
        'class_names': list(run.source.class_names),
        'errors': {name: concluded['splits'][name]['error'] for name in ('train', 'test')},
        'gap': concluded['gap'],
        'verdict': concluded['verdict'],
        'calibration': concluded['temperature'],
    }


def tell(found: dict[str, Any]) -> str:
    """What `evaluate` found, as text."""
    lines = [
        f'{found["workdir"]}, {found["checkpoint"]} checkpoint, {found["split"]} split, '
        f'{found["metrics"]["n"]:,} examples, softmax at T = {found["temperature"]:g}'
    ]
    for name, key, unit in (
        ('accuracy', 'accuracy', 100),
        ('error', 'error', 100),
        ('top-5 accuracy', 'top5_accuracy', 100),
        ('NLL', 'nll', 1),
        ('ECE', 'ece', 1),
    ):
        lines.append(f'  {name:<16}{_interval(found["metrics"][key], unit)}')
    lines.append('per class accuracy')
    width = max(map(len, found['per_class']))
    lines += [f'  {name:<{width}}  {_interval(value, 100)}' for name, value in found['per_class'].items()]
    lines.append('confusion: rows are true classes, columns predicted ones')
    cell = max(len(str(count)) for row in found['confusion'] for count in row) + 1
    lines += [
        f'  {name:<{width}} ' + ''.join(f'{count:>{cell}}' for count in row)
        for name, row in zip(found['class_names'], found['confusion'], strict=True)
    ]
    calibration = found['calibration']
    lines += [
        f'empirical error (clean train)  {_interval(found["errors"]["train"], 100)}',
        f'real error (test)              {_interval(found["errors"]["test"], 100)}',
        f'gap                            {_interval(found["gap"], 100)}',
        found['verdict'],
        f'temperature fitted on validation: {calibration["fitted"]:.2f}; on test it takes ECE from '
        f'{calibration["test_ece_before"]:.3f} to {calibration["test_ece_after"]:.3f} and NLL from '
        f'{calibration["test_nll_before"]:.3f} to {calibration["test_nll_after"]:.3f}',
    ]
    return '\n'.join(lines)


def _interval(value: dict[str, Any], unit: int) -> str:
    digits, sign = (1, ' %') if unit == 100 else (3, '')
    low, high = value['ci95']
    return f'{value["value"] * unit:.{digits}f}{sign} [{low * unit:.{digits}f}, {high * unit:.{digits}f}]'


def table(result: dict[str, Any]) -> str:
    """The closing table of a run: one row a network, with 95% intervals.

    Args:
      result: result.json; of a distillation, with its `teacher` and perhaps `alone`.
    """
    rows = {'network': result}
    if 'teacher' in result:
        rows = {'teacher': result['teacher'], 'student alone': result.get('alone'), 'student distilled': result}
    head = ('', 'parameters', 'train (clean)', 'validation', 'test', 'NLL', 'ECE', 'gap (points)')
    lines = [head, *(_row(name, row) for name, row in rows.items() if row is not None)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    aligned = [
        '  '.join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(line, widths, strict=True)) for line in lines)
    ]
    note = 'Accuracies in % with 95% intervals, of the last step; NLL, ECE on test; gap: test minus clean train error.'
    return '\n'.join([*aligned, note])


def _row(name: str, result: dict[str, Any]) -> tuple[str, ...]:
    splits = result['splits']

    def accuracy(split: str) -> str:
        low, high = splits[split]['accuracy']['ci95']
        return f'{splits[split]["accuracy"]["value"]:.1%} [{low * 100:.1f}, {high * 100:.1f}]'.replace('%', '')

    low, high = result['gap']['ci95']
    return (
        name,
        f'{result["parameters"]:,}',
        *(accuracy(split) for split in ('train', 'validation', 'test')),
        f'{splits["test"]["nll"]["value"]:.3f}',
        f'{splits["test"]["ece"]["value"]:.3f}',
        f'{result["gap"]["value"] * 100:.1f} [{low * 100:.1f}, {high * 100:.1f}]',
    )

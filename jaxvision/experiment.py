"""An experiment: settings -> a trained, evaluated, reported workdir; teacher, student alone, student distilled."""

import dataclasses
from collections.abc import Collection
from typing import Any

import jax

from jaxvision import assembly, beforehand, meanwhile, runs, teachers
from jaxvision.settings import Settings
from jaxvision.training import columns, evaluation
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
    meanwhile.prepare(settings, done=workdir.complete)
    assembly.load_data(settings.data)  # What is wrong with it is told before anything is written.
    assembly.check_read(settings, overridden)
    with workdir.alone():
        return _run(settings, workdir, stream)


def _run(settings: Settings, workdir: Workdir, stream) -> dict[str, Any]:
    if workdir.complete:
        result = workdir.read('result.json')
    elif not settings.distills:
        run = assembly.assemble(settings)
        beforehand.fill(settings, run)
        result = runs.train(run, workdir, stream=stream)
    else:
        # Whatever is wrong with the student is told before the teacher is trained.
        student_alone, alone = assembly.assemble(settings.alone()), None
        if settings.distill.compare_alone:
            alone = Workdir(workdir / 'alone')
            alone.check(dataclasses.asdict(settings.alone()))
        beforehand.fill(settings, student_alone)
        teacher = teachers.provide(settings, stream=stream)
        if alone is not None:
            runs.train(student_alone, alone, label='student alone', stream=stream)
        student = assembly.assemble(settings, teacher)
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
      temperature: of a classifier's softmax, on top of the model's own.

    Returns:
      {'workdir', 'task', 'split', 'checkpoint', 'metrics': as in result.json, 'errors', 'gap', 'verdict'} and what the
      task's evaluator adds; of a classifier: 'per_class', 'confusion', and the `temperature` fitted on validation with
      what it does on test.

    Raises:
      UserError: the run is not finished, or its data is not what it was.
    """
    workdir = Workdir(path)
    workdir.read('result.json')
    run = assembly.assemble(runs.settings_of(workdir).alone(), devices=jax.local_devices())
    runs.same_data(workdir, run.source, run.splits)
    variables = run.parallel.replicate(runs.restore(run, workdir, at).variables)
    outputs = runs.outputs(run, (run.task, variables))
    concluded = runs.conclude(run, outputs)
    return {
        'workdir': str(workdir),
        'task': run.settings.task,
        'split': split,
        'checkpoint': at,
        **run.evaluator.examine(outputs[split], getattr(run.splits, split), temperature),
        'errors': {name: concluded['splits'][name]['error'] for name in ('train', 'test')},
        **{name: concluded[name] for name in concluded if name != 'splits'},
    }


def tell(found: dict[str, Any]) -> str:
    """What `evaluate` found, as text."""
    lines = [
        f'{found["workdir"]}, {found["checkpoint"]} checkpoint, {found["split"]} split, '
        f'{found["metrics"]["n"]:,} examples',
        *assembly.EVALUATORS[found['task']].tell(found),
        f'empirical error (clean train)  {evaluation.told(found["errors"]["train"], 100)}',
        f'real error (test)              {evaluation.told(found["errors"]["test"], 100)}',
        f'gap                            {evaluation.told(found["gap"], 100)}',
        found['verdict'],
    ]
    return '\n'.join(lines)


def table(result: dict[str, Any]) -> str:
    """The closing table of a run: one row a network, with 95% intervals.

    Args:
      result: result.json; of a distillation, with its `teacher` and perhaps `alone`.
    """
    rows = {'network': result}
    if 'teacher' in result:
        rows = {'teacher': result['teacher'], 'student alone': result.get('alone'), 'student distilled': result}
    evaluator = assembly.EVALUATORS[result['task']]
    cells = [
        {'': name, 'parameters': f'{row["parameters"]:,}', **evaluator.columns(row)}
        for name, row in rows.items()
        if row is not None
    ]
    lines = [tuple(cells[0]), *(tuple(row.values()) for row in cells)]
    return '\n'.join([*columns.aligned(lines), evaluator.note])

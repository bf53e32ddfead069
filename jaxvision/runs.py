"""One run: trained from wherever it was, evaluated, and its workdir written; and such a workdir read again."""

import dataclasses
import hashlib
from typing import Any

import jax
import numpy as np

from jaxvision import rng
from jaxvision.assembly import Run, Teacher
from jaxvision.data import order
from jaxvision.data.sources import Source
from jaxvision.data.splits import Splits
from jaxvision.errors import UserError
from jaxvision.models import cost
from jaxvision.settings import Settings, from_dict
from jaxvision.tasks.distill import Distill
from jaxvision.tasks.task import Task, Variables
from jaxvision.training import environment, evaluation, loop, state, step
from jaxvision.training.checkpoints import Checkpoints, best_step
from jaxvision.training.clock import typical_rate
from jaxvision.training.records import Workdir

PATIENCE = 60.0  # Seconds that a trial trains before its states are written.


def train(
    run: Run,
    workdir: Workdir,
    *,
    teacher: Teacher | None = None,
    alone: Workdir | None = None,
    label: str = 'training',
    stream=None,
    trial: bool = False,
) -> dict[str, Any]:
    """Trains one run to the end, from wherever it was, and writes its records.

    Args:
      run: from `assemble`, with the same teacher.
      workdir: where; if it is complete already, its result is returned.
      teacher: whom to imitate, or None.
      alone: the finished workdir of the same student without its teacher, to be compared with.
      label, stream: of the progress.
      trial: of a sweep: config, environment, metrics and result are its record, and checkpoints if it is long.

    Returns:
      result.json.
    """
    begin(run, workdir, teacher)
    if workdir.complete:
        return workdir.read('result.json')
    context = run.context(teacher)
    batch = evaluation.batch_size(run.source.shape)
    glanced = glance(run.splits)

    def collect(now: state.State, ids: np.ndarray):
        return evaluation.collect(run.programs.predict, (now.variables,), context, ids, run.parallel, batch)

    def evaluate(now: state.State) -> dict[str, float]:
        return watch(run, {name: (ids, collect(now, ids)) for name, ids in glanced.items()})

    with Checkpoints(workdir, run.rank, PATIENCE if trial else 0.0) as checkpoints:
        last, seconds = loop.run(
            run.plan,
            ids=run.splits.train,
            state=run.begin(run.plan.in_one_call(0), teacher),
            context=context,
            key=run.parallel.replicate(rng.base(run.settings.seed)),
            parallel=run.parallel,
            programs=run.programs,
            evaluate=evaluate,
            workdir=workdir,
            checkpoints=checkpoints,
            headline=run.evaluator.headline,
            label=label,
            stream=stream,
            events=not trial,
        )
        records = workdir.metrics()
        chosen = best_step(records, run.rank)
        best = last if chosen == run.plan.steps else checkpoints.restore(chosen, last)[0]

    outputs = {name: collect(last, ids) for name, ids in run.splits.items()}
    best_outputs = outputs
    if best is not last:
        best_outputs = {name: collect(best, ids) for name, ids in run.splits.items()}
    rate = typical_rate(records)
    result = results(run, last.params, last.variables, (seconds, rate), outputs, chosen, best_outputs)
    others = {}
    if teacher is not None:
        result['teacher'] = teacher.record
        if isinstance(teacher.test_outputs, np.ndarray):
            others['teacher_test_logits'] = teacher.test_outputs
    if alone is not None:
        result['alone'] = alone.read('result.json')
        if isinstance(outputs['test'], np.ndarray):
            others['alone_test_logits'] = np.load(alone / 'predictions.npz')['test_logits']
    if not trial:
        workdir.write_arrays('predictions.npz', **run.evaluator.records(outputs, run.splits), **others)
        workdir.write_arrays('samples.npz', **samples(run, context))
    workdir.write('result.json', result)
    return result


def begin(run: Run, workdir: Workdir, teacher: Teacher | None) -> None:
    """Makes the workdir this run's own.

    Raises:
      UserError: it belongs to another config, or data or teacher are not what they were.
    """
    workdir.claim(dataclasses.asdict(run.settings))
    _record_environment(run, workdir, teacher)


def glance(splits: Splits) -> dict[str, np.ndarray]:
    """The examples that the curves come from: validation, and as many of train, where it has more."""
    train = splits.train
    if len(train) > len(splits.validation):
        train = rng.generator(0, 'split', 4).permutation(train)[: len(splits.validation)]
    return {'train': train, 'validation': splits.validation}


def watch(run: Run, found: dict[str, tuple[np.ndarray, Any]]) -> dict[str, float]:
    """A point of the curves, {'train_NAME', 'validation_NAME'}, from split -> (ids, outputs)."""
    return {
        f'{split}_{name}': value
        for split, (ids, outputs) in found.items()
        for name, value in run.evaluator.watch(outputs, ids).items()
    }


def results(
    run: Run,
    params,
    variables: Variables,
    speed: tuple[float, float],
    outputs: dict[str, Any],
    chosen: int,
    best_outputs: dict[str, Any],
) -> dict[str, Any]:
    """What result.json says of a trained network by itself.

    Args:
      run: whose it is.
      params: of the last step.
      variables: that are evaluated, of the last step.
      speed: seconds spent training, examples a second.
      outputs: on all splits, of the last step.
      chosen: the step that is best on validation.
      best_outputs: of that step; the very same object as `outputs` where it is the last one.
    """
    found = conclude(run, outputs)
    splits = found['splits'] if best_outputs is outputs else summaries(run, best_outputs)
    return {
        'task': run.settings.task,
        'steps': run.plan.steps,
        'seconds': speed[0],
        'examples_per_second': speed[1],
        'parameters': cost.parameters(params),
        'hash': fingerprint([jax.device_get(variables)]),
        **found,
        'best': {'step': chosen, 'splits': splits},
    }


def _record_environment(run: Run, workdir: Workdir, teacher: Teacher | None) -> None:
    """Writes environment.json; on a resume, checks first that data and teacher are what they were."""
    now = environment.describe(run.parallel.devices, run.source, run.splits)
    now['teacher'] = teacher.record['hash'] if teacher is not None else ''
    if (workdir / 'environment.json').exists():
        before = workdir.read('environment.json')
        same_data(workdir, run.source, run.splits)
        if before.get('teacher', '') != now['teacher']:
            raise UserError(f'workdir {workdir} was begun under another teacher; give this run another --workdir')
        if workdir.complete or before.items() >= now.items():
            return
        now['earlier'] = [*before.pop('earlier', []), before]  # What the sessions before this one ran on.
    workdir.write('environment.json', now)


def settings_of(workdir: Workdir) -> Settings:
    """The settings that a workdir records.

    Raises:
      UserError: there are none, or they are not of this version of the code.
    """
    tree = workdir.read('config.json')
    try:
        return from_dict(tree)
    except UserError as error:
        raise UserError(f'{workdir / "config.json"}: {error}') from error


def same_data(workdir: Workdir, source: Source, splits: Splits) -> None:
    """Makes sure that a workdir was trained on this data, held out in this way.

    Raises:
      UserError: on another dataset, or with other validation or test examples.
    """
    there = workdir.read('environment.json').get('dataset', {})
    if (there.get('fingerprint'), there.get('held_out')) != (source.fingerprint, splits.held_out):
        raise UserError(
            f'{workdir} was trained on other data or other splits, so it may have seen validation or test examples of '
            'this run; use the same data, data.split_seed, fractions and folds'
        )


def restore(run: Run, workdir: Workdir, at: str = 'last') -> state.State:
    """The state of a finished workdir, on the host.

    Args:
      run: from `assemble`, of the workdir's own settings.
      workdir: a complete one.
      at: `last` or `best` (on validation).
    """
    result = workdir.read('result.json')
    wanted = result['steps'] if at == 'last' else result['best']['step']
    if not (workdir / 'checkpoints').exists():
        raise UserError(f'{workdir} has no checkpoint of step {wanted}; a short trial of a sweep keeps none')
    with Checkpoints(workdir, run.rank) as checkpoints:
        if wanted not in checkpoints.steps:
            raise UserError(f'{workdir} has no checkpoint of step {wanted}')
        return jax.device_get(checkpoints.restore(wanted, run.like())[0])


def outputs(run: Run, *members: tuple[Task, Variables]) -> dict[str, Any]:
    """The outputs on every split of one network, or of several as an ensemble; their variables replicated."""
    tasks, variables = zip(*members, strict=True)
    context, predict = run.context(), run.parallel.predict(step.predict_step(*tasks))
    batch = evaluation.batch_size(run.source.shape)
    return {
        name: evaluation.collect(predict, variables, context, ids, run.parallel, batch)
        for name, ids in run.splits.items()
    }


def conclude(run: Run, outputs: dict[str, Any]) -> dict[str, Any]:
    """What follows from the outputs on all splits: the part of result.json that every kind of network has."""
    summary = summaries(run, outputs)
    return {
        'splits': summary,
        'gap': evaluation.gap(summary['train'], summary['test']),
        'verdict': evaluation.verdict(summary['train'], summary['test']),
        **run.evaluator.conclude(outputs, run.splits),
    }


def summaries(run: Run, outputs: dict[str, Any]) -> dict[str, Any]:
    return {name: run.evaluator.summarize(outputs[name], ids) for name, ids in run.splits.items()}


def fingerprint(members: list[Variables]) -> str:
    """A hash of every bit of some networks' variables, on the host."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(members):
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()[:16]


def samples(run: Run, context, count: int = 16) -> dict[str, np.ndarray]:
    """Some training examples before and after augmentation and mixing, as the network saw them at step 0."""
    ids = order.batch_ids(run.splits.train, run.settings.seed, 0, min(run.plan.batch_size, len(run.splits.train)))
    task = run.task.task if isinstance(run.task, Distill) else run.task
    seen = jax.jit(task.examples, static_argnames='axis_name')(
        context, ids, rng.base(run.settings.seed), np.int32(0), axis_name=None
    )
    pixels = np.rint(np.clip(seen.images[:count], 0, 1) * 255).astype(np.uint8)
    arrays = {'originals': run.source.images[ids[:count]], 'seen': pixels}
    if run.source.objects is None:
        return {**arrays, 'targets': np.asarray(seen.targets[:count])}
    return {**arrays, **{name: np.asarray(value[:count]) for name, value in seen.targets._asdict().items()}}

"""What a step costs beside others of ours: evaluation, distillation, and many small networks as one program.

Every figure is a ratio of programs that ran in turn in one process, which nothing else ran in, with as many calls under
way as the loop has.
"""

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision import assembly, rng, settings
from jaxvision.benchmarks import apart, timing
from jaxvision.benchmarks.cases import COMMON, settings_of
from jaxvision.data import order, resident
from jaxvision.settings import Settings
from jaxvision.training import evaluation
from jaxvision.training.stack import Stack

PARTS = ('evaluation', 'distillation', 'stack')
MODELS = ('mlp', 'vit', 'cnn', 'resnet20', 'detector')  # Whose evaluation is measured.
PAIRS = (('cnn', 'resnet20'), ('resnet20', 'resnet18'), ('cnn', 'vit'))  # Student, teacher.
# Small networks, as a sweep has many of them.
SMALL: dict[str, dict[str, Any]] = {
    'mlp 64-64': {'model.name': 'mlp', 'model.hidden': (64, 64)},
    'cnn 8-16': {'model.name': 'convnet', 'model.filters': (8, 16), 'model.norm': 'batch'},
    'resnet20 x 0.25': {'model.name': 'resnet', 'model.depth': 20, 'model.width': 0.25, 'model.norm': 'batch'},
}
TINY = {'data.generated_shape': (8, 8, 1), 'data.batch_size': 64}


def measure(parts: Sequence[str] = PARTS, *, repeats: int = 5, seconds: float = 2.0) -> Iterator[dict[str, Any]]:
    """Rows of results/parts.json: what `evaluate`, `distil` and `stack` return, and which `part` it is, of `PARTS`."""
    rounds = {'repeats': repeats, 'seconds': seconds}
    for model in MODELS if 'evaluation' in parts else ():
        yield {'part': 'evaluation', **apart.call(evaluate, model, **rounds)}
    for student, teacher in PAIRS if 'distillation' in parts else ():
        yield {'part': 'distillation', **apart.call(distil, student, teacher, **rounds)}
    for name, values in SMALL.items() if 'stack' in parts else ():
        small = settings.override(Settings(), COMMON | TINY | values)
        yield {'part': 'stack', **apart.call(stack, small, name, **rounds)}


def evaluate(model: str, *, repeats: int = 5, seconds: float = 2.0) -> dict[str, Any]:
    """Images/s of the clean evaluation pass over images/s of training.

    Args:
      model: a key of `cases.MODELS`.
      repeats, seconds: rounds, and how long each side runs in one.

    Returns:
      {'model', 'device', 'train_ms', 'evaluate_ms': of a call, 'times': images/s, evaluation over training, 'spread':
      of the rounds}.
    """
    run = assembly.assemble(settings_of(model))
    images = evaluation.batch_size(run.source.shape) * len(run.parallel.devices)
    sides = {'train': _train(run), 'evaluate': _predict(run, images)}
    rounds = _in_turn(run, sides, repeats, seconds)
    times = [images / one['evaluate'] / (run.plan.batch_size / one['train']) for one in rounds]
    return {'model': model, 'device': _device(run), **_milliseconds(rounds), **_told('times', times)}


def distil(student: str, teacher: str, *, repeats: int = 5, seconds: float = 2.0) -> dict[str, Any]:
    """A distillation step over the student's own step and the teacher's forward pass on the same batch.

    Args:
      student, teacher: keys of `cases.MODELS` with the same images; the student takes its own batch.
      repeats, seconds: rounds, and how long each side runs in one.

    Returns:
      {'model': 'STUDENT < TEACHER', 'device', 'student_ms', 'teacher_ms', 'distilled_ms', 'times': distilled /
      (student + teacher), 'spread': of the rounds}.
    """
    own = settings_of(student)
    above = assembly.assemble(dataclasses.replace(own, model=settings_of(teacher).model))
    variables = jax.device_get(above.initial().variables)
    known = assembly.Teacher((above.task,), (variables,), {}, None)
    distilled = assembly.assemble(dataclasses.replace(own, distill=dataclasses.replace(own.distill, weight=0.5)), known)
    devices = distilled.parallel.devices
    alone = assembly.assemble(own, devices=devices)
    above = dataclasses.replace(above, parallel=distilled.parallel)
    sides = {
        'student': _train(alone),
        'teacher': _predict(above, own.data.batch_size),
        'distilled': _train(distilled, known),
    }
    rounds = _in_turn(distilled, sides, repeats, seconds)
    times = [one['distilled'] / (one['student'] + one['teacher']) for one in rounds]
    names = {'model': f'{student} < {teacher}', 'device': _device(distilled)}
    return {**names, **_milliseconds(rounds), **_told('times', times)}


def stack(one: Settings, name: str, count: int = 16, *, repeats: int = 5, seconds: float = 2.0) -> dict[str, Any]:
    """A step of many networks as one program over as many steps one after the other, on one device.

    Both sides take as many steps a call as such a run does.

    Args:
      one: of each network; they differ in their seeds.
      name: how to call it.
      count: of networks.
      repeats, seconds: rounds, and how long each side runs in one.

    Returns:
      {'model', 'device', 'count', 'one_ms', 'stacked_ms', 'times': networks a second, stacked over one by one,
      'spread': of the rounds}.
    """
    run = assembly.assemble(one, devices=jax.local_devices()[:1])
    steps = run.plan.steps_per_call
    rounds = _in_turn(run, {'one': _train(run, steps=steps), 'stacked': _stack(run, count, steps)}, repeats, seconds)
    rounds = [{name: value / steps for name, value in calls.items()} for calls in rounds]
    times = [count * one['one'] / one['stacked'] for one in rounds]
    return {'model': name, 'device': _device(run), 'count': count, **_milliseconds(rounds), **_told('times', times)}


def _train(run: assembly.Run, teacher: assembly.Teacher | None = None, steps: int = 1) -> Callable[[], Any]:
    context, key = run.context(teacher), run.parallel.replicate(rng.base(0))
    batches = order.batches(run.splits.train, 0, 0, run.plan.batch_size, steps)
    ids = run.parallel.cut(batches, axis=1) if steps > 1 else run.parallel.cut(batches[0])
    program, state = run.programs.train(steps), run.initial()

    def call():
        nonlocal state
        state, metrics = program(state, context, ids, key)
        return metrics

    return call


def _predict(run: assembly.Run, images: int) -> Callable[[], Any]:
    program = run.programs.predict
    context, variables = run.context(), run.initial().variables
    ids = run.parallel.cut(np.resize(run.splits.train, images))
    return lambda: program((variables,), context, ids)


def _stack(run: assembly.Run, count: int, steps: int) -> Callable[[], Any]:
    program = Stack(run.task, run.optimizer)
    many = [
        dataclasses.replace(run, settings=dataclasses.replace(run.settings, seed=seed)).creation
        for seed in range(count)
    ]
    states = program.create(
        *(jax.tree.map(lambda *leaves: jnp.stack(leaves), *part) for part in zip(*many, strict=True))
    )
    strengths = jax.tree.map(lambda leaf: jnp.stack([leaf] * count), run.strengths())
    context = jax.device_put({'data': resident.resident(run.source), 'strengths': strengths})
    keys = jnp.stack([rng.base(seed) for seed in range(count)])
    batches = [order.batches(run.splits.train, seed, 0, run.plan.batch_size, steps) for seed in range(count)]
    ids, train = np.stack(batches, axis=1), program.train(steps)

    def call():
        nonlocal states
        states, metrics = train(states, context, ids, keys)
        return metrics

    return call


def _in_turn(
    run: assembly.Run, sides: Mapping[str, Callable[[], Any]], repeats: int, seconds: float
) -> list[dict[str, float]]:
    """Seconds a call of each side, round by round."""
    devices, calls = run.parallel.devices, {}
    for name, side in sides.items():
        jax.block_until_ready(side())  # Compiles.
        calls[name] = max(1, round(seconds / timing.seconds(side, 3, devices)))
    return [{name: timing.seconds(side, calls[name], devices) for name, side in sides.items()} for _ in range(repeats)]


def _milliseconds(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {f'{name}_ms': 1e3 * statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _told(name: str, values: list[float]) -> dict[str, Any]:
    return {name: statistics.median(values), 'spread': [min(values), max(values)]}


def _device(run: assembly.Run) -> str:
    return run.parallel.devices[0].device_kind

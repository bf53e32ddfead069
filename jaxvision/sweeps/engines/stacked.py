"""Trials that differ only in seed, fold or strengths, as one program: the engine for accelerators.

On CPU each core has a process of its own instead.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision import assembly, rng, runs
from jaxvision.data import order, resident
from jaxvision.errors import UserError
from jaxvision.models import convolution, im2col
from jaxvision.sweeps import trials
from jaxvision.sweeps.trials import Trial
from jaxvision.training import allocator, evaluation, loop
from jaxvision.training.checkpoints import best_step
from jaxvision.training.clock import Clock, typical_rate
from jaxvision.training.records import Workdir
from jaxvision.training.stack import stack

MOST = 64  # Trials in one program.


def check(some: Sequence[Trial]) -> None:
    """Makes sure that one device will do for these.

    Raises:
      UserError: one wants several.
    """
    trials.want_one_device(some, 'stacked trials share one')


def run(some: Sequence[Trial], root: Any, stop: Callable[[], bool], most: int = MOST) -> Iterator[Trial]:
    """Runs trials in this process, program by program, on its first device.

    A stack is always made of the same trials, also where some of them have a result already: so a sweep that was
    broken off ends with the same numbers. Nothing of a stack is saved before its end.

    Args:
      some: what to run; those that have a result are left alone.
      root: not used.
      stop: asked between calls of the program, of one step or more; when it says so, the iteration ends.
      most: trials in one program.

    Yields:
      Each trial once it has a result.json or an error.json.
    """
    del root
    for together in trials.parts(some, most):
        missing = trials.waiting(together)
        if not missing:
            continue
        if together[0].reference:
            yield from _one_by_one(missing, stop)
            continue
        if not _guarded(together, stop):
            return
        yield from missing


def devices() -> list[Any]:
    """What a stack computes on, whatever its batch size."""
    return jax.local_devices()[:1]


def _guarded(some: Sequence[Trial], stop: Callable[[], bool]) -> bool:
    """`_train`, in halves where the whole fails: for want of memory, or since one trial cannot even begin."""
    with contextlib.ExitStack() as locks:
        for trial in trials.waiting(some):
            locks.enter_context(trial.workdir.alone(waiting=f'waiting for another process that is at {trial.path}'))
        try:
            # Nothing is left of a half that is done, or where another process did it while this one waited.
            return not trials.waiting(some) or _train(some, stop)
        except Exception as error:  # Whatever it is, the other stacks go on.
            if len(some) == 1:
                trials.fail(some[0], error)
                return True
    half = len(some) // 2
    return _guarded(some[:half], stop) and _guarded(some[half:], stop)


def _one_by_one(some: Sequence[Trial], stop: Callable[[], bool]) -> Iterator[Trial]:
    for trial in some:
        if stop():
            return
        trials.perform(trial)
        yield trial


@dataclass
class _Member:
    """One trial of a stack, and what is known of it so far."""

    trial: Trial
    run: assembly.Run
    missing: bool
    records: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ''

    @property
    def workdir(self) -> Workdir:
        return self.trial.workdir


def _train(some: Sequence[Trial], stop: Callable[[], bool]) -> bool:
    """Trains one stack and writes its records; False if it was stopped."""
    teacher = trials.restored(some[0])
    together = [assembly.assemble(trial.settings, teacher, devices=devices()) for trial in some]
    members = [_Member(trial, one, not trial.workdir.complete) for trial, one in zip(some, together, strict=True)]
    first = members[0].run
    plan, program = first.plan, stack(first.task, first.optimizer, convolution.algorithm())
    for member in members:
        if member.missing:
            (member.workdir / 'error.json').unlink(missing_ok=True)
            with im2col.layers():  # As it records.
                runs.begin(member.run, member.workdir, teacher)
            member.workdir.cut_back(0)
    creation = [member.run.creation for member in members]
    keys, strengths, constants = (_stacked([one[part] for one in creation]) for part in range(3))
    states = program.create(keys, strengths, constants)
    context: dict[str, Any] = {'data': resident.resident(first.source), 'strengths': strengths}
    if teacher is not None:
        context['teachers'] = teacher.variables
    context = jax.device_put(context)
    run_keys = _stacked([rng.base(member.run.settings.seed) for member in members])
    batch = evaluation.batch_size(first.source.shape, len(members))

    def collect(variables, ids: Sequence[np.ndarray]) -> list[Any]:
        """The outputs of each member on its own ids."""
        length = -(-max(map(len, ids)) // batch) * batch
        padded = np.stack([np.pad(one, (0, length - len(one)), mode='edge') for one in ids])
        parts = [program.predict(variables, context, padded[:, at : at + batch]) for at in range(0, length, batch)]
        whole = jax.tree.map(lambda *some: np.concatenate([np.asarray(part) for part in some], axis=1), *parts)

        def own(index: int) -> Any:
            return jax.tree.map(lambda leaf: leaf[index, : len(ids[index])], whole)

        return [own(index) for index in range(len(ids))]

    def glance(variables) -> list[dict[str, float]]:
        glances = [runs.glance(member.run.splits) for member in members]
        found = {split: collect(variables, [one[split] for one in glances]) for split in glances[0]}
        return [
            runs.watch(member.run, {split: (glances[i][split], found[split][i]) for split in found})
            for i, member in enumerate(members)
        ]

    best = jax.tree.map(jnp.copy, states.variables)
    done, seconds, pending = 0, 0.0, []
    clock = Clock(plan.batch_size * len(members))
    clock.start()
    while done < plan.steps:
        count = plan.in_one_call(done)
        own = [order.batches(m.run.splits.train, m.run.plan.seed, done, plan.batch_size, count) for m in members]
        ids = np.stack(own, axis=1)
        clock.before(count, pending)
        states, metrics = program.train(count)(states, context, ids, run_keys)
        clock.after(count, metrics)
        pending.append(metrics)
        done += count
        allocator.tidy()
        if stop():
            return False
        if done % plan.eval_every and done < plan.steps:
            continue
        measured = np.concatenate([np.asarray(part) for part in pending])  # [step, run, name]
        pending = []
        seconds += clock.pause()
        watched = glance(states.variables)
        for index, member in enumerate(members):
            _note(member, done, measured[:, index], program.names, watched[index], clock.rate())
        chosen = [bool(m.records) and best_step(m.records, m.run.rank) == done for m in members]
        best = program.select(np.array(chosen), states.variables, best)
        clock.start()
    _conclude(members, teacher, collect, states, best, seconds / len(members))
    return True


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _note(member: _Member, done: int, measured: np.ndarray, names: Sequence[str], watched, rate: float) -> None:
    """Adds a record to a member, or the reason why it has failed; measured float [step, name], since the last one."""
    if member.failure:
        return
    plan = member.run.plan
    for place, row in enumerate(measured.tolist()):
        values = dict(zip(names, row, strict=True))
        bad = loop.diverged(values)
        if bad is not None:
            member.failure = loop.told(bad, values[bad], done - len(measured) + place + 1)
            break
    bad = loop.diverged(watched)
    if bad is not None and not member.failure:
        member.failure = loop.told(bad, watched[bad], done)
    if member.failure:
        member.failure += '; of the good steps none is saved'
        return
    means = dict(zip(names, measured.mean(axis=0, dtype=np.float64).tolist(), strict=True))
    member.records.append(
        {
            'step': done,
            'epoch': done * plan.batch_size / len(member.run.splits.train),
            **means,
            'examples_per_second': rate,
            **watched,
        }
    )


def _conclude(members: Sequence[_Member], teacher, collect, states, best, seconds: float) -> None:
    """Writes the results; `seconds` is a member's share of the stack's training time."""
    splits = dict(members[0].run.splits.items())
    outputs, best_outputs = (
        {name: collect(variables, [getattr(m.run.splits, name) for m in members]) for name in splits}
        for variables in (states.variables, best)
    )
    on_host = jax.device_get(states.variables)
    for index, member in enumerate(members):
        if not member.missing:
            continue
        if member.failure:
            trials.fail(member.trial, UserError(member.failure))
            continue
        run, workdir = member.run, member.workdir
        variables = jax.tree.map(lambda leaf, i=index: leaf[i], on_host)
        chosen = best_step(member.records, run.rank)
        last = {name: outputs[name][index] for name in splits}
        theirs = last if chosen == run.plan.steps else {name: best_outputs[name][index] for name in splits}
        rate = typical_rate(member.records)
        result = runs.results(run, variables['params'], variables, (seconds, rate), last, chosen, theirs)
        if teacher is not None:
            result['teacher'] = teacher.record
        for record in member.records:
            workdir.append(record)
        workdir.write('result.json', result)

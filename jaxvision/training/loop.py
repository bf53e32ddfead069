"""The loop: calls the step, evaluates, saves, resumes, and stops when asked to."""

import collections
import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxvision.data import order
from jaxvision.errors import Stopped, UserError
from jaxvision.training import allocator
from jaxvision.training.checkpoints import Checkpoints
from jaxvision.training.clock import Clock
from jaxvision.training.programs import Programs
from jaxvision.training.progress import Progress
from jaxvision.training.records import Workdir
from jaxvision.training.signals import Signals
from jaxvision.training.state import State
from jaxvision.training.under_way import UnderWay

DRAIN_EVERY = 50  # Steps between looks at the losses; a NaN is still named by its own step.


@dataclass(frozen=True)
class Plan:
    """How long, how much at once, and how often to look.

    Attributes:
      steps: of the whole run.
      batch_size: examples a step, over all devices.
      seed: moves the order of the examples.
      eval_every, checkpoint_every: in steps. The last step is always evaluated, and an evaluated step always saved.
      steps_per_call: how many steps one call runs (lax.scan), where it reaches no event.
    """

    steps: int
    batch_size: int
    seed: int
    eval_every: int
    checkpoint_every: int
    steps_per_call: int = 1

    def next_event(self, step: int) -> int:
        """The first step after `step` at which something happens besides training."""
        following = [every * (step // every + 1) for every in (self.eval_every, self.checkpoint_every)]
        return min(self.steps, *following)

    def in_one_call(self, step: int) -> int:
        """How many steps the call after `step` runs: one, where more would run past the next event."""
        return self.steps_per_call if step + self.steps_per_call <= self.next_event(step) else 1

    def feed(self, ids: np.ndarray, step: int, parallel) -> tuple[int, np.ndarray]:
        """How many steps the call after `step` runs, and the ids that it takes, of the training split's [n]."""
        count = self.in_one_call(step)
        batches = order.batches(ids, self.seed, step, self.batch_size, count)
        return count, parallel.cut(batches, axis=1) if count > 1 else parallel.cut(batches[0])


class _Tally:
    """Sums of the metrics since the last record; part of a checkpoint, so that records survive a restart bit by bit."""

    def __init__(self, meta: dict[str, Any]):
        self.sums: dict[str, float] = dict(meta.get('sums', {}))
        self.count: int = meta.get('count', 0)
        self.seconds: float = meta.get('seconds', 0.0)  # Of the whole run, over all of its sessions.
        self.last_loss = math.nan

    def add(self, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        self.last_loss = metrics['loss']

    def meta(self) -> dict[str, Any]:
        return {'sums': dict(self.sums), 'count': self.count, 'seconds': self.seconds}

    def flush(self) -> dict[str, float]:
        means = {name: total / self.count for name, total in sorted(self.sums.items())}
        self.sums, self.count = {}, 0
        return means


def run(
    plan: Plan,
    *,
    ids: np.ndarray,
    state: State,
    context: Any,
    key: jax.Array,
    parallel,
    programs: Programs,
    evaluate: Callable[[State], dict[str, float]],
    workdir: Workdir,
    checkpoints: Checkpoints,
    headline: str,
    label: str = 'training',
    stream=None,
    events: bool = True,
) -> tuple[State, float]:
    """Trains from the newest checkpoint, or from `state`, to the last step.

    Args:
      plan: see `Plan`.
      ids: int32 [n], the training split.
      state: before the first step, replicated; it is consumed.
      context, key: of the step, replicated.
      parallel: a training.parallel.Parallel.
      programs: of the run, on these devices.
      evaluate: state -> {'train_NAME', 'validation_NAME': of each metric that is watched}.
      workdir, checkpoints: where records and states go.
      headline: the metric that the progress tells.
      label: how the progress calls this run.
      stream: where the progress goes; stdout if None.
      events: whether to write TensorBoard events.

    Returns:
      The last state, and the seconds spent training in all sessions of the run (evaluations not counted).

    Raises:
      UserError: the loss, a norm or an evaluation is NaN or infinite; the last good checkpoint is kept and named.
      Stopped: on SIGTERM or SIGINT, after saving.
    """
    tally = _Tally({})
    done = 0
    if checkpoints.steps:
        done = checkpoints.steps[-1]
        state, meta = checkpoints.restore(done, state)
        tally = _Tally(meta)
    workdir.cut_back(done)
    progress = Progress(label, plan.steps, done, stream, headline)
    pending: collections.deque = collections.deque()
    clock = Clock(plan.batch_size)
    under_way = UnderWay(parallel.devices)

    def check(at: int, values: dict[str, float]) -> None:
        """Stops the run where the loss, a norm or an evaluation is no number, before anything of it is saved."""
        name = diverged(values)
        if name is not None:
            kept = 'none is saved'
            if checkpoints.steps:
                kept = f'checkpoint {checkpoints.steps[-1]} under {checkpoints.path} is kept'
            raise UserError(f'{told(name, values[name], at)}; of the good steps {kept}')

    def drain() -> None:
        """Takes the finished steps' metrics to the host."""
        for first, metrics in jax.device_get(list(pending)):
            for index, values in enumerate(metrics.reshape(-1, len(programs.names))):
                one = dict(zip(programs.names, values.tolist(), strict=True))
                check(first + index + 1, one)
                tally.add(one)
        pending.clear()
        if tally.count:
            progress.advance(done, tally.last_loss, clock.rate())

    with Signals() as signals, contextlib.closing(progress), _events(workdir, done, events) as tell:
        clock.start()
        count, cut = plan.feed(ids, done, parallel)
        while done < plan.steps:
            clock.before(count, [metrics for _, metrics in pending])
            state, metrics = programs.train(count)(state, context, cut, key)
            pending.append((done, metrics))
            done += count
            trained = count
            if done < plan.steps:
                count, cut = plan.feed(ids, done, parallel)  # While the devices are at work.
            clock.after(trained, metrics)
            under_way.add(metrics)
            allocator.tidy()
            evaluates = done % plan.eval_every == 0 or done == plan.steps
            saves = evaluates or done % plan.checkpoint_every == 0 or signals.received is not None
            if saves or len(pending) >= DRAIN_EVERY:
                drain()
            if saves:
                tally.seconds += clock.pause()
                if evaluates:
                    record = {'step': done, 'epoch': done * plan.batch_size / len(ids), **tally.flush()}
                    found = evaluate(state)
                    check(done, found)
                    record |= {'examples_per_second': clock.rate(), **found}
                    workdir.append(record)  # Before the save: a restart cuts back what was not saved.
                    tell(record)
                    progress.evaluated(record, clock.seconds_a_step() * (plan.steps - done))
                checkpoints.save(done, state, tally.meta())
                clock.start()
            if saves and signals.received is not None:  # One that came since saves the next step.
                raise Stopped(f'stopped at step {done} of {plan.steps}, saved in {workdir}', signals.received)
    return state, tally.seconds


def diverged(values: Mapping[str, float]) -> str | None:
    """The name of a value that is no number, or None; the loss first, where it is to blame."""
    bad = [name for name in values if not math.isfinite(values[name])]
    return min(bad, key=lambda name: name != 'loss') if bad else None


def told(name: str, value: float, step: int) -> str:
    """What has diverged, and what may help."""
    return f'the {name.replace("_", " ")} is {value} at step {step}: lower optim.lr or set optim.clip'


@contextlib.contextmanager
def _events(workdir: Workdir, step: int, wanted: bool):
    """A function that writes a record for TensorBoard; what an earlier session wrote after `step` is superseded."""
    if not wanted:
        yield lambda record: None
        return
    from tensorboardX import SummaryWriter

    try:
        writer = SummaryWriter(str(workdir), purge_step=step + 1, flush_secs=10)
    except OSError as error:
        raise UserError(f'cannot write TensorBoard events under {workdir}: {error.strerror or error}') from error

    def write(record: dict[str, Any]) -> None:
        for name, value in record.items():
            if name != 'step':
                writer.add_scalar(name, value, record['step'])

    with contextlib.closing(writer):
        yield write

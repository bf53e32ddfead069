"""What the loop costs: real training against the bare step, both in turn in one process, and the ratio of medians."""

import dataclasses
import statistics
import tempfile
from typing import Any

import jax

from jaxvision import assembly, rng, runs
from jaxvision.benchmarks import timing
from jaxvision.data import order
from jaxvision.settings import Settings
from jaxvision.training import step
from jaxvision.training.records import Workdir


def overhead(settings: Settings, *, steps: int = 150, repeats: int = 5) -> dict[str, Any]:
    """Images/s of real training, records, checkpoints and progress included, against the bare mapped step.

    Args:
      settings: what to train.
      steps: a round on each side.
      repeats: rounds, A B A B ...; the medians are compared.

    Returns:
      {'bare_ms': of a step, 'loop_ms', 'ratio': images/s of the loop over those of the bare step, 'rounds'}.
    """
    train_size = len(assembly.assemble(settings).splits.train)
    epochs = steps * (train_size if settings.data.full_batch else settings.data.batch_size) / train_size
    schedule = dataclasses.replace(settings.train, epochs=epochs, eval_every=steps, checkpoint_every=steps)
    run = assembly.assemble(dataclasses.replace(settings, train=schedule))
    context, key = run.context(), run.parallel.replicate(rng.base(settings.seed))
    mapped = run.parallel.train(step.train_step(run.task, run.optimizer))
    ids = run.parallel.cut(order.batch_ids(run.splits.train, settings.seed, 0, run.plan.batch_size))

    def bare() -> float:
        state = mapped(run.initial(), context, ids, key)[0]
        jax.block_until_ready(state)

        def call():
            nonlocal state
            state, metrics = mapped(state, context, ids, key)
            return metrics

        return run.plan.batch_size / timing.seconds(call, steps, run.parallel.devices)

    def looped() -> float:
        with tempfile.TemporaryDirectory() as folder, open('/dev/null', 'w') as silence:
            return runs.train(run, Workdir(folder), stream=silence)['examples_per_second']

    bare()  # Both sides once, uncounted: compiled and warm.
    looped()
    rounds = [(bare(), looped()) for _ in range(repeats)]
    (bare_rate, loop_rate) = (statistics.median(side) for side in zip(*rounds, strict=True))
    return {
        'bare_ms': 1e3 * run.plan.batch_size / bare_rate,
        'loop_ms': 1e3 * run.plan.batch_size / loop_rate,
        'ratio': loop_rate / bare_rate,
        'rounds': [second / first for first, second in rounds],
    }

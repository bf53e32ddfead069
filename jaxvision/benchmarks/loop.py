"""What the loop costs: real training against its bare calls, in turn in one process; the median of the ratios."""

import dataclasses
import statistics
import tempfile
from typing import Any

import jax

from jaxvision import assembly, rng, runs
from jaxvision.benchmarks import timing
from jaxvision.settings import Settings
from jaxvision.training import step
from jaxvision.training.records import Workdir


def overhead(settings: Settings, *, steps: int = 150, repeats: int = 5) -> dict[str, Any]:
    """Images/s of real training, records, checkpoints and progress included, against the calls of its mapped step.

    Args:
      settings: what to train.
      steps: a round on each side, to be rounded down to whole calls of as many as the loop takes at once.
      repeats: rounds, A B A B ...

    Returns:
      {'steps_per_call', 'bare_ms': of a step, 'loop_ms', 'ratio': images/s of the loop over those of the bare calls,
      the median of the 'rounds'}.
    """
    first = assembly.assemble(settings)
    train_size, together = len(first.splits.train), first.plan.steps_per_call
    steps = max(1, steps // together) * together
    epochs = steps * (train_size if settings.data.full_batch else settings.data.batch_size) / train_size
    schedule = dataclasses.replace(settings.train, epochs=epochs, eval_every=steps, checkpoint_every=steps)
    run = assembly.assemble(dataclasses.replace(settings, train=schedule))
    context, key = run.context(), run.parallel.replicate(rng.base(settings.seed))
    mapped = run.parallel.train(step.train_step(run.task, run.optimizer), together)
    _, ids = run.plan.feed(run.splits.train, 0, run.parallel)

    def bare() -> float:
        state = mapped(run.initial(), context, ids, key)[0]
        jax.block_until_ready(state)

        def call():
            nonlocal state
            state, metrics = mapped(state, context, ids, key)
            return metrics

        return run.plan.batch_size * together / timing.seconds(call, steps // together, run.parallel.devices)

    def looped() -> float:
        with tempfile.TemporaryDirectory() as folder, open('/dev/null', 'w') as silence:
            return runs.train(run, Workdir(folder), stream=silence)['examples_per_second']

    bare()  # Both sides once, uncounted: compiled and warm.
    looped()
    rounds = [(bare(), looped()) for _ in range(repeats)]
    (bare_rate, loop_rate) = (statistics.median(side) for side in zip(*rounds, strict=True))
    return {
        'steps_per_call': together,
        'bare_ms': 1e3 * run.plan.batch_size / bare_rate,
        'loop_ms': 1e3 * run.plan.batch_size / loop_rate,
        'ratio': statistics.median(second / first for first, second in rounds),
        'rounds': [second / first for first, second in rounds],
    }

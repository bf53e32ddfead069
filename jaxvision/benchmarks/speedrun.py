"""How long a short recipe takes from fresh weights to a test accuracy, over many seeds, beside a published script.

What is counted is what the script counts, airbench94_muon.py of Jordan's cifar10-airbench: whitening, training and the
evaluation of the test split. Reading the data and putting it on the device are not; compilation is told apart, as the
first training of each side.
"""

import dataclasses
import pathlib
import statistics
import tempfile
import time
from typing import Any

import jax
import numpy as np

from jaxvision import assembly, rng
from jaxvision.benchmarks.partner import Partner
from jaxvision.data import order, resident
from jaxvision.settings import Settings
from jaxvision.sweeps import statistics as over_seeds
from jaxvision.training import evaluation


def compare(
    settings: Settings, python: str, script: str, *, repeats: int, theirs: int, tell=lambda side, one: one
) -> dict[str, Any]:
    """Trains ours, seeds 0 ... repeats - 1, and in turn with the first of them theirs.

    Args:
      settings: of a classification.
      python: an interpreter that has torch.
      script: airbench94_muon.py, or empty for our side alone.
      repeats: trainings of ours, after one that compiles.
      theirs: of them that one of theirs follows.
      tell: is given each training's side and (seconds, accuracy) as soon as it is over, and returns the latter.

    Returns:
      {'device', 'runs', 'first_s': of our first training, which compiles what is not in the cache, 'seconds': median,
      'seconds_spread', 'accuracy': as `sweeps.statistics.mean` describes them, 'rounds': [seconds, accuracy] of each},
      and where there is a script 'theirs': the same of it, 'ratio': the median of the rounds' ratios of seconds, and
      its 'spread'.
    """
    runner = Runner(settings)
    if not script:
        return _described(runner, [tell('ours', runner.train(seed)) for seed in (0, *range(repeats))])
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'arrays.npz'
        _write(settings, path)
        partner = Partner(python, 'published.py', script, str(path))
    ours, others = [], []
    try:
        for seed in (-1, *range(repeats)):  # The first one compiles.
            ours.append(tell('ours', runner.train(max(seed, 0))))
            if seed < theirs:
                seconds, accuracy = partner.ask('train')
                others.append(tell('published', (seconds, accuracy)))
    finally:
        partner.close()
    ratios = [one[0] / other[0] for one, other in list(zip(ours, others, strict=False))[1:]]
    return {
        **_described(runner, ours),
        'theirs': {'torch': partner.version, **_told(others)},
        'ratio': statistics.median(ratios),
        'spread': [min(ratios), max(ratios)],
    }


class Runner:
    """Our side: the data is on the device, and every training starts from fresh weights."""

    def __init__(self, settings: Settings):
        self._settings = settings
        run = assembly.assemble(settings)
        self.device = run.parallel.devices[0].device_kind
        self._context = run.context()
        _, self._strengths, self._constants = run.creation()
        jax.block_until_ready(self._context)

    def train(self, seed: int) -> tuple[float, float]:
        """Seconds and test accuracy of one training: the calls of the loop, without its records and checkpoints."""
        run = assembly.assemble(dataclasses.replace(self._settings, seed=seed))
        plan, programs, parallel, splits = run.plan, run.programs, run.parallel, run.splits
        base, key, constants = parallel.replicate(rng.base(seed)), rng.key(seed, 'init'), dict(self._constants)
        jax.block_until_ready(base)

        started = time.perf_counter()
        if 'whitening' in constants:  # Theirs counts it.
            pixels = {name: constants[name] for name in ('mean', 'std')}
            constants['whitening'] = resident.whitening(run.source, splits.train, pixels, self._settings.model.whitens)
        state, done = programs.create(key, self._strengths, constants), 0
        while done < plan.steps:
            count = plan.in_one_call(done)
            batches = [order.batch_ids(splits.train, seed, done + later, plan.batch_size) for later in range(count)]
            cut = parallel.cut(np.stack(batches), axis=1) if count > 1 else parallel.cut(batches[0])
            state, _ = programs.train(count)(state, self._context, cut, base)
            done += count
        batch = evaluation.batch_size(run.source.shape)
        logits = evaluation.collect(programs.predict, (state.variables,), self._context, splits.test, parallel, batch)
        accuracy = float(np.mean(logits.argmax(axis=1) == run.source.labels[splits.test]))
        return time.perf_counter() - started, accuracy


def _described(runner: Runner, ours: list[tuple[float, float]]) -> dict[str, Any]:
    return {'device': runner.device, 'runs': len(ours) - 1, **_told(ours)}


def _told(rounds: list[tuple[float, float]]) -> dict[str, Any]:
    warm = [seconds for seconds, _ in rounds[1:]]
    return {
        'first_s': rounds[0][0],
        'seconds': statistics.median(warm),
        'seconds_spread': [min(warm), max(warm)],
        'accuracy': over_seeds.mean([accuracy for _, accuracy in rounds[1:]]),
        'rounds': rounds[1:],
    }


def _write(settings: Settings, path: pathlib.Path) -> None:
    """The data, for their side: our test split, and all else for training; the script validates on nothing."""
    source, splits = assembly.load_data(settings.data)
    arrays = {}
    for name, ids in (('train', np.sort(np.concatenate([splits.train, splits.validation]))), ('test', splits.test)):
        arrays |= {f'{name}_images': source.images[ids], f'{name}_labels': source.labels[ids]}
    np.savez(path, **arrays)

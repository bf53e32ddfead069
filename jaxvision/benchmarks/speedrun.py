"""How long a short recipe takes from fresh weights to a test accuracy, over many seeds, beside a published script.

The script is airbench94_muon.py of Jordan's cifar10-airbench. It counts whitening, training and the evaluation of the
test split in several views, and so is counted here; of ours also the creation of the weights. Reading the data and
putting it on the device are not counted. Compilation is told apart, as the first training of each side.
"""

import dataclasses
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxvision import assembly, rng
from jaxvision.benchmarks.partner import Partner
from jaxvision.data import resident
from jaxvision.errors import UserError
from jaxvision.settings import Settings
from jaxvision.sweeps import statistics as over_seeds
from jaxvision.training import evaluation
from jaxvision.training.under_way import UnderWay

TAKES, CLASSES = (32, 32, 3), 10  # What the script is written for.

Rounds = list[tuple[float, float]]  # Seconds and test accuracy of each training.


def check(settings: Settings, python: str, script: str) -> None:
    """Makes sure that a benchmark can begin; see `compare`.

    Raises:
      UserError: it cannot.
    """
    if settings.task != 'classify' or settings.distills:
        raise UserError('--of=speedrun trains one classifier: task has to be classify, and distill.weight 0')
    if script and not python:
        raise UserError('--pytorch is missing: the interpreter of an environment that has torch and torchvision')
    if script and not pathlib.Path(script).is_file():
        raise UserError(f'--reference={script} is no file')


def compare(settings: Settings, python: str, script: str, *, repeats: int, theirs: int) -> Iterator[dict[str, Any]]:
    """Trains ours, seeds 0 ... repeats - 1, and in turn with the first of them theirs.

    Args:
      settings: of a classification.
      python: an interpreter that has torch and torchvision.
      script: airbench94_muon.py, or empty for our side alone.
      repeats: trainings of ours, after one that compiles.
      theirs: of them that one of theirs follows.

    Yields:
      After every round but the first what is known by then: {'device', 'runs', 'first_s': of our first training, which
      compiles what is not in the cache, 'seconds': median, 'seconds_spread', 'accuracy': as `sweeps.statistics.mean`
      describes them, 'rounds': [seconds, accuracy] of each}, and where there is a script 'theirs': the same of it by
      its own clock, which leaves out its evaluations between epochs, 'ratio': the median of the rounds' ratios of
      seconds, and its 'spread'.

    Raises:
      UserError: the script takes no such data, its interpreter ended, or a loss is no number.
    """
    runner, partner = Runner(settings), None
    ours, others = [], []
    if script:
        partner = _partner(settings, python, script)
    try:
        for number, seed in enumerate((0, *range(repeats))):  # The first one compiles.
            ours.append(runner.train(seed))
            if partner is not None and number <= theirs:
                seconds, accuracy = partner.ask('train', figures=2)
                others.append((seconds, accuracy))
            if number:
                yield _told(runner, partner, ours, others)
    finally:
        if partner is not None:
            partner.close()


class Runner:
    """Our side: the data is on the device, and every training starts from fresh weights.

    Attributes:
      device: its kind.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        run = assembly.assemble(settings)
        self.device = run.parallel.devices[0].device_kind
        self._context = run.context()
        _, self._strengths, self._constants = run.creation
        jax.block_until_ready(self._context)

    def train(self, seed: int) -> tuple[float, float]:
        """Seconds and test accuracy, in [0, 1], of one training: the loop's calls without its records and checkpoints.

        Raises:
          UserError: a loss is no number.
        """
        run = assembly.assemble(dataclasses.replace(self._settings, seed=seed))
        plan, programs, parallel, splits = run.plan, run.programs, run.parallel, run.splits
        base, key, constants = parallel.replicate(rng.base(seed)), rng.key(seed, 'init'), dict(self._constants)
        jax.block_until_ready(base)

        started = time.perf_counter()
        if 'whitening' in constants:  # Theirs counts it.
            pixels = {name: constants[name] for name in ('mean', 'std')}
            constants['whitening'] = resident.whitening(run.source, splits.train, pixels, self._settings.model.whitens)
        state, done, under_way = programs.create(key, self._strengths, constants), 0, UnderWay(parallel.devices)
        metrics = np.zeros(0)
        while done < plan.steps:
            count, cut = plan.feed(splits.train, done, parallel)
            state, metrics = programs.train(count)(state, self._context, cut, base)
            under_way.add(metrics)
            done += count
        batch = evaluation.batch_size(run.source.shape)
        logits = evaluation.collect(programs.predict, (state.variables,), self._context, splits.test, parallel, batch)
        accuracy = float(np.mean(logits.argmax(axis=1) == run.source.labels[splits.test]))
        seconds = time.perf_counter() - started
        if not np.isfinite(np.asarray(metrics)).all():
            raise UserError(f'seed {seed} ends with a metric that is no number: lower optim.lr or set optim.clip')
        return seconds, accuracy


def _partner(settings: Settings, python: str, script: str) -> Partner:
    """Their side, which trains on all but our test split: it validates on nothing."""
    source, splits = assembly.load_data(settings.data)
    if source.shape != TAKES or source.num_classes != CLASSES:
        raise UserError(f'--reference takes images of {TAKES} in {CLASSES} classes, as CIFAR-10 has, not {source.name}')
    arrays = {}
    for name, ids in (('train', np.sort(np.concatenate([splits.train, splits.validation]))), ('test', splits.test)):
        arrays |= {f'{name}_images': source.images[ids], f'{name}_labels': source.labels[ids]}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'arrays.npz'
        np.savez(path, **arrays)
        partner = Partner(python, 'published.py', script, str(path))  # It has read them when it answers.
    wanted = assembly.cost_of(assembly.build_task(settings, source)).parameters
    if partner.parameters != wanted:
        partner.close()
        raise UserError(f'{settings.model.name} has {wanted:,} parameters here, {partner.parameters:,} there')
    return partner


def _told(runner: Runner, partner: Partner | None, ours: Rounds, others: Rounds) -> dict[str, Any]:
    found = {'device': runner.device, 'runs': len(ours) - 1, **_described(ours)}
    if partner is None:
        return found
    ratios = [one[0] / other[0] for one, other in list(zip(ours, others, strict=False))[1:]]
    return {
        **found,
        'theirs': {'torch': partner.version, **_described(others)},
        'ratio': statistics.median(ratios),
        'spread': [min(ratios), max(ratios)],
    }


def _described(rounds: Rounds) -> dict[str, Any]:
    warm = [seconds for seconds, _ in rounds[1:]]
    return {
        'first_s': rounds[0][0],
        'seconds': statistics.median(warm),
        'seconds_spread': [min(warm), max(warm)],
        'accuracy': over_seeds.mean([accuracy for _, accuracy in rounds[1:]]),
        'rounds': rounds[1:],
    }

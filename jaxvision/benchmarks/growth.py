"""How images/s change with the batch, the width, the dataset, the devices and the number of trials of a sweep."""

import concurrent.futures
import multiprocessing
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from jaxvision import settings
from jaxvision.benchmarks import engines
from jaxvision.benchmarks.cases import settings_of
from jaxvision.benchmarks.frameworks import Ours
from jaxvision.settings import Settings
from jaxvision.sweeps import designs
from jaxvision.training import parallel

MODEL = 'cnn'
# Axis -> what is overridden, its values, and what else is.
AXES: dict[str, tuple[str, tuple[float, ...], dict[str, Any]]] = {
    'batch': ('data.batch_size', (4, 8, 16, 32, 64, 128, 256, 512), {}),
    'width': ('model.width', (0.125, 0.25, 0.5, 1.0, 2.0), {'data.batch_size': 64}),
    'dataset': ('data.generated_examples', (256, 1024, 4096, 16384, 65536), {'data.batch_size': 64}),
    'devices': ('devices', (1, 2, 4, 8), {'data.batch_size': 64}),
}
TRIALS = (1, 2, 4, 8, 16, 32)
# A trial: a small student on the digits, under seeds.
TRIAL = {
    'data.train_fraction': 0.2,
    'data.batch_size': 50,
    'model.name': 'convnet',
    'model.filters': (8, 16),
    'train.epochs': 40.0,
}


def along(axis: str, *, repeats: int = 3, seconds: float = 2.0) -> list[dict[str, Any]]:
    """Images/s of training along an axis, all points in turn.

    Args:
      axis: a key of `AXES`, or `trials`.
      repeats, seconds: rounds, and about how long each point runs in one.

    Returns:
      [{'at', 'images_per_second': the median of the rounds, 'spread': [least, most]}].
    """
    if axis == 'trials':
        return _trials(repeats)
    if axis != 'devices':
        return _points(axis, repeats, seconds)
    # As many CPU devices must be there before JAX first looks.
    most = int(max(AXES[axis][1]))
    with concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context('spawn'), parallel.set_up_cpu, (most,)
    ) as other:
        return other.submit(_points, axis, repeats, seconds).result()


def _points(axis: str, repeats: int, seconds: float) -> list[dict[str, Any]]:
    key, values, others = AXES[axis]
    sides = [Ours(settings.override(settings_of(MODEL), {**others, key: value})) for value in values]
    steps = []
    for side in sides:
        side.milliseconds(2)  # Compiles.
        steps.append(max(4, round(1e3 * seconds / side.milliseconds(4))))
    rounds = [
        [1e3 * side.batch_size / side.milliseconds(count) for side, count in zip(sides, steps, strict=True)]
        for _ in range(repeats)
    ]
    return [_point(value, list(rates)) for value, rates in zip(values, zip(*rounds, strict=True), strict=True)]


def _trials(repeats: int) -> list[dict[str, Any]]:
    """Images/s of a whole sweep, start-up included; the first round fills the cache of compiled programs."""
    base = settings.override(Settings(), TRIAL)
    rounds = []
    for number in range(repeats + 1):
        rates = [engines.images_per_second(base, designs.seeds({'student': {}}, seeds=count)) for count in TRIALS]
        if number:
            rounds.append(rates)
    return [_point(value, list(rates)) for value, rates in zip(TRIALS, zip(*rounds, strict=True), strict=True)]


def _point(at: float, rates: Sequence[float]) -> dict[str, Any]:
    return {'at': at, 'images_per_second': statistics.median(rates), 'spread': [min(rates), max(rates)]}


def draw(found: dict[str, list[dict[str, Any]]], path: pathlib.Path) -> None:
    """One panel an axis, both scales logarithmic, the spread of the rounds as a band."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    titles = {
        'batch': 'batch size',
        'width': 'width of the layers',
        'dataset': 'images in the dataset',
        'devices': 'CPU devices on 2 cores',
        'trials': 'trials of a sweep',
    }
    figure, axes = plt.subplots(1, len(found), figsize=(3.1 * len(found), 3.0), layout='constrained', squeeze=False)
    for panel, (axis, points) in zip(axes[0], found.items(), strict=True):
        at = [point['at'] for point in points]
        panel.fill_between(at, *zip(*(point['spread'] for point in points), strict=True), alpha=0.2, linewidth=0)
        panel.plot(at, [point['images_per_second'] for point in points], marker='o', markersize=4)
        panel.set_xscale('log', base=2)
        panel.set_yscale('log')
        panel.set_xticks(at, [f'{value:g}' for value in at], fontsize=7)
        panel.set_xlabel(titles[axis])
        panel.grid(alpha=0.3, which='both')
    axes[0][0].set_ylabel('images/s of training')
    figure.savefig(path, dpi=110)
    plt.close(figure)

"""How images/s change with the batch, the width, the dataset, the devices and the number of trials of a sweep."""

import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from jaxvision import settings
from jaxvision.benchmarks import apart, engines
from jaxvision.benchmarks.cases import settings_of
from jaxvision.benchmarks.frameworks import Ours
from jaxvision.settings import Settings
from jaxvision.sweeps import designs
from jaxvision.training import environment

MODEL = 'cnn'
# Axis -> what is overridden, its values, and what else is.
AXES: dict[str, tuple[str, tuple[float, ...], dict[str, Any]]] = {
    'batch': ('data.batch_size', (4, 8, 16, 32, 64, 128, 256, 512), {}),
    'width': ('model.width', (0.125, 0.25, 0.5, 1.0, 2.0), {'data.batch_size': 64}),
    'dataset': ('data.generated_examples', (256, 1024, 4096, 16384, 65536), {'data.batch_size': 64}),
    'devices': ('devices', (1, 2, 4, 8), {'data.batch_size': 64}),
}
TRIALS = (1, 2, 4, 8, 16, 32)
SPAN = 12  # Of an axis of the plot, highest over lowest.
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
      repeats: rounds.
      seconds: about how long each point runs in one; a sweep of trials runs whole.

    Returns:
      [{'at', 'images_per_second': the median of the rounds, 'spread': [least, most], 'devices'}].
    """
    if axis == 'trials':
        return _trials(repeats)
    key, values, others = AXES[axis]
    some = [settings.override(settings_of(MODEL), {**others, key: value}) for value in values]
    rounds, devices = _apart(some, repeats, seconds) if axis == 'devices' else _rounds(some, repeats, seconds)
    return _points(values, rounds, devices)


def _rounds(some: Sequence[Settings], repeats: int, seconds: float) -> tuple[list[list[float]], list[int]]:
    """Images/s of each of the settings, round by round, and on how many devices."""
    sides, steps = [Ours(each) for each in some], []
    for side in sides:
        side.milliseconds(2)  # Compiles.
        steps.append(max(4, round(1e3 * seconds / side.milliseconds(4))))
    rounds = [
        [1e3 * side.batch_size / side.milliseconds(count) for side, count in zip(sides, steps, strict=True)]
        for _ in range(repeats)
    ]
    return rounds, [len(side.devices) for side in sides]


def _apart(some: Sequence[Settings], repeats: int, seconds: float) -> tuple[list[list[float]], list[int]]:
    """The same, each in a process that has as many CPU devices as it asks for, or as cores."""
    rounds = []
    for _ in range(repeats):
        rounds.append([])
        for each in some:
            devices = max(each.devices, environment.cores())
            ((rate,),), _ = apart.call(_rounds, [each], 1, seconds, cpu_devices=devices)
            rounds[-1].append(rate)
    return rounds, [each.devices for each in some]


def _trials(repeats: int) -> list[dict[str, Any]]:
    """Images/s of a whole sweep, start-up included; the first round fills the cache of compiled programs."""
    base = settings.override(Settings(), TRIAL)
    rounds = []
    for number in range(repeats + 1):
        rates = [engines.images_per_second(base, designs.seeds({'student': {}}, seeds=count)) for count in TRIALS]
        if number:
            rounds.append(rates)
    return _points(TRIALS, rounds, [1] * len(TRIALS))


def _points(values: Sequence[float], rounds: Sequence[Sequence[float]], devices: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {'at': at, 'images_per_second': statistics.median(rates), 'spread': [min(rates), max(rates)], 'devices': count}
        for at, rates, count in zip(values, zip(*rounds, strict=True), devices, strict=True)
    ]


def draw(found: dict[str, list[dict[str, Any]]], cores: int, path: pathlib.Path) -> None:
    """One panel an axis, both scales logarithmic, the spread of the rounds as a band; hollow: on one device.

    Every panel spans a factor of `SPAN` at least, so that noise does not look like growth.
    """
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    from matplotlib import ticker

    titles = {
        'batch': 'batch size',
        'width': 'width of the layers',
        'dataset': 'images in the dataset',
        'devices': f'CPU devices on {cores} cores',
        'trials': 'trials of a sweep',
    }
    figure, axes = plt.subplots(1, len(found), figsize=(3.1 * len(found), 3.0), layout='constrained', squeeze=False)
    for panel, (axis, points) in zip(axes[0], found.items(), strict=True):
        at = [point['at'] for point in points]
        panel.fill_between(at, *zip(*(point['spread'] for point in points), strict=True), alpha=0.2, linewidth=0)
        rates = [point['images_per_second'] for point in points]
        (line,) = panel.plot(at, rates, linewidth=1)
        fills = ['white' if point['devices'] == 1 else line.get_color() for point in points]
        panel.scatter(at, rates, s=18, c=fills, edgecolors=line.get_color(), zorder=3)
        panel.set_xscale('log', base=2)
        panel.set_yscale('log')
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter('{x:,.0f}')
        panel.yaxis.set_minor_locator(ticker.NullLocator())
        low, high = panel.get_ylim()
        room = max(1.0, (SPAN / (high / low)) ** 0.5)
        panel.set_ylim(low / room, high * room)
        panel.set_xticks(at, [f'{value:g}' for value in at])
        panel.set_xlabel(titles[axis])
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.3)
    axes[0][0].set_ylabel('images/s of training')
    figure.savefig(path, dpi=110)
    plt.close(figure)

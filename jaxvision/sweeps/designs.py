"""What a sweep compares: variants of one config, each under several seeds, or on the folds of a cross-validation.

A config file's `get_sweep()` returns one of these. Nothing heavy is imported here.
"""

import itertools
import math
import random
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from jaxvision.errors import UserError

SEEDS = 12  # With 8, no sign-flip p-value can pass Holm's correction over ten variants.
BASELINE = 'baseline'
LONGEST = 100  # Characters of a folder's name.


class Rung(NamedTuple):
    """One step of a ladder.

    Attributes:
      name: of what it adds, e.g. dropout.
      alone: the variant with nothing else.
      cumulative: the variant with all rungs up to this one.
      without: the variant with all rungs but this one; '' where the ladder has a single rung.
    """

    name: str
    alone: str
    cumulative: str
    without: str


@dataclass(frozen=True)
class Sweep:
    """Variants of one config, to be compared.

    Attributes:
      kind: seeds, grid, sample, ladder or folds.
      variants: name -> overrides, {dotted key: value}; the first ones first in every table.
      baseline: the variant that the others are compared with.
      seeds: each variant is trained under seeds 0, 1, ..., seeds - 1.
      folds: of a cross-validation, else 0; each variant is then trained on every fold, under every seed.
      axes: the keys that a grid varies.
      rungs: of a ladder.
      references: scikit-learn's models beside ours; see `references.py`.
    """

    kind: str
    variants: Mapping[str, Mapping[str, Any]]
    baseline: str
    seeds: int = SEEDS
    folds: int = 0
    axes: tuple[str, ...] = ()
    rungs: tuple[Rung, ...] = field(default=())
    references: tuple[str, ...] = ()

    def __post_init__(self):
        for name, count, least in (('seeds', self.seeds, 1), ('folds', self.folds, 0)):
            if type(count) is not int or count < least:
                raise UserError(f'a sweep has {name}={count!r}, but must have a whole number, at least {least}')
        if not self.variants:
            raise UserError('the sweep is empty: it has no variant')
        if self.baseline not in self.variants:
            raise UserError(f'the baseline {self.baseline!r} is no variant; there are {", ".join(self.variants)}')

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that some variant overrides, in order of appearance."""
        return tuple(dict.fromkeys(key for changes in self.variants.values() for key in changes))


def seeds(variants: Mapping[str, Mapping[str, Any]], baseline: str = '', seeds: int = SEEDS) -> Sweep:
    """Variants spelt out one by one.

    Args:
      variants: name -> overrides.
      baseline: name of one; the first if empty.
      seeds: how many.
    """
    return Sweep('seeds', _checked(variants), baseline or next(iter(variants), ''), seeds)


def of_config(name: str, distills: bool) -> Sweep:
    """The sweep of a config that has none of its own: itself, and in a distillation the student alone as baseline."""
    if distills:
        return seeds({'student alone': {'distill.weight': 0.0}, 'student distilled': {}})
    return seeds({name: {}})


def grid(axes: Mapping[str, Sequence[Any]], baseline: Mapping[str, Any] | None = None, seeds: int = SEEDS) -> Sweep:
    """Every combination of the values of some keys.

    Args:
      axes: dotted key -> values; the last one varies fastest.
      baseline: overrides of what the others are compared with: a cell of the grid, or a variant beside it (e.g.
        {'distill.weight': 0.0}); None for the first cell.
      seeds: how many.
    """
    for key, values in axes.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise UserError(f'the grid gives {key} the value {values!r}, but wants a list or tuple of values')
    if not axes or not all(len(values) for values in axes.values()):
        without = [key for key, values in axes.items() if not len(values)]
        raise UserError(f'the grid is empty: {", ".join(without)} has no values' if without else 'the grid is empty')
    short = _short(axes)
    cells = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    named = [(', '.join(f'{short[key]}={told(value)}' for key, value in cell.items()), cell) for cell in cells]
    variants = _unique(named)
    base = next(iter(variants))
    if baseline is not None:
        base = next((name for name, cell in variants.items() if cell == dict(baseline)), BASELINE)
        if base == BASELINE:
            variants = {BASELINE: dict(baseline), **variants}
    return Sweep('grid', variants, base, seeds, axes=tuple(axes))


class Distribution(Protocol):
    def draw(self, generator: random.Random) -> Any: ...


@dataclass(frozen=True)
class Uniform:
    """A float between low and high."""

    low: float
    high: float

    def draw(self, generator: random.Random) -> float:
        return generator.uniform(self.low, self.high)


@dataclass(frozen=True)
class LogUniform:
    """A float between low and high, both above 0, whose logarithm is uniform."""

    low: float
    high: float

    def draw(self, generator: random.Random) -> float:
        return math.exp(generator.uniform(math.log(self.low), math.log(self.high)))


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: Sequence[Any]

    def draw(self, generator: random.Random) -> Any:
        return generator.choice(self.values)


def sample(count: int, axes: Mapping[str, Distribution], draw_seed: int = 0, seeds: int = SEEDS) -> Sweep:
    """Random search: some draws from distributions over keys, beside the config as it is, which is the baseline.

    Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, 2012.

    Args:
      count: how many draws.
      axes: dotted key -> Uniform, LogUniform or Choice.
      draw_seed: moves the draws.
      seeds: how many a draw.
    """
    if count < 1 or not axes:
        raise UserError('the sample is empty: it wants at least one draw and one key')
    generator = random.Random(draw_seed)
    width = len(str(count))
    drawn = {
        f'draw {number:0{width}}': {key: distribution.draw(generator) for key, distribution in axes.items()}
        for number in range(1, count + 1)
    }
    return Sweep('sample', {BASELINE: {}, **drawn}, BASELINE, seeds, axes=tuple(axes))


def ladder(rungs: Mapping[str, Mapping[str, Any]], seeds: int = SEEDS) -> Sweep:
    """Baseline; each rung alone; all up to each; all but each. What coincides is there once.

    Args:
      rungs: name -> overrides, in the order of the climb. No two may set the same key: they could not be combined.
      seeds: how many.
    """
    owners: dict[str, str] = {}
    for name, changes in _checked(rungs).items():
        for key in changes:
            if key in owners:
                raise UserError(f'rungs {owners[key]!r} and {name!r} of the ladder both set {key}')
            owners[key] = name
    names = list(rungs)
    if not names:
        raise UserError('the ladder is empty: it has no rungs')

    def together(some: Sequence[str]) -> dict[str, Any]:
        return {key: value for name in some for key, value in rungs[name].items()}

    called: dict[tuple[str, ...], str] = {(): BASELINE}
    called |= {(name,): f'+ {name}' for name in names}
    for upto in range(2, len(names) + 1):
        called[tuple(names[:upto])] = 'all' if upto == len(names) else f'up to {names[upto - 1]}'
    for name in names:
        called.setdefault(tuple(other for other in names if other != name), f'all but {name}')
    steps = tuple(
        Rung(
            name,
            called[(name,)],
            called[tuple(names[: index + 1])],
            called[tuple(other for other in names if other != name)] if len(names) > 1 else '',
        )
        for index, name in enumerate(names)
    )
    variants = _unique([(name, together(some)) for some, name in called.items()])
    return Sweep('ladder', variants, BASELINE, seeds, rungs=steps)


def folds(
    count: int,
    variants: Mapping[str, Mapping[str, Any]],
    references: Sequence[str] = (),
    baseline: str = '',
    seeds: int = 1,
) -> Sweep:
    """Stratified k-fold cross-validation over the whole set: the test part of fold i is fold i.

    Args:
      count: k, at least 2.
      variants: name -> overrides.
      references: of scikit-learn, on the same folds: names of `references.MODELS`.
      baseline: name of a variant; the first if empty.
      seeds: how many a fold; their mean is the fold's value.
    """
    if type(count) is not int or count < 2:
        raise UserError(f'a cross-validation wants at least 2 folds, not {count!r}')
    taken = [name for name in references if name in variants]
    if taken or len(set(references)) < len(references):
        raise UserError(f'duplicate variants: {", ".join(taken or references)}')
    return Sweep(
        'folds',
        _checked(variants),
        baseline or next(iter(variants), ''),
        seeds,
        folds=count,
        references=tuple(references),
    )


def told(value: Any) -> str:
    """A value in a variant's name."""
    if isinstance(value, float):
        return f'{value:g}'
    return 'x'.join(map(told, value)) if isinstance(value, (tuple, list)) else str(value)


def folders(names: Iterable[str]) -> dict[str, str]:
    """Of each variant or reference the folder under trials/: its name made plain, short and unique, in any order.

    Names that look alike when they are plain, or that are long, have a hash of the name behind them.
    """
    plain = {name: re.sub(r'[^A-Za-z0-9.=]+', '-', name).strip('-.') or 'variant' for name in names}
    alike = [folder.lower() for folder in plain.values()]  # Some file systems do not tell a from A.
    return {
        name: folder
        if alike.count(folder.lower()) == 1 and len(folder) <= LONGEST
        else f'{folder[:LONGEST]}-{zlib.crc32(name.encode()):08x}'
        for name, folder in plain.items()
    }


def place(seed: int, fold: int | None) -> str:
    """The folder of one trial in that of its variant."""
    return f'seed-{seed}' if fold is None else f'fold-{fold}-seed-{seed}'


def _checked(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    for name, changes in variants.items():
        if not isinstance(name, str) or not name:
            raise UserError(f'variant {name!r} must have a name that is a string')
        if isinstance(changes, Mapping) and not all(isinstance(key, str) for key in changes):
            raise UserError(f'variant {name!r} is {changes!r}, but must override keys that are strings')
        if not isinstance(changes, Mapping):
            raise UserError(f'variant {name!r} is {changes!r}, but must be a dict of overrides, key -> value')
    return {name: dict(changes) for name, changes in variants.items()}


def _unique(named: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    names = [name for name, _ in named]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f'duplicate variants: {"; ".join(twice)}')
    return dict(named)


def _short(keys: Mapping[str, Any]) -> dict[str, str]:
    """The last word of each key, where it tells them apart."""
    last = [key.rpartition('.')[2] for key in keys]
    return {key: word if last.count(word) == 1 else key for key, word in zip(keys, last, strict=True)}

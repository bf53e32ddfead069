"""Evaluation: a clean pass over a split, every example once, and what follows from any error measured there.

The error on the training split, measured clean (no augmentation, mixing or dropout), is the empirical error; the error
on the test split estimates the real one; their difference is the generalisation gap.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxvision import metrics, rng
from jaxvision.data import order
from jaxvision.training import allocator
from jaxvision.training.under_way import UnderWay

RESAMPLES = 1000
BATCH = 128  # Most examples a call and device,
LARGE = 2000  # and on accelerators, of all networks together.
PIXELS = 2**22  # Most pixels a call and device: activations are many times as many.


def batch_size(shape: tuple[int, ...], networks: int = 1) -> int:
    """How many images of a shape (height, width, channel) go into a call and device, for each of some networks."""
    most = BATCH if jax.default_backend() == 'cpu' else max(BATCH, LARGE // networks)
    return max(1, min(most, PIXELS // (shape[0] * shape[1])))


def collect(predict: Callable, variables, context, ids: np.ndarray, parallel, batch: int) -> Any:
    """The outputs of a whole split.

    Args:
      predict: a mapped evaluation step.
      variables: a tuple, one a network; they and the context are replicated.
      context: of the step.
      ids: int32 [n].
      parallel: a training.parallel.Parallel.
      batch: examples a call and device; the ids are padded to it, and the padding is cut off again.

    Returns:
      The outputs of all ids, on the host: a tree of arrays [n, ...].
    """
    size = batch * len(parallel.devices)
    batches = list(order.padded_batches(ids, size))
    outputs, under_way = [], UnderWay(parallel.devices)
    for one, _ in batches:
        outputs.append(predict(variables, context, parallel.cut(one)))
        under_way.add(outputs[-1])
        allocator.tidy()

    def joined(*parts) -> np.ndarray:
        whole = [np.asarray(part).reshape(size, *part.shape[2:]) for part in parts]
        return np.concatenate([part[:count] for part, (_, count) in zip(whole, batches, strict=True)])

    return jax.tree.map(joined, *outputs)


def share(hits: np.ndarray) -> dict[str, Any]:
    """The share of hits, bool [n], with Wilson's 95% interval."""
    return share_of(int(hits.sum()), len(hits))


def share_of(hits: int, n: int) -> dict[str, Any]:
    """hits / n with Wilson's 95% interval; of nothing, 0 within [0, 1]."""
    low, high = metrics.wilson(hits, n)
    return {'value': hits / max(n, 1), 'ci95': [float(low), float(high)]}


def mean(values: np.ndarray) -> dict[str, Any]:
    """The mean of values, float [n], with a percentile bootstrap's 95% interval; of nothing, 0 within [0, 1]."""
    if not len(values):
        return {'value': 0.0, 'ci95': [0.0, 1.0]}
    return {'value': float(values.mean()), 'ci95': interval(bootstrap_means(values[:, None])[:, 0])}


def gap(train: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """Test error minus clean train error, with Newcombe's hybrid score interval.

    Source: Newcombe, Interval estimation for the difference between independent proportions, 1998, method 10.

    Args:
      train, test: from `summarize`.
    """
    (a, (a_low, a_high)), (b, (b_low, b_high)) = ((s['error']['value'], s['error']['ci95']) for s in (test, train))
    value = a - b
    low = value - np.hypot(a - a_low, b_high - b)
    high = value + np.hypot(a_high - a, b - b_low)
    return {'value': value, 'ci95': [float(low), float(high)]}


def bootstrap_means(values: np.ndarray) -> np.ndarray:
    """Means of resamples with replacement: float [n, k] -> [RESAMPLES, k]; always the same draws for the same n."""
    n = len(values)
    draw = rng.generator(0, 'bootstrap', n)
    chunk = max(1, 500_000 // n)
    means = []
    for start in range(0, RESAMPLES, chunk):
        count = min(chunk, RESAMPLES - start)
        rows = np.repeat(np.arange(count), n) * n + draw.integers(0, n, count * n)
        weights = np.bincount(rows, minlength=count * n).reshape(count, n)
        means.append(weights @ values / n)
    return np.concatenate(means)


def interval(values: np.ndarray) -> list[float]:
    """The 95% percentile interval of resampled values [n]."""
    return [float(v) for v in np.percentile(values, [2.5, 97.5])]


def verdict(train: dict[str, Any], test: dict[str, Any]) -> str:
    """One sentence on under- and overfitting, with the numbers that led to it.

    The test error is the clean train error plus the gap: whichever is the larger part names the trouble. A gap whose
    interval holds zero is no evidence of overfitting, and a test error of at most 1 % of neither.
    """
    difference = gap(train, test)
    low, high = difference['ci95']
    numbers = (
        f'clean train error {_percent(train["error"])}, test error {_percent(test["error"])}, '
        f'gap {difference["value"] * 100:.1f} points (95% interval {low * 100:.1f} to {high * 100:.1f})'
    )
    if test['error']['value'] <= 0.01:
        return f'Neither underfitting nor overfitting to speak of: {numbers}.'
    if low > 0 and difference['value'] >= train['error']['value']:
        return f'Overfitting: most of the test error is gap; {numbers}.'
    if low > 0:
        return (
            f'More underfitting than overfitting: the train error is the larger part, but the gap is real; {numbers}.'
        )
    if train['error']['ci95'][0] > 0.01:
        return f'Underfitting: the test error is there on the training images already; {numbers}.'
    if high < 0:
        return f'Neither: the test examples are the easier ones here; {numbers}.'
    return f'Too few examples to tell: the interval of the gap holds zero; {numbers}.'


def _percent(value: dict[str, Any]) -> str:
    low, high = value['ci95']
    return f'{value["value"]:.1%} ({low:.1%} to {high:.1%})'


def percent(value: dict[str, Any]) -> str:
    """A share with its interval as a table's cell, in percent or points."""
    low, high = value['ci95']
    return f'{value["value"] * 100:.1f} [{low * 100:.1f}, {high * 100:.1f}]'


def told(value: dict[str, Any], unit: int = 1) -> str:
    """A value with its interval in a line of text; with unit 100 in percent."""
    digits, sign = (1, ' %') if unit == 100 else (3, '')
    low, high = value['ci95']
    return f'{value["value"] * unit:.{digits}f}{sign} [{low * unit:.{digits}f}, {high * unit:.{digits}f}]'

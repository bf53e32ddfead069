"""The order of training: which examples step number `step` sees, as a pure function of (seed, step).

There is no iterator to save: the step is the position. Each epoch is a permutation of its own, and the last batch of
an epoch is filled from the next one, so that every example is seen equally often.
"""

import functools

import numpy as np

from jaxvision import rng


@functools.lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return rng.generator(seed, 'order', epoch).permutation(count)


def batch_ids(ids: np.ndarray, seed: int, step: int, batch_size: int) -> np.ndarray:
    """The ids that one step sees.

    Args:
      ids: int [n], the training split.
      seed: moves the order.
      step: counted from 0.
      batch_size: at most n. With batch_size == n every step sees every example (full-batch gradient descent).

    Returns:
      int32 [batch_size].
    """
    return batches(ids, seed, step, batch_size, 1)[0]


def batches(ids: np.ndarray, seed: int, step: int, batch_size: int, count: int) -> np.ndarray:
    """The ids that `count` steps see, from `step` on; int32 [count, batch_size], as `batch_ids` has them one by one."""
    examples, first, end = len(ids), step * batch_size, (step + count) * batch_size
    parts = [
        _permutation(examples, seed, epoch)[max(first - epoch * examples, 0) : end - epoch * examples]
        for epoch in range(first // examples, -(-end // examples))
    ]
    return np.asarray(ids)[np.concatenate(parts)].astype(np.int32).reshape(count, batch_size)


def padded_batches(ids: np.ndarray, batch_size: int):
    """The ids in order, in batches of one size for evaluation; the last one is padded by repeating its last id.

    Yields:
      (int32 [batch_size], number of real ones).
    """
    for start in range(0, len(ids), batch_size):
        part = np.asarray(ids[start : start + batch_size], np.int32)
        yield np.pad(part, (0, batch_size - len(part)), mode='edge'), len(part)

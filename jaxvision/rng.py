"""Random keys: the only place that makes them.

Every random number is a pure function of (seed, stream, step, example id): nothing depends on the number of
devices, on the position in the batch or on what was drawn before, so a resumed run repeats an unbroken one.
"""

import jax
import numpy as np

STREAMS = ('init', 'order', 'augment', 'dropout', 'mixup', 'split', 'generated', 'bootstrap', 'color', 'mosaic')


def _stream(stream: str) -> int:
    if stream not in STREAMS:
        raise ValueError(f'unknown stream {stream!r}; the streams are {", ".join(STREAMS)}')
    return STREAMS.index(stream)


def key(seed, stream: str, step=None, example=None) -> jax.Array:
    """The key of one stream, optionally of one step, and of each example in it.

    Args:
      seed: integer scalar (it may be traced), or a key made from it by `base`.
      stream: one of `STREAMS`.
      step: integer scalar, or None for what is drawn once a run.
      example: int [batch] ids, or None for what is drawn once a step.

    Returns:
      A scalar key, or keys [batch] where `example` is given.
    """
    # Always three folds, 0 standing for "none": a key that is drawn from is never the parent of another.
    result = jax.random.fold_in(base(seed), _stream(stream))
    result = jax.random.fold_in(result, 0 if step is None else step + 1)
    if example is None:
        return jax.random.fold_in(result, 0)
    return jax.vmap(jax.random.fold_in, (None, 0))(result, example + 1)


def base(seed) -> jax.Array:
    """The key of a run: from an integer, or the key itself if it is one already."""
    if isinstance(seed, jax.Array) and jax.dtypes.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    if isinstance(seed, int) and not 0 <= seed < 2**32:
        raise ValueError(f'seed {seed} does not fit into 32 bits')
    return jax.random.key(seed)


def generator(seed: int, stream: str, *numbers: int) -> np.random.Generator:
    """A NumPy generator for what is drawn on the host (epoch orders, splits), from (seed, stream, numbers)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_stream(stream), *numbers))))

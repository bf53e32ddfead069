"""Winograd's minimal filtering: a 3x3 convolution without a stride as sums and a few matrix products.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Parts = list[list[jax.Array]]  # A matrix of arrays of one shape.
CHANNELS = 32  # From so many on, the fewer of input and output counting, it is quicker than XLA's on CPU,
KERNEL_CHANNELS = 128  # and from so many on for the kernel's gradient, too; but see `winograd_rows`.
# Inputs times filters from which on it is used: each such convolution compiles for half a second longer, which a
# smaller one takes more than a thousand steps to win back.
WORK = 2**23
# Bytes of the images that are transformed at once. All 64 at once took 1.27 times as long of 32x32 and 32 channels, as
# long as XLA's own, 1.1 times of 16x16 and 64, 1.15 times of 8x8 and 128 (jax 0.10.2, one core of a Zen 4). Half or
# twice as many bytes make no difference.
CACHE = 2**19


class Tile(NamedTuple):
    """Winograd's minimal filtering with three taps: output = A' [(G kernel) * (B' input)], in each of two dimensions.

    Attributes:
      side: outputs a tile; its inputs are side + 2.
      inputs: B', [side + 2, side + 2].
      kernel: G, [side + 2, 3].
      outputs: A', [side, side + 2].
    """

    side: int
    inputs: np.ndarray
    kernel: np.ndarray
    outputs: np.ndarray


TILE = Tile(
    2,
    np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
)


def suits(x: jax.Array, kernel: jax.Array, strides, padding, channels: int) -> bool:
    """Whether it can compute this, and is quicker: from so many channels on, where they are many."""
    even = x.shape[1] % TILE.side == 0 and x.shape[2] % TILE.side == 0
    much = min(kernel.shape[2:]) >= channels and x.size * kernel.shape[3] >= WORK
    return keeps_size(kernel, strides, padding) and even and x.dtype == jnp.float32 and much


def keeps_size(kernel: jax.Array, strides, padding) -> bool:
    """Whether it is a 3x3 convolution, stride 1, padded by 1."""
    return kernel.shape[:2] == (3, 3) and strides == (1, 1) and padding == ((1, 1), (1, 1))


def convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3x3 convolution, stride 1, padded by 1; x [batch, height, width, channel], both sides multiples of the tile."""
    return _filtered(x, _of_kernel(kernel), jnp.matmul, kernel.shape[3])


def by_input(gradient: jax.Array, kernel: jax.Array) -> jax.Array:
    """Its gradient by x: the convolution of the output's gradient with the kernel turned round."""
    by_filter = functools.partial(lax.dot_general, dimension_numbers=(((1,), (1,)), ((), ())))
    return _filtered(gradient, _of_kernel(kernel[::-1, ::-1]), by_filter, kernel.shape[2])


def _filtered(x: jax.Array, kernel: Parts, product, filters: int) -> jax.Array:
    """As many images at a time as stay in the cache when they are transformed, to four times as many numbers."""

    def filtered(x: jax.Array) -> jax.Array:
        products = _each(product, _of_inputs(x), kernel)
        return _to_image(_transform(TILE.outputs, products), x.shape[:3])

    count = _at_once(x)
    if count == len(x):
        return filtered(x)

    def put(number: jax.Array, y: jax.Array) -> jax.Array:
        own = filtered(lax.dynamic_slice_in_dim(x, number * count, count))
        return lax.dynamic_update_slice_in_dim(y, own, number * count, 0)

    # Not of zeros: XLA would keep them in memory from the first layer to the last, and copy them for each.
    anything = jnp.broadcast_to(x[0, 0, 0, 0], (*x.shape[:3], filters))
    return lax.fori_loop(0, len(x) // count, put, anything)


def _at_once(x: jax.Array) -> int:
    """How many images: they divide the batch."""
    most = max(1, CACHE // (x[0].size * x.dtype.itemsize))
    return next(count for count in range(min(most, len(x)), 0, -1) if len(x) % count == 0)


def by_kernel(gradient: jax.Array, x: jax.Array) -> jax.Array:
    """Its gradient by the kernel: all three transforms transposed."""
    batch, height, width, channels = gradient.shape
    side = TILE.side
    cells = gradient.reshape(batch, height // side, side, width // side, side, channels)
    parts = [[cells[:, :, i, :, j].reshape(-1, channels) for j in range(side)] for i in range(side)]
    by_tile = functools.partial(lax.dot_general, dimension_numbers=(((0,), (0,)), ((), ())))
    products = _each(by_tile, _of_inputs(x), _transform(TILE.outputs.T, parts))
    return jnp.stack([jnp.stack(row) for row in _transform(TILE.kernel.T, products)])


def _of_inputs(x: jax.Array) -> Parts:
    """The transformed tiles, [tile, channel] each."""
    side, channels = TILE.side, x.shape[-1]
    rows, columns = x.shape[1] // side, x.shape[2] // side
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))

    def part(i: int, j: int) -> jax.Array:
        return padded[:, i : i + side * rows - side + 1 : side, j : j + side * columns - side + 1 : side]

    parts = [[part(i, j) for j in range(side + 2)] for i in range(side + 2)]
    return [[each.reshape(-1, channels) for each in row] for row in _transform(TILE.inputs, parts)]


def _of_kernel(kernel: jax.Array) -> Parts:
    return _transform(TILE.kernel, [[kernel[i, j] for j in range(3)] for i in range(3)])


def _to_image(parts: Parts, shape: tuple[int, ...]) -> jax.Array:
    """Tiles [tile, channel] of outputs, by their place within the tile -> [batch, height, width, channel]."""
    batch, height, width = shape
    side, channels = TILE.side, parts[0][0].shape[-1]
    rows, columns = height // side, width // side
    shaped = [[each.reshape(batch, rows, columns, channels) for each in row] for row in parts]
    return jnp.stack([jnp.stack(row, axis=3) for row in shaped], axis=2).reshape(batch, height, width, channels)


def _transform(matrix: np.ndarray, parts: Parts) -> Parts:
    """matrix @ parts @ matrix.T, spelt out as sums."""
    left = [[weighed(row, [part[j] for part in parts]) for j in range(len(parts[0]))] for row in matrix]
    return [[weighed(row, line) for row in matrix] for line in left]


def weighed(weights: np.ndarray, terms: Sequence[jax.Array]) -> jax.Array:
    """The weighted sum of arrays of one shape; what weighs nothing is not looked at."""
    those = [(float(weight), term) for weight, term in zip(weights, terms, strict=True) if weight]
    return functools.reduce(jnp.add, [term if weight == 1 else weight * term for weight, term in those])


def _each(product, one: Parts, other: Parts) -> Parts:
    return [[product(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)]

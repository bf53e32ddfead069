"""Pooling, by what is quicker than XLA's windows, backwards above all."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxvision.models import plain
from jaxvision.models.barrier import materialize
from jaxvision.models.convolution import algorithm

POOLS = ('max', 'average', 'none')
# Of the overlapping windows, the one at half a pixel's row and column, rounded down, and those below and beside it: the
# number of the pixel's place therein, as its row and its column are even or odd; -1 if it has none.
NUMBERS = {
    (0, 0): np.array([[4, 5], [7, 8]], np.int8),
    (0, 1): np.array([[-1, 3], [-1, 6]], np.int8),
    (1, 0): np.array([[-1, -1], [1, 2]], np.int8),
    (1, 1): np.array([[-1, -1], [-1, 0]], np.int8),
}


def pool(x: jax.Array, kind: str) -> jax.Array:
    """2x2 pooling with stride 2; an odd last row or column is left out.

    On CPU the maximum's first derivative is in reverse only, unless `plain.asked`.

    Args:
      x: [batch, height, width, channel], height and width at least 2.
      kind: max, average, or none for x as it is, of any size.

    Returns:
      [batch, height // 2, width // 2, channel].
    """
    if kind == 'none':
        return x
    batch, height, width, channels = x.shape
    if min(height, width) < 2:
        raise ValueError(f'nothing left to pool: the image is down to {height}x{width}; use fewer stages')
    cells = x[:, : height // 2 * 2, : width // 2 * 2].reshape(batch, height // 2, 2, width // 2, 2, channels)
    if kind == 'max':
        return _largest(cells) if algorithm() == 'winograd' else _of_cells(cells)
    if kind == 'average':
        return cells.mean(axis=(2, 4))
    raise ValueError(f'unknown pool {kind!r}; known are {", ".join(POOLS)}')


def _of_cells(cells: jax.Array) -> jax.Array:
    """[batch, rows, 2, columns, 2, channel] -> [batch, rows, columns, channel]. A tie shares the gradient."""
    rows = jnp.maximum(cells[:, :, 0], cells[:, :, 1])  # Faster than reduce_window on CPU.
    return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])


@jax.custom_vjp
def _largest(cells):
    """`_of_cells`, with its gradient in one pass: that of each slice there is written down, as large as the image."""
    return _of_cells(cells)


def _share(cells, gradient):
    def won(values, axis):
        others = jnp.flip(values, axis)
        return jnp.where(values > others, 1.0, jnp.where(values == others, 0.5, 0.0)), jnp.maximum(values, others)

    in_column, largest = won(cells, 2)
    in_row, _ = won(largest, 4)
    return ((in_column * in_row).astype(gradient.dtype) * materialize(gradient)[:, :, None, :, None],)


_largest.defvjp(lambda cells: (_of_cells(cells), cells), _share)


def overlapping_max_pool(x: jax.Array) -> jax.Array:
    """3x3 maxima with stride 2, one row and column of padding around: what follows the stem of large residual networks.

    The gradient goes to the first of equal values, as with XLA's windows, whose gradient scatters. It is in reverse
    only, unless `plain.asked`.

    Args:
      x: [batch, height, width, channel].

    Returns:
      [batch, ceil(height / 2), ceil(width / 2), channel].
    """
    if plain.asked():
        around = ((0, 0), (1, 1), (1, 1), (0, 0))
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), around)
    return _maxima(x)


@jax.custom_vjp
def _maxima(x):
    return _forward(x)[0]


def _forward(x):
    """The maxima, and of each the number of the place in its window, with the size of x."""
    _, height, width, _ = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    low = jnp.array(-jnp.inf, x.dtype)
    x = lax.pad(x, low, ((0, 0, 0), (1, 2 * rows - height, 0), (1, 2 * columns - width, 0), (0, 0, 0)))
    places = [x[:, down:, right:][:, : 2 * rows - 1 : 2, : 2 * columns - 1 : 2] for down, right in np.ndindex(3, 3)]
    found, place = places[0], jnp.zeros(places[0].shape, jnp.int8)
    for number, each in enumerate(places[1:], 1):
        place = jnp.where(each > found, jnp.int8(number), place)
        found = jnp.maximum(found, each)  # A NaN goes through.
    return found, (place, (height, width))


def _backward(saved, gradient):
    """Gathered, not scattered: a pixel lies in one, two or four windows, as its row and its column are even or odd."""
    place, (height, width) = saved
    batch, rows, columns, channels = gradient.shape
    found = jnp.zeros((), gradient.dtype)
    for (down, right), numbers in NUMBERS.items():
        ends = ((0, 0), (0, down), (0, right), (0, 0))
        which, each = (jnp.pad(array[:, down:, right:], ends)[:, :, None, :, None] for array in (place, gradient))
        found = found + jnp.where(which == numbers[:, None, :, None], each, jnp.zeros_like(each))
    return (found.reshape(batch, 2 * rows, 2 * columns, channels)[:, :height, :width],)


_maxima.defvjp(_forward, _backward)

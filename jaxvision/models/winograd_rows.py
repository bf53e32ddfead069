"""Winograd's minimal filtering of rows alone: a 3x3 kernel's gradient in half the multiplications.

Of tiles of four rows, six sums of rows are convolved with six of the output's gradient, where twelve rows would be; the
columns stay what they are. Each is `kernel_gradient`'s convolution of long rows, of one row and so of a third of its
outputs at a time. Images are laid out for that before they are summed: then a sum is of whole rows.

Of the time of `kernel_gradient` it takes 0.7 with 32 channels and filters, 0.65 with 64, 0.5 with 128; of the time of
Winograd's in both dimensions 0.75 to 0.95 with 128, 0.95 to 1.15 with 256, 1.4 with 512 (jax 0.10.2, one core of a Zen
4). With fewer channels than 16 it is slower than either.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.models import kernel_gradient
from jaxvision.models.barrier import materialize
from jaxvision.models.kernel_gradient import FEW_FILTERS
from jaxvision.models.winograd import WORK, Tile, keeps_size, weighed

CHANNELS = 16  # From so many on it is quicker,
MANY = 256  # and below so many, the fewer of input and output counting, quicker than Winograd's in both dimensions.
TILE = Tile(
    4,
    np.array(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ]
    ),
    np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
    np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]),
)


def suits(x: jax.Array, kernel: jax.Array, strides, padding) -> bool:
    """Whether it can compute this, and is quicker."""
    channels, filters = kernel.shape[2:]
    several = channels >= CHANNELS and filters > FEW_FILTERS and min(channels, filters) < MANY
    whole = x.shape[1] % TILE.side == 0
    same = keeps_size(kernel, strides, padding)
    return same and several and whole and x.dtype == jnp.float32 and x.size * filters >= WORK


def by_kernel(gradient: jax.Array, x: jax.Array) -> jax.Array:
    """The gradient of a 3x3 convolution, stride 1, padded by 1, by its kernel.

    Args:
      gradient: [batch, height, width, filter], by the output.
      x: [batch, height, width, channel], what was convolved; the height is a multiple of four.

    Returns:
      [3, 3, channel, filter].
    """
    return kernel_gradient.in_a_loop(_of_part, x, gradient)


def _of_part(x: jax.Array, gradient: jax.Array) -> jax.Array:
    channels, filters, side = x.shape[3], gradient.shape[3], TILE.side
    rows = jnp.pad(materialize(kernel_gradient.rows_of(x)), ((1, 1), (0, 0), (0, 0)))
    gradient = materialize(kernel_gradient.rows_of_gradient(gradient))
    last = len(rows) - side - 1
    inputs = [rows[i : last + i : side] for i in range(side + 2)]
    outputs = [gradient[i::side] for i in range(side)]
    products = [
        kernel_gradient.of_long_rows(
            weighed(TILE.inputs[i], inputs),
            weighed(TILE.outputs[:, i], outputs),
            (1, 3, channels, filters),
            (1, 1),
            ((0, 0), (1, 1)),
        )[0]
        for i in range(side + 2)
    ]
    return jnp.stack([weighed(row, products) for row in TILE.kernel.T])

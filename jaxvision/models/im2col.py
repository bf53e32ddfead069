"""A convolution as one matrix product, with all patches that it sees: im2col, for many networks as one program.

Under jax.vmap over networks a convolution with a kernel each becomes one of many groups, which is slow. As one program
sixteen small convnets and ResNets give 1.4 to 2.2 times the networks/s of one after the other so, on 2 cores, and 0.6
to 1.2 times as groups; such convnets on an H100 (jax 0.11.2) 12.8 times, and 4.0. For one network XLA's own is quicker,
and keeps less: the patches of a 3x3 convolution are nine times what it reads.

Source: Chellapilla, Puri and Simard, High Performance Convolutional Neural Networks for Document Processing, 2006.
"""

import contextlib

import jax
import jax.numpy as jnp

_within: list[bool] = []


@contextlib.contextmanager
def layers(many: bool = True):
    """Within, layers are traced as those of many networks, each with a kernel of its own; or of one, if not `many`."""
    _within.append(many)
    try:
        yield
    finally:
        _within.pop()


def asked() -> bool:
    """Whether this is within `layers` of many networks."""
    return bool(_within) and _within[-1]


def convolution(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], padding: tuple[tuple[int, int], ...]
) -> jax.Array:
    """Equal to lax.conv_general_dilated within rounding.

    Args:
      x: [batch, height, width, channel].
      kernel: [height, width, channel, filter].
      strides, padding: of rows and columns.

    Returns:
      [batch, rows, columns, filter].
    """
    *sides, channels, filters = kernel.shape
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    down, right = (
        range(size - side + 1)[::step] for size, side, step in zip(x.shape[1:3], sides, strides, strict=True)
    )

    def seen(row: int, column: int) -> jax.Array:
        """What one weight of the kernel meets, for all outputs."""
        return x[:, row : row + down.stop : down.step, column : column + right.stop : right.step]

    patches = jnp.concatenate([seen(row, column) for row in range(sides[0]) for column in range(sides[1])], axis=3)
    products = patches.reshape(-1, sides[0] * sides[1] * channels) @ kernel.reshape(-1, filters)
    return products.reshape(len(x), len(down), len(right), filters)

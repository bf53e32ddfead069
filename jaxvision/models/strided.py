"""A strided convolution of few channels as one without a stride, of more: each step's pixels become channels."""

import jax
import jax.numpy as jnp
from jax import lax

FEW = 4  # Channels. With so few, what computes convolutions is mostly idle.
ALIGNED = 8  # What cuDNN takes without a copy, of numbers with 16 bits, is a multiple of so many channels.


def suits(x: jax.Array, kernel: jax.Array, strides: tuple[int, int]) -> bool:
    """Whether this is such a convolution, and its kernel no smaller than its steps."""
    few = x.shape[3] <= FEW and min(strides) > 1
    return few and all(side >= step for side, step in zip(kernel.shape, strides, strict=False))


def gathered(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], padding: tuple[tuple[int, int], ...]
) -> tuple[jax.Array, jax.Array]:
    """What a convolution with neither stride nor padding reads, and its kernel, to the same end.

    Args:
      x: [batch, height, width, channel].
      kernel: [height, width, channel, filter].
      strides, padding: of rows and columns.

    Returns:
      x as [batch, rows, columns, stride * stride * channel], kernel as [height, width, those channels, filter], its
      sides divided by the strides and rounded up. In 16 bits there are more channels, of zeros.
    """
    (batch, *sizes, channels), filters = x.shape, kernel.shape[3]
    taps = [-(-side // step) for side, step in zip(kernel.shape, strides, strict=False)]
    steps = [
        (size + low + high - side) // step + tap
        for size, (low, high), side, step, tap in zip(sizes, padding, kernel.shape, strides, taps, strict=False)
    ]
    down, right = strides
    ends = [
        (low, count * step - size - low, 0)
        for count, step, size, (low, _) in zip(steps, strides, sizes, padding, strict=True)
    ]
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *ends, (0, 0, 0)))
    x = x.reshape(batch, steps[0], down, steps[1], right, channels).transpose(0, 1, 3, 2, 4, 5)
    beyond = [(0, tap * step - side) for tap, step, side in zip(taps, strides, kernel.shape, strict=False)]
    kernel = jnp.pad(kernel, (*beyond, (0, 0), (0, 0)))
    kernel = kernel.reshape(taps[0], down, taps[1], right, channels, filters).transpose(0, 2, 1, 3, 4, 5)
    more = down * right * channels
    x, kernel = x.reshape(batch, *steps, more), kernel.reshape(*taps, more, filters)
    zeros = -more % ALIGNED if x.dtype.itemsize == 2 else 0
    return jnp.pad(x, ((0, 0),) * 3 + ((0, zeros),)), jnp.pad(kernel, ((0, 0), (0, 0), (0, zeros), (0, 0)))

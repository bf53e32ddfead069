"""A convolution's gradient by its kernel, in the form that XLA's CPU compiler computes quickest (jax 0.10.2).

It is a convolution, too: of the images by the gradient of the output, which is as large as they are, and out comes
something as small as a kernel. What XLA hands it to, YNN, computes a row of outputs at a time, of three here, and reads
all images for each row. So columns and channels are one axis (the gradient's columns then lie a pixel's channels
apart), and a row is three times as many as channels; and as many images are taken at a time as stay in the cache.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = lax.conv_dimension_numbers((1,) * 4, (1,) * 4, ('NHWC', 'HWIO', 'NHWC'))
CACHE, AT_ONCE = 2**19, 8  # Bytes of the images and gradients that are taken at once, and how many images at most.
# With few filters XLA does not hand it to YNN; and with many channels XLA's own is as quick.
FEW_FILTERS, MANY_CHANNELS = 16, 128
# Images at once of XLA's own, whose time a product grows beyond them: on an AMD EPYC with 512 KiB of second-level cache
# a core, 64 images of 32x32 took 3.5 times as long as 16 and 16. Of small maps it is quicker with more.
LARGE, PART, PART_OF_SMALL = 16 * 16, 16, 64


def by_kernel(x: jax.Array, gradient: jax.Array, shape: tuple[int, ...], strides, padding) -> jax.Array:
    """The gradient of a convolution by its kernel.

    Args:
      x: [batch, height, width, channel], what was convolved.
      gradient: [batch, rows, columns, filter], by the output.
      shape: of the kernel, (height, width, channel, filter).
      strides, padding: of the convolution, for rows and columns.

    Returns:
      [height, width, channel, filter].
    """
    if shape[:2] == (1, 1) and min(strides) > 1 and padding == ((0, 0), (0, 0)):
        seen = x[:, :: strides[0], :: strides[1]]
        return (seen.reshape(-1, shape[2]).T @ gradient.reshape(-1, shape[3])).reshape(shape)
    if _suits(x, shape):
        return in_a_loop(functools.partial(long_rows, shape=shape, strides=strides, padding=padding), x, gradient)
    part = functools.partial(_as_xla, shape=shape, strides=strides, padding=padding)
    count = PART if gradient[0, :, :, 0].size >= LARGE else PART_OF_SMALL
    starts = range(0, len(x), count)  # Not in a loop: there XLA's own is slow.
    return functools.reduce(jnp.add, [part(x[at : at + count], gradient[at : at + count]) for at in starts])


def _suits(x, shape) -> bool:
    return x.dtype == jnp.float32 and shape[3] > FEW_FILTERS and min(shape[2:]) < MANY_CHANNELS


def long_rows(x: jax.Array, gradient: jax.Array, shape: tuple[int, ...], strides, padding) -> jax.Array:
    """`by_kernel`, with columns and channels as one axis."""
    return of_long_rows(rows_of(x), rows_of_gradient(gradient), shape, strides, padding)


def rows_of(x: jax.Array) -> jax.Array:
    """[batch, height, width, channel] -> [height, width * channel, batch]."""
    batch, height, width, channels = x.shape
    return x.transpose(1, 2, 3, 0).reshape(height, width * channels, batch)


def rows_of_gradient(gradient: jax.Array) -> jax.Array:
    """[batch, rows, columns, filter] -> [rows, columns, batch, filter]."""
    return gradient.transpose(1, 2, 0, 3)


def of_long_rows(rows: jax.Array, gradient: jax.Array, shape: tuple[int, ...], strides, padding) -> jax.Array:
    """`by_kernel`, of what is laid out so already."""
    channels, (top, bottom), (left, right) = shape[2], *padding
    sums = lax.conv_general_dilated(
        rows[None],
        gradient,
        (1, 1),
        ((top, bottom), (left * channels, right * channels)),
        rhs_dilation=(strides[0], strides[1] * channels),
        dimension_numbers=LAYOUT,
    )
    # Where the last step leaves rows or columns over, sums for a larger kernel come out.
    return sums[0].reshape(sums.shape[1], -1, channels, shape[3])[: shape[0], : shape[1]]


def _as_xla(x, gradient, shape, strides, padding):
    def convolution(kernel):
        return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=LAYOUT)

    return jax.linear_transpose(convolution, jax.ShapeDtypeStruct(shape, x.dtype))(gradient)[0]


def in_a_loop(part: Callable, x: jax.Array, gradient: jax.Array) -> jax.Array:
    """The sum of part(x, gradient) over parts of the batch, the first of them what the others leave over.

    Each is cut out within the loop: the others cut off before it would be written down once more.
    """
    count = _at_once(x[0].size + gradient[0].size)
    first = len(x) % count or min(count, len(x))

    begun = part(x[:first], gradient[:first])
    if first == len(x):
        return begun

    def added(number: jax.Array, total: jax.Array) -> jax.Array:
        own = (lax.dynamic_slice_in_dim(each, first + number * count, count) for each in (x, gradient))
        return total + part(*own)

    return lax.fori_loop(0, (len(x) - first) // count, added, begun)


def _at_once(numbers: int) -> int:
    """How many images, of so many float32 each with their gradients: a power of two."""
    count = AT_ONCE
    while count > 1 and 4 * count * numbers > CACHE:
        count //= 2
    return count

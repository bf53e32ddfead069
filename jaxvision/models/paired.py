"""Convolutions of few channels, in forms that XLA's CPU compiler computes quicker where there is AVX-512.

It hands a convolution to YNN only if that has more than 16 channels or filters (jax 0.10.2); to others Eigen comes, at
less than half of a core's peak (on a Zen 4), and of 16 filters YNN itself would be at three quarters. So a 3x3
convolution becomes one of pairs of columns, half as wide, of twice the channels and filters. Between four columns and
the two of their outputs a quarter of the weights are zeros: there are 4/3 of the multiplications, at twice the speed.
64 images of 32x32 and 16 channels take 0.75 of the time, 0.6 of it for the gradient by what was convolved, 0.7 for that
by the kernel (jax 0.11.2: 0.9, 0.9 and 0.8; but of 8x8 it takes 1.2 times as long); with 24 channels it is slower than
without. A step of ResNet-20 takes 0.89 of the time.

And of an odd number of channels, with 17 to 32 filters, YNN takes 1.5 to 7 times as long as with one channel more.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
from jax import lax

from jaxvision.models import kernel_gradient
from jaxvision.models.kernel_gradient import LAYOUT
from jaxvision.models.winograd import keeps_size

CHANNELS = 16  # Up to so many, of input and output, pairs are quicker.
FILTERS = 32  # With more filters than that and up to so many, an even number of channels is quicker.
STRIDES, PADDING = (1, 1), ((1, 1), (0, 0))  # Of the pairs, which have the columns of zeros already.


def suits(x: jax.Array, kernel: jax.Array, strides, padding) -> bool:
    """Whether pairs can compute this, and are quicker."""
    same = keeps_size(kernel, strides, padding)
    few = x.dtype == jnp.float32 and max(kernel.shape[2:]) <= CHANNELS
    return same and few and x.shape[2] % 2 == 0 and _has_avx512()


@functools.cache
def _has_avx512() -> bool:
    """Whether this machine has AVX-512: others were not measured."""
    try:
        return ' avx512f ' in pathlib.Path('/proc/cpuinfo').read_text()
    except OSError:
        return False


def even(x: jax.Array, kernel: jax.Array, strides) -> tuple[jax.Array, jax.Array]:
    """Both with a channel of zeros more, where that is quicker."""
    odd = x.shape[3] % 2 == 1 and x.shape[3] > 1 and CHANNELS < kernel.shape[3] <= FILTERS
    if not (odd and min(kernel.shape[:2]) > 1 and strides == (1, 1) and x.dtype == jnp.float32 and _has_avx512()):
        return x, kernel
    return jnp.pad(x, ((0, 0),) * 3 + ((0, 1),)), jnp.pad(kernel, ((0, 0),) * 2 + ((0, 1), (0, 0)))


def convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3x3 convolution, stride 1, padded by 1; x [batch, height, width, channel], of an even width."""
    y = lax.conv_general_dilated(_padded(x), _of_pairs(kernel), STRIDES, PADDING, dimension_numbers=LAYOUT)
    return y.reshape(*x.shape[:3], kernel.shape[3])


def by_input(gradient: jax.Array, kernel: jax.Array) -> jax.Array:
    """Its gradient by x: the convolution of the output's gradient with the kernel turned round."""
    return convolution(gradient, kernel[::-1, ::-1].swapaxes(2, 3))


def by_kernel(gradient: jax.Array, x: jax.Array) -> jax.Array:
    """Its gradient by the kernel: that of the pairs', summed over where each weight stands in it."""
    channels, filters = x.shape[3], gradient.shape[3]
    of_pairs = kernel_gradient.by_kernel(
        _padded(x), _paired(gradient), (3, 2, 2 * channels, 2 * filters), STRIDES, PADDING
    )
    kernel = jax.ShapeDtypeStruct((3, 3, channels, filters), x.dtype)
    return jax.linear_transpose(_of_pairs, kernel)(of_pairs)[0]


def _padded(x: jax.Array) -> jax.Array:
    """With a column of zeros on either side, in pairs: [batch, height, width / 2 + 1, 2 * channel]."""
    return _paired(jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0))))


def _paired(x: jax.Array) -> jax.Array:
    batch, height, width, channels = x.shape
    return x.reshape(batch, height, width // 2, 2 * channels)


def _of_pairs(kernel: jax.Array) -> jax.Array:
    """[3, 3, channel, filter] -> [3, 2, 2 * channel, 2 * filter]: the second of two outputs is a column further."""
    columns = jnp.stack([jnp.pad(kernel, ((0, 0), (j, 1 - j), (0, 0), (0, 0))) for j in range(2)], axis=3)
    return columns.reshape(3, 2, 2 * kernel.shape[2], 2 * kernel.shape[3])

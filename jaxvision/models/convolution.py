"""Convolution, by what is quicker than XLA's and equal to it within rounding.

Of images see `strided`, of many networks as one program `im2col`; the rest is of one network on CPU.

Four things cost XLA's CPU compiler most of a convolutional network's training step (jax 0.10.2, see benchmarks.json):

* It computes the activation that a convolution reads once more inside of what transposes it for the kernel's gradient,
  and with it all that it was made of, up the whole chain of shortcuts. `barrier.materialize` keeps it from that.
* Its 3x3 convolutions need 2.25 times the multiplications of Winograd's, which is a sum of a few matrix products.
* It computes the kernel's gradient at half of the speed of the convolution itself, see `kernel_gradient`, and of 3x3
  kernels with twice the multiplications that it takes, see `winograd_rows`.
* Of few channels it computes a convolution at half of the speed of others, see `paired`.
"""

import functools
from collections.abc import Sequence

import jax
from jax import lax

from jaxvision.models import im2col, kernel_gradient, paired, plain, product, strided, winograd, winograd_rows
from jaxvision.models.barrier import materialize
from jaxvision.models.kernel_gradient import LAYOUT

# What flax.linen.Conv asks for besides, if it was not told otherwise.
USUAL = {'lhs_dilation': (1, 1), 'rhs_dilation': (1, 1), 'feature_group_count': 1}


def algorithm() -> str:
    """By which layers are traced: `xla` if `plain.asked`, `im2col` in a stack; else `winograd` on CPU, or `strided`."""
    if plain.asked():
        return 'xla'
    if im2col.asked():
        return 'im2col'
    return 'winograd' if plain.replaced_on_cpu() else 'strided'


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    dimension_numbers: lax.ConvDimensionNumbers,
    **others,
) -> jax.Array:
    """lax.conv_general_dilated, to be handed to flax.linen.Conv.

    It is equal to that within rounding. Under the algorithm `winograd` its first derivative is in reverse only.

    Args:
      x: [batch, height, width, channel].
      kernel: [height, width, channel, filter].
      strides, padding, dimension_numbers, **others: as there.

    Returns:
      [batch, height, width, filter].
    """
    unusual = dimension_numbers != LAYOUT or any(value != USUAL.get(name) for name, value in others.items())
    if unusual or plain.asked():
        return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=dimension_numbers, **others)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    strides, padding = (strides[0], strides[1]), tuple((low, high) for low, high in padding)
    if algorithm() == 'im2col':
        return im2col.convolution(x, kernel, strides, padding)
    if strided.suits(x, kernel, strides):
        x, kernel = strided.gathered(x, kernel, strides, padding)
        strides, padding = (1, 1), ((0, 0), (0, 0))
    if algorithm() != 'winograd':
        return _xla(x, kernel, strides, padding)
    if kernel.shape[:2] == strides == (1, 1) and padding == ((0, 0), (0, 0)):  # On GPUs its layout would be another.
        return product.of(x.reshape(-1, x.shape[3]), kernel[0, 0]).reshape(*x.shape[:3], kernel.shape[3])
    return _convolve(*paired.even(x, kernel, strides), strides, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x, kernel, strides, padding):
    return _forward(x, kernel, strides, padding)[0]


@functools.partial(jax.jit, static_argnums=(2, 3))  # So that layers of the same shapes are traced once.
def _forward(x, kernel, strides, padding):
    x = materialize(x)
    if winograd.suits(x, kernel, strides, padding, winograd.CHANNELS):
        return winograd.convolution(x, kernel), (x, kernel)
    if paired.suits(x, kernel, strides, padding):
        return paired.convolution(x, kernel), (x, kernel)
    return _xla(x, kernel, strides, padding), (x, kernel)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _backward(strides, padding, saved, gradient):
    x, kernel = saved
    gradient = materialize(gradient)
    if winograd.suits(x, kernel, strides, padding, winograd.CHANNELS):
        by_input = winograd.by_input(gradient, kernel)
    elif paired.suits(x, kernel, strides, padding):
        return paired.by_input(gradient, kernel), paired.by_kernel(gradient, x)
    else:
        by_input = jax.vjp(lambda x: _xla(x, kernel, strides, padding), x)[1](gradient)[0]
    if winograd_rows.suits(x, kernel, strides, padding):
        return by_input, winograd_rows.by_kernel(gradient, x)
    if winograd.suits(x, kernel, strides, padding, winograd.KERNEL_CHANNELS):
        return by_input, winograd.by_kernel(gradient, x)
    return by_input, kernel_gradient.by_kernel(x, gradient, kernel.shape, strides, padding)


_convolve.defvjp(_forward, _backward)


def _xla(x, kernel, strides, padding):
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=LAYOUT)

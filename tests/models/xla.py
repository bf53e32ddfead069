"""What convolutions are compared with: XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.models import convolution
from jaxvision.models.convolution import LAYOUT


def drawn(seed, *shape, dtype=np.float32):
    """Normal numbers."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def convolve(x, kernel, strides, padding, **more):
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=LAYOUT, **more)


def forget():
    """Has layers traced anew: under other constants they are others."""
    for traced in (convolution._forward, convolution._backward):
        traced.clear_cache()


def is_used(function, *args) -> bool:
    """Whether the function convolves as XLA does, instead of by a method of ours."""
    return 'conv_general_dilated' in str(jax.make_jaxpr(function)(*args))

"""The fully-connected layer, as a product of two matrices, whatever the shape of what it reads."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models import bias, product


class Dense(nn.Module):
    """Flax's DenseGeneral over the last axes, with the same parameters, and a gradient that sums better.

    From [..., *inputs] to [..., *features].

    The kernel's gradient sums over examples and tokens, here as over one axis: for a sum over two, XLA's CPU compiler
    first transposes the gradient of what the layer puts out (jax 0.10.2). For the rest of it see `product`; the bias is
    added by `bias.add`.

    Attributes:
      features: of the output; several numbers are as many axes.
      axes: how many of the last axes are read.
      use_bias: whether a bias is added.
      dtype: of the computation; parameters are float32.
      kernel_init: the kernel's initializer, of [inputs, features] in numbers.
    """

    features: int | tuple[int, ...]
    axes: int = 1
    use_bias: bool = True
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        outputs = (self.features,) if isinstance(self.features, int) else self.features
        axes, inputs = x.shape[: x.ndim - self.axes], x.shape[x.ndim - self.axes :]
        flat = math.prod(inputs), math.prod(outputs)

        def drawn(key, shape, dtype=jnp.float32):
            return self.kernel_init(key, flat, dtype).reshape(shape)

        kernel = self.param('kernel', drawn, (*inputs, *outputs)).reshape(flat).astype(self.dtype)
        y = product.of(x.reshape(-1, flat[0]).astype(self.dtype), kernel)
        if self.use_bias:
            y = bias.add(y, self.param('bias', nn.initializers.zeros, outputs).reshape(-1))
        return y.reshape(*axes, *outputs)

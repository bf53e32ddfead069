"""The convolutional layer, whatever computes it."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models import bias
from jaxvision.models.convolution import convolve


class Conv(nn.Module):
    """Flax's, by `convolve`, with the same parameters, and a bias by `bias.add`.

    Attributes:
      features: of the output.
      kernel_size, strides, padding, use_bias, kernel_init: as Flax has them.
      dtype: of the computation; parameters are float32.
    """

    features: int
    kernel_size: Sequence[int]
    strides: int = 1
    padding: str | Sequence[tuple[int, int]] = 'SAME'
    use_bias: bool = True
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = nn.initializers.lecun_normal()  # noqa: RUF009

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        layer = nn.Conv(
            self.features,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            conv_general_dilated=convolve,
        )
        nn.share_scope(self, layer)
        y = layer(x)
        if not self.use_bias:
            return y
        return bias.add(y, self.param('bias', nn.initializers.zeros, (self.features,)))

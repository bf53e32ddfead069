"""The network that reaches 94 % on CIFAR-10 in seconds: a fixed whitening layer, then three groups of convolutions.

Source: Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024, and its later recipe with Muon, from which the
widths and the normalisation of the head are.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models.conv import Conv
from jaxvision.models.convolution import LAYOUT, convolve
from jaxvision.models.heads import ClassifierHead
from jaxvision.models.layers import ACTIVATIONS, Training, scaled
from jaxvision.models.pooling import pool


def partial_identity(key: jax.Array, shape: Sequence[int], dtype=jnp.float32) -> jax.Array:
    """Kernels [3, 3, inputs, outputs] whose first outputs are the inputs, the others uniform on +-1 / sqrt(fan in)."""
    height, width, inputs, outputs = shape
    bound = (height * width * inputs) ** -0.5
    kernel = jax.random.uniform(key, shape, dtype, -bound, bound)
    same = min(inputs, outputs)
    kernel = kernel.at[..., :same].set(0.0)
    return kernel.at[height // 2, width // 2, jnp.arange(same), jnp.arange(same)].set(1.0)


class Airbench(nn.Module):
    """Whitening, then groups of [conv, max-pool, norm, activation, conv, norm, activation], then a maximum.

    Attributes:
      num_classes: of the head; the encoder is not to be had without it.
      filters: channels of each group.
      whitens: side of the patches that the first layer whitens. Its kernels are the `whitening` in the collection
        `constants`, float32 [patch * patch * channel, filter] from `resident.whitening`, each of them also negated; it
        trains no more than a bias.
    """

    num_classes: int
    filters: Sequence[int] = (64, 256, 256)
    whitens: int = 2
    activation: str = 'gelu'
    width: float = 1.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, training: Training | None = None) -> jax.Array:
        activation = ACTIVATIONS[self.activation]
        norm = functools.partial(
            nn.BatchNorm,
            use_running_average=training is None,
            axis_name=None if training is None else training.axis_name,
            momentum=0.6,  # Statistics are soon forgotten: there are but some two hundred steps.
            epsilon=1e-12,
            use_scale=False,
            dtype=self.dtype,
        )
        conv = functools.partial(
            Conv,
            kernel_size=(3, 3),
            use_bias=False,
            dtype=self.dtype,
            kernel_init=partial_identity,
        )
        x = activation(self.whitened(images.astype(self.dtype)))
        for filters in self.filters:
            filters = scaled(filters, self.width)
            # The pool would leave out an odd last row or column: it is not computed.
            padding = tuple((1, 1 - side % 2 if side > 1 else 1) for side in x.shape[1:3])
            x = activation(norm()(pool(conv(filters, padding=padding)(x), 'max')))
            x = activation(norm()(conv(filters)(x)))
        # Small, so that training starts from logits near zero.
        small = nn.initializers.normal(1 / x.shape[-1])
        return ClassifierHead(self.num_classes, use_bias=False, kernel_init=small)(x.max(axis=(1, 2)))

    def whitened(self, images: jax.Array) -> jax.Array:
        side, channels = self.whitens, images.shape[-1]
        inputs = side * side * channels
        kernels = self.get_variable('constants', 'whitening', jnp.eye(inputs))  # Before there is data, the patches.
        kernels = jnp.concatenate([kernels, -kernels], axis=1).reshape(side, side, channels, 2 * inputs)
        bias = self.param('whitening_bias', nn.initializers.zeros, (2 * inputs,))
        x = convolve(images, kernels.astype(self.dtype), (1, 1), 'VALID', LAYOUT)
        return x + bias.astype(self.dtype)

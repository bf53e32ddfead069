"""The plain convolutional network: stages of convolutions, each closed by a pool, then fully-connected layers."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models.conv import Conv
from jaxvision.models.dense import Dense
from jaxvision.models.heads import ClassifierHead
from jaxvision.models.layers import ACTIVATIONS, Dropout, Levels, Norm, Training, scaled
from jaxvision.models.pooling import pool


class ConvNet(nn.Module):
    """Conv / pool / fully-connected.

    Attributes:
      num_classes: of the head; 0 for the encoder alone, which ends with the stages.
      filters: channels of each stage.
      convs: convolutions a stage, each [conv, norm, activation].
      kernel: side of the square kernels.
      stride: of the first convolution of each stage.
      pool: max, average or none, 2x2 at the end of each stage.
      dense: units of the fully-connected layers between the flattened features and the head.
      width: multiplies filters and dense.
      dropout: whether each stage and each dense layer ends in dropout.
    """

    num_classes: int
    filters: Sequence[int] = (32, 64)
    convs: int = 1
    kernel: int = 3
    stride: int = 1
    pool: str = 'max'
    dense: Sequence[int] = (128,)
    activation: str = 'relu'
    width: float = 1.0
    norm: str = 'none'
    dropout: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, training: Training | None = None) -> jax.Array | Levels:
        x = images.astype(self.dtype)
        activation = ACTIVATIONS[self.activation]
        bias = self.norm == 'none'  # A norm subtracts the mean, and so would undo a bias before it.
        levels = []
        for filters in self.filters:
            for index in range(self.convs):
                x = Conv(
                    scaled(filters, self.width),
                    (self.kernel, self.kernel),
                    strides=self.stride if index == 0 else 1,
                    use_bias=bias,
                    dtype=self.dtype,
                )(x)
                x = activation(Norm(self.norm, self.dtype)(x, training))
            x = Dropout(self.dropout)(pool(x, self.pool), training)
            levels.append(x)
        if not self.num_classes:
            return tuple(levels)
        x = x.reshape(x.shape[0], -1)
        for units in self.dense:
            x = Dense(scaled(units, self.width), use_bias=bias, dtype=self.dtype)(x)
            x = Dropout(self.dropout)(activation(Norm(self.norm, self.dtype)(x, training)), training)
        return ClassifierHead(self.num_classes)(x)

"""Softmax regression and the multi-layer perceptron."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models.dense import Dense
from jaxvision.models.heads import ClassifierHead
from jaxvision.models.layers import ACTIVATIONS, Dropout, Levels, Norm, Training, scaled


class Linear(nn.Module):
    """Softmax regression: pixels -> logits. Without a head (num_classes 0), its one level is a 1x1 map of them all."""

    num_classes: int

    @nn.compact
    def __call__(self, images: jax.Array, training: Training | None = None) -> jax.Array | Levels:
        x = images.reshape(images.shape[0], -1)
        return ClassifierHead(self.num_classes)(x) if self.num_classes else (x[:, None, None, :],)


class MLP(nn.Module):
    """Fully-connected layers: [dense, norm, activation, dropout] for each of `hidden`, then the head.

    Without a head (num_classes 0), its one level is a 1x1 map of the last features.
    """

    num_classes: int
    hidden: Sequence[int] = (128, 128)
    activation: str = 'relu'
    width: float = 1.0
    norm: str = 'none'
    dropout: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, training: Training | None = None) -> jax.Array | Levels:
        x = images.reshape(images.shape[0], -1)
        for units in self.hidden:
            x = Dense(scaled(units, self.width), use_bias=self.norm == 'none', dtype=self.dtype)(x)
            x = ACTIVATIONS[self.activation](Norm(self.norm, self.dtype)(x, training))
            x = Dropout(self.dropout)(x, training)
        return ClassifierHead(self.num_classes)(x) if self.num_classes else (x[:, None, None, :],)

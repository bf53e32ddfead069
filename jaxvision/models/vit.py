"""The vision transformer.

Source: Dosovitskiy et al., An Image is Worth 16x16 Words, 2021; the Ti and S sizes are Touvron et al.'s (DeiT, 2021).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models import attention
from jaxvision.models.conv import Conv
from jaxvision.models.dense import Dense
from jaxvision.models.gelu import exact_gelu
from jaxvision.models.heads import ClassifierHead
from jaxvision.models.layers import Dropout, Levels, Norm, Training, scaled

VARIANTS = {'Ti': (192, 12, 3), 'S': (384, 12, 6), 'B': (768, 12, 12)}  # embedding, layers, heads
APART = ('layer', 'none')  # Norms by which a token does not feel the others.


class Block(nn.Module):
    """Self-attention, then a perceptron, each after a norm and beside a shortcut; tokens [batch, token, feature].

    All of them attend to the first `tokens` alone.
    """

    heads: int
    norm: str
    dropout: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None, tokens: int) -> jax.Array:
        features = x.shape[-1]
        y = Norm(self.norm, self.dtype)(x, training)
        y = attention.Attention(self.heads, self.dtype, name='attention')(y, tokens)
        x = x + Dropout(self.dropout)(y, training)
        y = Norm(self.norm, self.dtype)(x, training)
        y = exact_gelu(Dense(4 * features, dtype=self.dtype)(y))
        y = Dense(features, dtype=self.dtype)(Dropout(self.dropout)(y, training))
        return x + Dropout(self.dropout)(y, training)


class ViT(nn.Module):
    """A vision transformer with a class token and learned positions.

    Attributes:
      num_classes: of the head; 0 for the encoder alone, whose one level is the map of its patches.
      variant: Ti, S or B; empty to take `embedding`, `layers` and `heads`.
      patch: side of the square patches; it must divide the image.
      embedding: features of a token, rounded to a multiple of `heads` after the width multiplier.
      norm: `layer` is the published one.
    """

    num_classes: int
    variant: str = ''
    patch: int = 4
    embedding: int = 192
    layers: int = 6
    heads: int = 3
    width: float = 1.0
    norm: str = 'layer'
    dropout: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, training: Training | None = None) -> jax.Array | Levels:
        embedding, layers, heads = VARIANTS[self.variant] if self.variant else (self.embedding, self.layers, self.heads)
        features = scaled(embedding, self.width, multiple=heads)
        batch, height, width, _ = images.shape
        if height % self.patch or width % self.patch:
            raise ValueError(f'patches of {self.patch} do not tile an image of {height}x{width}')
        x = Conv(
            features,
            (self.patch, self.patch),
            strides=self.patch,
            padding='VALID',
            dtype=self.dtype,
            name='patches',
        )(images.astype(self.dtype))
        x = x.reshape(batch, -1, features)
        token = self.param('class_token', nn.initializers.zeros, (1, 1, features))
        x = jnp.concatenate([jnp.broadcast_to(token, (batch, 1, features)).astype(self.dtype), x], axis=1)
        positions = self.param('positions', nn.initializers.normal(0.02), (1, x.shape[1], features))
        x = Dropout(self.dropout)(x + positions.astype(self.dtype), training)
        tokens = x.shape[1]
        if self.norm in APART and attention.fused(self.dtype, features // heads):
            x = jnp.pad(x, ((0, 0), (0, tokens % 2), (0, 0)))  # The kernel wants an even number.
        for index in range(layers):
            x = Block(heads, self.norm, self.dropout, self.dtype, name=f'block{index + 1}')(x, training, tokens)
        x = Norm(self.norm, self.dtype, name='final_norm')(x[:, :tokens], training)
        if not self.num_classes:
            return (x[:, 1:].reshape(batch, height // self.patch, width // self.patch, features),)
        return ClassifierHead(self.num_classes)(x[:, 0])

"""Heads: what turns an encoder's features into outputs."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models.dense import Dense


class ClassifierHead(nn.Module):
    """One fully-connected layer from features [batch, feature] to float32 logits [batch, num_classes].

    The softmax, and its temperature, belong to the loss and to evaluation: they work on logits in the log domain.
    """

    num_classes: int
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        # In float32 whatever the encoder computes in: a bfloat16 logit has three digits.
        head = Dense(self.num_classes, use_bias=self.use_bias, kernel_init=self.kernel_init, name='logits')
        return head(features.astype(jnp.float32))

"""Self-attention, in one kernel where there is one: cuDNN's, which never puts the weights into memory.

Source: Vaswani et al., Attention Is All You Need, 2017; Dao et al., FlashAttention, 2022.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models import by_head, plain
from jaxvision.models.dense import Dense

MOST = 128  # Features a head that the kernel takes; a multiple of 8, too.
HALF = (jnp.bfloat16, jnp.float16)
AMPERE = (8, 0)  # Its compute capability.
kernel = functools.partial(jax.nn.dot_product_attention, implementation='cudnn')


class Attention(nn.Module):
    """Every token [batch, token, feature] attends to the first `tokens`, by several heads; Flax's, in its parameters.

    What the tokens beyond become is not to be read. The heads must divide the features.
    """

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, tokens: int) -> jax.Array:
        features = x.shape[-1]
        heads = (self.heads, features // self.heads)
        query, key, value = (Dense(heads, dtype=self.dtype, name=name)(x) for name in ('query', 'key', 'value'))
        return Dense(features, axes=2, dtype=self.dtype, name='out')(attend(query, key, value, tokens))


def fused(dtype: jnp.dtype, features: int) -> bool:
    """Whether attention in this dtype with so many features a head is the one kernel's.

    It is in halves, on NVIDIA's GPUs from Ampere on, unless `plain.asked`.
    """
    return dtype in HALF and features <= MOST and features % 8 == 0 and not plain.asked() and _there()


def attend(query: jax.Array, key: jax.Array, value: jax.Array, tokens: int) -> jax.Array:
    """What a head gathers: the values of the first `tokens`, weighted by a softmax of key x query / sqrt(feature).

    XLA computes what is not `fused`, and odd numbers of tokens, whose gradient the kernel does not have; on CPU
    `by_head`. All are equal within rounding.

    Args:
      query, key, value: [batch, token, head, feature].
      tokens: at most as many as there are.

    Returns:
      [batch, token, head, feature].
    """
    _, there, _, features = query.shape
    if fused(query.dtype, features) and there % 2 == 0:
        lengths = None
        if tokens < there:  # Made of the query: so each of stacked networks has its own. jax 0.10.2 gives them none.
            lengths = jnp.where(query[:, 0, 0, 0] > 0, tokens, tokens).astype(jnp.int32)
        return kernel(query, key, value, query_seq_lengths=lengths, key_value_seq_lengths=lengths)
    if tokens == there and query.dtype == jnp.float32 and plain.replaced_on_cpu():
        return by_head.attend(query, key, value)
    mask = None if tokens == there else jnp.arange(there) < tokens
    return nn.dot_product_attention(query, key, value, mask=mask, dtype=query.dtype)


def _there() -> bool:
    device = jax.devices()[0]
    if device.platform != 'gpu' or 'cuda' not in device.client.platform_version:
        return False
    return tuple(int(part) for part in device.compute_capability.split('.')) >= AMPERE

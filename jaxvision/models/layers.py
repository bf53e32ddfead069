"""Layers that the encoders share: normalisation, activation, dropout."""

import math
import zlib
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models import plain
from jaxvision.models.batch_norm import EPSILON, MOMENTUM, BatchNorm

# An encoder without a head: the maps that its stages put out, [batch, height, width, channel], finest first.
Levels = tuple[jax.Array, ...]

LEAST = 8  # Values of a group.
NORMS = ('none', 'batch', 'layer', 'group')
ACTIVATIONS: dict[str, Callable] = {
    'relu': nn.relu,
    'gelu': nn.gelu,
    'silu': nn.silu,
    'tanh': nn.tanh,
    'leaky_relu': nn.leaky_relu,
}


class Training(NamedTuple):
    """What a network needs to know while it is trained; in evaluation it is given None instead.

    Attributes:
      dropout_rate: scalar in [0, 1); it may be traced.
      dropout_keys: keys [batch], one an example, or None for a network without dropout.
      axis_name: the mapped axis over which BatchNorm takes its statistics, or None for this device's batch alone.
    """

    dropout_rate: jax.Array | float = 0.0
    dropout_keys: jax.Array | None = None
    axis_name: str | None = None


class Dropout(nn.Module):
    """Drops each unit with probability `training.dropout_rate` and scales the others up; in evaluation, the identity.

    Each example has a key of its own, so the mask does not depend on how the batch lies over devices; each Dropout in
    a network draws another mask, by its path. It is drawn along one axis: by XLA's CPU compiler (jax 0.10.2) the same
    bits over several are six times the code. Source: Srivastava et al., Dropout, 2014.
    """

    on: bool

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        if not self.on or training is None:
            return x
        if training.dropout_keys is None:
            raise ValueError('a network with dropout is trained with Training(dropout_rate, dropout_keys)')
        salt = zlib.crc32('/'.join(self.path).encode()) & 0x7FFFFFFF
        keep = 1.0 - jnp.asarray(training.dropout_rate, jnp.float32)
        units = math.prod(x.shape[1:])
        draw = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, salt), keep, (units,)))
        kept = draw(training.dropout_keys).reshape(x.shape)
        return jnp.where(kept, x / keep, 0.0).astype(x.dtype)  # By float32, as 0.9 is 0.898 in bfloat16.


class Norm(nn.Module):
    """Normalisation by name, before an activation.

    `batch` over batch and space (Ioffe and Szegedy, 2015), over all devices in training; `layer` over the channels of
    each position (Ba et al., 2016); `group` over space and at most 32 groups of channels (Wu and He, 2018), fewer where
    they would have less than `LEAST` values each; `none`.
    """

    kind: str
    dtype: jnp.dtype = jnp.float32
    zero_scale: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        scale = nn.initializers.zeros if self.zero_scale else nn.initializers.ones
        if self.kind == 'none':
            return x
        if self.kind == 'batch':
            axis = None if training is None else training.axis_name
            given = {'use_running_average': training is None, 'axis_name': axis, 'dtype': self.dtype}
            if plain.replaced_on_cpu():  # Elsewhere ours was not measured.
                return BatchNorm(**given, scale_init=scale)(x)
            return nn.BatchNorm(**given, momentum=MOMENTUM, epsilon=EPSILON, scale_init=scale)(x)
        if self.kind == 'layer':
            return nn.LayerNorm(dtype=self.dtype, scale_init=scale)(x)
        if self.kind == 'group':
            return nn.GroupNorm(num_groups=_groups(x.shape), dtype=self.dtype, scale_init=scale)(x)
        raise ValueError(f'unknown norm {self.kind!r}; known are {", ".join(NORMS)}')


def _groups(shape: tuple[int, ...]) -> int:
    """How many groups [batch, ..., channel] has: of one value, each would be its own mean, and nothing came through."""
    groups = math.gcd(32, shape[-1])
    while groups > 1 and math.prod(shape[1:]) // groups < LEAST:
        groups //= 2
    return groups


def scaled(count: int, width: float, multiple: int = 1) -> int:
    """A layer's number of units under a width multiplier: at least one `multiple`, and a multiple of it."""
    return max(1, round(count * width / multiple)) * multiple

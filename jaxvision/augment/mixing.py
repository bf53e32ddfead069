"""Mixup: training on convex combinations of pairs of examples and of their labels.

Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018.
"""

import jax
import jax.numpy as jnp

PARTNERS = ('any', 'other_class')


def mixing_weights(keys: jax.Array, alpha) -> jax.Array:
    """Draws each example's own share of the mixture from Beta(alpha, alpha).

    Args:
      keys: keys [batch].
      alpha: positive scalar; it may be traced.

    Returns:
      float32 [batch] in [0, 1].
    """
    return jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))(keys)


def draw_partners(key: jax.Array, labels: jax.Array, partners: str) -> jax.Array:
    """Draws for each example of the whole batch the one that it is mixed with.

    Args:
      key: scalar key of the step, so that every device draws the same.
      labels: int [batch] of the whole batch, over all devices.
      partners: 'any' (a random permutation of the batch, as in the source) or 'other_class' (uniform among the
        examples of another class; an example that has none keeps itself).

    Returns:
      int [batch] positions in the batch.
    """
    if partners == 'any':
        return jax.random.permutation(key, labels.shape[0])
    if partners == 'other_class':
        scores = jax.random.uniform(key, (labels.shape[0], labels.shape[0]))
        other = labels[:, None] != labels[None, :]
        return jnp.where(other.any(axis=1), jnp.argmax(jnp.where(other, scores, -1.0), axis=1), jnp.arange(len(labels)))
    raise ValueError(f'unknown partners {partners!r}; known are {", ".join(PARTNERS)}')


def mix(own: jax.Array, partner: jax.Array, weights: jax.Array) -> jax.Array:
    """weights * own + (1 - weights) * partner.

    Args:
      own, partner: float [batch, ...].
      weights: float [batch] in [0, 1].

    Returns:
      float [batch, ...].
    """
    weights = weights.reshape(weights.shape + (1,) * (own.ndim - 1)).astype(own.dtype)
    return weights * own + (1 - weights) * partner


def mix_objects(own, partner, weights: jax.Array):
    """The objects of a mixture of images: those of both, each weighted as its image is by `mix`.

    Source: Zhang et al., Bag of Freebies for Training Object Detection Neural Networks, 2019.

    Args:
      own, partner: arrays [batch, slots, ...] of the objects (boxes, classes, valid, ...), in tuples or dicts alike.
      weights: float [batch] in [0, 1], the share of own.

    Returns:
      The objects with [batch, slots of both, ...], own first; and their weights float [batch, slots of both], which
      padding has too: it stays masked by `valid`.
    """
    objects = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), own, partner)
    own_slots, partner_slots = (jax.tree.leaves(side)[0].shape[1] for side in (own, partner))
    shares = [jnp.repeat(weights[:, None], own_slots, axis=1), jnp.repeat(1 - weights[:, None], partner_slots, axis=1)]
    return objects, jnp.concatenate(shares, axis=1)

"""Losses of a classifier: what separates the predicted distribution from the target one."""

import jax
import jax.numpy as jnp
import optax


def soft_targets(labels: jax.Array, num_classes: int) -> jax.Array:
    """Integer labels as one-hot distributions; distributions stay as they are.

    Args:
      labels: int [batch], or float [batch, num_classes].
      num_classes: number of classes.

    Returns:
      float32 [batch, num_classes].
    """
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
    return labels.astype(jnp.float32)


def smooth_labels(targets: jax.Array, smoothing) -> jax.Array:
    """Label smoothing: (1 - smoothing) * targets + smoothing / num_classes.

    Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016, section 7.

    Args:
      targets: float [batch, num_classes], distributions.
      smoothing: scalar in [0, 1]; it may be traced.

    Returns:
      float [batch, num_classes], distributions.
    """
    return optax.smooth_labels(targets, smoothing)


def cross_entropy(logits: jax.Array, targets: jax.Array, temperature=1.0) -> jax.Array:
    """H(targets, softmax(logits / temperature)) = -sum_c targets_c log softmax(logits / temperature)_c, in nats.

    Finite for every positive temperature, since the softmax is taken in the log domain.

    Args:
      logits: float [batch, num_classes].
      targets: int [batch] labels, or float [batch, num_classes] distributions.
      temperature: positive scalar; it may be traced.

    Returns:
      float32 [batch].
    """
    logits = logits.astype(jnp.float32) / temperature
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return optax.safe_softmax_cross_entropy(logits, targets.astype(jnp.float32))


def squared_error(logits: jax.Array, targets: jax.Array, temperature=1.0) -> jax.Array:
    """Sum over classes of (softmax(logits / temperature) - targets)^2: the Brier score, between 0 and 2.

    Source: Brier, Verification of forecasts expressed in terms of probability, 1950.

    Args:
      logits: float [batch, num_classes].
      targets: int [batch] labels, or float [batch, num_classes] distributions.
      temperature: positive scalar; it may be traced.

    Returns:
      float32 [batch].
    """
    probabilities = jax.nn.softmax(logits.astype(jnp.float32) / temperature)
    return jnp.sum(jnp.square(probabilities - soft_targets(targets, logits.shape[-1])), axis=-1)

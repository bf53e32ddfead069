"""Distillation: the student learns the teacher's softened distribution beside the labels.

    loss = (1 - weight) * student_loss + weight * temperature^2 * H(teacher_T, student_T)

The factor temperature^2 keeps the gradient of the second term of the order of the first's, whatever the temperature.
Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxvision.losses.classification import cross_entropy


def distillation(student_logits: jax.Array, teacher_logits: jax.Array, temperature) -> jax.Array:
    """H(softmax(teacher / T), softmax(student / T)), in nats; no gradient flows to the teacher.

    Its minimum over the student is the teacher's entropy, not zero.

    Args:
      student_logits: float [batch, num_classes].
      teacher_logits: float [batch, num_classes]; log probabilities serve as well.
      temperature: positive scalar; it may be traced.

    Returns:
      float32 [batch].
    """
    teacher_logits = jax.lax.stop_gradient(teacher_logits.astype(jnp.float32))
    return cross_entropy(student_logits, jax.nn.softmax(teacher_logits / temperature), temperature)


def combine(student_loss: jax.Array, distillation_loss: jax.Array, weight, temperature) -> jax.Array:
    """(1 - weight) * student_loss + weight * temperature^2 * distillation_loss, shapes kept."""
    return (1.0 - weight) * student_loss + weight * temperature**2 * distillation_loss


def ensemble_log_probabilities(logits: Sequence[jax.Array]) -> jax.Array:
    """The log of the mean of the members' probabilities: the ensemble as one teacher.

    Args:
      logits: one float [batch, num_classes] a member, at least one.

    Returns:
      float32 [batch, num_classes], normalised log probabilities; they serve wherever logits do.
    """
    members = jax.nn.log_softmax(jnp.stack([jnp.asarray(member, jnp.float32) for member in logits]))
    return jax.nn.logsumexp(members, axis=0) - jnp.log(members.shape[0])

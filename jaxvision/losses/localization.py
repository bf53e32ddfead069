"""Localisation: a class vector, a box and is-there-an-object, whose value switches the other two losses on.

loss = objectness_weight * objectness_loss + present * (class_weight * class_loss + box_weight * box_loss)
"""

import jax
import jax.numpy as jnp
import optax

from jaxvision.boxes import OVERLAPS, overlap
from jaxvision.errors import UserError
from jaxvision.losses.classification import cross_entropy, smooth_labels, soft_targets
from jaxvision.losses.distillation import distillation

BOX_LOSSES = ('l1', 'smooth_l1', *OVERLAPS)
WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)


def binary_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """-targets log sigmoid(logits) - (1 - targets) log(1 - sigmoid(logits)), in nats, elementwise.

    Finite for every finite logit, since the sigmoid is taken in the log domain.

    Args:
      logits: float [...].
      targets: bool or float [...], probabilities.

    Returns:
      float32 [...].
    """
    return optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), targets.astype(jnp.float32))


def box_loss(kind: str, predicted: jax.Array, target: jax.Array, *, beta=1 / 9) -> jax.Array:
    """How far a predicted box is from the target.

    'l1' and 'smooth_l1' are sums over the four edges; 'iou', 'giou', 'diou' and 'ciou' are 1 - overlap (see
    `jaxvision.boxes`). Smooth L1 is error^2 / (2 beta) up to beta and |error| - beta / 2 beyond.
    Source of smooth L1: Girshick, Fast R-CNN, 2015 (beta = 1, there in units of the anchor).

    Args:
      kind: one of `BOX_LOSSES`.
      predicted: float [..., 4].
      target: float [..., 4].
      beta: positive scalar, the error at which smooth L1 turns linear; it may be traced.

    Returns:
      float32 [...].

    Raises:
      UserError: if there is no such kind.
    """
    predicted, target = predicted.astype(jnp.float32), target.astype(jnp.float32)
    if kind == 'l1':
        return jnp.sum(jnp.abs(predicted - target), axis=-1)
    if kind == 'smooth_l1':
        return jnp.sum(optax.huber_loss(predicted, target, delta=beta), axis=-1) / beta
    if kind not in BOX_LOSSES:
        raise UserError(f'box loss {kind!r} is unknown; choose one of {", ".join(BOX_LOSSES)}')
    return 1.0 - overlap(kind, predicted, target)


def localization(
    class_logits: jax.Array,
    boxes: jax.Array,
    objectness: jax.Array,
    *,
    labels: jax.Array,
    target_boxes: jax.Array,
    present: jax.Array,
    box: str = 'giou',
    class_weight=1.0,
    box_weight=1.0,
    objectness_weight=1.0,
    smoothing=0.0,
) -> dict[str, jax.Array]:
    """The losses of images with one object or none.

    Where no object is present the class and box losses are zero, and so, exactly, are their gradients, whatever
    stands in that example's predictions and targets (NaN, inf, an inverted box, a label that is none).

    Args:
      class_logits: float [batch, num_classes].
      boxes: float [batch, 4].
      objectness: float [batch], logits.
      labels: int [batch], or float [batch, num_classes] distributions.
      target_boxes: float [batch, 4].
      present: bool [batch], or float [batch] in [0, 1]: the target of the objectness and the weight of the others.
      box: one of `BOX_LOSSES`.
      class_weight: scalar, as are box_weight and objectness_weight; they may be traced.
      smoothing: label smoothing of the classes, scalar in [0, 1]; it may be traced.

    Returns:
      float32 [batch] each: 'class_loss', 'box_loss', 'objectness_loss' (before their weights) and 'loss'.
    """
    present = present.astype(jnp.float32)
    here = (present > 0)[:, None]
    # What is absent is replaced before the losses, not only masked after them: 0 * NaN is NaN, in gradients as well.
    class_logits = jnp.where(here, class_logits, 0.0)
    boxes = jnp.where(here, boxes, jnp.array(WHOLE_IMAGE))
    target_boxes = jnp.where(here, target_boxes, jnp.array(WHOLE_IMAGE))
    targets = jnp.where(here, soft_targets(labels, class_logits.shape[-1]), 0.0)

    parts = {
        'class_loss': present * cross_entropy(class_logits, smooth_labels(targets, smoothing)),
        'box_loss': present * box_loss(box, boxes, target_boxes),
        'objectness_loss': binary_cross_entropy(objectness, present),
    }
    loss = class_weight * parts['class_loss'] + box_weight * parts['box_loss']
    return {**parts, 'loss': loss + objectness_weight * parts['objectness_loss']}


def imitate_localization(
    student: tuple[jax.Array, jax.Array, jax.Array],
    teacher: tuple[jax.Array, jax.Array, jax.Array],
    temperature,
    *,
    box: str = 'giou',
) -> jax.Array:
    """How far a localiser is from its teacher: softened classes and objectness, and boxes, one value an example.

    Classes and boxes count as much as the teacher believes in an object. The box loss is divided by temperature^2, so
    that the caller's factor temperature^2 (see `distillation.combine`) leaves it as it is. No gradient flows to the
    teacher.

    Args:
      student: (class_logits float [batch, num_classes], boxes float [batch, 4], objectness float [batch], logits).
      teacher: the same of the teacher.
      temperature: positive scalar; it may be traced.
      box: one of `BOX_LOSSES`.

    Returns:
      float32 [batch].
    """
    class_logits, boxes, objectness = student
    teacher_logits, teacher_boxes, teacher_objectness = jax.lax.stop_gradient(tuple(teacher))
    class_loss = distillation(class_logits, teacher_logits, temperature)
    box_term = box_loss(box, boxes, teacher_boxes) / temperature**2
    objectness_loss = binary_cross_entropy(objectness / temperature, jax.nn.sigmoid(teacher_objectness / temperature))
    return jax.nn.sigmoid(teacher_objectness) * (class_loss + box_term) + objectness_loss

"""Detection: the losses of one image's anchor points, given which of them answers for which object (batches by vmap).

    loss = class_weight * class_loss + box_weight * box_loss + objectness_weight * objectness_loss

An image without an object is nothing special: all its anchors are negative, and only they are heard.
"""

import jax
import jax.numpy as jnp

from jaxvision.errors import UserError
from jaxvision.losses.assignment import Assignment
from jaxvision.losses.localization import WHOLE_IMAGE, binary_cross_entropy, box_loss

CLASS_LOSSES = ('bce', 'focal')


def focal(logits: jax.Array, targets: jax.Array, *, alpha=0.25, gamma=2.0) -> jax.Array:
    """Binary cross-entropy in which what is easy counts less, elementwise, in nats.

        targets * alpha * (1 - p)^gamma * -log p + (1 - targets) * (1 - alpha) * p^gamma * -log(1 - p)

    with p = sigmoid(logits). Finite for every finite logit, as are its gradients.
    Source: Lin et al., Focal Loss for Dense Object Detection, 2017.

    Args:
      logits: float [...].
      targets: bool or float [...], in [0, 1].
      alpha: scalar in [0, 1]; it may be traced.
      gamma: scalar, at least 0; it may be traced.

    Returns:
      float32 [...].
    """
    logits, targets = logits.astype(jnp.float32), targets.astype(jnp.float32)
    log_p, log_rest = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    # Powers as exponentials of logarithms: a power of zero has no finite gradient.
    hit = alpha * jnp.exp(gamma * log_rest) * -log_p
    miss = (1 - alpha) * jnp.exp(gamma * log_p) * -log_rest
    return targets * hit + (1 - targets) * miss


def detection(
    class_logits: jax.Array,
    predicted: jax.Array,
    objectness: jax.Array,
    assignment: Assignment,
    boxes: jax.Array,
    classes: jax.Array,
    *,
    normaliser,
    weights: jax.Array | None = None,
    ignored: jax.Array | None = None,
    classification: str = 'bce',
    box: str = 'giou',
    quality_objectness: bool = False,
    class_weight=1.0,
    box_weight=1.0,
    objectness_weight=1.0,
) -> dict[str, jax.Array]:
    """The losses of one image, summed over anchors and divided by the normaliser.

    Box loss: on positive anchors. Objectness: binary cross-entropy on all. Class loss: 'bce' on positive anchors, the
    target being one-hot times the assignment's quality (as in YOLOX); 'focal' on all, one-hot or nothing.
    Negative anchors give exactly no gradient to boxes (nor, under 'bce', to classes), whatever is predicted there.

    Args:
      class_logits: float [anchors, num_classes].
      predicted: float [anchors, 4], boxes.
      objectness: float [anchors], logits.
      assignment: of these anchors to the objects.
      boxes: float [objects, 4].
      classes: int [objects].
      normaliser: positive scalar, usually the number of objects or of positive anchors, at least 1; it may be traced.
      weights: float [objects], how much each object counts on its positive anchors; None for 1 each. An object of a
        mixed image is as visible as its image.
      ignored: bool [anchors], negatives that are neither right nor wrong (in a crowd, or on a difficult object).
      classification: one of `CLASS_LOSSES`.
      box: one of `localization.BOX_LOSSES`.
      quality_objectness: whether the objectness of a positive anchor is its quality, not 1.
      class_weight: scalar, as are box_weight and objectness_weight; they may be traced.

    Returns:
      float32 scalars: 'class_loss', 'box_loss', 'objectness_loss' (before their weights) and 'loss'.

    Raises:
      UserError: if there is no such class or box loss.
    """
    if classification not in CLASS_LOSSES:
        raise UserError(f'class loss {classification!r} is unknown; choose one of {", ".join(CLASS_LOSSES)}')
    positive, target, quality = assignment
    heard = jnp.ones_like(positive) if ignored is None else positive | ~ignored
    class_heard = heard if classification == 'focal' else positive
    # As in `localization`: what is not heard is replaced before the losses and masked after them.
    class_logits = jnp.where(class_heard[:, None], class_logits, 0.0)
    predicted = jnp.where(positive[:, None], predicted, jnp.array(WHOLE_IMAGE))
    objectness = jnp.where(heard, objectness, 0.0)

    one_hot = jax.nn.one_hot(classes[target], class_logits.shape[-1]) * positive[:, None]
    if classification == 'focal':
        by_class = focal(class_logits, one_hot)
    else:
        by_class = binary_cross_entropy(class_logits, one_hot * quality[:, None])
    object_target = quality if quality_objectness else positive
    weight = 1.0 if weights is None else jnp.where(positive, weights[target], 1.0)
    losses = {
        'class_loss': weight * class_heard * jnp.sum(by_class, axis=-1),
        'box_loss': weight * positive * box_loss(box, predicted, boxes[target]),
        'objectness_loss': weight * heard * binary_cross_entropy(objectness, object_target),
    }
    parts = {name: jnp.sum(loss) / normaliser for name, loss in losses.items()}
    loss = class_weight * parts['class_loss'] + box_weight * parts['box_loss']
    return {**parts, 'loss': loss + objectness_weight * parts['objectness_loss']}


def imitate_detection(
    student: tuple[jax.Array, jax.Array, jax.Array],
    teacher: tuple[jax.Array, jax.Array, jax.Array],
    temperature,
    *,
    box: str = 'giou',
) -> jax.Array:
    """How far a detector is from its teacher, anchor by anchor, one value an example.

    As `localization.imitate_localization`, with one sigmoid a class: the softened binary cross-entropies of an anchor's
    classes and its box loss / temperature^2 count as much as the teacher believes in an object there; the softened
    binary cross-entropy of objectness always does. The sum over anchors is divided by the number of anchors that the
    teacher believes in (the sum of its objectness, at least 1). No gradient flows to the teacher.

    Args:
      student: (class_logits float [batch, anchors, num_classes], boxes float [batch, anchors, 4],
        objectness float [batch, anchors], logits).
      teacher: the same of the teacher, at the same anchors.
      temperature: positive scalar; it may be traced.
      box: one of `localization.BOX_LOSSES`.

    Returns:
      float32 [batch].
    """
    class_logits, boxes, objectness = student
    teacher_logits, teacher_boxes, teacher_objectness = jax.lax.stop_gradient(tuple(teacher))
    by_class = binary_cross_entropy(class_logits / temperature, jax.nn.sigmoid(teacher_logits / temperature))
    box_term = box_loss(box, boxes, teacher_boxes) / temperature**2
    objectness_loss = binary_cross_entropy(objectness / temperature, jax.nn.sigmoid(teacher_objectness / temperature))
    belief = jax.nn.sigmoid(teacher_objectness)
    by_anchor = belief * (jnp.sum(by_class, axis=-1) + box_term) + objectness_loss
    return jnp.sum(by_anchor, axis=-1) / jnp.maximum(jnp.sum(belief, axis=-1), 1.0)

"""Assignment: which of a detector's anchor points answers for which object of one image (batches by vmap).

Everything is a matrix [objects, anchors] of static shape: padded objects have no candidates, so one compilation serves
any number of objects, none included. An anchor answers for one object at most. No gradient flows through an assignment.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxvision.boxes import area, centre_size, pairwise_iou

# SimOTA: the weight of the IoU in the cost, and what a place outside the box's middle costs more than any error could.
IOU_WEIGHT = 3.0
OUTSIDE = 1e4


class Anchors(NamedTuple):
    """The points at which a detector predicts, all levels in one row; shares of the canvas.

    Attributes:
      points: float32 [anchors, 2], (y, x).
      sizes: float32 [anchors, 2], height and width of the point's cell, so one size a level.
    """

    points: jax.Array
    sizes: jax.Array


class Assignment(NamedTuple):
    """What each anchor has to predict.

    Attributes:
      positive: bool [anchors], whether it answers for an object.
      target: int32 [anchors], the object's slot; 0 where negative.
      quality: float32 [anchors] in [0, 1], how well it does so by the assigner's measure; 0 where negative.
    """

    positive: jax.Array
    target: jax.Array
    quality: jax.Array


def inside(anchors: Anchors, boxes: jax.Array) -> jax.Array:
    """Whether each point lies in each box, borders included; boxes [objects, 4] -> bool [objects, anchors].

    `jnp.any(inside(anchors, boxes) & ignored[:, None], axis=0)` are the anchors that ignored objects cover.
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return jnp.all((low <= anchors.points) & (anchors.points <= high), axis=-1)


def center_sampling(
    anchors: Anchors,
    boxes: jax.Array,
    valid: jax.Array,
    *,
    radius=1.5,
    ranges: jax.Array | None = None,
) -> Assignment:
    """The points in the middle of a box, on the level that fits its size; quality is 1.

    A point is positive where it lies in the box and within radius cells of the box's centre, on a level to whose range
    half of the box's longer side belongs. The point whose cell holds the centre is positive on that level even if it
    lies outside the box, so no object is too small or too thin. Of several objects a point takes the smallest.
    Source: Tian et al., FCOS, 2019, with centre sampling as in the authors' later code. There, the range is one of the
    distance from the point to the furthest edge, which in the middle of a box is about half of the longer side.

    Args:
      anchors: `Anchors`.
      boxes: float [objects, 4].
      valid: bool [objects].
      radius: scalar, in cells; it may be traced.
      ranges: float [anchors, 2], from and to (excluded), in cells; None for `size_ranges`.

    Returns:
      `Assignment`.
    """
    ranges = size_ranges(anchors) if ranges is None else ranges
    half = jnp.max(centre_size(boxes)[:, None, 2:] / anchors.sizes, axis=-1) / 2
    fits = (ranges[:, 0] <= half) & (half < ranges[:, 1])
    # A centre on the border of cells is held by both, rounding or not.
    held = _central(anchors, boxes, 0.5 + 1e-3)
    middle = (inside(anchors, boxes) & _central(anchors, boxes, radius)) | held
    cost = jnp.broadcast_to(area(boxes)[:, None], middle.shape)
    return _assign(valid[:, None] & fits & middle, cost, jnp.ones(middle.shape))


def size_ranges(anchors: Anchors, high=8.0) -> jax.Array:
    """FCOS's division of sizes over levels: up to `high` cells (excluded), from where the next finer level ends.

    The finest level begins at 0, and the coarsest has no end: so every size has a level, and but for rounding only one,
    however far apart the levels are.

    Returns:
      float32 [anchors, 2], in cells.
    """
    cell = anchors.sizes[:, 0]
    ordered = jnp.sort(cell)
    place = jnp.searchsorted(ordered, cell)  # How many are finer.
    finer = jnp.where(place > 0, ordered[jnp.maximum(place - 1, 0)], 0.0)
    # A little less: rounding must leave no gap.
    start = high * finer / cell * (1 - 1e-6)
    stop = jnp.where(cell == ordered[-1], jnp.inf, high)
    return jnp.stack([start, stop], axis=-1)


def simota(
    anchors: Anchors,
    boxes: jax.Array,
    classes: jax.Array,
    valid: jax.Array,
    class_logits: jax.Array,
    predicted: jax.Array,
    objectness: jax.Array,
    *,
    radius=2.5,
    candidates: int = 10,
) -> Assignment:
    """Each object takes the k points that predict it at the least cost, k being how many predict it well.

    Candidates of an object are the points in its box (the nearest of the finest level if there is none) or within
    radius cells of its centre. Cost = classification + 3 * -log IoU, and much more where a point is not in both. k is
    the sum of the best `candidates` IoUs, rounded down, at least 1. A point that several objects take goes to the one
    it costs least: an object gets a point unless it loses all that it took to others. Quality is the IoU.
    Source: Ge et al., YOLOX, 2021. There, an object may also take the candidates of another; here, only its own.

    Args:
      anchors: `Anchors`.
      boxes: float [objects, 4].
      classes: int [objects].
      valid: bool [objects].
      class_logits: float [anchors, num_classes].
      predicted: float [anchors, 4], boxes.
      objectness: float [anchors], logits.
      radius: scalar, in cells; it may be traced.
      candidates: the most points that an object can get.

    Returns:
      `Assignment`.
    """
    boxes, class_logits, predicted, objectness = jax.lax.stop_gradient((boxes, class_logits, predicted, objectness))
    within, central = _inside_or_nearest(anchors, boxes, valid), _central(anchors, boxes, radius)
    candidate = valid[:, None] & (within | central)
    ious = jnp.where(candidate, pairwise_iou(boxes, predicted), 0.0)
    cost = _class_cost(class_logits, objectness)[:, classes].T - IOU_WEIGHT * jnp.log(ious + 1e-8)
    cost = jnp.where(candidate, cost + OUTSIDE * ~(within & central), jnp.inf)

    most = min(candidates, cost.shape[1])
    count = jnp.maximum(jnp.sum(jax.lax.top_k(ious, most)[0], axis=1).astype(jnp.int32), 1)
    return _assign(_best(-cost, most, count) & candidate, cost, ious)


def task_aligned(
    anchors: Anchors,
    boxes: jax.Array,
    classes: jax.Array,
    valid: jax.Array,
    scores: jax.Array,
    predicted: jax.Array,
    *,
    top: int = 13,
    alpha=1.0,
    beta=6.0,
) -> Assignment:
    """Each object takes the points in its box where class and box are best at once: alignment = score^alpha * IoU^beta.

    A box that contains no point has the nearest of the finest level. A point that several objects take goes to the one
    with which its IoU is largest. Quality is the alignment scaled so that an object's best equals its best IoU.
    Source: Feng et al., TOOD: Task-aligned One-stage Object Detection, 2021.

    Args:
      anchors: `Anchors`.
      boxes: float [objects, 4].
      classes: int [objects].
      valid: bool [objects].
      scores: float [anchors, num_classes], probabilities.
      predicted: float [anchors, 4], boxes.
      top: the most points that an object can get.
      alpha: scalar, as is beta; they may be traced.

    Returns:
      `Assignment`.
    """
    boxes, scores, predicted = jax.lax.stop_gradient((boxes, scores, predicted))
    candidate = _inside_or_nearest(anchors, boxes, valid)
    ious = jnp.where(candidate, pairwise_iou(boxes, predicted), 0.0)
    alignment = scores[:, classes].T ** alpha * ious**beta
    taken = _best(jnp.where(candidate, alignment, -1.0), min(top, alignment.shape[1])) & candidate

    found = _assign(taken, -ious, jnp.zeros_like(ious))
    own = found.positive & (found.target == jnp.arange(len(boxes))[:, None])
    best_iou = jnp.max(ious, axis=1, where=own, initial=0.0, keepdims=True)
    best_alignment = jnp.max(alignment, axis=1, where=own, initial=0.0, keepdims=True)
    relative = jnp.where(
        own & (best_alignment > 0), alignment / jnp.where(best_alignment > 0, best_alignment, 1.0), 0.0
    )
    return found._replace(quality=jnp.max(relative * best_iou, axis=0))


def _inside_or_nearest(anchors: Anchors, boxes: jax.Array, valid: jax.Array) -> jax.Array:
    """bool [objects, anchors]: the points in each valid box; without any, the finest level's nearest to its centre."""
    within = inside(anchors, boxes)
    distance = jnp.sum(jnp.square(centre_size(boxes)[:, None, :2] - anchors.points), axis=-1)
    finest = anchors.sizes[:, 0] == jnp.min(anchors.sizes[:, 0])
    first = jnp.argmin(jnp.where(finest, distance, jnp.inf), axis=1)
    nearest = jnp.arange(len(anchors.points)) == first[:, None]
    return valid[:, None] & (within | (nearest & ~jnp.any(within, axis=1, keepdims=True)))


def _central(anchors: Anchors, boxes: jax.Array, radius) -> jax.Array:
    """bool [objects, anchors]: the points less than radius cells, each way, from each box's centre."""
    distance = jnp.abs(centre_size(boxes)[:, None, :2] - anchors.points)
    return jnp.all(distance < radius * anchors.sizes, axis=-1)


def _class_cost(class_logits: jax.Array, objectness: jax.Array) -> jax.Array:
    """[anchors, num_classes]: BCE of sqrt(class probability * objectness), summed over classes, were this the class."""
    log_probability = (jax.nn.log_sigmoid(class_logits) + jax.nn.log_sigmoid(objectness)[:, None]) / 2
    log_rest = jnp.log(-jnp.expm1(log_probability))
    # Both logarithms are cut, so that the cost stays finite and below `OUTSIDE` where a probability rounds to 0 or 1.
    log_probability, log_rest = jnp.maximum(log_probability, -100.0), jnp.maximum(log_rest, -100.0)
    return log_rest - log_probability - jnp.sum(log_rest, axis=1, keepdims=True)


def _best(values: jax.Array, most: int, count: jax.Array | None = None) -> jax.Array:
    """bool [objects, anchors]: the `count` (int [objects], at most `most`, the default) largest values of each row."""
    columns = jax.lax.top_k(values, most)[1]
    wanted = jnp.ones(columns.shape, bool) if count is None else jnp.arange(most) < count[:, None]
    return jnp.zeros(values.shape, bool).at[jnp.arange(len(values))[:, None], columns].set(wanted)


def _assign(matched: jax.Array, cost: jax.Array, quality: jax.Array) -> Assignment:
    """Each anchor that any object took goes to the one of least cost among them; all are [objects, anchors]."""
    positive = jnp.any(matched, axis=0)
    target = jnp.argmin(jnp.where(matched, cost, jnp.inf), axis=0).astype(jnp.int32)
    quality = jnp.take_along_axis(quality, target[None], axis=0)[0]
    return jax.lax.stop_gradient(Assignment(positive, target, jnp.where(positive, quality, 0.0)))

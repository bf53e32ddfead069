"""Boxes: formats, the IoU family, and non-maximum suppression.

A box is float32 [..., 4] = [ymin, xmin, ymax, xmax], as shares of the image's height and width, as in TFDS. A box
without extent (ymax <= ymin or xmax <= xmin, so also an inverted one) has area zero and overlaps nothing, itself
included. Everything broadcasts over leading axes. Areas and overlaps are finite, and so are their gradients, for every
box without a NaN.
"""

import math

import jax
import jax.numpy as jnp

from jaxvision.errors import UserError

# Divisors are at least this; an area of 1e-9 is a third of a pixel each way on an image of 10,000 by 10,000.
SMALLEST = 1e-9
# Edges are taken as no further out than this many images, so that no square of an area overflows.
FURTHEST = 1e4


def area(boxes: jax.Array) -> jax.Array:
    """Area as a share of the image's, [..., 4] -> [...]; zero for a box without extent."""
    return _extent(*_edges(boxes))


def centre_size(boxes: jax.Array) -> jax.Array:
    """[ymin, xmin, ymax, xmax] -> [centre y, centre x, height, width], shapes kept."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return jnp.concatenate([(low + high) / 2, high - low], axis=-1)


def from_centre_size(boxes: jax.Array) -> jax.Array:
    """[centre y, centre x, height, width] -> [ymin, xmin, ymax, xmax], shapes kept."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def clip(boxes: jax.Array) -> jax.Array:
    """The part of each box that lies in the image, shapes kept; one wholly outside becomes one without extent."""
    return jnp.clip(boxes, 0.0, 1.0)


def iou(a: jax.Array, b: jax.Array) -> jax.Array:
    """Intersection over union, [..., 4] and [..., 4] -> [...], in [0, 1]."""
    return _divide(*_intersection_and_union(a, b))


def pairwise_iou(a: jax.Array, b: jax.Array) -> jax.Array:
    """Intersection over union of each of a with each of b, [..., n, 4] and [..., m, 4] -> [..., n, m]."""
    return iou(a[..., :, None, :], b[..., None, :, :])


def giou(a: jax.Array, b: jax.Array) -> jax.Array:
    """Generalised IoU: IoU less the share of the common hull that neither box covers; in [-1, 1].

    Source: Rezatofighi et al., Generalized Intersection over Union, 2019.
    """
    intersection, union = _intersection_and_union(a, b)
    hull = _extent(*_hull(a, b))
    return _divide(intersection, union) - _divide(hull - union, hull)


def diou(a: jax.Array, b: jax.Array) -> jax.Array:
    """Distance IoU: IoU less the centres' squared distance over the hull's squared diagonal; in [-1, 1].

    Source: Zheng et al., Distance-IoU Loss, 2020.
    """
    (a_low, a_high), (b_low, b_high) = _edges(a), _edges(b)
    hull_low, hull_high = _hull(a, b)
    distance = jnp.sum(jnp.square((a_low + a_high - b_low - b_high) / 2), axis=-1)
    diagonal = jnp.sum(jnp.square(hull_high - hull_low), axis=-1)
    return iou(a, b) - _divide(distance, diagonal)


def ciou(a: jax.Array, b: jax.Array) -> jax.Array:
    """Complete IoU: distance IoU less a penalty for unlike aspect ratios; in [-2, 1].

    The penalty is share * unlikeness, with unlikeness = (2 / pi)^2 * (difference of arctan(width / height))^2 and
    share = unlikeness / (1 - IoU + unlikeness); no gradient flows through the share, as in the paper.
    Source: Zheng et al., Distance-IoU Loss, 2020, section 3.3.
    """
    unlikeness = (2 / math.pi) ** 2 * jnp.square(_slant(a) - _slant(b))
    share = jax.lax.stop_gradient(_divide(unlikeness, 1.0 - iou(a, b) + unlikeness))
    return diou(a, b) - share * unlikeness


OVERLAPS = {'iou': iou, 'giou': giou, 'diou': diou, 'ciou': ciou}


def overlap(kind: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """One of the IoU family by name: 'iou', 'giou', 'diou' or 'ciou'; [..., 4] and [..., 4] -> [...].

    Raises:
      UserError: if there is no such kind.
    """
    if kind not in OVERLAPS:
        raise UserError(f'box overlap {kind!r} is unknown; choose one of {", ".join(OVERLAPS)}')
    return OVERLAPS[kind](a, b)


def nms(
    boxes: jax.Array, scores: jax.Array, *, iou_threshold, classes: jax.Array | None = None, max_outputs: int
) -> tuple[jax.Array, jax.Array]:
    """Greedy non-maximum suppression: best first, each box kept unless it overlaps one that is kept already.

    Shapes are static, so it runs inside jit and vmap. Of equal scores the lower index goes first.

    Args:
      boxes: float [k, 4], k >= 1.
      scores: float [k]; a box whose score is not above zero is never kept.
      iou_threshold: scalar; an IoU above it suppresses. It may be traced.
      classes: int [k] where only boxes of the same class suppress each other; None where all do.
      max_outputs: how many to return, at least 1.

    Returns:
      indices int32 [max_outputs] into boxes, best first, and valid bool [max_outputs]; an index not valid is 0.
    """
    order = jnp.argsort(-scores, stable=True)
    ranked = boxes[order]
    suppresses = jnp.triu(pairwise_iou(ranked, ranked) > iou_threshold, k=1)
    if classes is not None:
        suppresses &= classes[order][:, None] == classes[order]
    eligible = scores[order] > 0

    # The greedy choice is the only one that survives its own suppression: repeating the rule finds it, the first n
    # ranks being right after n rounds at the latest. The longest chain of overlaps bounds the rounds: a handful.
    def suppress(keep):
        return eligible & ~jnp.any(suppresses & keep[:, None], axis=0)

    keep, _ = jax.lax.while_loop(
        lambda state: jnp.any(state[0] != state[1]),
        lambda state: (suppress(state[0]), state[0]),
        (suppress(eligible), eligible),
    )
    kept = jnp.flatnonzero(keep, size=max_outputs, fill_value=0)
    valid = jnp.arange(max_outputs) < jnp.sum(keep)
    return jnp.where(valid, order[kept], 0).astype(jnp.int32), valid


def _edges(boxes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(ymin, xmin) [..., 2] and (ymax, xmax) [..., 2], within `FURTHEST`."""
    boxes = jnp.clip(boxes, -FURTHEST, FURTHEST)
    return boxes[..., :2], boxes[..., 2:]


def _extent(low: jax.Array, high: jax.Array) -> jax.Array:
    """Area between two corners, [..., 2] and [..., 2] -> [...]; zero if they are inverted."""
    size = jnp.maximum(high - low, 0.0)
    return size[..., 0] * size[..., 1]


def _intersection_and_union(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two areas, [...]."""
    (a_low, a_high), (b_low, b_high) = _edges(a), _edges(b)
    intersection = _extent(jnp.maximum(a_low, b_low), jnp.minimum(a_high, b_high))
    return intersection, _extent(a_low, a_high) + _extent(b_low, b_high) - intersection


def _hull(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The corners of the smallest box around all corners of a and b (so around an inverted box too)."""
    (a_low, a_high), (b_low, b_high) = _edges(a), _edges(b)
    low = jnp.minimum(jnp.minimum(a_low, a_high), jnp.minimum(b_low, b_high))
    high = jnp.maximum(jnp.maximum(a_low, a_high), jnp.maximum(b_low, b_high))
    return low, high


def _slant(boxes: jax.Array) -> jax.Array:
    """arctan(width / height), in [0, pi / 2]."""
    low, high = _edges(boxes)
    size = jnp.maximum(high - low, 0.0)
    return jnp.arctan(_divide(size[..., 1], size[..., 0]))


def _divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    return numerator / jnp.maximum(denominator, SMALLEST)

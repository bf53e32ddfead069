"""What moves boxes: the same affine map that moves the pixels.

A box is float32 [ymin, xmin, ymax, xmax] as shares of the image's extent, while a map speaks of pixel centres: the
extent of an image begins half a pixel before its first centre, so an edge at the share s of `height` lies at
s * height - 0.5.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxvision.augment.geometry import invert, transform

HULLS = ('ellipse', 'corners')


def move(
    boxes: jax.Array,
    valid: jax.Array,
    matrix: jax.Array,
    height: int,
    width: int,
    *,
    size: tuple[int, int] | None = None,
    view=(0.0, 0.0, 1.0, 1.0),
    keep: ArrayLike = 0.3,
    minimum: ArrayLike = 1.0,
    hull: str = 'ellipse',
) -> tuple[jax.Array, jax.Array]:
    """Moves the boxes of one image as `warp` moves its pixels, and drops those that are no longer seen.

    A turned box is no box: its object lies somewhere inside, and what is wanted is the hull of the object alone. The
    hull of the four corners always holds it, but is too large, the more so the more it was turned (a square's area
    doubles at 45 degrees), as few objects fill their corners. The hull of the box's inscribed ellipse is closer for
    most, and the default. Without rotation both are the box itself.

    Classes and other values of a slot keep their places; set them to zero where the returned `valid` is False.

    Source of the ellipse: Kalra et al., Towards Rotation Invariance in Object Detection, 2021.

    Args:
      boxes: float32 [m, 4], shares of the input image.
      valid: bool [m]; False is padding.
      matrix: float32 [2, 3], output pixels -> input points; it has an inverse.
      height, width: of the input image in pixels.
      size: (height, width) of the output image; the input's by default.
      view: the part of the output where the image shows, as a box; boxes are clipped to it.
      keep: a box is dropped if less than this share of its moved area is in view; a scalar, or [m].
      minimum: a box is dropped if its part in view is thinner than this many pixels either way; a scalar, or [m].
      hull: 'ellipse' or 'corners'.

    Returns:
      float32 [m, 4] in shares of the output, zeros where dropped or padding; and bool [m], which of them are left.
    """
    if hull not in HULLS:
        raise ValueError(f'unknown hull {hull!r}; known are {", ".join(HULLS)}')
    before, after = jnp.array([height, width], jnp.float32), jnp.array(size or (height, width), jnp.float32)
    low, high = boxes[:, :2], boxes[:, 2:]
    forward = invert(matrix)
    centre = (transform(forward, (low + high) / 2 * before - 0.5) + 0.5) / after
    half = jnp.maximum(high - low, 0.0) / 2 * before
    # How far the ellipse (the corners) reaches down and right of the centre, from the two half-axes of the box.
    reach = jnp.abs(half[:, None, :] * forward[:, :2])
    reach = (jnp.hypot(reach[..., 0], reach[..., 1]) if hull == 'ellipse' else reach.sum(axis=-1)) / after
    window = jnp.asarray(view, jnp.float32)
    seen_low = jnp.clip(centre - reach, window[:2], window[2:])
    seen_high = jnp.clip(centre + reach, window[:2], window[2:])
    seen = seen_high - seen_low
    left = valid & (seen.prod(axis=-1) >= keep * (2 * reach).prod(axis=-1)) & ((seen * after).min(axis=-1) >= minimum)
    # A box without extent, or inverted, is never left, whatever `keep` and `minimum` are.
    left &= (seen > 0).all(axis=-1)
    return jnp.where(left[:, None], jnp.concatenate([seen_low, seen_high], axis=-1), 0.0), left

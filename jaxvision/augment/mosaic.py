"""Mosaic: four images around a common corner, so that one example shows the objects of four in smaller sizes.

Source: Bochkovskiy et al., YOLOv4: Optimal Speed and Accuracy of Object Detection, 2020.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxvision.augment.boxes import move
from jaxvision.augment.geometry import rescale


def draw_quartets(key: jax.Array, batch: int) -> jax.Array:
    """Draws for each example of the whole batch the three that share its mosaic.

    Each column is a permutation of the batch, so that every image is shown equally often.

    Args:
      key: scalar key of the step, so that every device draws the same.
      batch: number of examples of the whole batch, over all devices.

    Returns:
      int [batch, 3] positions in the batch.
    """
    return jax.vmap(lambda key: jax.random.permutation(key, batch), out_axes=1)(jax.random.split(key, 3))


def mosaic(
    key: jax.Array,
    images: jax.Array,
    boxes: jax.Array,
    classes: jax.Array,
    valid: jax.Array,
    *,
    scale: ArrayLike = 0.25,
    keep: ArrayLike = 0.3,
    minimum: ArrayLike = 1.0,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Makes one example of four images of one size.

    The common corner is uniform on the whole pixels of the middle half, both ways. Each image is shown at half its
    size, jittered, but at least so large that it fills its quadrant; which part of it shows there is uniform.

    Args:
      key: scalar key.
      images: float [4, height, width, channel]: top left, top right, bottom left, bottom right.
      boxes: float32 [4, m, 4].
      classes: int32 [4, m].
      valid: bool [4, m].
      scale: the jitter's logarithm is uniform on [-log(1 + scale), log(1 + scale)].
      keep, minimum: which of the cut boxes are left, as in `move`; each a scalar, or [4, m].

    Returns:
      The image float [height, width, channel], boxes float32 [4m, 4], classes int32 [4m] and valid bool [4m]; slot j
      of image i is slot i * m + j.
    """
    _, height, width, _ = images.shape
    size = jnp.array([height, width], jnp.float32)
    corner_key, scale_key, place_key = jax.random.split(key, 3)
    quarter = jnp.array([height // 4, width // 4])
    corner = jax.random.randint(corner_key, (2,), quarter, jnp.array([height, width]) - quarter + 1).astype(jnp.float32)
    jitter = jnp.exp(jax.random.uniform(scale_key, (4,), minval=-1.0, maxval=1.0) * jnp.log1p(scale))
    places = jax.random.uniform(place_key, (4, 2))

    origins = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]) * corner
    ends = jnp.where(origins == 0, corner, size)

    def quadrant(image, boxes, valid, keep, minimum, origin, end, jitter, place):
        factor = jnp.maximum(0.5 * jitter, jnp.max((end - origin) / size))
        # In extents of the output: the image begins before its quadrant by a share of what it has too much.
        begin = origin - place * (factor * size - (end - origin))
        offset = (0.5 - begin) / factor - 0.5
        matrix = jnp.concatenate([jnp.eye(2) / factor, offset[:, None]], axis=1)
        view = jnp.concatenate([origin / size, end / size])
        return rescale(image, matrix), *move(boxes, valid, matrix, height, width, view=view, keep=keep, minimum=minimum)

    keep, minimum = jnp.broadcast_to(keep, valid.shape), jnp.broadcast_to(minimum, valid.shape)
    shown, boxes, valid = jax.vmap(quadrant)(images, boxes, valid, keep, minimum, origins, ends, jitter, places)
    below = (jnp.arange(height) >= corner[0])[:, None, None]
    right = (jnp.arange(width) >= corner[1])[None, :, None]
    image = jnp.where(below, jnp.where(right, shown[3], shown[2]), jnp.where(right, shown[1], shown[0]))
    valid = valid.reshape(-1)
    return image, boxes.reshape(-1, 4), jnp.where(valid, classes.reshape(-1), 0), valid

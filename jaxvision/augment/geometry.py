"""Geometric augmentation: mirror, crop and rotation composed into one affine map and one resampling.

An affine map is float32 [2, 3]: it takes an *output* pixel (y, x, 1) to the *input* point (y, x) that shows there.
Pixels are resampled once, bilinearly; what lies outside the image is black (0). Whole-pixel shifts and mirrors are
exact, bit for bit.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def affine(
    height: int, width: int, *, mirror: ArrayLike = False, shift=(0.0, 0.0), degrees: ArrayLike = 0.0
) -> jax.Array:
    """The map of one image: first mirrored, then turned about its centre, then shifted.

    Args:
      height, width: image size in pixels.
      mirror: whether left and right change places.
      shift: (down, right) in pixels.
      degrees: counter-clockwise turn, as seen on the screen.

    Returns:
      float32 [2, 3].
    """
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    angle = jnp.deg2rad(jnp.asarray(degrees, jnp.float32))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    sign = jnp.where(mirror, -1.0, 1.0)
    down, right = jnp.asarray(shift[0], jnp.float32), jnp.asarray(shift[1], jnp.float32)
    # Output -> input, so each is undone in reverse order. With rows growing downwards, a point at (y, x) from the
    # centre that was turned by the angle came from (cos y + sin x, -sin y + cos x).
    row_y = jnp.stack([cos, sin, centre_y - cos * (centre_y + down) - sin * (centre_x + right)])
    row_x = jnp.stack([-sin, cos, sin * (centre_y + down) - cos * (centre_x + right)])
    row_x = sign * row_x + jnp.array([0.0, 0.0, centre_x])
    return jnp.stack([row_y, row_x])


def random_affine(key: jax.Array, height: int, width: int, *, mirror: bool, crop, rotate) -> jax.Array:
    """Draws the map of one image.

    Args:
      key: scalar key.
      height, width: image size in pixels.
      mirror: whether to mirror half of the images.
      crop: pixels of padding that a random crop moves in: the shift is uniform on the integers [-crop, crop].
      rotate: degrees: the angle is uniform on [-rotate, rotate].

    Returns:
      float32 [2, 3].
    """
    mirror_key, shift_key, angle_key = jax.random.split(key, 3)
    flip = jax.random.bernoulli(mirror_key) if mirror else False
    shift = jax.random.randint(shift_key, (2,), -crop, crop + 1).astype(jnp.float32)
    degrees = jax.random.uniform(angle_key, minval=-1.0, maxval=1.0) * rotate
    return affine(height, width, mirror=flip, shift=(shift[0], shift[1]), degrees=degrees)


def warp(image: jax.Array, matrix: jax.Array) -> jax.Array:
    """Resamples one image through an affine map, bilinearly.

    Args:
      image: float [height, width, channel].
      matrix: float32 [2, 3] from `affine`.

    Returns:
      float [height, width, channel].
    """
    height, width, _ = image.shape
    y, x = jnp.meshgrid(jnp.arange(height, dtype=jnp.float32), jnp.arange(width, dtype=jnp.float32), indexing='ij')
    source_y = matrix[0, 0] * y + matrix[0, 1] * x + matrix[0, 2]
    source_x = matrix[1, 0] * y + matrix[1, 1] * x + matrix[1, 2]
    top, left = jnp.floor(source_y), jnp.floor(source_x)
    part_y, part_x = source_y - top, source_x - left

    def corner(rows, columns, weights):
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        index = (jnp.clip(rows, 0, height - 1).astype(jnp.int32), jnp.clip(columns, 0, width - 1).astype(jnp.int32))
        return image[index] * jnp.where(inside, weights, 0.0)[..., None].astype(image.dtype)

    return (
        corner(top, left, (1 - part_y) * (1 - part_x))
        + corner(top, left + 1, (1 - part_y) * part_x)
        + corner(top + 1, left, part_y * (1 - part_x))
        + corner(top + 1, left + 1, part_y * part_x)
    )

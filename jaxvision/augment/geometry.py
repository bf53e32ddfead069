"""Geometric augmentation: mirror, crop, zoom and rotation composed into one affine map and one resampling.

An affine map is float32 [2, 3]: it takes an *output* pixel (y, x, 1) to the *input* point (y, x) that shows there.
Coordinates are of pixel centres: pixel i covers [i - 0.5, i + 0.5]. Pixels are resampled once, bilinearly; what lies
outside the image is black (0) unless said otherwise. Whole-pixel shifts and mirrors are exact, bit for bit.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

BORDERS = ('fill', 'reflect')


def affine(
    height: int,
    width: int,
    *,
    mirror: ArrayLike = False,
    shift=(0.0, 0.0),
    degrees: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
) -> jax.Array:
    """The map of one image: first mirrored, then scaled and turned about its centre, then shifted.

    Args:
      height, width: image size in pixels.
      mirror: whether left and right change places.
      shift: (down, right) in pixels.
      degrees: counter-clockwise turn, as seen on the screen.
      scale: positive factor, or two of them (vertical, horizontal); above 1 enlarges what is seen.

    Returns:
      float32 [2, 3].
    """
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    angle = jnp.deg2rad(jnp.asarray(degrees, jnp.float32))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    sign = jnp.where(mirror, -1.0, 1.0)
    down, right = jnp.asarray(shift[0], jnp.float32), jnp.asarray(shift[1], jnp.float32)
    tall, wide = jnp.broadcast_to(jnp.asarray(scale, jnp.float32), (2,))
    # Output -> input, so each is undone in reverse order. With rows growing downwards, a point at (y, x) from the
    # centre that was turned by the angle came from (cos y + sin x, -sin y + cos x).
    y_cos, y_sin, x_cos, x_sin = cos / tall, sin / tall, cos / wide, sin / wide
    row_y = jnp.stack([y_cos, y_sin, centre_y - y_cos * (centre_y + down) - y_sin * (centre_x + right)])
    row_x = jnp.stack([-x_sin, x_cos, x_sin * (centre_y + down) - x_cos * (centre_x + right)])
    row_x = sign * row_x + jnp.array([0.0, 0.0, centre_x])
    return jnp.stack([row_y, row_x])


def random_affine(
    key: jax.Array, height: int, width: int, *, mirror: bool | jax.Array, crop, rotate, scale: ArrayLike = 0.0
) -> jax.Array:
    """Draws the map of one image.

    Args:
      key: scalar key.
      height, width: image size in pixels.
      mirror: whether to mirror half of the images; or a bool scalar array: whether to mirror this one.
      crop: pixels of padding that a random crop moves in: the shift is uniform on the integers [-crop, crop].
      rotate: degrees: the angle is uniform on [-rotate, rotate].
      scale: the factor's logarithm is uniform on [-log(1 + scale), log(1 + scale)], so that enlarged by a factor is
        as likely as shrunk by it; a plain 0.0 is off and draws nothing.

    Returns:
      float32 [2, 3].
    """
    mirror_key, shift_key, angle_key = jax.random.split(key, 3)
    flip = jax.random.bernoulli(mirror_key) if mirror is True else mirror
    shift = jax.random.randint(shift_key, (2,), -crop, crop + 1).astype(jnp.float32)
    degrees = jax.random.uniform(angle_key, minval=-1.0, maxval=1.0) * rotate
    factor = 1.0
    if not isinstance(scale, (int, float)) or scale != 0:
        # Folded in beside the split, so that what the other keys draw is the same with and without it.
        scale_key = jax.random.fold_in(key, 3)
        factor = jnp.exp(jax.random.uniform(scale_key, minval=-1.0, maxval=1.0) * jnp.log1p(scale))
    return affine(height, width, mirror=flip, shift=(shift[0], shift[1]), degrees=degrees, scale=factor)


def letterbox(height: ArrayLike, width: ArrayLike, size: int) -> jax.Array:
    """The map that shows a whole image on a square canvas, as large as fits and centred.

    Bilinear resampling skips pixels where it shrinks below a half; shrink large images on the host, by areas.

    Args:
      height, width: of the image in pixels.
      size: side of the canvas in pixels, for `warp(image, matrix, size=(size, size))`.

    Returns:
      float32 [2, 3].
    """
    height, width = jnp.asarray(height, jnp.float32), jnp.asarray(width, jnp.float32)
    step = jnp.maximum(height, width) / size  # Pixels of the image a pixel of the canvas.
    # By the edge of the first pixel, at -0.5: what is centred is the extent, not the pixels' centres.
    first_y = (height - size * step + step - 1) / 2
    first_x = (width - size * step + step - 1) / 2
    zero = jnp.zeros_like(step)
    return jnp.stack([jnp.stack([step, zero, first_y]), jnp.stack([zero, step, first_x])])


def transform(matrix: jax.Array, points: jax.Array) -> jax.Array:
    """Takes points (y, x) through a map, [2, 3] and [..., 2] -> [..., 2]."""
    y, x = points[..., 0], points[..., 1]
    # Written out, not a matrix product, which accelerators round to fewer bits than a pixel's place needs.
    return jnp.stack([row[0] * y + row[1] * x + row[2] for row in matrix], axis=-1)


def compose(outer: jax.Array, inner: jax.Array) -> jax.Array:
    """One map for two: a point goes through `inner` first, then through `outer`.

    As maps lead from the output back to the input, `outer` is what the image meets first:
    warp(image, compose(outer, inner)) shows warp(warp(image, outer), inner), resampled once.

    Args:
      outer, inner: float32 [2, 3].

    Returns:
      float32 [2, 3].
    """
    offset = transform(outer, inner[:, 2])
    linear = transform(outer.at[:, 2].set(0.0), inner[:, :2].T).T
    return jnp.concatenate([linear, offset[:, None]], axis=1)


def invert(matrix: jax.Array) -> jax.Array:
    """The map back, from input points to output points; float32 [2, 3] -> [2, 3], infinite where there is none."""
    (a, b, down), (c, d, right) = matrix
    linear = jnp.stack([jnp.stack([d, -b]), jnp.stack([-c, a])]) / (a * d - b * c)
    offset = -(linear[:, 0] * down + linear[:, 1] * right)
    return jnp.concatenate([linear, offset[:, None]], axis=1)


def warp(
    image: jax.Array,
    matrix: jax.Array,
    fill: ArrayLike = 0.0,
    size: tuple[int, int] | None = None,
    border: str = 'fill',
) -> jax.Array:
    """Resamples one image through an affine map, bilinearly.

    Args:
      image: float [height, width, channel].
      matrix: float32 [2, 3], as from `affine` or `letterbox`.
      fill: what shows outside the image: a scalar, or [channel].
      size: (height, width) of the result; the image's own by default.
      border: what lies outside the image: `fill`, or `reflect`, the image mirrored about its first and last pixels.

    Returns:
      float [height, width, channel], of the image's dtype.
    """
    if border not in BORDERS:
        raise ValueError(f'unknown border {border!r}; known are {", ".join(BORDERS)}')
    height, width, _ = image.shape
    rows, columns = (jnp.arange(side, dtype=jnp.float32) for side in size or (height, width))
    y, x = jnp.meshgrid(rows, columns, indexing='ij')
    source_y = matrix[0, 0] * y + matrix[0, 1] * x + matrix[0, 2]
    source_x = matrix[1, 0] * y + matrix[1, 1] * x + matrix[1, 2]
    top, left = jnp.floor(source_y), jnp.floor(source_x)
    part_y, part_x = source_y - top, source_x - left
    filled = not isinstance(fill, (int, float)) or fill != 0
    outside = jnp.asarray(fill, image.dtype)

    def corner(rows, columns, weights):
        if border == 'reflect':
            index = (_reflected(rows, height), _reflected(columns, width))
            return image[index] * weights[..., None].astype(image.dtype)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        index = (jnp.clip(rows, 0, height - 1).astype(jnp.int32), jnp.clip(columns, 0, width - 1).astype(jnp.int32))
        shown = image[index] * jnp.where(inside, weights, 0.0)[..., None].astype(image.dtype)
        return shown + outside * jnp.where(inside, 0.0, weights)[..., None].astype(image.dtype) if filled else shown

    return (
        corner(top, left, (1 - part_y) * (1 - part_x))
        + corner(top, left + 1, (1 - part_y) * part_x)
        + corner(top + 1, left, part_y * (1 - part_x))
        + corner(top + 1, left + 1, part_y * part_x)
    )


def _reflected(places: jax.Array, count: int) -> jax.Array:
    """Where a whole number lands in 0 ... count - 1 when mirrors stand on the first and the last: -1 on 1."""
    period = max(2 * (count - 1), 1)
    places = jnp.mod(places, period).astype(jnp.int32)
    return jnp.minimum(places, period - places) if count > 1 else jnp.zeros_like(places)


def rescale(image: jax.Array, matrix: jax.Array) -> jax.Array:
    """What `warp` shows, for a map that does not turn: rows first, then columns, whole lines at a time.

    Much faster on CPU, where `warp` fetches pixel by pixel.

    Args:
      image: float [height, width, channel].
      matrix: float32 [2, 3] whose off-diagonal entries are zero; they are not looked at.

    Returns:
      float [height, width, channel], of the image's dtype.
    """

    def along(lines: jax.Array, scale: jax.Array, offset: jax.Array) -> jax.Array:
        source = scale * jnp.arange(len(lines), dtype=jnp.float32) + offset
        first = jnp.floor(source)
        part = source - first

        def neighbour(index, weight):
            inside = (index >= 0) & (index < len(lines))
            shares = jnp.where(inside, weight, 0.0).astype(lines.dtype)
            return lines[jnp.clip(index, 0, len(lines) - 1).astype(jnp.int32)] * shares[:, None, None]

        return neighbour(first, 1 - part) + neighbour(first + 1, part)

    rows = along(image, matrix[0, 0], matrix[0, 2])
    return along(rows.swapaxes(0, 1), matrix[1, 1], matrix[1, 2]).swapaxes(0, 1)

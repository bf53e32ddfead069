"""Color jitter: brightness, contrast, saturation and hue, each drawn anew for each image."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def color_jitter(
    key: jax.Array,
    image: jax.Array,
    *,
    brightness: ArrayLike = 0.0,
    contrast: ArrayLike = 0.0,
    saturation: ArrayLike = 0.0,
    hue: ArrayLike = 0.0,
) -> jax.Array:
    """Draws and applies the jitter of one image, in the order of the arguments.

    A strength that is a plain 0.0 is off and leaves the image as it is, bit for bit; saturation and hue are of RGB
    images and pass others by.

    Args:
      key: scalar key.
      image: float [height, width, channel] in [0, 1].
      brightness: what is added to all channels is uniform on [-brightness, brightness].
      contrast: the factor of the distance to the channel's mean is uniform on [max(0, 1 - contrast), 1 + contrast].
      saturation: the factor of the saturation (of HSV) is uniform on [max(0, 1 - saturation), 1 + saturation].
      hue: the turn of the hue (of HSV), as a share of the full circle, is uniform on [-hue, hue].

    Returns:
      float [height, width, channel] in [0, 1], of the image's dtype.
    """
    import dm_pix

    def additive(key, strength):
        return jax.random.uniform(key, minval=-1.0, maxval=1.0) * strength

    def factor(key, strength):
        return jax.random.uniform(key, minval=jnp.maximum(0.0, 1 - jnp.asarray(strength)), maxval=1 + strength)

    adjustments = [
        (brightness, additive, dm_pix.adjust_brightness),
        (contrast, factor, dm_pix.adjust_contrast),
    ]
    if image.shape[-1] == 3:
        adjustments += [(saturation, factor, adjust_saturation), (hue, additive, adjust_hue)]
    # Keys of all four, so that what one draws does not depend on which of the others are on.
    for subkey, (strength, draw, adjust) in zip(jax.random.split(key, 4), adjustments, strict=False):
        if not isinstance(strength, (int, float)) or strength != 0:
            # Clipped after each: HSV is of [0, 1] only.
            image = jnp.clip(adjust(image, draw(subkey, strength).astype(image.dtype)), 0.0, 1.0)
    return image


def adjust_saturation(image: jax.Array, factor: ArrayLike) -> jax.Array:
    """The saturation (of HSV) times a factor, at most 1: hue and value stay.

    Args:
      image: float [height, width, RGB] in [0, 1].
      factor: at least 0.

    Returns:
      float [height, width, RGB] in [0, 1].
    """
    value = image.max(axis=-1, keepdims=True)
    chroma = value - image.min(axis=-1, keepdims=True)
    most = value / jnp.where(chroma > 0, chroma, 1)  # Where the saturation becomes 1.
    return jnp.maximum(value - (value - image) * jnp.minimum(factor, most), 0)


def adjust_hue(image: jax.Array, turn: ArrayLike) -> jax.Array:
    """The hue (of HSV) turned by a share of the full circle: saturation and value stay.

    Channels are compared with each other, never with the largest of them: fused with what comes before, that may be
    rounded in another way, equal none, and give a wrong hue. Where two are nearly equal, both cases agree here.

    Args:
      image: float [height, width, RGB] in [0, 1].
      turn: 1 for the full circle.

    Returns:
      float [height, width, RGB] in [0, 1].
    """
    import dm_pix

    red, green, blue = jnp.moveaxis(image, -1, 0)
    value = image.max(axis=-1)
    chroma = value - image.min(axis=-1)
    size = jnp.where(chroma > 0, chroma, 1)
    sixths = jnp.where(
        (red >= green) & (red >= blue),
        (green - blue) / size,
        jnp.where(green >= blue, 2 + (blue - red) / size, 4 + (red - green) / size),
    )
    saturation = chroma / jnp.where(value > 0, value, 1)
    return jnp.asarray(dm_pix.hsv_to_rgb(jnp.stack([sixths / 6 + turn, saturation, value], axis=-1)))

"""Views: the random affine map and colours in which a step sees an image."""

from dataclasses import dataclass

import jax

from jaxvision import augment


@dataclass(frozen=True)
class Views:
    """Which augmentations are on, all off by default; how strong they are comes traced, in `strengths`.

    Attributes:
      mirror, crop: as in `augment.random_affine`.
      rotate, scale: whether strengths['rotate'] and strengths['scale'] act, as there.
      colors: which of strengths['brightness'], ['contrast'], ['saturation'] and ['hue'] act: `augment.color_jitter`.
    """

    mirror: bool = False
    crop: int = 0
    rotate: bool = False
    scale: bool = False
    colors: tuple[str, ...] = ()

    @property
    def moves(self) -> bool:
        """Whether pixels change their places."""
        return bool(self.mirror or self.crop or self.rotate or self.scale)

    def matrix(self, key: jax.Array, height: int, width: int, strengths) -> jax.Array:
        """Draws the map of one image, float32 [2, 3]."""
        return augment.random_affine(
            key,
            height,
            width,
            mirror=self.mirror,
            crop=self.crop,
            rotate=strengths['rotate'] if self.rotate else 0.0,
            scale=strengths['scale'] if self.scale else 0.0,
        )

    def recolor(self, keys: jax.Array, images: jax.Array, strengths) -> jax.Array:
        """Colours each image of a batch in its own way; keys [batch]."""
        if not self.colors:
            return images
        jitter = {name: strengths[name] for name in self.colors}
        return jax.vmap(lambda key, image: augment.color_jitter(key, image, **jitter))(keys, images)

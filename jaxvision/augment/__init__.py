"""Augmentations: pure functions of pixels and keys, inside jit."""

from jaxvision.augment.geometry import affine, random_affine, warp
from jaxvision.augment.mixing import draw_partners, mix, mixing_weights

__all__ = ['affine', 'draw_partners', 'mix', 'mixing_weights', 'random_affine', 'warp']

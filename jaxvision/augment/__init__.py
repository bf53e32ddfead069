"""Augmentations: pure functions of pixels, boxes and keys, inside jit."""

from jaxvision.augment.boxes import move
from jaxvision.augment.color import color_jitter
from jaxvision.augment.geometry import affine, compose, invert, letterbox, random_affine, rescale, transform, warp
from jaxvision.augment.mixing import draw_partners, mix, mix_objects, mixing_weights
from jaxvision.augment.mosaic import draw_quartets, mosaic

__all__ = [
    'affine',
    'color_jitter',
    'compose',
    'draw_partners',
    'draw_quartets',
    'invert',
    'letterbox',
    'mix',
    'mix_objects',
    'mixing_weights',
    'mosaic',
    'move',
    'random_affine',
    'rescale',
    'transform',
    'warp',
]

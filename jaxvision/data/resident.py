"""Small datasets live on the device, as uint8: the feed of a step is then only its ids."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.data.sources import Source

COUNTED = 2**20  # Values counted at a time.
SMALLEST = 5e-4  # Added to a variance before it is divided by.
WHITENED_BY = 5000  # Training images that whitening is computed from, at most.


class ObjectBatch(NamedTuple):
    """Images with their objects; see `objects.Objects`.

    Attributes:
      images: float32 [batch, side, side, channel] in [0, 1].
      boxes: float32 [batch, slots, 4], on the canvas.
      classes: int32 [batch, slots].
      valid: bool [batch, slots].
      ignored: bool [batch, slots].
    """

    images: jax.Array
    boxes: jax.Array
    classes: jax.Array
    valid: jax.Array
    ignored: jax.Array


def resident(source: Source) -> dict[str, np.ndarray]:
    """What goes to the device once: images uint8 [n, height, width, channel], labels int32 [n].

    Of a set with objects also boxes, classes, valid and ignored, as in `objects.Objects`.
    """
    names = () if source.objects is None else ObjectBatch._fields[1:]
    return {'images': source.images, 'labels': source.labels} | {name: getattr(source.objects, name) for name in names}


def gather(data: dict[str, jax.Array], ids: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Inside the step: ids [batch] -> float32 images [batch, height, width, channel] in [0, 1], int32 labels."""
    return data['images'][ids].astype(jnp.float32) / 255, data['labels'][ids]


def gather_objects(data: dict[str, jax.Array], ids: jax.Array) -> ObjectBatch:
    """Inside the step, for a set with objects: ids [batch] -> images and objects."""
    images, _ = gather(data, ids)
    return ObjectBatch(images, *(data[key][ids] for key in ObjectBatch._fields[1:]))


def pixel_statistics(source: Source, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and standard deviation of each channel over the training images: what the input is normalised by.

    Args:
      source: the dataset.
      ids: int [n], the training split only.

    Returns:
      {'mean': float32 [channel], 'std': float32 [channel]}, of pixels in [0, 1]; std is at least 1/255.
    """
    channels = source.shape[-1]
    # From counts of each of the 256 values: exact, whatever the order, and without a float copy of the images; some at
    # a time, since bincount makes eight bytes of each.
    some = max(1, COUNTED // math.prod(source.shape))
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(ids), some):
        images = source.images[ids[start : start + some]]
        counts += np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(channels)])
    values = np.arange(256) / 255
    mean = counts @ values / counts.sum(axis=1)
    variance = counts @ values**2 / counts.sum(axis=1) - mean**2
    return {
        'mean': mean.astype(np.float32),
        'std': np.sqrt(np.maximum(variance, 1 / 255**2)).astype(np.float32),
    }


def whitening(source: Source, ids: np.ndarray, statistics: dict[str, np.ndarray], side: int) -> np.ndarray:
    """Kernels that whiten the patches of the first training images: what they put out is uncorrelated, of variance 1.

    The eigenvectors of the patches' second moments, each divided by the root of its eigenvalue. Source: Coates and Ng,
    Learning Feature Representations with K-means, 2012, section 2.2 (there as ZCA, rotated back).

    Args:
      source: the dataset.
      ids: int [n], the training split only.
      statistics: from `pixel_statistics`: the patches are of normalised images.
      side: of the square patches, in pixels.

    Returns:
      float32 [side * side * channel, side * side * channel], a kernel a column.
    """
    ids, some = ids[:WHITENED_BY], max(1, COUNTED // math.prod(source.shape))
    parts = [source.images[ids[start : start + some]] for start in range(0, len(ids), some)]
    total = sum(np.asarray(_moments(part, statistics['mean'], statistics['std'], side), np.float64) for part in parts)
    patches = len(ids) * (source.shape[0] - side + 1) * (source.shape[1] - side + 1)
    values, vectors = np.linalg.eigh(total / patches)
    return (vectors / np.sqrt(values + SMALLEST)).astype(np.float32)


@functools.partial(jax.jit, static_argnums=3)
def _moments(images: jax.Array, mean: jax.Array, std: jax.Array, side: int) -> jax.Array:
    """The sum of x x' over the patches of images, uint8; float32 [inputs, inputs]."""
    images = (images.astype(jnp.float32) / 255 - mean) / std
    height, width = images.shape[1] - side + 1, images.shape[2] - side + 1
    corners = [images[:, y : y + height, x : x + width] for y in range(side) for x in range(side)]
    patches = jnp.concatenate(corners, axis=-1).reshape(-1, side * side * images.shape[-1])
    return jnp.matmul(patches.T, patches, precision='highest')

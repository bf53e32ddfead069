"""Small datasets live on the device, as uint8: the feed of a step is then only its ids."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.data.sources import Source


def resident(source: Source) -> dict[str, np.ndarray]:
    """What goes to the device once: images uint8 [n, height, width, channel], labels int32 [n]."""
    return {'images': source.images, 'labels': source.labels}


def gather(data: dict[str, jax.Array], ids: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Inside the step: ids [batch] -> float32 images [batch, height, width, channel] in [0, 1], int32 labels."""
    return data['images'][ids].astype(jnp.float32) / 255, data['labels'][ids]


def pixel_statistics(source: Source, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and standard deviation of each channel over the training images: what the input is normalised by.

    Args:
      source: the dataset.
      ids: int [n], the training split only.

    Returns:
      {'mean': float32 [channel], 'std': float32 [channel]}, of pixels in [0, 1]; std is at least 1/255.
    """
    channels = source.shape[-1]
    # From counts of each of the 256 values: exact, whatever the order, and without a float copy of the images.
    counts = np.stack([np.bincount(source.images[ids][..., c].ravel(), minlength=256) for c in range(channels)])
    values = np.arange(256) / 255
    mean = counts @ values / counts.sum(axis=1)
    variance = counts @ values**2 / counts.sum(axis=1) - mean**2
    return {
        'mean': mean.astype(np.float32),
        'std': np.sqrt(np.maximum(variance, 1 / 255**2)).astype(np.float32),
    }

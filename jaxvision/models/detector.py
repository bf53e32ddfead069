"""Networks that say where: an encoder, a pyramid of feature maps, and a head for one object or for many.

The pyramid is that of Lin et al., Feature Pyramid Networks for Object Detection, 2017; the detector is anchor-free, one
box a cell, with decoupled heads, after Ge et al., YOLOX, 2021.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision import boxes
from jaxvision.losses.assignment import Anchors
from jaxvision.models.conv import Conv
from jaxvision.models.dense import Dense
from jaxvision.models.layers import Levels, Norm, Training

PRIOR = 0.01  # What a fresh head believes of every cell: that it holds an object. Lin et al., Focal Loss, 2017.
LARGEST = 6.0  # Of the logarithm of a side, in cells: it keeps exp finite.


class Located(NamedTuple):
    """What a localiser says of each image.

    Attributes:
      class_logits: float32 [batch, num_classes].
      boxes: float32 [batch, 4].
      objectness: float32 [batch], the logit of "there is an object".
    """

    class_logits: jax.Array
    boxes: jax.Array
    objectness: jax.Array


class Cells(NamedTuple):
    """What a detector says of each cell of each level.

    Attributes:
      class_logits: float32 [batch, cell, num_classes], for a sigmoid each.
      boxes: float32 [batch, cell, 4].
      objectness: float32 [batch, cell], logits.
      anchors: where the cells lie: points and sizes float32 [cell, 2], the same for all images.
    """

    class_logits: jax.Array
    boxes: jax.Array
    objectness: jax.Array
    anchors: Anchors


class ConvNorm(nn.Module):
    """Convolution, normalisation, SiLU."""

    features: int
    norm: str
    dtype: jnp.dtype
    kernel: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        x = Conv(
            self.features,
            (self.kernel, self.kernel),
            strides=self.stride,
            use_bias=self.norm == 'none',
            dtype=self.dtype,
        )(x)
        return nn.silu(Norm(self.norm, self.dtype)(x, training))


class Pyramid(nn.Module):
    """Feature maps of one width, each fine one enriched by the coarser ones.

    Attributes:
      levels: how many to give: the encoder's coarsest ones, and where it has fewer, coarser ones by strides of two.
      features: channels of each.
    """

    levels: int
    features: int
    norm: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, levels: Levels, training: Training | None) -> Levels:
        chosen = list(levels[-self.levels :])
        maps = [ConvNorm(self.features, self.norm, self.dtype, kernel=1)(x, training) for x in chosen]
        for index in range(len(maps) - 2, -1, -1):
            coarse = jax.image.resize(maps[index + 1], maps[index].shape, 'nearest')
            maps[index] = ConvNorm(self.features, self.norm, self.dtype)(maps[index] + coarse, training)
        while len(maps) < self.levels:
            maps.append(ConvNorm(self.features, self.norm, self.dtype, stride=2)(maps[-1], training))
        return tuple(maps)


def grid(height: int, width: int) -> Anchors:
    """The cells of a map, row by row: points are their centres, sizes theirs; shares of the image, [cell, 2]."""
    y, x = jnp.meshgrid((jnp.arange(height) + 0.5) / height, (jnp.arange(width) + 0.5) / width, indexing='ij')
    points = jnp.stack([y.ravel(), x.ravel()], axis=-1)
    return Anchors(points, jnp.broadcast_to(jnp.array([1 / height, 1 / width]), points.shape))


class LocalizerHead(nn.Module):
    """One map [batch, height, width, channel] -> what is there, where, and whether anything is.

    A softmax over the cells says where to look: features are averaged under it, and the box's centre is its mean place
    and a correction. So what is learnt at one place is known at all.
    """

    num_classes: int
    features: int
    norm: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> Located:
        x = ConvNorm(self.features, self.norm, self.dtype)(x, training)
        batch, height, width, channels = x.shape
        look = nn.Conv(1, (1, 1), use_bias=False, dtype=jnp.float32, name='attention')
        scores = look(x.astype(jnp.float32)).reshape(batch, -1)
        attention = nn.softmax(scores)
        looked_at = jnp.einsum('bn,bnc->bc', attention, x.reshape(batch, -1, channels).astype(jnp.float32))
        y = nn.silu(Dense(self.features)(looked_at))
        # How much is there at all: the softmax itself has forgotten it.
        evidence = jnp.concatenate([y, x.max(axis=(1, 2)).astype(jnp.float32)], axis=-1)
        objectness = Dense(1, name='objectness')(evidence)[:, 0]
        place = Dense(4, name='box')(y)
        # In full, which products are not by themselves on accelerators: a pixel in 400 on TPUs.
        centre = jnp.matmul(attention, grid(height, width).points, precision='highest')
        centre = centre + 0.5 * jnp.tanh(place[:, :2])
        side = nn.sigmoid(place[:, 2:])
        logits = Dense(self.num_classes, name='logits')(y)
        return Located(logits, boxes.from_centre_size(jnp.concatenate([centre, side], axis=-1)), objectness)


class DetectorHead(nn.Module):
    """One level [batch, height, width, channel] -> `Cells`: a branch for the class, one for box and objectness.

    Attributes:
      convs: convolutions of each branch.
    """

    num_classes: int
    features: int
    convs: int
    norm: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> Cells:
        batch, height, width, _ = x.shape
        what = where = x
        for _ in range(self.convs):
            what = ConvNorm(self.features, self.norm, self.dtype)(what, training)
            where = ConvNorm(self.features, self.norm, self.dtype)(where, training)

        def output(x: jax.Array, channels: int, name: str, bias: float = 0.0) -> jax.Array:
            constant = nn.initializers.constant(bias)
            small = nn.initializers.normal(0.01)
            layer = nn.Conv(channels, (1, 1), dtype=jnp.float32, kernel_init=small, bias_init=constant, name=name)
            return layer(x.astype(jnp.float32)).reshape(batch, height * width, channels)

        unlikely = math.log(PRIOR / (1 - PRIOR))
        place = output(where, 4, 'box')
        anchors = grid(height, width)
        centre = anchors.points + place[..., :2] * anchors.sizes
        side = jnp.exp(jnp.clip(place[..., 2:], -LARGEST, LARGEST)) * anchors.sizes
        return Cells(
            output(what, self.num_classes, 'logits', unlikely),
            boxes.from_centre_size(jnp.concatenate([centre, side], axis=-1)),
            output(where, 1, 'objectness', unlikely)[..., 0],
            anchors,
        )


class Localizer(nn.Module):
    """Encoder -> pyramid -> the head, on the finest of the chosen levels.

    Attributes:
      encoder: any model of num_classes 0.
      levels: how many of the encoder's levels the pyramid takes, the coarsest ones; all if it has fewer.
      features: channels of pyramid and head.
    """

    encoder: nn.Module
    num_classes: int
    levels: int = 2
    features: int = 64
    norm: str = 'batch'
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, training: Training | None = None) -> Located:
        levels = self.encoder(images, training)[-self.levels :]
        maps = Pyramid(len(levels), self.features, self.norm, self.dtype, name='pyramid')(levels, training)
        head = LocalizerHead(self.num_classes, self.features, self.norm, self.dtype, name='head')
        return head(maps[0], training)


class Detector(nn.Module):
    """Encoder -> pyramid -> a head on each level, one box a cell.

    Attributes:
      encoder: any model of num_classes 0.
      levels: how many levels the pyramid has.
      features: channels of pyramid and heads.
      convs: convolutions of each branch of a head.
    """

    encoder: nn.Module
    num_classes: int
    levels: int = 3
    features: int = 64
    convs: int = 2
    norm: str = 'batch'
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, training: Training | None = None) -> Cells:
        maps = Pyramid(self.levels, self.features, self.norm, self.dtype, name='pyramid')(
            self.encoder(images, training), training
        )
        cells = [
            DetectorHead(self.num_classes, self.features, self.convs, self.norm, self.dtype, name=f'head{index + 1}')(
                x, training
            )
            for index, x in enumerate(maps)
        ]
        return Cells(
            jnp.concatenate([each.class_logits for each in cells], axis=1),
            jnp.concatenate([each.boxes for each in cells], axis=1),
            jnp.concatenate([each.objectness for each in cells], axis=1),
            jax.tree.map(lambda *parts: jnp.concatenate(parts), *(each.anchors for each in cells)),
        )

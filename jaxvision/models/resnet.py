"""Residual networks: the CIFAR family (6n + 2 layers) and the ImageNet family.

Source: He et al., Deep Residual Learning for Image Recognition, 2016.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision.models.conv import Conv
from jaxvision.models.heads import ClassifierHead
from jaxvision.models.layers import Dropout, Levels, Norm, Training, scaled
from jaxvision.models.pooling import overlapping_max_pool

CIFAR_DEPTHS = (20, 32, 44, 56, 110)
IMAGENET_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
DEPTHS = (*CIFAR_DEPTHS, *IMAGENET_STAGES)
STEMS = ('3x3', '7x7')
HE_NORMAL = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


def conv(filters: int, kernel: int, stride: int, bias: bool, dtype, name: str | None = None) -> Conv:
    """A convolution padded alike on both sides, as the published networks are (SAME pads a stride of 2 unevenly)."""
    pad = kernel // 2
    return Conv(
        filters,
        (kernel, kernel),
        strides=stride,
        padding=((pad, pad), (pad, pad)),
        use_bias=bias,
        dtype=dtype,
        kernel_init=HE_NORMAL,
        name=name,
    )


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or with `bottleneck` 1x1, 3x3 and 1x1.

    Attributes:
      filters: output channels.
      stride: of the (first) 3x3 convolution.
      bottleneck: whether to work on a quarter of the channels inside.
      projection: what joins shapes that differ: a 1x1 convolution, or (CIFAR) subsampling and zero channels.
    """

    filters: int
    stride: int
    bottleneck: bool
    projection: bool
    norm: str
    dropout: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        bias = self.norm == 'none'
        inner = self.filters // 4 if self.bottleneck else self.filters
        kernels = ((inner, 1, 1), (inner, 3, self.stride), (self.filters, 1, 1))
        if not self.bottleneck:
            kernels = ((inner, 3, self.stride), (inner, 3, 1))
        y = x
        for index, (filters, kernel, stride) in enumerate(kernels):
            last = index == len(kernels) - 1
            y = conv(filters, kernel, stride, bias, self.dtype)(y)
            # A last scale of zero starts each block as the identity (Goyal et al., 2017).
            y = Norm(self.norm, self.dtype, zero_scale=last)(y, training)
            y = y if last else Dropout(self.dropout)(nn.relu(y), training)
        if x.shape != y.shape:
            x = self.shortcut(x, bias, training)
        return nn.relu(x + y)

    def shortcut(self, x, bias, training):
        if self.projection:
            x = conv(self.filters, 1, self.stride, bias, self.dtype, name='projection')(x)
            return Norm(self.norm, self.dtype, name='projection_norm')(x, training)
        x = x[:, :: self.stride, :: self.stride]
        extra = self.filters - x.shape[-1]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (extra // 2, extra - extra // 2)))


class ResNet(nn.Module):
    """A residual network.

    Attributes:
      num_classes: of the head; 0 for the encoder alone.
      depth: 20, 32, 44, 56, 110 (three stages of 16, 32, 64 channels) or 18, 34, 50, 101, 152 (four of 64 ... 512,
        four times that at the output of the bottlenecks from 50 on).
      stem: 3x3 (small images), or 7x7 with stride 2 and a max-pool (224x224).
      dropout: whether to drop inside each block, after its activations, and before the head.
    """

    num_classes: int
    depth: int = 20
    stem: str = '3x3'
    width: float = 1.0
    norm: str = 'batch'
    dropout: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, training: Training | None = None) -> jax.Array | Levels:
        if self.stem not in STEMS:
            raise ValueError(f'unknown stem {self.stem!r}; known are {", ".join(STEMS)}')
        cifar = self.depth in CIFAR_DEPTHS
        stages = ((self.depth - 2) // 6,) * 3 if cifar else IMAGENET_STAGES[self.depth]
        bottleneck = not cifar and self.depth >= 50
        first = 16 if cifar else 64
        expansion = 4 if bottleneck else 1
        kernel, stride = (3, 1) if self.stem == '3x3' else (7, 2)
        x = images.astype(self.dtype)
        x = conv(scaled(first, self.width), kernel, stride, self.norm == 'none', self.dtype, name='stem')(x)
        x = nn.relu(Norm(self.norm, self.dtype, name='stem_norm')(x, training))
        if self.stem == '7x7':
            x = overlapping_max_pool(x)
        levels = []
        for stage, blocks in enumerate(stages):
            for index in range(blocks):
                x = Block(
                    filters=scaled(first * 2**stage, self.width) * expansion,
                    stride=2 if stage > 0 and index == 0 else 1,
                    bottleneck=bottleneck,
                    projection=not cifar,
                    norm=self.norm,
                    dropout=self.dropout,
                    dtype=self.dtype,
                    name=f'stage{stage + 1}_block{index + 1}',
                )(x, training)
            levels.append(x)
        if not self.num_classes:
            return tuple(levels)
        x = Dropout(self.dropout)(x.mean(axis=(1, 2)), training)
        return ClassifierHead(self.num_classes)(x)

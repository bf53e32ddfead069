"""Models: an explicit dict of builders. A new encoder is one Flax module, one line here, and its name in settings."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from jaxvision.models.airbench import Airbench
from jaxvision.models.convnet import ConvNet
from jaxvision.models.mlp import MLP, Linear
from jaxvision.models.resnet import ResNet
from jaxvision.models.vit import ViT

BUILDERS: dict[str, type[nn.Module]] = {
    'linear': Linear,
    'mlp': MLP,
    'convnet': ConvNet,
    'resnet': ResNet,
    'vit': ViT,
    'airbench': Airbench,
}


def hyperparameters(name: str) -> set[str]:
    """What a model is configured by, besides the number of classes."""
    return {field.name for field in dataclasses.fields(BUILDERS[name])} - {'parent', 'name', 'num_classes'}


def build(name: str, num_classes: int, **values) -> nn.Module:
    """Builds a network that maps images [batch, height, width, channel] to logits [batch, num_classes].

    Args:
      name: a key of `BUILDERS`.
      num_classes: number of classes.
      **values: hyperparameters; those that this model does not have are left out. `dropout` is a rate here (whether it
        is on is static; the rate itself comes with each call, in `Training`), and `dtype` a name.
    """
    known = {key: value for key, value in values.items() if key in hyperparameters(name)}
    if 'dropout' in known:
        known['dropout'] = known['dropout'] > 0
    if 'dtype' in known:
        known['dtype'] = jnp.dtype(known['dtype'])
    return BUILDERS[name](num_classes=num_classes, **known)

"""The contract between a task and the one trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision import rng
from jaxvision.models.layers import Training
from jaxvision.tasks.views import Views

Variables = dict[str, Any]  # {'params', 'batch_stats', 'constants'}; see training.state
Context = dict[str, Any]  # {'data', 'strengths', 'teachers'}: read by a step, never changed or saved


class Examples(NamedTuple):
    """A batch as the network sees it.

    Attributes:
      images: float32 [batch, height, width, channel] in [0, 1], augmented and mixed.
      targets: what the task learns from.
      teacher: what the teacher makes of the very same images, or None.
    """

    images: jax.Array
    targets: Any
    teacher: Any = None


class Task(Protocol):
    """A model and a loss. All methods are pure; `axis_name` is the mapped axis over devices, or None."""

    def init(self, key: jax.Array) -> Variables:
        """Fresh params and batch_stats."""
        ...

    def examples(self, context: Context, ids: jax.Array, key: jax.Array, step: jax.Array, axis_name) -> Examples:
        """Gathers and augments the examples of one step; ids int [batch] of this device."""
        ...

    def clean(self, context: Context, ids: jax.Array) -> Examples:
        """The same without augmentation or mixing: what evaluation looks at."""
        ...

    def forward(self, variables: Variables, images: jax.Array, training) -> tuple[Any, Any]:
        """Outputs, and batch_stats as they are afterwards; `training` is layers.Training, or None in evaluation."""
        ...

    def training(self, strengths, ids: jax.Array, key: jax.Array, step: jax.Array, axis_name) -> Any:
        """What `forward` needs in training."""
        ...

    def losses(self, outputs: Any, examples: Examples, strengths) -> dict[str, jax.Array]:
        """Per-example values [batch]; `loss` is what is minimised, the others are logged."""
        ...

    def decode(self, outputs: Any, examples: Examples, strengths) -> Any:
        """What evaluation wants of the outputs: a tree of arrays [batch, ...]."""
        ...

    def ensemble(self, outputs: Sequence[Any]) -> Any:
        """The outputs of several networks as those of one."""
        ...

    def imitation(self, outputs: Any, teacher: Any, temperature) -> jax.Array:
        """How far the outputs are from the teacher's, [batch]: what distillation adds to the loss."""
        ...


@dataclass(frozen=True)
class Network:
    """What the tasks with a network of their own share.

    Attributes:
      model: maps normalised images and `Training` to its outputs.
      shape: of one image, (height, width, channel).
      num_classes: number of classes.
      views: the augmentations of single images.
      mixup: whether images are mixed with another, by Beta(strengths['mixup']).
      dropout: whether strengths['dropout'] acts.
    """

    model: nn.Module
    shape: tuple[int, int, int]
    num_classes: int
    views: Views = Views()
    mixup: bool = False
    dropout: bool = False

    def init(self, key: jax.Array) -> Variables:
        variables = self.model.init(key, jnp.zeros((1, *self.shape), jnp.float32))
        return {'params': variables['params'], 'batch_stats': variables.get('batch_stats', {})}

    def training(self, strengths, ids: jax.Array, key: jax.Array, step: jax.Array, axis_name) -> Training:
        if not self.dropout:
            return Training(axis_name=axis_name)
        return Training(strengths['dropout'], rng.key(key, 'dropout', step, ids), axis_name)


def apply(model: nn.Module, variables: Variables, images: jax.Array, training: Training | None):
    """Normalises pixels and runs the network.

    Args:
      model: takes images and `Training`.
      variables: of the network, with the mean and std of its pixels.
      images: float32 [batch, height, width, channel] in [0, 1].
      training: None in evaluation.

    Returns:
      Its outputs, and batch_stats as they are afterwards.
    """
    constants = variables['constants']
    images = (images - constants['mean']) / constants['std']
    network = {'params': variables['params'], 'batch_stats': variables['batch_stats']}
    if 'whitening' in constants:
        network['constants'] = {'whitening': constants['whitening']}
    if training is None:
        return model.apply(network, images), variables['batch_stats']
    outputs, changed = model.apply(network, images, training, mutable=['batch_stats'])
    return outputs, changed.get('batch_stats', {})

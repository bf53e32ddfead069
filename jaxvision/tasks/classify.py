"""Classification: image -> encoder -> softmax with temperature -> class."""

from collections.abc import Sequence
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision import augment, losses, rng
from jaxvision.data import resident
from jaxvision.models.layers import Training
from jaxvision.tasks.task import Context, Examples, Variables

LOSSES = {'cross_entropy': losses.cross_entropy, 'squared_error': losses.squared_error}


@dataclass(frozen=True)
class Classify:
    """One class an image.

    Attributes:
      model: maps normalised images to logits.
      shape: of one image, (height, width, channel).
      num_classes: number of classes.
      loss: a key of `LOSSES`.
      mirror, crop: as in `augment.random_affine`.
      rotate, mixup, smoothing, dropout: whether they are on. How strong they are comes with the context, traced.
      partners: of mixup, as in `augment.draw_partners`.
    """

    model: nn.Module
    shape: tuple[int, int, int]
    num_classes: int
    loss: str = 'cross_entropy'
    mirror: bool = False
    crop: int = 0
    rotate: bool = False
    mixup: bool = False
    partners: str = 'any'
    smoothing: bool = False
    dropout: bool = False

    def init(self, key: jax.Array) -> Variables:
        variables = self.model.init(key, jnp.zeros((1, *self.shape), jnp.float32))
        return {'params': variables['params'], 'batch_stats': variables.get('batch_stats', {})}

    def examples(self, context: Context, ids: jax.Array, key: jax.Array, step: jax.Array, axis_name) -> Examples:
        strengths = context['strengths']
        images, labels = resident.gather(context['data'], ids)
        if self.mirror or self.crop or self.rotate:
            rotate = strengths['rotate'] if self.rotate else 0.0

            def augmented(image, example_key):
                matrix = augment.random_affine(
                    example_key, *self.shape[:2], mirror=self.mirror, crop=self.crop, rotate=rotate
                )
                return augment.warp(image, matrix)

            images = jax.vmap(augmented)(images, rng.key(key, 'augment', step, ids))
        targets = losses.soft_targets(labels, self.num_classes)
        if self.smoothing:
            targets = losses.smooth_labels(targets, strengths['label_smoothing'])
        if self.mixup:
            # Partners come from the whole batch, wherever they lie, so that nothing depends on the device count.
            everyone = (images, targets, labels)
            first = 0
            if axis_name is not None:
                everyone = jax.lax.all_gather(everyone, axis_name, tiled=True)
                first = jax.lax.axis_index(axis_name) * len(ids)
            partners = augment.draw_partners(rng.key(key, 'mixup', step), everyone[2], self.partners)
            partners = jax.lax.dynamic_slice_in_dim(partners, first, len(ids))
            weights = augment.mixing_weights(rng.key(key, 'mixup', step, ids), strengths['mixup'])
            images = augment.mix(images, everyone[0][partners], weights)
            targets = augment.mix(targets, everyone[1][partners], weights)
        return Examples(images, targets)

    def training(self, strengths, ids: jax.Array, key: jax.Array, step: jax.Array, axis_name) -> Training:
        if not self.dropout:
            return Training(axis_name=axis_name)
        return Training(strengths['dropout'], rng.key(key, 'dropout', step, ids), axis_name)

    def forward(self, variables: Variables, images: jax.Array, training: Training | None):
        """Logits float32 [batch, num_classes], already divided by the model's temperature, and batch_stats."""
        constants = variables['constants']
        images = (images - constants['mean']) / constants['std']
        network = {'params': variables['params'], 'batch_stats': variables['batch_stats']}
        if training is None:
            logits, changed = self.model.apply(network, images), variables['batch_stats']
        else:
            logits, changed = self.model.apply(network, images, training, mutable=['batch_stats'])
            changed = changed.get('batch_stats', {})
        return logits / constants['temperature'], changed

    def losses(self, outputs: jax.Array, examples: Examples, strengths) -> dict[str, jax.Array]:
        return {'loss': LOSSES[self.loss](outputs, examples.targets)}

    def ensemble(self, outputs: Sequence[jax.Array]) -> jax.Array:
        return outputs[0] if len(outputs) == 1 else losses.ensemble_log_probabilities(outputs)

    def imitation(self, outputs: jax.Array, teacher: jax.Array, temperature) -> jax.Array:
        return losses.distillation(outputs, teacher, temperature)

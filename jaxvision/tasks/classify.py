"""Classification: image -> encoder -> softmax with temperature -> class."""

from collections.abc import Sequence
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision import augment, losses, rng
from jaxvision.data import resident
from jaxvision.models.layers import Training
from jaxvision.tasks.task import Context, Examples, Variables, apply
from jaxvision.tasks.views import Views

LOSSES = {'cross_entropy': losses.cross_entropy, 'squared_error': losses.squared_error}


@dataclass(frozen=True)
class Classify:
    """One class an image.

    Attributes:
      model: maps normalised images to logits.
      shape: of one image, (height, width, channel).
      num_classes: number of classes.
      loss: a key of `LOSSES`.
      views: the augmentations of single images.
      mixup, smoothing, dropout: whether they are on. How strong they are comes with the context, traced.
      partners: of mixup, as in `augment.draw_partners`.
    """

    model: nn.Module
    shape: tuple[int, int, int]
    num_classes: int
    loss: str = 'cross_entropy'
    views: Views = Views()
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
        if self.views.moves:

            def moved(image, example_key):
                return augment.warp(image, self.views.matrix(example_key, *self.shape[:2], strengths))

            images = jax.vmap(moved)(images, rng.key(key, 'augment', step, ids))
        images = self.views.recolor(rng.key(key, 'color', step, ids), images, strengths)
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

    def clean(self, context: Context, ids: jax.Array) -> Examples:
        images, labels = resident.gather(context['data'], ids)
        return Examples(images, losses.soft_targets(labels, self.num_classes))

    def training(self, strengths, ids: jax.Array, key: jax.Array, step: jax.Array, axis_name) -> Training:
        if not self.dropout:
            return Training(axis_name=axis_name)
        return Training(strengths['dropout'], rng.key(key, 'dropout', step, ids), axis_name)

    def forward(self, variables: Variables, images: jax.Array, training: Training | None):
        """Logits float32 [batch, num_classes], already divided by the model's temperature, and batch_stats."""
        logits, changed = apply(self.model, variables, images, training)
        return logits / variables['constants']['temperature'], changed

    def losses(self, outputs: jax.Array, examples: Examples, strengths) -> dict[str, jax.Array]:
        return {'loss': LOSSES[self.loss](outputs, examples.targets)}

    def decode(self, outputs: jax.Array, examples: Examples, strengths) -> jax.Array:
        return outputs

    def ensemble(self, outputs: Sequence[jax.Array]) -> jax.Array:
        return outputs[0] if len(outputs) == 1 else losses.ensemble_log_probabilities(outputs)

    def imitation(self, outputs: jax.Array, teacher: jax.Array, temperature) -> jax.Array:
        return losses.distillation(outputs, teacher, temperature)

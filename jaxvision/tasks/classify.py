"""Classification: image -> encoder -> softmax with temperature -> class."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import jax

from jaxvision import augment, losses, rng
from jaxvision.data import resident
from jaxvision.models.layers import Training
from jaxvision.tasks.batches import whole_batch
from jaxvision.tasks.task import Context, Examples, Network, Variables, apply

# Views of an image that are averaged in evaluation, (share, mirrored, pixels down and right).
TEST_TIME = {
    'none': ((1.0, False, 0),),
    'mirror': ((0.5, False, 0), (0.5, True, 0)),
    'mirror_shift': (
        *((0.25, flip, 0) for flip in (False, True)),
        *((0.125, flip, shift) for flip in (False, True) for shift in (-1, 1)),
    ),
}
LOSSES = {'cross_entropy': losses.cross_entropy, 'squared_error': losses.squared_error}


@dataclass(frozen=True)
class Classify(Network):
    """One class an image; the model maps images to logits.

    Attributes:
      loss: a key of `LOSSES`.
      partners: of mixup, as in `augment.draw_partners`.
      smoothing: whether strengths['label_smoothing'] acts.
      test_time: a key of `TEST_TIME`: the views of an image whose logits are averaged in evaluation.
    """

    loss: str = 'cross_entropy'
    partners: str = 'any'
    smoothing: bool = False
    test_time: str = 'none'

    def examples(self, context: Context, ids: jax.Array, key: jax.Array, step: jax.Array, axis_name) -> Examples:
        strengths = context['strengths']
        images, labels = resident.gather(context['data'], ids)
        if self.views.moves:
            maps = self.views.maps(ids, self.shape, strengths, key, step, axis_name)
            images = jax.vmap(lambda image, matrix: augment.warp(image, matrix, border=self.views.border))(images, maps)
        images = self.views.recolor(rng.key(key, 'color', step, ids), images, strengths)
        targets = losses.soft_targets(labels, self.num_classes)
        if self.smoothing:
            targets = losses.smooth_labels(targets, strengths['label_smoothing'])
        if self.mixup:
            # Partners come from the whole batch, wherever they lie, so that nothing depends on the device count.
            first, everyone = whole_batch((images, targets, labels), len(ids), axis_name)
            partners = augment.draw_partners(rng.key(key, 'mixup', step), everyone[2], self.partners)
            partners = jax.lax.dynamic_slice_in_dim(partners, first, len(ids))
            weights = augment.mixing_weights(rng.key(key, 'mixup', step, ids), strengths['mixup'])
            images = augment.mix(images, everyone[0][partners], weights)
            targets = augment.mix(targets, everyone[1][partners], weights)
        return Examples(images, targets)

    def clean(self, context: Context, ids: jax.Array) -> Examples:
        images, labels = resident.gather(context['data'], ids)
        return Examples(images, losses.soft_targets(labels, self.num_classes))

    def forward(self, variables: Variables, images: jax.Array, training: Training | None):
        """Logits float32 [batch, num_classes], already divided by the model's temperature, and batch_stats."""
        if training is None and self.test_time != 'none':
            logits, changed = self._averaged(variables, images), variables['batch_stats']
        else:
            logits, changed = apply(self.model, variables, images, training)
        return logits / variables['constants']['temperature'], changed

    def _averaged(self, variables: Variables, images: jax.Array) -> jax.Array:
        """The mean logits of several views of each image: test-time augmentation, or multi-crop evaluation."""
        height, width, _ = self.shape
        logits = []
        for share, flip, shift in TEST_TIME[self.test_time]:
            # Shifted first, as the shares want it: an affine map mirrors first.
            view = augment.affine(height, width, mirror=flip, shift=(shift, -shift if flip else shift))
            seen = jax.vmap(lambda image, view=view: augment.warp(image, view, border='reflect'))(images)
            logits.append(share * apply(self.model, variables, seen, None)[0])
        return jax.tree.reduce(operator.add, logits)

    def losses(self, outputs: jax.Array, examples: Examples, strengths) -> dict[str, jax.Array]:
        return {'loss': LOSSES[self.loss](outputs, examples.targets)}

    def decode(self, outputs: jax.Array, examples: Examples, strengths) -> jax.Array:
        return outputs

    def ensemble(self, outputs: Sequence[jax.Array]) -> jax.Array:
        return outputs[0] if len(outputs) == 1 else losses.ensemble_log_probabilities(outputs)

    def imitation(self, outputs: jax.Array, teacher: jax.Array, temperature) -> jax.Array:
        return losses.distillation(outputs, teacher, temperature)

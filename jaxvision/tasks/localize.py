"""Localisation: one object or none; whether there is one switches the losses of what and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxvision import boxes, losses
from jaxvision.models.detector import Located
from jaxvision.tasks.objects import ObjectTask, Targets, mean_probability
from jaxvision.tasks.task import Examples


class Localized(NamedTuple):
    """What evaluation looks at.

    Attributes:
      class_logits: float32 [batch, num_classes].
      boxes: float32 [batch, 4].
      objectness: float32 [batch], the probability that there is an object.
      loss: float32 [batch].
    """

    class_logits: jax.Array
    boxes: jax.Array
    objectness: jax.Array
    loss: jax.Array


@dataclass(frozen=True)
class Localize(ObjectTask):
    """One object an image, or none.

    Attributes:
      box: the box loss, see `losses.box_loss`.
    """

    box: str = 'giou'

    def losses(self, outputs: Located, examples: Examples, strengths) -> dict[str, jax.Array]:
        targets: Targets = examples.targets
        labels, target_boxes, present = only_object(targets)
        parts = losses.localization(
            *outputs,
            labels=labels,
            target_boxes=target_boxes,
            present=present,
            box=self.box,
            smoothing=strengths['label_smoothing'],
            **{name: strengths[name] for name in ('class_weight', 'box_weight', 'objectness_weight')},
        )
        # Where all that is there is ignored, nothing is right or wrong.
        heard = present | ~jnp.any(targets.valid & targets.ignored, axis=1)
        return {name: jnp.where(heard, part, 0.0) for name, part in parts.items()}

    def decode(self, outputs: Located, examples: Examples, strengths) -> Localized:
        loss = self.losses(outputs, examples, strengths)['loss']
        return Localized(outputs.class_logits, boxes.clip(outputs.boxes), jax.nn.sigmoid(outputs.objectness), loss)

    def ensemble(self, outputs: Sequence[Located]) -> Located:
        if len(outputs) == 1:
            return outputs[0]
        return Located(
            losses.ensemble_log_probabilities([each.class_logits for each in outputs]),
            jnp.mean(jnp.stack([each.boxes for each in outputs]), axis=0),
            mean_probability([each.objectness for each in outputs]),
        )

    def imitation(self, outputs: Located, teacher: Located, temperature) -> jax.Array:
        return losses.imitate_localization(outputs, teacher, temperature, box=self.box)


def only_object(targets: Targets) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The first object that counts: class int32 [batch], box float32 [batch, 4], and whether there is one [batch]."""
    first = jnp.argmax(targets.counted, axis=1)
    labels = jnp.take_along_axis(targets.classes, first[:, None], axis=1)[:, 0]
    box = jnp.take_along_axis(targets.boxes, first[:, None, None], axis=1)[:, 0]
    return labels, box, jnp.any(targets.counted, axis=1)

"""Detection: any number of objects an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxvision import boxes, losses
from jaxvision.losses import Anchors, Assignment
from jaxvision.models.detector import Cells
from jaxvision.tasks.objects import ObjectTask, Targets, mean_probability
from jaxvision.tasks.task import Examples

ASSIGNERS = ('simota', 'task_aligned', 'center')
CANDIDATES = 10  # Cells that non-maximum suppression looks at, for each detection that is kept: the most certain ones.


class Detected(NamedTuple):
    """What is left after non-maximum suppression, best first.

    Attributes:
      boxes: float32 [batch, detection, 4].
      scores: float32 [batch, detection]: probability of the class times that of an object.
      classes: int32 [batch, detection].
      valid: bool [batch, detection]; False is padding.
      loss: float32 [batch].
    """

    boxes: jax.Array
    scores: jax.Array
    classes: jax.Array
    valid: jax.Array
    loss: jax.Array


@dataclass(frozen=True)
class Detect(ObjectTask):
    """Class, box and objectness of every cell.

    Attributes:
      assigner: which cells answer for which object, one of `ASSIGNERS`.
      classification: bce or focal, see `losses.detection`.
      box: the box loss, see `losses.box_loss`.
      nms_iou: boxes that overlap by more suppress each other.
      nms_per_class: only those of the same class.
      max_detections: how many are kept.
      min_score: detections below are left out.
    """

    assigner: str = 'simota'
    classification: str = 'bce'
    box: str = 'giou'
    nms_iou: float = 0.6
    nms_per_class: bool = True
    max_detections: int = 100
    min_score: float = 0.001

    def losses(self, outputs: Cells, examples: Examples, strengths) -> dict[str, jax.Array]:
        targets: Targets = examples.targets
        weights = {name: strengths[name] for name in ('class_weight', 'box_weight', 'objectness_weight')}

        def one(class_logits, predicted, objectness, target: Targets):
            assignment = self.assign(outputs.anchors, class_logits, predicted, objectness, target)
            covered = losses.inside(outputs.anchors, target.boxes) & (target.valid & target.ignored)[:, None]
            return losses.detection(
                class_logits,
                predicted,
                objectness,
                assignment,
                target.boxes,
                target.classes,
                normaliser=target.density,
                weights=target.weights,
                ignored=jnp.any(covered, axis=0),
                classification=self.classification,
                box=self.box,
                **weights,
            )

        return jax.vmap(one)(outputs.class_logits, outputs.boxes, outputs.objectness, targets)

    def assign(self, anchors: Anchors, class_logits, predicted, objectness, target: Targets) -> Assignment:
        """Which cells of one image answer for which of its objects."""
        if self.assigner == 'center':
            return losses.center_sampling(anchors, target.boxes, target.counted)
        if self.assigner == 'simota':
            return losses.simota(
                anchors, target.boxes, target.classes, target.counted, class_logits, predicted, objectness
            )
        scores = jax.nn.sigmoid(class_logits) * jax.nn.sigmoid(objectness)[:, None]
        return losses.task_aligned(anchors, target.boxes, target.classes, target.counted, scores, predicted)

    def decode(self, outputs: Cells, examples: Examples, strengths) -> Detected:
        scores, classes, places = jax.vmap(self.suppress)(outputs.class_logits, outputs.boxes, outputs.objectness)
        return Detected(places, scores, classes, scores > 0, self.losses(outputs, examples, strengths)['loss'])

    def suppress(self, class_logits: jax.Array, places: jax.Array, objectness: jax.Array):
        """The cells of one image -> scores, classes and boxes of its detections, zero where there are no more."""
        scores = jax.nn.sigmoid(jnp.max(class_logits, axis=-1)) * jax.nn.sigmoid(objectness)
        scores, cells = jax.lax.top_k(scores, min(CANDIDATES * self.max_detections, len(scores)))
        scores = jnp.where(scores >= self.min_score, scores, 0.0)
        classes, places = jnp.argmax(class_logits[cells], axis=-1), boxes.clip(places[cells])
        chosen, valid = boxes.nms(
            places,
            scores,
            iou_threshold=self.nms_iou,
            classes=classes if self.nms_per_class else None,
            max_outputs=self.max_detections,
        )
        return (
            jnp.where(valid, scores[chosen], 0.0),
            jnp.where(valid, classes[chosen], 0).astype(jnp.int32),
            jnp.where(valid[:, None], places[chosen], 0.0),
        )

    def ensemble(self, outputs: Sequence[Cells]) -> Cells:
        if len(outputs) == 1:
            return outputs[0]
        return Cells(
            mean_probability([each.class_logits for each in outputs]),
            jnp.mean(jnp.stack([each.boxes for each in outputs]), axis=0),
            mean_probability([each.objectness for each in outputs]),
            outputs[0].anchors,
        )

    def imitation(self, outputs: Cells, teacher: Cells, temperature) -> jax.Array:
        return losses.imitate_detection(outputs[:3], teacher[:3], temperature, box=self.box)

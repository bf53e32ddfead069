"""Error kinds: what a detector does wrong, each wrong thing counted once.

Source: after Hoiem, Chodpathumwan and Dai, Diagnosing Error in Object Detectors, 2012, and Bolya, Foley, Hays and
Hoffman, TIDE: A General Toolbox for Identifying Object Detection Errors, 2020.
"""

from typing import NamedTuple

import numpy as np

from jaxvision.metrics.average_precision import Detections, GroundTruth, assign, in_pixels, overlap

# The codes of `DetectionErrors.kinds` are positions here. Not judged: padding, a low score, or on an ignored object.
KINDS = ('not judged', 'correct', 'duplicate', 'wrong class', 'poor box', 'background')


class DetectionErrors(NamedTuple):
    """kinds int [n, k], positions in `KINDS`; missed bool [n, slots]; counts of each kind and of 'missed'."""

    kinds: np.ndarray
    missed: np.ndarray
    counts: dict[str, int]

    @property
    def by_image(self) -> np.ndarray:
        """How many errors and missed objects there are in each image, int [n]."""
        return np.sum(self.kinds > KINDS.index('correct'), axis=1) + np.sum(self.missed, axis=1)


def error_kinds(
    detections: Detections, truth: GroundTruth, *, score: float = 0.5, iou: float = 0.5, background: float = 0.1
) -> DetectionErrors:
    """Sorts detections, and the objects that none of them is about, into kinds; the first that fits, in this order.

    * correct: a hit, matched as in COCO;
    * duplicate: IoU >= `iou` with an object of its class, which a better detection has found;
    * wrong class: IoU >= `iou` with an object of another class;
    * poor box: IoU >= `background` with an object of its class;
    * background: the rest.

    An object is missed if it was not found, and if it is not the one that a wrong class or a poor box was meant for, by
    the largest overlap: that error stands for it already. Ignored objects are neither found nor missed, and detections
    in them are not judged.

    Args:
      detections, truth: of n images.
      score: detections below it do not count.
      iou: from here on a box is a hit.
      background: below it a box has nothing to do with an object.
    """
    shown = detections._replace(valid=detections.valid & (detections.scores >= score))
    hits, ignored, found = (flags[0] for flags in assign(shown, truth, [iou]))
    objects = truth.valid & ~truth.ignored
    images, columns = np.nonzero(shown.valid & ~hits & ~ignored)
    boxes = in_pixels(shown.boxes, truth.sizes)[images, columns, None]
    overlaps = overlap(boxes, in_pixels(truth.boxes, truth.sizes)[images])
    same = shown.classes[images, columns, None] == truth.classes[images]
    own, other = (np.where(objects[images] & of_kind, overlaps, -1.0) for of_kind in (same, ~same))
    best_own, best_other = (values.max(axis=1, initial=-1.0) for values in (own, other))
    # The assignment left these over: an object of their class that they overlap enough was taken before them.
    duplicate = best_own >= iou
    wrong_class = ~duplicate & (best_other >= iou)
    poor_box = ~duplicate & ~wrong_class & (best_own >= background)

    kinds = np.zeros(hits.shape, np.int32)
    kinds[hits] = KINDS.index('correct')
    codes = [KINDS.index(name) for name in ('duplicate', 'wrong class', 'poor box')]
    kinds[images, columns] = np.select([duplicate, wrong_class, poor_box], codes, KINDS.index('background'))
    missed = objects & ~found
    for wrong, values in ((wrong_class, other), (poor_box, own)):
        for image, row in zip(images[wrong], values[wrong], strict=True):
            missed[image, row.argmax()] = False
    counts = np.bincount(kinds.ravel(), minlength=len(KINDS)).tolist()
    named = dict(zip(KINDS[1:], counts[1:], strict=True))
    return DetectionErrors(kinds, missed, {**named, 'missed': int(missed.sum())})

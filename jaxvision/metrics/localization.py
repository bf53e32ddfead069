"""Localisation: is there an object, of which class, and where; one object an image or none."""

import numpy as np

from jaxvision.metrics.average_precision import extents, overlap


def localization_scores(
    probability: np.ndarray,
    predictions: np.ndarray,
    boxes: np.ndarray,
    *,
    present: np.ndarray,
    labels: np.ndarray,
    target_boxes: np.ndarray,
    threshold: float = 0.5,
    iou: float = 0.5,
) -> dict[str, np.ndarray]:
    """What each figure is the mean of: one entry an example that it is about, so that the caller makes intervals.

    Args:
      probability: float [n], that there is an object.
      predictions: int [n], the class of the object if there is one.
      boxes: float [n, 4], the same, as [ymin, xmin, ymax, xmax].
      present: bool [n], whether there is an object.
      labels: int [n], read only where present.
      target_boxes: float [n, 4], read only where present.
      threshold: an object is said to be there from this probability on.
      iou: the overlap from which an object counts as detected.

    Returns:
      Of the images with an object, said to be there or not: 'class_accuracy' bool [objects], 'mean_iou' float
      [objects]; of those without: 'empty_accuracy' bool [n - objects]; of all: 'objectness_accuracy' bool [n], and
      'detection_accuracy' bool [n], which takes an object said to be there, of the right class and overlap, or an empty
      image said to be empty.
    """
    present, said = np.asarray(present, bool), np.asarray(probability) >= threshold
    right = predictions[present] == labels[present]
    # Shares do as well as pixels: an IoU does not change when height and width are scaled.
    ious = overlap(extents(boxes[present]), extents(target_boxes[present]))
    detected = ~said
    detected[present] = said[present] & right & (ious >= iou)
    return {
        'class_accuracy': right,
        'mean_iou': ious,
        'objectness_accuracy': said == present,
        'empty_accuracy': ~said[~present],
        'detection_accuracy': detected,
    }

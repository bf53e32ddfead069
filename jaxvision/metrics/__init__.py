"""Metrics: what is reported, never minimised. They run on the host, on NumPy arrays of a whole split."""

from jaxvision.metrics.accuracy import confusion_matrix, in_top_k, per_class_accuracy
from jaxvision.metrics.average_precision import (
    COCO_FIGURES,
    THRESHOLDS,
    Curve,
    Detections,
    GroundTruth,
    Matches,
    bootstrap,
    coco,
    coco_average_precision,
    coco_means,
    matches,
    precision_recall,
    voc_average_precision,
)
from jaxvision.metrics.calibration import (
    bin_of,
    calibration_error,
    log_probabilities,
    negative_log_likelihood,
    probabilities,
    reliability,
)
from jaxvision.metrics.detection_errors import KINDS, DetectionErrors, error_kinds
from jaxvision.metrics.intervals import wilson
from jaxvision.metrics.localization import localization_scores

__all__ = [
    'COCO_FIGURES',
    'KINDS',
    'THRESHOLDS',
    'Curve',
    'DetectionErrors',
    'Detections',
    'GroundTruth',
    'Matches',
    'bin_of',
    'bootstrap',
    'calibration_error',
    'coco',
    'coco_average_precision',
    'coco_means',
    'confusion_matrix',
    'error_kinds',
    'in_top_k',
    'localization_scores',
    'log_probabilities',
    'matches',
    'negative_log_likelihood',
    'per_class_accuracy',
    'precision_recall',
    'probabilities',
    'reliability',
    'voc_average_precision',
    'wilson',
]

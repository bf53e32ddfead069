"""Metrics: what is reported, never minimised. They run on the host, on NumPy arrays of a whole split."""

from jaxvision.metrics.accuracy import confusion_matrix, in_top_k, per_class_accuracy
from jaxvision.metrics.calibration import (
    bin_of,
    calibration_error,
    log_probabilities,
    negative_log_likelihood,
    probabilities,
    reliability,
)
from jaxvision.metrics.intervals import wilson

__all__ = [
    'bin_of',
    'calibration_error',
    'confusion_matrix',
    'in_top_k',
    'log_probabilities',
    'negative_log_likelihood',
    'per_class_accuracy',
    'probabilities',
    'reliability',
    'wilson',
]

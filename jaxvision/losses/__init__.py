"""Losses: pure functions, one value per example."""

from jaxvision.losses.classification import cross_entropy, smooth_labels, soft_targets, squared_error
from jaxvision.losses.distillation import combine, distillation, ensemble_log_probabilities

__all__ = [
    'combine',
    'cross_entropy',
    'distillation',
    'ensemble_log_probabilities',
    'smooth_labels',
    'soft_targets',
    'squared_error',
]

"""Losses: pure functions, one value per example; for detection, also who answers for which object."""

from jaxvision.losses.assignment import Anchors, Assignment, center_sampling, inside, simota, size_ranges, task_aligned
from jaxvision.losses.classification import cross_entropy, smooth_labels, soft_targets, squared_error
from jaxvision.losses.detection import detection, focal, imitate_detection
from jaxvision.losses.distillation import combine, distillation, ensemble_log_probabilities
from jaxvision.losses.localization import binary_cross_entropy, box_loss, imitate_localization, localization

__all__ = [
    'Anchors',
    'Assignment',
    'binary_cross_entropy',
    'box_loss',
    'center_sampling',
    'combine',
    'cross_entropy',
    'detection',
    'distillation',
    'ensemble_log_probabilities',
    'focal',
    'imitate_detection',
    'imitate_localization',
    'inside',
    'localization',
    'simota',
    'size_ranges',
    'smooth_labels',
    'soft_targets',
    'squared_error',
    'task_aligned',
]

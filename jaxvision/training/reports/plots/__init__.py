"""Figures: pure functions, arrays -> matplotlib Figure. Nothing here reads a file, and pyplot is never touched.

In a notebook, `display(plots.confusion(matrix, names))`; for a page, `plots.svg(figure)`.
"""

from jaxvision.training.reports.plots.classes import class_accuracy, confusion
from jaxvision.training.reports.plots.confidence import (
    TEMPERATURES,
    agreement,
    instructive_example,
    reliability,
    temperature_ladder,
)
from jaxvision.training.reports.plots.learning import Measured, curves, gap
from jaxvision.training.reports.plots.objects import (
    error_counts,
    errors_by_score,
    objectness,
    overlaps,
    precision_recall,
)
from jaxvision.training.reports.plots.style import ANNOTATED_CLASSES, COLORS, INK, KIND_COLORS, svg

__all__ = [
    'ANNOTATED_CLASSES',
    'COLORS',
    'INK',
    'KIND_COLORS',
    'TEMPERATURES',
    'Measured',
    'agreement',
    'class_accuracy',
    'confusion',
    'curves',
    'error_counts',
    'errors_by_score',
    'gap',
    'instructive_example',
    'objectness',
    'overlaps',
    'precision_recall',
    'reliability',
    'svg',
    'temperature_ladder',
]

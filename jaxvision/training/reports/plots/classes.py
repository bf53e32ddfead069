"""Class by class: which are recognised, and which are taken for one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxvision import metrics
from jaxvision.training.reports.plots.style import (
    ANNOTATED_CLASSES,
    COLORS,
    INK,
    RULE,
    as_percent,
    blank,
    fits,
    frame,
    short,
    styled,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _blend(share: np.ndarray, color: str) -> np.ndarray:
    """White at 0, `color` at 1; the square root lets the few errors be seen beside the many right answers."""
    end = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return 1 - np.sqrt(share)[..., None] * (1 - end)


def _matrix_frame(names: Sequence[str], width: int, right: int) -> tuple[Figure, Axes]:
    """Axes with a row a class, as high as a square matrix would be: so that figures side by side line up."""
    named = len(names) <= ANNOTATED_CLASSES
    left = 34 + (width_of(names) if named else 24)
    side = width - left - 8
    bottom = 38 if not named or fits(names, side / len(names)) else 30 + width_of(names)
    figure = blank(width, side + 28 + bottom)
    return figure, frame(figure, left, 28, right, bottom)


@styled()
def confusion(
    matrix: np.ndarray, class_names: Sequence[str], *, what: str = 'test examples', width: int = 470
) -> Figure:
    """The confusion matrix: rows true, columns predicted, shaded by the share of the row; blue is right, red wrong.

    Args:
      matrix: int [num_classes, num_classes] from `metrics.confusion_matrix`.
      class_names: one a class.
      what: is counted.
      width: pixels.
    """
    classes = len(matrix)
    names = [short(name) for name in class_names]
    figure, axes = _matrix_frame(names, width, right=8)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = np.where(np.eye(classes, dtype=bool)[..., None], _blend(share, '#2c5580'), _blend(share, COLORS['test']))
    axes.imshow(image, interpolation='none', aspect='auto')
    axes.spines[:].set_visible(True)
    axes.set_xlabel('predicted')
    axes.set_ylabel('true')
    axes.set_title(f'Confusion matrix, {matrix.sum():,} {what}')
    if classes > ANNOTATED_CLASSES:
        return figure
    axes.set_yticks(range(classes), names)
    axes.tick_params(length=0)
    cell = axes.get_window_extent().width / figure.dpi * 96 / classes  # Pixels.
    axes.set_xticks(range(classes), names, rotation=0 if fits(names, cell) else 90)
    # The largest count in 0.8 of a cell, at 0.6 em a digit and 0.75 points a pixel.
    digits = max(len(str(matrix.max())), 2)
    size = float(np.clip(0.75 * 0.8 * cell / (0.6 * digits), 4.5, 9))
    for row, column in zip(*np.nonzero(matrix), strict=True):
        color = 'white' if share[row, column] > 0.3 else INK
        axes.text(column, row, str(matrix[row, column]), ha='center', va='center_baseline', color=color, fontsize=size)
    return figure


@styled()
def class_accuracy(matrix: np.ndarray, class_names: Sequence[str], *, width: int = 470) -> Figure:
    """The share of each class that was recognised: named bars in class order, or many thin ones, worst first.

    Args:
      matrix: int [num_classes, num_classes] from `metrics.confusion_matrix`.
      class_names: one a class.
      width: pixels.
    """
    accuracy = metrics.per_class_accuracy(matrix)
    classes = len(matrix)
    overall = np.trace(matrix) / max(matrix.sum(), 1)
    if classes > ANNOTATED_CLASSES:
        figure = blank(width, 250)
        axes = frame(figure, 46, 28, 12, 40)
        ordered = np.sort(accuracy[~np.isnan(accuracy)])
        edges = np.arange(len(ordered) + 1)
        axes.stairs(ordered, edges, fill=True, color=COLORS['test'], alpha=0.25, linewidth=0)
        axes.stairs(ordered, edges, color=COLORS['test'], baseline=None)
        axes.axhline(overall, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(0, len(ordered))
        axes.set_ylim(0, 1)
        axes.set_xlabel(f'{len(ordered)} classes, worst first', labelpad=1)
        axes.yaxis.set_major_formatter(as_percent)
        axes.grid(axis='y', color=RULE, linewidth=0.6)
    else:
        names = [short(name) for name in class_names]
        figure, axes = _matrix_frame(names, width, right=56)
        rows = range(classes)
        axes.barh(rows, np.nan_to_num(accuracy), height=0.5, color=COLORS['test'], alpha=0.75)
        for row, value in zip(rows, accuracy, strict=True):
            shown = '–' if np.isnan(value) else f'{value:.1%}'
            axes.text(1.135, row, shown, ha='right', va='center_baseline', fontsize=8.25)
        axes.axvline(overall, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(0, 1)
        axes.set_ylim(classes - 0.5, -0.5)
        axes.set_yticks(rows, names)
        axes.tick_params(axis='y', length=0)
        axes.spines['left'].set_visible(False)
        axes.xaxis.set_major_formatter(as_percent)
    axes.set_title(f'Accuracy by class (overall {overall:.1%})')
    return figure

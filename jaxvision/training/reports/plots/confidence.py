"""How sure a classifier is: calibration, the softmax at several temperatures, and a teacher beside its student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxvision import metrics
from jaxvision.training.reports.plots.style import (
    ANNOTATED_CLASSES,
    COLORS,
    INK,
    MUTED,
    PALE,
    RULE,
    blank,
    fits,
    frame,
    legend,
    short,
    styled,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPERATURES = (0.25, 1.0, 2.0, 5.0, 20.0)
LADDER_CLASSES = 11  # Drawn by name where there are more than `ANNOTATED_CLASSES`.


@styled()
def reliability(
    logits: np.ndarray,
    labels: np.ndarray,
    title: str,
    *,
    temperature: float = 1.0,
    bins: int = 15,
    width: int = 470,
    height: int = 430,
) -> Figure:
    """Accuracy against confidence, with 95% intervals, and below it how many examples each bin of confidence holds.

    Args:
      logits: float [n, num_classes].
      labels: int [n].
      title: of the panel.
      temperature: the logits are divided by it.
      bins: of equal width.
      width, height: pixels.
    """
    stated = metrics.probabilities(logits, temperature)
    confidence, correct = stated.max(axis=1), stated.argmax(axis=1) == labels
    table = metrics.reliability(confidence, correct, bins)
    full = table.counts > 0
    counts, at, accuracy = table.counts[full], table.confidence[full], table.accuracy[full]
    figure = blank(width, height)
    axes = frame(figure, 46, 28, 12, 132)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.vlines(at, *metrics.wilson(accuracy * counts, counts), color=COLORS['test'], linewidth=5, alpha=0.22)
    axes.vlines(at, at, accuracy, color=COLORS['test'], linewidth=1)
    axes.plot(at, accuracy, 'o', color=COLORS['test'], markersize=5, clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xticks(np.linspace(0, 1, 6), [])
    axes.set_ylabel('accuracy')
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_title(f'{title}: ECE {metrics.calibration_error(confidence, correct, bins):.3f}')
    below = frame(figure, 46, height - 112, 12, 40)
    below.bar((np.flatnonzero(full) + 0.5) / bins, counts, width=0.86 / bins, color=PALE)
    for index in np.flatnonzero(full):
        x, count = (index + 0.5) / bins, table.counts[index]
        below.annotate(
            f'{count}', (x, count), (0, 2), textcoords='offset points', ha='center', color=MUTED, fontsize=6.75
        )
    below.set_xlim(0, 1)
    below.set_ylim(0, 1.3 * counts.max(initial=1))
    below.set_yticks([])
    below.set_xlabel('confidence: the largest probability', labelpad=1)
    below.set_ylabel('examples')
    below.yaxis.set_label_coords(-0.02, 0.4)
    below.spines['left'].set_visible(False)
    return figure


def instructive_example(logits: np.ndarray) -> int:
    """The position, in float [n, num_classes], of the example whose largest probability is nearest to 0.6.

    It hesitates, but not so evenly that a low temperature could not decide.
    """
    return int(np.abs(metrics.probabilities(logits).max(axis=1) - 0.6).argmin())


@styled()
def temperature_ladder(
    logits: np.ndarray,
    label: int,
    class_names: Sequence[str],
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    width: int = 470,
) -> Figure:
    """One example's softmax(logits / T), a row a temperature; the true class is dark. Beside is the entropy H, in nats.

    Args:
      logits: float [num_classes].
      label: the true class.
      class_names: one a class. Where they do not all fit, the most probable ones and the sum of the others are drawn.
      temperatures: from the sharpest to the flattest.
      width: pixels.
    """
    classes = len(logits)
    shown, others = np.arange(classes), np.arange(0)
    if classes > ANNOTATED_CLASSES:
        order = np.argsort(-logits, kind='stable')
        shown, others = order[:LADDER_CLASSES], order[LADDER_CLASSES:]
        if label in others:
            shown, others = np.append(shown[:-1], label), np.append(others[others != label], shown[-1])
    names = [short(class_names[int(index)]) for index in shown] + ([f'{len(others)} others'] if len(others) else [])
    colors = [INK if index == label else PALE for index in shown] + [RULE] * (len(names) - len(shown))
    lie = fits(names, (width - 134) / len(names))
    bottom = 30 if lie else 16 + width_of(names)
    figure = blank(width, 34 + 66 * len(temperatures) + bottom)
    axes = frame(figure, 68, 34, 66, bottom)
    for row, temperature in enumerate(temperatures):
        p = metrics.probabilities(logits, temperature)
        base = len(temperatures) - 1 - row
        heights = np.append(p[shown], p[others].sum())[: len(names)]
        axes.bar(range(len(names)), 0.82 * heights, bottom=base, width=0.7, color=colors)
        axes.axhline(base, color=RULE, linewidth=0.8)
        for at in {int(heights.argmax()), shown.tolist().index(label)}:
            axes.annotate(
                f'{heights[at]:.2f}',
                (at, base + 0.82 * heights[at]),
                (0, 2),
                textcoords='offset points',
                ha='center',
                color=MUTED,
                fontsize=7.5,
            )
        axes.text(-0.02, base + 0.1, f'T = {temperature:g}', transform=axes.get_yaxis_transform(), ha='right')
        entropy = -np.sum(p * np.log(np.maximum(p, 1e-300)))
        axes.text(1.02, base + 0.1, f'H = {entropy:.2f}', transform=axes.get_yaxis_transform(), color=MUTED)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(0, len(temperatures))
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(range(len(names)), names, rotation=0 if lie else 90)
    axes.set_title('softmax(logits / T)', pad=10)
    return figure


@styled()
def agreement(
    teacher: np.ndarray,
    student: np.ndarray,
    teacher_right: np.ndarray,
    student_right: np.ndarray,
    title: str,
    *,
    color: str = COLORS['student'],
    width: int = 470,
) -> Figure:
    """The probability of the true class under the teacher and under the student, a dot an example.

    Args:
      teacher, student: float [n], the two probabilities.
      teacher_right, student_right: bool [n].
      title: of the panel.
      color: of the examples that only the student gets right.
      width: pixels.
    """
    figure = blank(width, width - 10)
    axes = frame(figure, 46, 46, 14, 40)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    kinds = (
        ('both right', teacher_right & student_right, PALE, 'o'),
        ('both wrong', ~teacher_right & ~student_right, INK, 'x'),
        ('only teacher', teacher_right & ~student_right, COLORS['teacher'], 'o'),
        ('only student', ~teacher_right & student_right, color, 'o'),
    )
    for name, chosen, shade, marker in kinds:
        axes.plot(
            teacher[chosen],
            student[chosen],
            marker,
            color=shade,
            markersize=4,
            markeredgewidth=1 if marker == 'x' else 0,
            alpha=0.85,
            label=name,
            clip_on=False,
            rasterized=len(teacher) > 1000,  # A dot is 60 bytes of SVG.
        )
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("teacher's probability of the true class", labelpad=1)
    axes.set_ylabel("student's")
    axes.set_title(title, pad=22)
    legend(axes, loc='lower left', bbox_to_anchor=(0.0, 1.0), ncols=4, handletextpad=0.1, columnspacing=0.9)
    return figure

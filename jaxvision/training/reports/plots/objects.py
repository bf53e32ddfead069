"""Boxes in figures: how well they fit, how sure the network is of them, and what it does wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxvision import metrics
from jaxvision.training.reports.plots.style import (
    ANNOTATED_CLASSES,
    COLORS,
    INK,
    KIND_COLORS,
    MUTED,
    PALE,
    RULE,
    blank,
    frame,
    legend,
    short,
    styled,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL, GUTTER = 151, 32  # Pixels of one class among the precision-recall curves, and how many of them stay empty.
POINTS = 200  # Of a curve: more cannot be told apart in a small panel.


@styled()
def overlaps(ious: np.ndarray, *, bar: float = 0.5, bins: int = 20, width: int = 470, height: int = 290) -> Figure:
    """How many objects are overlapped how well; a dashed line where a box begins to count as right.

    Args:
      ious: float [n], in [0, 1].
      bar: the IoU from which a box is right.
      bins: of equal width; `bar` should be one of their edges.
      width, height: pixels.
    """
    counts, edges = np.histogram(ious, bins, (0, 1))
    centres = (edges[:-1] + edges[1:]) / 2
    figure = blank(width, height)
    axes = frame(figure, 46, 28, 12, 40)
    colors = [KIND_COLORS['correct'] if centre >= bar else KIND_COLORS['poor box'] for centre in centres]
    axes.bar(centres, counts, width=0.9 / bins, color=colors)
    _threshold(axes, bar)
    axes.set_xlim(0, 1)
    axes.set_xlabel('IoU of predicted and true box', labelpad=1)
    axes.set_ylabel('objects')
    axes.grid(axis='y', color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    mean = f', mean {np.mean(ious):.3f}' if len(ious) else ''
    axes.set_title(f'Overlap with the truth, {len(ious):,} test objects{mean}')
    return figure


@styled()
def objectness(
    probability: np.ndarray,
    present: np.ndarray,
    *,
    bar: float = 0.5,
    bins: int = 20,
    width: int = 470,
    height: int = 290,
) -> Figure:
    """How probable an object is said to be, where there is one (upwards) and where there is none (downwards).

    Args:
      probability: float [n].
      present: bool [n], whether there is an object.
      bar: from here on one is said to be there.
      bins: of equal width.
      width, height: pixels.
    """
    from matplotlib import ticker

    figure = blank(width, height)
    axes = frame(figure, 58, 28, 12, 40)
    highest = 1
    for name, chosen, sign, color in (
        ('object', present, 1, COLORS['student']),
        ('empty', ~present, -1, COLORS['alone']),
    ):
        counts, edges = np.histogram(probability[chosen], bins, (0, 1))
        highest = max(highest, counts.max())
        axes.bar((edges[:-1] + edges[1:]) / 2, sign * counts, width=0.9 / bins, color=color, label=name)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    # A good network puts nearly all at the ends: the few between are what there is to see.
    axes.set_yscale('symlog', linthresh=1, linscale=0.3)
    ticks = [0, *(10**power for power in range(math.ceil(math.log10(highest)) + 1))]
    axes.set_yticks([-tick for tick in ticks[:0:-1]] + ticks)
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda count, _: f'{abs(count):,.0f}'))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set_ylim(-1.5 * highest, 1.5 * highest)
    _threshold(axes, bar)
    axes.set_xlim(0, 1)
    axes.set_xlabel('probability of an object', labelpad=1)
    axes.set_ylabel('images')
    axes.grid(axis='y', color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title('Objectness')
    legend(axes)
    return figure


def _threshold(axes: Axes, at: float) -> None:
    axes.axvline(at, color=INK, linewidth=1, linestyle=(0, (4, 3)))


@styled()
def error_counts(counts: Mapping[str, int], title: str, *, width: int = 470) -> Figure:
    """A bar a kind, with its count and its share of all.

    Args:
      counts: kind, of `KIND_COLORS`, -> how many.
      title: of the panel.
      width: pixels.
    """
    kinds = list(counts)
    figure = blank(width, 40 + 32 * len(kinds))
    axes = frame(figure, 12 + width_of(kinds), 30, 104, 8)
    total, rows = max(sum(counts.values()), 1), range(len(kinds))
    axes.barh(rows, list(counts.values()), height=0.58, color=[KIND_COLORS[kind] for kind in kinds])
    for row, count in zip(rows, counts.values(), strict=True):
        axes.annotate(
            f'{count:,} ({count / total:.1%})',
            (count, row),
            (5, 0),
            textcoords='offset points',
            va='center_baseline',
            fontsize=8.25,
        )
    axes.set_xlim(0, max(*counts.values(), 1))
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.set_yticks(rows, kinds)
    axes.set_xticks([])
    axes.tick_params(axis='y', length=0)
    axes.spines[['left', 'bottom']].set_visible(False)
    axes.set_title(title)
    return figure


@styled()
def errors_by_score(
    scores: np.ndarray,
    counts: Mapping[str, np.ndarray],
    *,
    chosen: float = 0.5,
    width: int = 470,
    height: int = 290,
) -> Figure:
    """How many of each kind there are if only detections of at least some score are shown.

    Args:
      scores: float [t], ascending.
      counts: kind, of `KIND_COLORS`, -> int [t]; 'correct' and 'missed' are among them.
      chosen: the score at which kinds are counted elsewhere on the page.
      width, height: pixels.
    """
    figure = blank(width, height)
    axes = frame(figure, 52, 46, 12, 40)
    for kind, values in counts.items():
        style = (0, (4, 2)) if kind == 'missed' else '-'
        axes.plot(scores, values, color=KIND_COLORS[kind], label=kind, linestyle=style)
    _threshold(axes, chosen)
    axes.set_xlim(0, 1)
    # Low thresholds let in so much background that nothing else could be seen beside it.
    objects = max(counts[kind].max(initial=1) for kind in ('correct', 'missed'))
    axes.set_ylim(0, 1.5 * objects)
    axes.set_xlabel('least score that is shown', labelpad=1)
    axes.yaxis.set_major_formatter('{x:,.0f}')
    axes.grid(axis='y', color=RULE, linewidth=0.6)
    axes.set_title('What another threshold would bring', pad=22)
    options = {'handlelength': 1.3, 'columnspacing': 0.8, 'fontsize': 7.5}
    legend(axes, loc='lower left', bbox_to_anchor=(-0.02, 1.0), ncols=6, **options)
    return figure


@styled()
def precision_recall(
    found: Sequence[metrics.Matches], class_names: Sequence[str], *, score: float = 0.5, width: int = 960
) -> Figure:
    """Precision against recall at the first IoU threshold: a small panel a class, or one for all of many.

    Args:
      found: one a class, from `metrics.matches`.
      class_names: one a class.
      score: a dot marks what the detections of at least this score reach.
      width: pixels.
    """
    curves = [metrics.precision_recall(each) for each in found]
    if len(curves) > ANNOTATED_CLASSES:
        figure = blank(470, 430)
        axes = _unit_square(frame(figure, 46, 28, 12, 40))
        for curve in curves:
            axes.plot(*_thinned(curve), color=COLORS['test'], linewidth=0.8, alpha=0.35)
        axes.set_xlabel('recall', labelpad=1)
        axes.set_ylabel('precision')
        axes.set_title(f'Precision and recall, {len(curves)} classes, IoU 0.5')
        return figure
    across = min(len(curves), (width - 58) // PANEL)
    down = math.ceil(len(curves) / across)
    left, top, right, bottom = 44, 22, 0, 8
    figure = blank(left + across * PANEL + right, top + down * PANEL + bottom)
    for index, (curve, name) in enumerate(zip(curves, class_names, strict=True)):
        row, column = divmod(index, across)
        below, beside = down - 1 - row, across - 1 - column
        axes = _unit_square(
            frame(
                figure,
                left=left + column * PANEL,
                top=top + row * PANEL,
                right=right + beside * PANEL + GUTTER,
                bottom=bottom + below * PANEL + GUTTER,
            )
        )
        recall, precision = _thinned(curve)
        axes.fill_between(recall, precision, color=PALE, alpha=0.35, linewidth=0)
        axes.plot(recall, precision, color=COLORS['test'])
        shown = int(np.sum(curve.scores >= score))
        if shown and not np.isnan(curve.recall[shown - 1]):
            at = (curve.recall[shown - 1], curve.precision[shown - 1])
            axes.plot(*at, 'o', color=INK, markersize=4.5, markeredgecolor='white', clip_on=False, zorder=5)
        if column:
            axes.set_yticklabels([])
        if index + across < len(curves):
            axes.set_xticklabels([])
        axes.set_title(short(name), pad=4)
        if index == (down - 1) * across:
            axes.set_xlabel('recall', labelpad=1)
            axes.set_ylabel('precision')
    return figure


def _unit_square(axes: Axes) -> Axes:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])
    axes.xaxis.set_major_formatter('{x:g}')
    axes.yaxis.set_major_formatter('{x:g}')
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def _thinned(curve: metrics.Curve) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision where recall rises, at no more than `POINTS` places, and with a start at recall 0."""
    rises = np.flatnonzero(np.diff(curve.recall, prepend=0) > 0)
    if not len(rises):
        return np.zeros(0), np.zeros(0)
    chosen = rises[np.unique(np.linspace(0, len(rises) - 1, POINTS).astype(int))]
    return np.append(0.0, curve.recall[chosen]), np.append(curve.precision[chosen[0]], curve.precision[chosen])

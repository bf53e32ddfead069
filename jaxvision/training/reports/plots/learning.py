"""Curves: what a metric was at each step of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxvision.training.reports.plots.style import (
    COLORS,
    INK,
    MUTED,
    PALE,
    RULE,
    as_percent,
    blank,
    frame,
    legend,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Measured(NamedTuple):
    """A number with its interval, at a step."""

    step: float
    value: float
    low: float
    high: float


def _mark(axes: Axes, step: float, top: bool) -> None:
    """A dotted line at the best step, named at the end where the curves are not."""
    axes.axvline(step, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0)
    late = step > np.mean(axes.get_xlim())
    axes.annotate(
        'best',
        (step, float(top)),
        (-3 if late else 3, -3 if top else 3),
        xycoords=('data', 'axes fraction'),
        textcoords='offset points',
        ha='right' if late else 'left',
        va='top' if top else 'bottom',
        color=MUTED,
        fontsize=7.5,
    )


def _step_axis(axes: Axes) -> None:
    from matplotlib import ticker

    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(lambda step, _: f'{step:,.0f}' if step == round(step) else '')
    axes.set_xlabel('step', labelpad=1)


@styled()
def curves(
    series: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    *,
    best_step: int | None = None,
    final: Mapping[str, Measured] | None = None,
    percent: bool = False,
    log: bool = False,
    width: int = 470,
    height: int = 290,
) -> Figure:
    """Values against step.

    Args:
      series: name -> (steps [n], values [n]); names that `COLORS` knows have their colour.
      title: of the panel.
      best_step: marked by a dotted line, and by a dot on the validation curve.
      final: name -> a number with its interval, drawn where training ended.
      percent: the values are shares.
      log: use a logarithmic scale where the values are positive and span more than a factor of 30.
      width, height: pixels.
    """
    from matplotlib import ticker

    figure = blank(width, height)
    axes = frame(figure, left=52, top=26, right=12, bottom=40)
    for name, (steps, values) in series.items():
        color = COLORS.get(name, INK)
        axes.plot(steps, values, color=color, label=name, marker='o' if len(steps) == 1 else None, markersize=3)
        if name == 'validation' and best_step is not None and best_step in steps:
            at = values[np.flatnonzero(steps == best_step)]
            axes.plot([best_step], at[-1:], 'o', color=color, markersize=5, markeredgecolor='white')
    for name, point in (final or {}).items():
        spread = [[max(point.value - point.low, 0)], [max(point.high - point.value, 0)]]
        style = {'fmt': 'D', 'markersize': 4, 'elinewidth': 1.2, 'capsize': 2.5, 'clip_on': False, 'zorder': 5}
        axes.errorbar([point.step], [point.value], yerr=spread, color=COLORS.get(name, INK), label=name, **style)
    everything = np.concatenate([values for _, values in series.values()])
    if log and everything.min() > 0 and everything.max() > 30 * everything.min():
        axes.set_yscale('log')
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.yaxis.set_major_formatter(as_percent if percent else '{x:g}')
    axes.grid(axis='y', color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    _step_axis(axes)
    if best_step is not None:
        _mark(axes, best_step, top=not percent)
    axes.set_title(title)
    if len(series) + len(final or {}) > 1:
        legend(axes, **({'handlelength': 0.6, 'columnspacing': 0.5} if len(series) > 3 else {}))
    return figure


@styled()
def gap(
    steps: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    what: str = 'accuracy',
    best_step: int | None = None,
    width: int = 305,
    height: int = 220,
) -> Figure:
    """Clean train minus validation accuracy, or what else, in percentage points, against step; all three float [n]."""
    figure = blank(width, height)
    axes = frame(figure, left=52, top=26, right=10, bottom=40)
    points = 100 * (train - validation)
    axes.fill_between(steps, points, 0, color=PALE, alpha=0.6, linewidth=0)
    axes.plot(steps, points, color=INK, marker='o' if len(steps) == 1 else None, markersize=3)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.margins(y=0.14)
    axes.yaxis.set_major_formatter('{x:g}')
    axes.grid(axis='y', color=RULE, linewidth=0.6)
    _step_axis(axes)
    if best_step is not None:
        _mark(axes, best_step, top=True)
    axes.set_title(f'Train − validation {what}, points')
    return figure

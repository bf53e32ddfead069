"""Learning curves of many variants: small multiples, the baseline in grey behind each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jaxvision.training.reports.plots import style
from jaxvision.training.reports.plots.style import COLORS, INK, MUTED, RULE, as_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = '#9a9da1'
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1)
HEIGHT = 150  # Pixels of a panel, with what is around it.


class Curve(Protocol):
    """All float [n]; they may be of other steps than another curve's."""

    @property
    def steps(self) -> np.ndarray: ...
    @property
    def mean(self) -> np.ndarray: ...
    @property
    def low(self) -> np.ndarray: ...
    @property
    def high(self) -> np.ndarray: ...


@style.styled()
def multiples(
    panels: Mapping[str, Mapping[str, Curve]], behind: Curve | None, names: Mapping[str, str], *, width: int = 940
) -> Figure:
    """A panel a variant, all with the same axes.

    Args:
      panels: variant -> split -> the curve of its error.
      behind: the baseline's validation error, in grey.
      names: variant -> colour of its title.
      width: pixels.
    """
    columns = min(5 if len(panels) > 8 else 4 if len(panels) > 4 else 3, len(panels))
    lines = math.ceil(len(panels) / columns)
    tall = HEIGHT if columns > 3 else 190
    figure = style.blank(width, lines * tall + 34)
    curves = [curve for panel in panels.values() for curve in panel.values()] + ([behind] if behind else [])
    high, last = top(curves), max(float(curve.steps[-1]) for curve in curves)
    each, room = (width - 44) / columns, 44
    for index, (name, panel) in enumerate(panels.items()):
        row, column = divmod(index, columns)
        axes = style.frame(
            figure,
            left=room + column * each,
            top=row * tall + 24,
            right=width - room - (column + 1) * each + 14,
            bottom=(lines - 1 - row) * tall + 34 + 14,
        )
        if behind is not None:
            _draw(axes, behind, GREY, 0.16, 1)
        for split, curve in panel.items():
            _draw(axes, curve, COLORS[split], 0.22, 2)
        _stretch(axes, high)
        axes.set_xlim(0, 1.03 * last)
        axes.set_xticks([0, last])
        axes.xaxis.set_major_formatter('{x:,.0f}')
        axes.yaxis.set_major_formatter(as_percent)
        axes.tick_params(labelleft=column == 0, labelsize=8)
        axes.grid(axis='y', color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        below = index + columns >= len(panels)
        axes.tick_params(labelbottom=below)
        if below:
            ends = axes.get_xticklabels()
            ends[0].set_horizontalalignment('left')
            ends[-1].set_horizontalalignment('right')
        small = 6.9 * len(name) > each - 12
        look: dict[str, Any] = {'fontsize': 8, 'fontweight': 'normal'} if small else {'fontsize': 9}
        axes.set_title(shortened(name, each - 12), color=names[name], pad=3, **look)
    figure.text(0.5, 6 / (lines * tall + 34), 'step', ha='center', color=MUTED, fontsize=8.25)
    return figure


def shortened(name: str, room: float) -> str:
    most = max(int(room / 5.6), 12)
    return name if len(name) <= most else f'{name[: most // 2]}…{name[-(most - most // 2 - 1) :]}'


def top(curves: Sequence[Curve]) -> float:
    """Where the common axis ends: just above all but the first steps of all curves."""
    late = [float(curve.mean[len(curve.mean) // 4 :].max()) for curve in curves]
    return min(max(1.3 * max(late), 0.01), 1.0)


def _stretch(axes: Axes, high: float) -> None:
    """An axis of errors from 0 to `high`, by square roots: errors of 5 % and of 50 % are told apart on one panel."""
    axes.set_yscale('function', functions=(lambda share: np.sqrt(np.clip(share, 0, None)), np.square))
    axes.set_ylim(0, high)
    axes.set_yticks(_few(high))
    axes.minorticks_off()


def _few(high: float) -> list[float]:
    """Zero and some round shares that keep apart on a scale of square roots."""
    kept = [0.0]
    for tick in TICKS:
        if tick <= high and math.sqrt(tick / high) - math.sqrt(kept[-1] / high) > 0.17:
            kept.append(tick)
    return kept


def _draw(axes, curve: Curve, color: str, alpha: float, order: int) -> None:
    axes.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=alpha, linewidth=0, zorder=order)
    marker = 'o' if len(curve.steps) == 1 else None
    axes.plot(curve.steps, curve.mean, color=color, linewidth=1.3, marker=marker, markersize=3, zorder=order + 2)


@style.styled()
def overlaid(
    curves: Mapping[str, Curve], colors: Mapping[str, str], title: str, *, width: int = 470, height: int = 300
) -> Figure:
    """Curves on one pair of axes: name -> curve, and its colour."""
    figure = style.blank(width, height)
    axes = style.frame(figure, left=52, top=26, right=12, bottom=40)
    for name, curve in curves.items():
        _draw(axes, curve, colors[name], 0.15, 1)
    _stretch(axes, top(list(curves.values())))
    axes.yaxis.set_major_formatter(as_percent)
    axes.xaxis.set_major_formatter('{x:,.0f}')
    axes.grid(axis='y', color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel('step', labelpad=1)
    axes.set_title(title, color=INK)
    return figure

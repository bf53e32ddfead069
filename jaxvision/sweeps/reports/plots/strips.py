"""Strips: every single value beside the mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxvision.training.reports.plots import style
from jaxvision.training.reports.plots.style import INK, PALE, RULE, as_percent, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 20
LONGEST = 60  # Letters of a name.


class Strip(NamedTuple):
    """A row: shares `values` [n], their mean, its interval or None, and the colour."""

    name: str
    values: Sequence[float]
    mean: float
    interval: tuple[float, float] | None
    color: str


@style.styled()
def strips(rows: Sequence[Strip], label: str, *, width: int = 940) -> Figure:
    """A row of dots a variant, from the top in the order given; equal values are stacked."""
    names = [short(row.name, LONGEST) for row in rows]
    room = 6.6 * max(map(len, names)) + 14
    figure = style.blank(width, ROW * len(rows) + 8 + 40)
    axes = style.frame(figure, left=room, top=8, right=16, bottom=40)
    everything = np.array([value for row in rows for value in (*row.values, row.mean)])
    low, high = float(everything.min()), float(everything.max())
    margin = 0.03 * (high - low) or 0.01
    axes.set_xlim(low - margin, min(high + margin, 1 + margin))
    left, right = axes.get_xlim()
    for y, row in enumerate(rows):
        values = np.asarray(row.values)
        axes.plot(
            values,
            y + _spread(values, 0.006 * (right - left)),
            'o',
            color=row.color,
            markersize=5,
            alpha=0.55,
            markeredgewidth=0,
        )
        if row.interval:
            ends = max(row.interval[0], left), min(row.interval[1], right)
            axes.plot(ends, [y, y], color=PALE, linewidth=7, alpha=0.55, zorder=1, solid_capstyle='butt')
        axes.plot([row.mean], [y], 'D', color=INK, markersize=4.4, markeredgecolor='white', zorder=4)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params(axis='y', length=0, labelcolor=INK, labelsize=8.75)
    axes.spines[['left']].set_visible(False)
    axes.grid(axis='x', color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(as_percent)
    axes.set_xlabel(label, labelpad=2)
    return figure


def _spread(values: np.ndarray, near: float) -> np.ndarray:
    """How far up or down each dot of [n] goes so that those at one place are all seen."""
    shift = np.zeros(len(values))
    order = np.argsort(values, kind='stable')
    start = 0
    for stop in range(1, len(order) + 1):
        if stop == len(order) or values[order[stop]] - values[order[start]] > near:
            count = stop - start
            shift[order[start:stop]] = (np.arange(count) - (count - 1) / 2) * min(0.16, 0.7 / count)
            start = stop
    return shift

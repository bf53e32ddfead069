"""Forest plot: a difference and its interval in every row, in groups; what is left of the line harms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxvision.training.reports.plots import style
from jaxvision.training.reports.plots.style import INK, MUTED, RULE, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, HEAD = 19, 24  # Pixels.
LETTER, DIGIT = 6.6, 6.6  # Pixels of one, about.
POINTS = 72 / 96  # Points a pixel.
NARROWEST = 160  # Pixels of the axis: longer names are shortened.


class Estimate(NamedTuple):
    """A row.

    Attributes:
      name: of the row.
      value, low, high: in the unit of the axis; low and high are None where one run has no interval; value is None
        where there is nothing.
      color: of the dot and of its interval.
      sure: whether the dot is filled.
      text: at the right.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    color: str
    sure: bool
    text: str


@style.styled()
def forest(
    groups: Mapping[str, Sequence[Estimate]],
    unit: str,
    *,
    zero: float | None = 0.0,
    ends: tuple[str, str] = ('', ''),
    marks: Mapping[str, tuple[float, str]] | None = None,
    shared: bool = True,
    width: int = 940,
) -> Figure:
    """Rows of estimates.

    Args:
      groups: title, or '' -> rows, from the top.
      unit: of the axis.
      zero: where the line is that says no difference; None for none.
      ends: what the two sides of that line mean.
      marks: group -> value, name of one more line, in that group alone.
      shared: whether the groups have one scale, or each its own.
      width: pixels.
    """
    rows = [row for some in groups.values() for row in some]
    right = DIGIT * max(len(row.text) for row in rows) + 18
    most = int((width - right - NARROWEST - 22) / LETTER)
    room = LETTER * max(len(short(row.name, most)) for row in rows) + 22
    axis = 0 if shared else 24
    heights = [(HEAD if title else 0) + ROW * len(some) + axis for title, some in groups.items()]
    top, below = 22 if any(ends) else 8, 42 - axis
    height = top + sum(heights) + below
    figure = style.blank(width, height)
    last = list(groups)[-1]
    for (title, some), tall in zip(groups.items(), heights, strict=True):
        head = HEAD if title else 0
        axes = style.frame(figure, left=room, top=top + head, right=right, bottom=height - top - tall + axis)
        axes.set_xlim(*limits(rows if shared else some, zero))
        axes.set_ylim(ROW * len(some), 0)
        axes.set_yticks([])
        axes.spines[['left']].set_visible(False)
        axes.spines[['bottom']].set_visible(not shared or title == last)
        axes.grid(axis='x', color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(bottom=not shared or title == last, labelbottom=not shared or title == last)
        axes.xaxis.set_major_formatter(lambda value, _: signed(value) if zero is not None else f'{value:g}')
        if title:
            _write(axes, 0, -8, title, room, weight='bold')
        if zero is not None:
            axes.axvline(zero, color=INK, linewidth=0.9, zorder=1)
            if title == next(iter(groups)):
                _ends(axes, zero, ends)
        if marks and title in marks:
            value, name = marks[title]
            axes.axvline(value, color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
            at = {'xycoords': ('data', 'axes fraction'), 'textcoords': 'offset points', 'ha': 'center'}
            axes.annotate(name, (value, 1.0), (0, 2), color=MUTED, fontsize=8, **at)
        for index, row in enumerate(some):
            _row(axes, row._replace(name=short(row.name, most)), ROW * (index + 0.5), room)
        if title == last:
            axes.set_xlabel(unit, labelpad=2)
        top += tall
    return figure


def is_cut(rows: Sequence[Estimate]) -> bool:
    """Whether an interval of these rows, on a scale of their own, ends in a triangle."""
    low, high = limits(rows, 0.0)
    return any(row.low is not None and row.high is not None and (row.low < low or row.high > high) for row in rows)


def _ends(axes: Axes, zero: float, ends: tuple[str, str]) -> None:
    at = {'xycoords': ('data', 'axes fraction'), 'textcoords': 'offset points', 'va': 'bottom'}
    for text, side, place in zip(ends, ('right', 'left'), (-5, 5), strict=True):
        axes.annotate(text, (zero, 1.0), (place, 3), color=MUTED, fontsize=8.25, ha=side, **at)


def signed(value: float) -> str:
    return f'{value:+g}'.replace('-', '−') if value else '0'


def limits(rows: Sequence[Estimate], zero: float | None) -> tuple[float, float]:
    """The range of the axis: all values, and of the intervals as much as does not squeeze everything else."""
    rows = [row for row in rows if row.value is not None]
    centres = np.array([row.value for row in rows] + ([] if zero is None else [zero]), np.float64)
    if not len(centres):
        return -1.0, 1.0
    halves = [(row.high - row.low) / 2 for row in rows if row.low is not None and row.high is not None]
    pad = 1.6 * float(np.median(halves)) if halves else 0.0
    ends = [end for row in rows for end in (row.low, row.high) if end is not None]
    low, high = max(min([*ends, *centres]), centres.min() - pad), min(max([*ends, *centres]), centres.max() + pad)
    margin = 0.03 * (high - low) or 1.0
    return low - margin, high + margin


def _row(axes: Axes, row: Estimate, y: float, room: float) -> None:
    _write(axes, 10, y + 4, row.name, room)
    at = {'xycoords': ('axes fraction', 'data'), 'textcoords': 'offset points', 'va': 'center'}
    axes.annotate(row.text, (1.0, y), (9, 0), color=MUTED, fontsize=8.25, annotation_clip=False, **at)
    if row.value is None:
        return
    left, right = axes.get_xlim()
    if row.low is not None and row.high is not None:
        axes.plot([max(row.low, left), min(row.high, right)], [y, y], color=row.color, linewidth=1.6)
        for end, cut, marker in ((left, row.low < left, '<'), (right, row.high > right, '>')):
            if cut:
                axes.plot([end], [y], marker, color=row.color, markersize=5, clip_on=False)
    face = row.color if row.sure else 'white'
    axes.plot([row.value], [y], 'o', color=row.color, markersize=6, markerfacecolor=face, markeredgewidth=1.4)


def _write(axes: Axes, indent: float, y: float, text: str, room: float, weight: str = 'normal') -> None:
    at = {'xycoords': ('axes fraction', 'data'), 'textcoords': 'offset points', 'va': 'baseline'}
    shift = (POINTS * (indent - room + 4), 0)
    axes.annotate(text, (0.0, y), shift, fontsize=9, fontweight=weight, annotation_clip=False, **at)

"""Forest plot: a difference and its interval in every row, in groups; what is left of the line harms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxvision.training.reports.plots import style
from jaxvision.training.reports.plots.style import INK, MUTED, RULE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, HEAD = 19, 24  # Pixels.
ALPHABET = 6.0  # Pixels a letter, about.
POINTS = 72 / 96  # Points a pixel.


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
    width: int = 940,
) -> Figure:
    """Rows of estimates.

    Args:
      groups: title, or '' -> rows, from the top.
      unit: of the axis.
      zero: where the line is that says no difference; None for none.
      ends: what the two sides of that line mean.
      marks: group -> value, name of one more line, in that group alone.
      width: pixels.
    """
    rows = [row for some in groups.values() for row in some]
    room = ALPHABET * max(len(row.name) for row in rows) + 22
    right = 5.7 * max(len(row.text) for row in rows) + 16
    heads = sum(HEAD for title in groups if title)
    height = ROW * len(rows) + heads + (22 if any(ends) else 8) + 40
    figure = style.blank(width, height)
    axes = style.frame(figure, left=room, top=22 if any(ends) else 8, right=right, bottom=40)
    axes.set_xlim(*limits([row for row in rows if row.value is not None], zero))
    axes.set_ylim(ROW * len(rows) + heads, 0)
    axes.set_yticks([])
    axes.spines[['left']].set_visible(False)
    axes.grid(axis='x', color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    if zero is not None:
        axes.axvline(zero, color=INK, linewidth=0.9, zorder=1)
    top = 0.0
    for title, some in groups.items():
        if title:
            _write(axes, 0, top + HEAD - 7, title, room, weight='bold')
            top += HEAD
        if marks and title in marks:
            value, name = marks[title]
            axes.plot([value] * 2, [top, top + ROW * len(some)], color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
            axes.annotate(name, (value, top), (0, 2), textcoords='offset points', ha='center', color=MUTED, fontsize=8)
        for row in some:
            _row(axes, row, top + ROW / 2, room)
            top += ROW
    axes.xaxis.set_major_formatter(lambda value, _: signed(value) if zero is not None else f'{value:g}')
    axes.set_xlabel(unit, labelpad=2)
    for text, side, place in zip(ends, ('right', 'left'), (-6, 6), strict=True):
        if text and zero is not None:
            at = {'xycoords': ('data', 'axes fraction'), 'textcoords': 'offset points', 'ha': side, 'va': 'bottom'}
            axes.annotate(text, (zero, 1.0), (place, 3), color=MUTED, fontsize=8.25, **at)
    return figure


def signed(value: float) -> str:
    return f'{value:+g}'.replace('-', '−') if value else '0'


def limits(rows: Sequence[Estimate], zero: float | None) -> tuple[float, float]:
    """The range of the axis: all values, and of the intervals as much as does not squeeze everything else."""
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

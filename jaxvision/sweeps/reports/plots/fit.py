"""Over- and underfitting: clean train error beside test error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxvision.training.reports.plots import style
from jaxvision.training.reports.plots.style import COLORS, INK, MUTED, PALE, RULE, as_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 19
TOUCH = 9  # Pixels around a dot that a label keeps off.


class Fit(NamedTuple):
    """A variant's errors, shares.

    Attributes:
      name: of the variant.
      train, test: clean train and test error.
      train_interval, test_interval: (low, high), or None.
      color: of its dot on the map.
      notable: how early its label is placed; those below 0 have none.
    """

    name: str
    train: float
    test: float
    train_interval: tuple[float, float] | None
    test_interval: tuple[float, float] | None
    color: str
    notable: int


@style.styled()
def gaps(rows: Sequence[Fit], *, width: int = 480) -> Figure:
    """From clean train error to test error: a bar a variant, from the top in the order given."""
    room = 5.9 * max(len(row.name) for row in rows) + 14
    figure = style.blank(width, ROW * len(rows) + 26 + 40)
    axes = style.frame(figure, left=room, top=26, right=14, bottom=40)
    at = np.arange(len(rows))
    train, test = (np.array([getattr(row, side) for row in rows]) for side in ('train', 'test'))
    axes.hlines(at, train, test, color=PALE, linewidth=5, alpha=0.75, zorder=1)
    for side, values in (('train', train), ('test', test)):
        for y, row in zip(at, rows, strict=True):
            spread = getattr(row, f'{side}_interval')
            if spread:
                axes.plot([max(spread[0], 0.0), min(spread[1], 1.0)], [y, y], color=COLORS[side], linewidth=1.2)
        axes.plot(values, at, 'o', color=COLORS[side], markersize=6, label=side, markeredgecolor='white', zorder=3)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(*_range(np.concatenate([train, test])))
    axes.set_yticks(at, [row.name for row in rows])
    axes.tick_params(axis='y', length=0, labelcolor=INK, labelsize=8.75)
    axes.spines[['left']].set_visible(False)
    axes.grid(axis='x', color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(as_percent)
    axes.set_xlabel('error', labelpad=1)
    axes.set_title('Clean train error → test error', x=0)
    style.legend(axes)
    return figure


@style.styled()
def fit_map(rows: Sequence[Fit], *, width: int = 460, height: int = 430) -> Figure:
    """Test error against clean train error: how far above the diagonal a dot is, is its gap."""
    figure = style.blank(width, height)
    axes = style.frame(figure, left=52, top=26, right=14, bottom=40)
    train, test = (np.array([getattr(row, side) for row in rows]) for side in ('train', 'test'))
    low, high = _range(np.concatenate([train, test]))
    across = _range(train) if len(rows) else (low, high)
    axes.set_xlim(low, max(across[1], low + 0.35 * (high - low)))
    axes.set_ylim(low, high)
    axes.axline((0, 0), slope=1, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    for row in rows:
        spread = row.train_interval, row.test_interval
        bars = {'color': row.color, 'linewidth': 0.9, 'alpha': 0.45, 'zorder': 2}
        if spread[0]:
            axes.plot([max(spread[0][0], 0), spread[0][1]], [row.test] * 2, **bars)
        if spread[1]:
            axes.plot([row.train] * 2, [max(spread[1][0], 0), spread[1][1]], **bars)
        axes.plot([row.train], [row.test], 'o', color=row.color, markersize=6, markeredgecolor='white', zorder=3)
    _corners(axes)
    _labels(axes, rows)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(as_percent)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel('clean train error', labelpad=1)
    axes.set_title('Test error against clean train error')
    return figure


def _range(values: np.ndarray) -> tuple[float, float]:
    """From a little below zero, so that dots at zero are whole."""
    high = max(float(values.max()), 1e-3)
    return -0.04 * high, 1.07 * high


def _corners(axes: Axes) -> None:
    at = {'xycoords': 'axes fraction', 'color': MUTED, 'fontsize': 8.25, 'fontstyle': 'italic'}
    axes.annotate('overfitting: learnt by heart', (0.015, 0.985), ha='left', va='top', **at)
    axes.annotate('underfitting:\nwrong on train already', (0.985, 0.985), ha='right', va='top', **at)


def _labels(axes: Axes, rows: Sequence[Fit]) -> None:
    """Names beside the dots, the notable ones first, each where nothing is yet; what finds no place stays unnamed."""
    dots = axes.transData.transform([(row.train, row.test) for row in rows])
    taken = [(x - TOUCH / 2, y - TOUCH / 2, x + TOUCH / 2, y + TOUCH / 2) for x, y in dots]
    frame = axes.get_window_extent()
    scale = axes.figure.dpi / 96
    frame_top = frame.y1 - 34 * scale
    for index in sorted(range(len(rows)), key=lambda index: rows[index].notable):
        if rows[index].notable < 0:
            continue
        (x, y), length, tall = dots[index], 5.9 * len(rows[index].name) * scale, 13 * scale
        for dx, dy, side in _PLACES:
            left = x + dx * scale - (length if side == 'right' else length / 2 if side == 'center' else 0)
            box = (left, y + dy * scale - tall / 2, left + length, y + dy * scale + tall / 2)
            inside = box[0] > frame.x0 and box[2] < frame.x1 and box[1] > frame.y0 and box[3] < frame_top
            if inside and not any(_meet(box, other) for n, other in enumerate(taken) if n != index):
                taken.append(box)
                at = {'textcoords': 'offset points', 'ha': side, 'va': 'center', 'fontsize': 8.25}
                point = (rows[index].train, rows[index].test)
                shift = (0.75 * dx, 0.75 * dy)  # In points.
                axes.annotate(rows[index].name, point, shift, color=INK, zorder=4, **at)
                break


_PLACES = ((8, 0, 'left'), (-8, 0, 'right'), (0, 13, 'center'), (0, -13, 'center'), (8, 9, 'left'), (8, -9, 'left'))


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

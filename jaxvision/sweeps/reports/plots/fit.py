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
LETTER = 6.5  # Pixels, about.
LONGEST = 34  # Letters of a name.
NOTABLE = 4  # So many names are worth a line to a place farther off.
TOUCH = 9  # Pixels around a dot that a label keeps off.


class Fit(NamedTuple):
    """A variant's errors, shares.

    Attributes:
      name: of the variant.
      train, test: clean train and test error.
      train_interval, test_interval: (low, high), or None.
      color: of its dot on the map.
      notable: the lower, the earlier its label is placed.
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
    room = LETTER * max(len(style.short(row.name, LONGEST)) for row in rows) + 14
    figure = style.blank(width, ROW * len(rows) + 26 + 40)
    axes = style.frame(figure, left=room, top=26, right=34, bottom=40)
    at = np.arange(len(rows))
    train, test = (np.array([getattr(row, side) for row in rows]) for side in ('train', 'test'))
    high = ceiling(test)
    axes.set_xlim(-0.04 * high, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.hlines(at, np.minimum(train, high), np.minimum(test, high), color=PALE, linewidth=5, alpha=0.75, zorder=1)
    for side, values in (('train', train), ('test', test)):
        for y, row in zip(at, rows, strict=True):
            spread = getattr(row, f'{side}_interval')
            if spread and spread[0] < high:
                axes.plot([max(spread[0], 0.0), min(spread[1], high)], [y, y], color=COLORS[side], linewidth=1.2)
        axes.plot(values, at, 'o', color=COLORS[side], markersize=6, label=side, markeredgecolor='white', zorder=3)
    for y in np.flatnonzero(test > high):
        axes.plot([high], [y], '>', color=COLORS['test'], markersize=6, clip_on=False, zorder=4)
        place = {'textcoords': 'offset points', 'va': 'center', 'annotation_clip': False}
        axes.annotate(f'{test[y]:.0%}', (high, y), (6, 0), color=COLORS['test'], fontsize=8.25, **place)
    axes.set_yticks(at, [style.short(row.name, LONGEST) for row in rows])
    axes.tick_params(axis='y', length=0, labelcolor=INK, labelsize=8.75)
    axes.spines[['left']].set_visible(False)
    _shares(axes)
    axes.grid(axis='x', color=RULE, linewidth=0.6)
    axes.set_xlabel('error', labelpad=1)
    figure.text(4 / width, 1 - 16 / (ROW * len(rows) + 66), 'Clean train → test error', fontsize=9.75, weight='bold')
    style.legend(axes)
    return figure


@style.styled()
def fit_map(rows: Sequence[Fit], *, width: int = 460, height: int = 430) -> Figure:
    """Test error against clean train error: how far above the diagonal a dot is, is its gap."""
    figure = style.blank(width, height)
    axes = style.frame(figure, left=52, top=26, right=20, bottom=40)
    train, test = (np.array([getattr(row, side) for row in rows]) for side in ('train', 'test'))
    high = 1.06 * ceiling(test)  # With room for words.
    across = max(min(ceiling(train), high), 0.4 * high)
    axes.set_xlim(-0.04 * across, across)
    axes.set_ylim(-0.04 * high, high)
    axes.axline((0, 0), slope=1, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    for row in rows:
        spread = row.train_interval, row.test_interval
        bars = {'color': row.color, 'linewidth': 0.9, 'alpha': 0.4, 'zorder': 2}
        if spread[0]:
            axes.plot([max(spread[0][0], 0), spread[0][1]], [row.test] * 2, **bars)
        if spread[1]:
            axes.plot([row.train] * 2, [max(spread[1][0], 0), spread[1][1]], **bars)
        outside = row.train > across or row.test > high
        look = {'color': row.color, 'markersize': 6, 'markeredgecolor': 'white', 'zorder': 3, 'clip_on': False}
        axes.plot([min(row.train, across)], [min(row.test, high)], '^' if outside else 'o', **look)
    corner = {'xycoords': 'axes fraction', 'color': MUTED, 'fontsize': 8.25, 'fontstyle': 'italic'}
    axes.annotate('underfitting:\nwrong on train already →', (0.985, 0.02), va='bottom', ha='right', **corner)
    axes.annotate('↑ overfitting: learnt by heart', (0.015, 0.985), va='top', **corner)
    _labels(axes, rows)
    _shares(axes, both=True)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_xlabel('clean train error', labelpad=1)
    axes.set_title('Test error against clean train error')
    return figure


def ceiling(errors: np.ndarray) -> float:
    """Where an axis ends: above all errors, but for a few that would squeeze all others."""
    most = float(errors.max())
    usual = float(np.quantile(errors, 0.9, method='lower'))
    high = usual if len(errors) >= 8 and most > 1.7 * usual > 0 else most
    return 1.08 * max(high, 1e-3)


def _shares(axes: Axes, both: bool = False) -> None:
    from matplotlib import ticker

    for axis in (axes.xaxis, axes.yaxis) if both else (axes.xaxis,):
        axis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(as_percent)
    axes.set_axisbelow(True)


def _labels(axes: Axes, rows: Sequence[Fit]) -> None:
    """Names beside the dots, the notable ones first, each where nothing is yet; what finds no place stays unnamed."""
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    scale = axes.figure.dpi / 96  # Of a pixel here, to one on the page.
    points = [(min(row.train, right), min(row.test, top)) for row in rows]
    dots = axes.transData.transform(points) / scale
    reach = TOUCH / 2
    taken = {index: (x - reach, y - reach, x + reach, y + reach) for index, (x, y) in enumerate(dots)}
    frame = [side / scale for side in axes.get_window_extent().extents]
    boxes = [(frame[0], frame[3] - 20, frame[0] + 180, frame[3]), (frame[2] - 150, frame[1], frame[2], frame[1] + 36)]
    for place, index in enumerate(sorted(range(len(rows)), key=lambda index: rows[index].notable)):
        (x, y), name = dots[index], style.short(rows[index].name, LONGEST)
        length, tall = LETTER * len(name), 13
        for dx, dy, side in (*PLACES, *(FAR if place < NOTABLE else ())):
            start = x + dx - {'left': 0, 'center': length / 2, 'right': length}[side]
            box = (start, y + dy - tall / 2, start + length, y + dy + tall / 2)
            inside = box[0] > frame[0] and box[2] < frame[2] + 16 and box[1] > frame[1] and box[3] < frame[3]
            others = [*boxes, *(dot for other, dot in taken.items() if other != index)]
            if inside and not any(_meet(box, other) for other in others):
                boxes.append(box)
                look = {'textcoords': 'offset points', 'ha': side, 'va': 'center', 'fontsize': 8.25, 'zorder': 5}
                line = {'arrowstyle': '-', 'color': MUTED, 'linewidth': 0.7, 'shrinkA': 1, 'shrinkB': 3}
                if (dx, dy, side) in FAR:
                    look['arrowprops'] = line
                axes.annotate(name, points[index], (0.75 * dx, 0.75 * dy), color=INK, **look)
                break


PLACES = ((8, 0, 'left'), (-8, 0, 'right'), (0, 13, 'center'), (0, -13, 'center'), (8, 9, 'left'), (8, -9, 'left'))
FAR = tuple((dx, dy, 'left') for dx in (28, 50) for dy in (-14, 14, -30, 30, -46, 46, 62, 78))


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

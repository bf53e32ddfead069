"""Heat map of a sweep over two keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxvision.training.reports.plots import style
from jaxvision.training.reports.plots.style import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHADES = ('#f6f4ec', '#cfdfd9', '#7fb5ab', '#2f7f78', '#0f4a4a')
FRAME = '#d98e2f'


@style.styled()
def heat(
    values: np.ndarray,
    texts: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    keys: tuple[str, str],
    title: str,
    baseline: tuple[int, int] | None = None,
) -> Figure:
    """A cell a pair of values.

    Args:
      values: float [rows, columns], NaN where there is none; the larger, the darker.
      texts: in each cell.
      rows, columns: their names.
      keys: what rows and columns are values of.
      title: of the map.
      baseline: the cell with a frame.
    """
    from matplotlib import colors, patches

    left = 34 + 6.2 * max(len(name) for name in rows)
    cell = min(max(720 / len(columns), 66), 118)
    tall = 46 if cell >= 66 else 34
    width, height = left + cell * len(columns) + 10, 30 + tall * len(rows) + 46
    figure = style.blank(width, height)
    axes = style.frame(figure, left=left, top=30, right=10, bottom=46)
    there = values[np.isfinite(values)]
    low, high = (float(there.min()), float(there.max())) if len(there) else (0.0, 1.0)
    scale = colors.LinearSegmentedColormap.from_list('shares', SHADES)
    shades = scale((values - low) / (high - low or 1.0))
    shades[~np.isfinite(values)] = (0, 0, 0, 0)
    axes.imshow(shades, aspect='auto', interpolation='nearest', extent=(0, len(columns), len(rows), 0))
    for row in range(len(rows)):
        for column in range(len(columns)):
            dark = np.isfinite(values[row, column]) and (values[row, column] - low) / (high - low or 1.0) > 0.55
            color = 'white' if dark else INK
            at = {'ha': 'center', 'va': 'center', 'color': color, 'fontsize': 9, 'linespacing': 1.4}
            axes.text(column + 0.5, row + 0.5, texts[row][column], **at)
    for line in range(1, len(rows)):
        axes.axhline(line, color='white', linewidth=1.5)
    for line in range(1, len(columns)):
        axes.axvline(line, color='white', linewidth=1.5)
    if baseline is not None:
        place = (baseline[1] + 0.025, baseline[0] + 0.035)
        axes.add_patch(patches.Rectangle(place, 0.95, 0.93, fill=False, edgecolor=FRAME, linewidth=2))
    axes.set_xticks(np.arange(len(columns)) + 0.5, list(columns))
    axes.set_yticks(np.arange(len(rows)) + 0.5, list(rows))
    axes.tick_params(length=0, labelcolor=INK, labelsize=9)
    axes.spines[:].set_visible(False)
    axes.set_title(title)
    axes.set_xlabel(keys[1], labelpad=4, color=MUTED)
    axes.set_ylabel(keys[0], labelpad=4, color=MUTED)
    return figure

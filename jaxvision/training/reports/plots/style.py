"""The look that all figures share: colours, fonts, margins, legends, and the way out as SVG. Sizes are in CSS pixels.

Matplotlib is imported where it is first used: half a second that a job which draws nothing should not pay.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE, PALE = '#23272e', '#6c727a', '#d9dbd6', '#b9c1cc'
COLORS = {
    'train': '#3f6c9b',
    'validation': '#d98e2f',
    'test': '#a63d4a',
    'teacher': '#75539a',
    'alone': '#85888c',
    'student': '#23857a',
    'distillation': '#75539a',
    'class': '#3f6c9b',
    'box': '#d98e2f',
    'objectness': '#23857a',
}
# What became of a detection or of an object: the same colour in a figure and around a box.
KIND_COLORS = {
    'correct': '#1c9687',
    'rightly empty': '#9fc9c2',
    'duplicate': '#85888c',
    'wrong class': '#8a56b3',
    'poor box': '#3b7cc0',
    'background': '#c2454f',
    'invented': '#c2454f',
    'missed': '#e0a100',
}
ANNOTATED_CLASSES = 20  # Up to here there is room for every class's name and every cell's count.
NAME_LENGTH = 14
STYLE: dict[Any, Any] = {
    'font.family': 'DejaVu Sans',  # Comes with matplotlib. `svg` puts narrower system fonts in its place.
    'font.size': 9.0,
    'axes.titlesize': 9.75,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.titlecolor': INK,
    'axes.labelcolor': MUTED,
    'axes.edgecolor': RULE,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.facecolor': 'none',
    'figure.facecolor': 'none',
    'text.color': INK,
    'text.parse_math': False,  # A class may be called '$5 to $10'.
    'legend.frameon': False,
    'lines.linewidth': 1.5,
    'lines.solid_capstyle': 'round',
    'svg.fonttype': 'none',
    'svg.hashsalt': 'jaxvision',  # The same records give the same bytes.
}
CONTROL = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f]')  # What a name may have, and XML may not.
SYSTEM_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@contextlib.contextmanager
def styled() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def svg(figure: Figure) -> str:
    """The figure as an SVG document whose text is text."""
    buffer = io.StringIO()
    with styled(), warnings.catch_warnings():  # Ticks are made as late as here.
        # A class may be called in Chinese, which the reader's fonts know, though the one that measures does not.
        warnings.filterwarnings('ignore', 'Glyph .* missing')
        nothing = {'Creator': None, 'Date': None, 'Format': None, 'Type': None}
        figure.savefig(buffer, format='svg', dpi=200, metadata=nothing)
    return CONTROL.sub('', buffer.getvalue().replace("'DejaVu Sans'", SYSTEM_FONTS))


def blank(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 96, height / 96))


def frame(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Axes with these margins in pixels: set by hand, since a layout engine costs more than the drawing."""
    width, height = figure.get_size_inches() * 96
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )
    axes.tick_params(color=RULE, labelcolor=MUTED, length=3, labelsize=8.25)
    return axes


def legend(axes: Axes, **kwargs) -> None:
    options = {'loc': 'lower right', 'bbox_to_anchor': (1.0, 1.0), 'ncols': 4, 'borderaxespad': 0.25, 'borderpad': 0.2}
    options |= {'handlelength': 1.0, 'handletextpad': 0.4, 'columnspacing': 1.0, 'fontsize': 8.25}
    axes.legend(**options | kwargs)


def as_percent(share: float, _: float) -> str:
    return f'{round(100 * share, 6):g}%'


def short(name: str, most: int = NAME_LENGTH) -> str:
    """The name, or of a longer one its first and last letters: `most` of them, at least 8."""
    most = max(most, 8)
    end = most // 4 + 2
    return name if len(name) <= most else f'{name[: most - end - 1]}…{name[-end:]}'


def width_of(names: Sequence[str]) -> float:
    return 6.4 * max(len(name) for name in names)


def fits(names: Sequence[str], room: float) -> bool:
    """Whether names fit side by side in `room` pixels each; else they stand."""
    return width_of(names) + 4 < room

"""Figures: pure functions, arrays -> matplotlib Figure. Nothing here reads a file, and pyplot is never touched.

In a notebook, `display(plots.confusion(matrix, names))`; for a page, `plots.svg(figure)`. Sizes are in CSS pixels.
Matplotlib is imported where it is first used: half a second that a job which draws nothing should not pay.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxvision import metrics

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
}
TEMPERATURES = (0.25, 1.0, 2.0, 5.0, 20.0)
ANNOTATED_CLASSES = 20  # Up to here there is room for every class's name and every cell's count.
NAME_LENGTH = 14
LADDER_CLASSES = 11  # Drawn by name where there are more than `ANNOTATED_CLASSES`.
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
SYSTEM_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


class Measured(NamedTuple):
    """A number with its interval, at a step."""

    step: float
    value: float
    low: float
    high: float


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
    return buffer.getvalue().replace("'DejaVu Sans'", SYSTEM_FONTS)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 96, height / 96))


def _axes(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Axes with these margins in pixels: set by hand, since a layout engine costs more than the drawing."""
    width, height = figure.get_size_inches() * 96
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )
    axes.tick_params(color=RULE, labelcolor=MUTED, length=3, labelsize=8.25)
    return axes


def _legend(axes: Axes, **kwargs) -> None:
    options = {'loc': 'lower right', 'bbox_to_anchor': (1.0, 1.0), 'ncols': 4, 'borderaxespad': 0.25, 'borderpad': 0.2}
    options |= {'handlelength': 1.0, 'handletextpad': 0.4, 'columnspacing': 1.0, 'fontsize': 8.25}
    axes.legend(**options | kwargs)


def _percent(share: float, _: float) -> str:
    return f'{round(100 * share, 6):g}%'


def _short(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else f'{name[: NAME_LENGTH - 6]}…{name[-5:]}'


def _width_of(names: Sequence[str]) -> float:
    return 6.4 * max(len(name) for name in names)


def _lie(names: Sequence[str], room: float) -> bool:
    """Whether names fit side by side in `room` pixels each; else they stand."""
    return _width_of(names) + 4 < room


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

    figure = _figure(width, height)
    axes = _axes(figure, left=46, top=26, right=12, bottom=40)
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
    axes.yaxis.set_major_formatter(_percent if percent else '{x:g}')
    axes.grid(axis='y', color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    _step_axis(axes)
    if best_step is not None:
        _mark(axes, best_step, top=not percent)
    axes.set_title(title)
    if len(series) + len(final or {}) > 1:
        _legend(axes)
    return figure


@styled()
def gap(
    steps: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    best_step: int | None = None,
    width: int = 305,
    height: int = 220,
) -> Figure:
    """Clean train accuracy minus validation accuracy, in percentage points, against step; all three float [n]."""
    figure = _figure(width, height)
    axes = _axes(figure, left=40, top=26, right=10, bottom=40)
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
    axes.set_title('Train − validation accuracy, points')
    return figure


def _blend(share: np.ndarray, color: str) -> np.ndarray:
    """White at 0, `color` at 1; the square root lets the few errors be seen beside the many right answers."""
    end = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return 1 - np.sqrt(share)[..., None] * (1 - end)


def _matrix_axes(names: Sequence[str], width: int, right: int) -> tuple[Figure, Axes]:
    """Axes with a row a class, as high as a square matrix would be: so that figures side by side line up."""
    named = len(names) <= ANNOTATED_CLASSES
    left = 34 + (_width_of(names) if named else 24)
    side = width - left - 8
    bottom = 38 if not named or _lie(names, side / len(names)) else 30 + _width_of(names)
    figure = _figure(width, side + 28 + bottom)
    return figure, _axes(figure, left, 28, right, bottom)


@styled()
def confusion(matrix: np.ndarray, class_names: Sequence[str], *, width: int = 470) -> Figure:
    """The confusion matrix: rows true, columns predicted, shaded by the share of the row; blue is right, red wrong.

    Args:
      matrix: int [num_classes, num_classes] from `metrics.confusion_matrix`.
      class_names: one a class.
      width: pixels.
    """
    classes = len(matrix)
    names = [_short(name) for name in class_names]
    figure, axes = _matrix_axes(names, width, right=8)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = np.where(np.eye(classes, dtype=bool)[..., None], _blend(share, '#2c5580'), _blend(share, COLORS['test']))
    axes.imshow(image, interpolation='none', aspect='auto')
    axes.spines[:].set_visible(True)
    axes.set_xlabel('predicted')
    axes.set_ylabel('true')
    axes.set_title(f'Confusion matrix, {matrix.sum():,} test examples')
    if classes > ANNOTATED_CLASSES:
        return figure
    axes.set_yticks(range(classes), names)
    axes.tick_params(length=0)
    cell = axes.get_window_extent().width / figure.dpi * 96 / classes  # Pixels.
    axes.set_xticks(range(classes), names, rotation=0 if _lie(names, cell) else 90)
    # The largest count in 0.8 of a cell, at 0.6 em a digit and 0.75 points a pixel.
    digits = max(len(str(matrix.max())), 2)
    size = float(np.clip(0.75 * 0.8 * cell / (0.6 * digits), 4.5, 9))
    for row, column in zip(*np.nonzero(matrix), strict=True):
        color = 'white' if share[row, column] > 0.3 else INK
        axes.text(column, row, str(matrix[row, column]), ha='center', va='center_baseline', color=color, fontsize=size)
    return figure


@styled()
def class_accuracy(matrix: np.ndarray, class_names: Sequence[str], *, width: int = 470) -> Figure:
    """The share of each class that was recognised: named bars in class order, or many thin ones, worst first.

    Args:
      matrix: int [num_classes, num_classes] from `metrics.confusion_matrix`.
      class_names: one a class.
      width: pixels.
    """
    accuracy = metrics.per_class_accuracy(matrix)
    classes = len(matrix)
    overall = np.trace(matrix) / max(matrix.sum(), 1)
    if classes > ANNOTATED_CLASSES:
        figure = _figure(width, 250)
        axes = _axes(figure, 46, 28, 12, 40)
        ordered = np.sort(accuracy[~np.isnan(accuracy)])
        edges = np.arange(len(ordered) + 1)
        axes.stairs(ordered, edges, fill=True, color=COLORS['test'], alpha=0.25, linewidth=0)
        axes.stairs(ordered, edges, color=COLORS['test'], baseline=None)
        axes.axhline(overall, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(0, len(ordered))
        axes.set_ylim(0, 1)
        axes.set_xlabel(f'{len(ordered)} classes, worst first', labelpad=1)
        axes.yaxis.set_major_formatter(_percent)
        axes.grid(axis='y', color=RULE, linewidth=0.6)
    else:
        names = [_short(name) for name in class_names]
        figure, axes = _matrix_axes(names, width, right=56)
        rows = range(classes)
        axes.barh(rows, np.nan_to_num(accuracy), height=0.5, color=COLORS['test'], alpha=0.75)
        for row, value in zip(rows, accuracy, strict=True):
            shown = '–' if np.isnan(value) else f'{value:.1%}'
            axes.text(1.135, row, shown, ha='right', va='center_baseline', fontsize=8.25)
        axes.axvline(overall, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(0, 1)
        axes.set_ylim(classes - 0.5, -0.5)
        axes.set_yticks(rows, names)
        axes.tick_params(axis='y', length=0)
        axes.spines['left'].set_visible(False)
        axes.xaxis.set_major_formatter(_percent)
    axes.set_title(f'Accuracy by class (overall {overall:.1%})')
    return figure


@styled()
def reliability(
    logits: np.ndarray,
    labels: np.ndarray,
    title: str,
    *,
    temperature: float = 1.0,
    bins: int = 15,
    width: int = 470,
    height: int = 430,
) -> Figure:
    """Accuracy against confidence, with 95% intervals, and below it how many examples each bin of confidence holds.

    Args:
      logits: float [n, num_classes].
      labels: int [n].
      title: of the panel.
      temperature: the logits are divided by it.
      bins: of equal width.
      width, height: pixels.
    """
    stated = metrics.probabilities(logits, temperature)
    confidence, correct = stated.max(axis=1), stated.argmax(axis=1) == labels
    table = metrics.reliability(confidence, correct, bins)
    full = table.counts > 0
    counts, at, accuracy = table.counts[full], table.confidence[full], table.accuracy[full]
    figure = _figure(width, height)
    axes = _axes(figure, 46, 28, 12, 132)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.vlines(at, *metrics.wilson(accuracy * counts, counts), color=COLORS['test'], linewidth=5, alpha=0.22)
    axes.vlines(at, at, accuracy, color=COLORS['test'], linewidth=1)
    axes.plot(at, accuracy, 'o', color=COLORS['test'], markersize=5, clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xticks(np.linspace(0, 1, 6), [])
    axes.set_ylabel('accuracy')
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_title(f'{title}: ECE {metrics.calibration_error(confidence, correct, bins):.3f}')
    below = _axes(figure, 46, height - 112, 12, 40)
    below.bar((np.flatnonzero(full) + 0.5) / bins, counts, width=0.86 / bins, color=PALE)
    for index in np.flatnonzero(full):
        x, count = (index + 0.5) / bins, table.counts[index]
        below.annotate(
            f'{count}', (x, count), (0, 2), textcoords='offset points', ha='center', color=MUTED, fontsize=6.75
        )
    below.set_xlim(0, 1)
    below.set_ylim(0, 1.3 * counts.max(initial=1))
    below.set_yticks([])
    below.set_xlabel('confidence: the largest probability', labelpad=1)
    below.set_ylabel('examples')
    below.yaxis.set_label_coords(-0.02, 0.4)
    below.spines['left'].set_visible(False)
    return figure


def instructive_example(logits: np.ndarray) -> int:
    """The position, in float [n, num_classes], of the example whose largest probability is nearest to 0.6.

    It hesitates, but not so evenly that a low temperature could not decide.
    """
    return int(np.abs(metrics.probabilities(logits).max(axis=1) - 0.6).argmin())


@styled()
def temperature_ladder(
    logits: np.ndarray,
    label: int,
    class_names: Sequence[str],
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    width: int = 470,
) -> Figure:
    """One example's softmax(logits / T), a row a temperature; the true class is dark. Beside is the entropy H, in nats.

    Args:
      logits: float [num_classes].
      label: the true class.
      class_names: one a class. Where they do not all fit, the most probable ones and the sum of the others are drawn.
      temperatures: from the sharpest to the flattest.
      width: pixels.
    """
    classes = len(logits)
    shown, others = np.arange(classes), np.arange(0)
    if classes > ANNOTATED_CLASSES:
        order = np.argsort(-logits, kind='stable')
        shown, others = order[:LADDER_CLASSES], order[LADDER_CLASSES:]
        if label in others:
            shown, others = np.append(shown[:-1], label), np.append(others[others != label], shown[-1])
    names = [_short(class_names[int(index)]) for index in shown] + ([f'{len(others)} others'] if len(others) else [])
    colors = [INK if index == label else PALE for index in shown] + [RULE] * (len(names) - len(shown))
    lie = _lie(names, (width - 134) / len(names))
    bottom = 30 if lie else 16 + _width_of(names)
    figure = _figure(width, 34 + 66 * len(temperatures) + bottom)
    axes = _axes(figure, 68, 34, 66, bottom)
    for row, temperature in enumerate(temperatures):
        p = metrics.probabilities(logits, temperature)
        base = len(temperatures) - 1 - row
        heights = np.append(p[shown], p[others].sum())[: len(names)]
        axes.bar(range(len(names)), 0.82 * heights, bottom=base, width=0.7, color=colors)
        axes.axhline(base, color=RULE, linewidth=0.8)
        for at in {int(heights.argmax()), shown.tolist().index(label)}:
            axes.annotate(
                f'{heights[at]:.2f}',
                (at, base + 0.82 * heights[at]),
                (0, 2),
                textcoords='offset points',
                ha='center',
                color=MUTED,
                fontsize=7.5,
            )
        axes.text(-0.02, base + 0.1, f'T = {temperature:g}', transform=axes.get_yaxis_transform(), ha='right')
        entropy = -np.sum(p * np.log(np.maximum(p, 1e-300)))
        axes.text(1.02, base + 0.1, f'H = {entropy:.2f}', transform=axes.get_yaxis_transform(), color=MUTED)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(0, len(temperatures))
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(range(len(names)), names, rotation=0 if lie else 90)
    axes.set_title('softmax(logits / T)', pad=10)
    return figure


@styled()
def agreement(
    teacher: np.ndarray,
    student: np.ndarray,
    teacher_right: np.ndarray,
    student_right: np.ndarray,
    title: str,
    *,
    color: str = COLORS['student'],
    width: int = 470,
) -> Figure:
    """The probability of the true class under the teacher and under the student, a dot an example.

    Args:
      teacher, student: float [n], the two probabilities.
      teacher_right, student_right: bool [n].
      title: of the panel.
      color: of the examples that only the student gets right.
      width: pixels.
    """
    figure = _figure(width, width - 10)
    axes = _axes(figure, 46, 46, 14, 40)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    kinds = (
        ('both right', teacher_right & student_right, PALE, 'o'),
        ('both wrong', ~teacher_right & ~student_right, INK, 'x'),
        ('only teacher', teacher_right & ~student_right, COLORS['teacher'], 'o'),
        ('only student', ~teacher_right & student_right, color, 'o'),
    )
    for name, chosen, shade, marker in kinds:
        axes.plot(
            teacher[chosen],
            student[chosen],
            marker,
            color=shade,
            markersize=4,
            markeredgewidth=1 if marker == 'x' else 0,
            alpha=0.85,
            label=name,
            clip_on=False,
            rasterized=len(teacher) > 1000,  # A dot is 60 bytes of SVG.
        )
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("teacher's probability of the true class", labelpad=1)
    axes.set_ylabel("student's")
    axes.set_title(title, pad=22)
    _legend(axes, loc='lower left', bbox_to_anchor=(0.0, 1.0), ncols=4, handletextpad=0.1, columnspacing=0.9)
    return figure

"""The page of a detector: average precision, what goes wrong, and boxes on images."""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxvision import metrics
from jaxvision.training.reports import pieces, plots, results
from jaxvision.training.reports.learning import Panel, learning
from jaxvision.training.reports.reading import Absent, Records, number
from jaxvision.training.reports.record import record
from jaxvision.training.reports.results import Column
from jaxvision.training.reports.seen import with_objects

SCORE = 0.5  # Detections below it are not shown, and not counted as errors.
SCORES = np.arange(1, 20) / 20
BY_CLASS = {'AP': 'AP', 'AP50': 'AP50', 'voc_AP50': 'VOC, area', 'voc_AP50_11_point': 'VOC, 11-point'}
SHOWN = 12  # Images as they come, and as many of the worst.
SIDE = 228  # Pixels a picture, on the page.
MAP = Column('mAP', 'mAP')
OTHERS = (Column('mAP50', 'mAP50'), Column('mAP75', 'mAP75'))
FIGURES = {
    'Average precision, COCO': {
        'mAP': 'mAP: mean over IoU 0.50 to 0.95',
        'mAP50': 'mAP50: at IoU 0.50',
        'mAP75': 'mAP75: at IoU 0.75',
        'mAP_small': 'small objects, below 32 × 32 pixels',
        'mAP_medium': 'medium objects',
        'mAP_large': 'large objects, above 96 × 96 pixels',
    },
    'Average recall, COCO': {
        'AR1': '1 detection an image',
        'AR10': '10 detections an image',
        'AR100': '100 detections an image',
        'AR_small': 'small objects',
        'AR_medium': 'medium objects',
        'AR_large': 'large objects',
    },
    'Average precision at IoU 0.50, Pascal VOC': {
        'voc_AP50': 'area under the curve, since 2010',
        'voc_AP50_11_point': '11 points, 2007',
    },
}


def header(records: Records) -> str:
    others = [(f'Test {column.head}', _figure(records.test, column.key, records, ' %')) for column in OTHERS]
    return results.header(records, MAP, others)


def sections(records: Records) -> dict[str, Callable[[Records], str]]:
    """Title -> what draws the section, or raises Absent."""
    return {
        'Results': _results,
        'Learning curves': _learning,
        'Class by class': _by_class,
        'What goes wrong': _errors,
        'What the network saw': _seen,
        'Test images': _images,
        'The record': record,
    }


def said_and_true(records: Records) -> tuple[metrics.Detections, metrics.GroundTruth]:
    """The detections and the objects of the test split; there is at least one image."""
    arrays = records.predictions
    said = metrics.Detections(*(arrays[f'test_{name}'] for name in metrics.Detections._fields))
    truth = metrics.GroundTruth(*(arrays[f'test_true_{name}'] for name in metrics.GroundTruth._fields))
    if not len(truth.sizes):
        raise Absent('predictions.npz has no test images')
    return said, truth


def own_pixels(canvas: np.ndarray, size: Sequence[int] | np.ndarray) -> np.ndarray:
    """The image without the grey that made it a square; `size` is its (height, width) before it was resized."""
    side = len(canvas)
    height, width = (max(round(side * length / max(size)), 1) for length in size)
    top, left = (side - height) // 2, (side - width) // 2
    return canvas[top : top + height, left : left + width]


def _figure(split: Mapping[str, Any], key: str, records: Records, unit: str = '') -> str:
    """A figure in percent; a dash for -1, which says that no object counts for it."""
    entry = split.get(key)
    if (number(entry) or 0) < 0:
        return '–'
    return pieces.cell(entry, pieces.percent(records), unit)


def _results(records: Records) -> str:
    found = results.choices(records.result)
    if not found:
        raise Absent('result.json has no splits')
    titles = results.titles(records)
    last = found.get('last', {})
    columns = {split: last.get(split, {}) for split in results.SPLITS}
    columns |= {f'test, {titles["best"][0].lower()}{titles["best"][1:]}': found.get('best', {}).get('test', {})}
    heads = [f'{name}, n = {pieces.cell(split.get("n"), pieces.count)}' for name, split in columns.items()]
    groups = {
        title: [('', name, [_figure(split, key, records) for split in columns.values()]) for key, name in keys.items()]
        for title, keys in FIGURES.items()
    }
    return (
        pieces.table(('in percent', *heads), groups, 'stacked')
        + '<p class="note">At the last step, unless it says best. Every split is measured clean: no augmentation, no '
        'dropout, each image once; sizes are in pixels of the images as they were. A dash: there is no such object. '
        'Intervals are drawn over images.</p>'
        + results.teacher_and_student(records, MAP._replace(head='mAP, %'), [_in_percent(each) for each in OTHERS])
    )


def _in_percent(column: Column) -> Column:
    return column._replace(head=f'{column.head}, %')


def _learning(records: Records) -> str:
    large = (
        Panel(
            'mAP',
            'mAP, clean',
            'Over IoU 0.50 to 0.95: it still grows while boxes become tighter. Where validation stops rising while '
            'train goes on, the network begins to memorise.',
        ),
        Panel(
            'mAP50',
            'mAP50, clean',
            'A rough box is enough here: this comes first, and what lies between it and mAP is tightness.',
        ),
    )
    caption = (
        'What was minimised, on augmented batches, and its parts before they are weighted. Objectness is learnt from '
        'all cells, class and box only where an object is.'
    )
    return learning(records, large, loss_caption=caption)


def _by_class(records: Records) -> str:
    said, truth = said_and_true(records)
    per_class = records.test.get('per_class') or {}
    classes = max(len(per_class), int(truth.classes.max(initial=0)) + 1, int(said.classes.max(initial=0)) + 1)
    names = records.class_names(classes)
    counted = truth.classes[truth.valid & ~truth.ignored]
    totals = np.bincount(counted, minlength=classes)
    rows = []
    for index, name in enumerate(names):
        entry = per_class.get(name) or {}
        cells = [pieces.count(totals[index]), *(_figure(entry, key, records) for key in BY_CLASS)]
        rows.append(('', name, cells))
    table = pieces.table(
        ('class', 'objects', *(f'{head}, %' for head in BY_CLASS.values())), {'Test split, last step': rows}
    )
    caption = (
        'At IoU 0.50. From the left, ever less certain detections are let in: recall grows, precision falls. A '
        'curve that ends early never finds the rest, at whatever score; one that starts low is wrong where it is '
        'most certain.'
    )
    figure = plots.precision_recall(metrics.matches(said, truth, classes, [0.5]), names, score=SCORE)
    alt = f'Precision against recall of {classes} classes.'
    if classes <= plots.ANNOTATED_CLASSES:
        return table + pieces.figure(figure, alt, f'{caption} The dot is where the score is {SCORE}.')
    # With so many classes, the extremes stand in lists beside the curves, and the table is folded.
    known = {name: value for name in names if (value := number((per_class.get(name) or {}).get('AP50')) or 0) >= 0}
    order = sorted(known, key=known.__getitem__)
    lists = [
        pieces.ranking(title, [f'{name}: {known[name]:.0%}' for name in chosen])
        for title, chosen in (('Hardest, by AP50', order[:10]), ('Easiest', order[:-11:-1]))
    ]
    curves = pieces.group('pair', [pieces.figure(figure, alt, caption), pieces.group('lists', lists)])
    return f'{curves}<details><summary>All {classes} classes</summary>{table}</details>'


def _errors(records: Records) -> str:
    said, truth = said_and_true(records)
    counts = metrics.error_kinds(said, truth, score=SCORE).counts
    others = [metrics.error_kinds(said, truth, score=score).counts for score in SCORES]
    series = {kind: np.array([each[kind] for each in others]) for kind in counts}
    told = ', '.join(f'{kind} {count:,}' for kind, count in counts.items())
    figures = [
        pieces.figure(
            plots.error_counts(counts, f'Detections of at least {SCORE}, and missed objects'),
            f'Detections by kind: {told}.',
            'Correct: a box of the right class with IoU 0.50. Duplicate: of an object that a better one has found. '
            'Wrong class: on an object of another class. Poor box: on one of its class, but with an IoU of 0.10 to '
            '0.50. Background: on nothing. Missed: an object that none of these is about.',
        ),
        pieces.figure(
            plots.errors_by_score(SCORES, series, chosen=SCORE),
            f'How many there are of each kind at {len(SCORES)} thresholds of the score.',
            'To the left more objects are found, and more of what is found is wrong. Where the two matter alike, the '
            'best threshold is where the errors together are fewest.',
        ),
    ]
    return pieces.group('pair', figures)


def _seen(records: Records) -> str:
    return with_objects(records, count=8, side=SIDE)  # Many boxes need room.


def _images(records: Records) -> str:
    judged = metrics.error_kinds(*said_and_true(records), score=SCORE)
    first = [row for row in records.images if row < SHOWN]
    wrong = [row for row in records.images if row >= SHOWN and judged.by_image[row]]
    worst = sorted(wrong, key=lambda row: -judged.by_image[row])[:SHOWN]
    key = ''.join(
        f'<span>{pieces.dot(plots.KIND_COLORS[kind])}{kind}</span>' for kind in (*metrics.KINDS[1:], 'missed')
    )
    parts = [f'<p class="key">{key}</p>', _pictures(records, first, judged)]
    parts.append(
        f'<p class="caption">The first {len(first)} images of the test split, with the detections of at least '
        f'{SCORE}: the colour says what became of each. Dashed are the objects that were missed.</p>'
    )
    if worst:
        parts.append('<h3>The most errors in an image</h3>')
        parts.append(_pictures(records, worst, judged))
    return ''.join(parts)


def _pictures(records: Records, rows: Sequence[int], judged: metrics.DetectionErrors) -> str:
    said, truth = said_and_true(records)
    images = records.images
    names = records.class_names(max(int(said.classes.max(initial=0)), int(truth.classes.max(initial=0))) + 1)
    figures = []
    for row in rows:
        shown = np.flatnonzero(said.valid[row] & (said.scores[row] >= SCORE))
        missed = np.flatnonzero(judged.missed[row])
        kinds = [metrics.KINDS[kind] for kind in judged.kinds[row, shown]]
        labels = [
            f'{names[label]} {pieces.probability(score)}'
            for label, score in zip(said.classes[row, shown], said.scores[row, shown], strict=True)
        ] + [names[label] for label in truth.classes[row, missed]]
        colors = [plots.KIND_COLORS.get(kind, plots.KIND_COLORS['duplicate']) for kind in kinds]
        colors += [plots.KIND_COLORS['missed']] * len(missed)
        counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)} | {'missed': len(missed)}
        text = ', '.join(f'{count} {kind}' for kind, count in counts.items() if count) or 'rightly empty'
        picture = pieces.boxed(
            own_pixels(images[row], truth.sizes[row]),
            np.concatenate([said.boxes[row, shown], truth.boxes[row, missed]]),
            labels,
            colors,
            f'test image: {text}',
            dashed=[False] * len(shown) + [True] * len(missed),
            side=SIDE,
        )
        figures.append(f'<figure>{picture}<figcaption>{html.escape(text)}</figcaption></figure>')
    return pieces.group('pictures', figures)

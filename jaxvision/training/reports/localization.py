"""The page of a localiser: is something there, what is it, and where."""

import html
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxvision import metrics
from jaxvision.training.reports import pieces, plots, results
from jaxvision.training.reports.classes import by_class
from jaxvision.training.reports.learning import Panel, learning
from jaxvision.training.reports.reading import Absent, Records
from jaxvision.training.reports.record import record
from jaxvision.training.reports.results import Column
from jaxvision.training.reports.seen import with_objects

THRESHOLD = 0.5  # Of objectness and of IoU, as in the metrics.
SHOWN = 18
MISTAKES = 24
SIDE = 147  # Pixels a picture, on the page.
# In the order in which an image is judged; the first that fits.
KINDS = ('correct', 'rightly empty', 'missed', 'invented', 'wrong class', 'poor box')
TRUTH, SAID = plots.KIND_COLORS['missed'], plots.KIND_COLORS['poor box']
DETECTION = Column('detection accuracy', 'detection_accuracy')
PARTS = (
    Column('class accuracy', 'class_accuracy'),
    Column('mean IoU', 'mean_iou', share=False),
    Column('objectness accuracy', 'objectness_accuracy'),
    Column('empty accuracy', 'empty_accuracy'),
)


class Judged(NamedTuple):
    """The test split, image by image.

    Attributes:
      kinds: str [n], of `KINDS`.
      objectness: float [n], the probability that there is an object.
      said: int [n], the predicted class.
      certainty: float [n], its probability.
      boxes: float [n, 4], as shares of the canvas.
      present: bool [n].
      labels: int [n], read only where present.
      true_boxes: float [n, 4], read only where present.
      ious: float [n], 0 where nothing is present.
    """

    kinds: np.ndarray
    objectness: np.ndarray
    said: np.ndarray
    certainty: np.ndarray
    boxes: np.ndarray
    present: np.ndarray
    labels: np.ndarray
    true_boxes: np.ndarray
    ious: np.ndarray


def header(records: Records) -> str:
    others = [(f'Test {part.head}', part.cell(records.test, records, ' %')) for part in PARTS]
    return results.header(records, DETECTION, others)


def sections(records: Records) -> dict[str, Callable[[Records], str]]:
    """Title -> what draws the section, or raises Absent."""
    return {
        'Results': _results,
        'Learning curves': _learning,
        'What goes wrong': _kinds,
        'Whether and where': _whether_and_where,
        'Class by class': _by_class,
        'What the network saw': with_objects,
        'Test images': _images,
        'Worst mistakes': _mistakes,
        'The record': record,
    }


def judge(records: Records) -> Judged:
    """Sorts the images of the test split into kinds; n is at least 1."""
    keys = ('class_logits', 'objectness', 'boxes', 'present', 'labels', 'true_boxes')
    logits, objectness, boxes, present, labels, true_boxes = (records.predictions[f'test_{key}'] for key in keys)
    if not len(logits):
        raise Absent('predictions.npz has no test examples')
    said = logits.argmax(axis=1)
    truth = {'present': present, 'labels': labels, 'target_boxes': true_boxes}
    found = metrics.localization_scores(objectness, said, boxes, **truth, threshold=THRESHOLD, iou=THRESHOLD)
    ious = np.zeros(len(present))
    ious[present] = found['mean_iou']
    there, right = objectness >= THRESHOLD, said == labels
    fits = [
        found['detection_accuracy'] & present,
        found['detection_accuracy'],
        present & ~there,
        ~present,
        ~right,
    ]
    kinds = np.select(fits, KINDS[:-1], KINDS[-1])
    certainty = metrics.probabilities(logits).max(axis=1)
    return Judged(kinds, objectness, said, certainty, boxes, present, labels, true_boxes, ious)


def _results(records: Records) -> str:
    heads = ('detected, %', 'class, %', 'IoU', 'object?, %', 'empty, %')
    columns = [column._replace(head=head) for column, head in zip((DETECTION, *PARTS), heads, strict=True)]
    return (
        results.by_split(records, columns)
        + '<p class="note">Detected: an object said to be there, of the right class, with an IoU of at least 0.5; or '
        'an empty image said to be empty. Class and IoU: of images with an object, said to be there or not. Object?: '
        'of all images, those rightly said to have one or none. Empty: the same, of images without one.</p>'
        + results.teacher_and_student(records, columns[0], columns[1:])
    )


def _learning(records: Records) -> str:
    large = (
        Panel(
            'detection_accuracy',
            'Detection accuracy, clean',
            'All must be right at once: whether, what and where. Where validation stops rising while train goes on, '
            'the network begins to memorise.',
        ),
        Panel(
            'mean_iou',
            'Mean IoU, clean',
            'How well the boxes fit, whatever class was said. It often still grows when the classes are learnt.',
            share=False,
        ),
    )
    small = (
        Panel('class_accuracy', 'Class', 'What it is: of the images with an object, said to be there or not.'),
        Panel('objectness_accuracy', 'Object?', 'Whether there is an object: of all images.'),
        Panel('empty_accuracy', 'Empty', 'Of the images without an object, those that are said to be empty.'),
    )
    caption = (
        'What was minimised, on augmented batches, and its parts before they are weighted. Class and box count only '
        'where an object is.'
    )
    return learning(records, large, small, caption)


def _kinds(records: Records) -> str:
    judged = judge(records)
    counts = {kind: int(np.sum(judged.kinds == kind)) for kind in KINDS}
    told = ', '.join(f'{kind} {count:,}' for kind, count in counts.items())
    caption = (
        'Each image once, by the first that fits. Missed and invented are matters of objectness; a wrong class was '
        f'seen but not recognised; a poor box has the class right, but an IoU below {THRESHOLD}.'
    )
    wrong = {kind: count for kind, count in counts.items() if kind not in KINDS[:2]}
    figures = [
        pieces.figure(
            plots.error_counts(counts, f'{len(judged.kinds):,} test images'), f'What became of them: {told}.', caption
        )
    ]
    if any(wrong.values()):
        caption = 'The same without what is right: the longest bar is where to begin.'
        figure = plots.error_counts(wrong, f'{sum(wrong.values()):,} mistakes')
        figures.append(pieces.figure(figure, 'The mistakes alone.', caption))
    return pieces.group('pair', figures)


def _whether_and_where(records: Records) -> str:
    judged = judge(records)
    figures = []
    if judged.present.any():
        ious = judged.ious[judged.present]
        alt = f'Histogram of the IoU of {len(ious):,} objects; {np.mean(ious >= THRESHOLD):.1%} reach {THRESHOLD}.'
        caption = (
            'Right of the dashed line a box counts as right. A hump at 0.6 to 0.8 is a box that is about there but not '
            'tight; a heap at 0 is a box on something else.'
        )
        figures.append(pieces.figure(plots.overlaps(ious, bar=THRESHOLD), alt, caption))
    there = judged.objectness >= THRESHOLD
    alt = (
        f'Objectness of images with an object, {np.sum(there & judged.present):,} of {judged.present.sum():,} over the '
        f'threshold, and of empty ones, {np.sum(there & ~judged.present):,} of {np.sum(~judged.present):,}.'
    )
    caption = (
        'Images with an object upwards, empty ones downwards, on a logarithmic scale. Upper bars left of the dashed '
        'line are missed objects, lower bars right of it invented ones: moving the line trades one for the other.'
    )
    figures.append(pieces.figure(plots.objectness(judged.objectness, judged.present, bar=THRESHOLD), alt, caption))
    return pieces.group('pair', figures)


def _by_class(records: Records) -> str:
    judged = judge(records)
    if not judged.present.any():
        raise Absent('no test image has an object')
    classes = records.predictions['test_class_logits'].shape[1]
    matrix = metrics.confusion_matrix(judged.said[judged.present], judged.labels[judged.present], classes)
    return by_class(matrix, records.class_names(classes), 'test objects')


def _images(records: Records) -> str:
    return _key() + _pictures(records, judge(records), [row for row in records.images if row < SHOWN])


def _mistakes(records: Records) -> str:
    judged = judge(records)
    wrong = ~np.isin(judged.kinds, KINDS[:2])
    if not wrong.any():
        return '<p>No image of the test split was judged wrongly.</p>'
    kept = np.array([row for row in records.images if wrong[row]])
    worst = kept[np.argsort(-_badness(judged)[kept], kind='stable')][:MISTAKES]
    return (
        _key()
        + _pictures(records, judged, worst.tolist())
        + f'<p class="caption">{len(worst)} of {wrong.sum():,} mistakes on the test split, the worst ones first. Some '
        'may be wrong annotations.</p>'
    )


def _badness(judged: Judged) -> np.ndarray:
    """How wrong a mistake is, float [n] in [0, 1]: from how sure the network was, or how far off the box is."""
    wrong = {
        'missed': 1 - judged.objectness,
        'invented': judged.objectness,
        'wrong class': judged.objectness * judged.certainty,
    }
    return np.select([judged.kinds == kind for kind in wrong], list(wrong.values()), 1 - judged.ious)


def _key() -> str:
    named = ((TRUTH, 'the true box'), (SAID, 'the predicted box, its class and the probability of an object'))
    return f'<p class="key">{"".join(f"<span>{pieces.dot(color)}{text}</span>" for color, text in named)}</p>'


def _pictures(records: Records, judged: Judged, rows: Sequence[int]) -> str:
    """Test images with their true and their predicted box; the latter only where an object is said to be there."""
    names, images = records.class_names(records.predictions['test_class_logits'].shape[1]), records.images
    figures = []
    for row in rows:
        kind, objectness = str(judged.kinds[row]), pieces.probability(judged.objectness[row])
        guess, truth = names[judged.said[row]], names[judged.labels[row]]
        boxes, labels, colors = [], [], []
        if judged.objectness[row] >= THRESHOLD:
            boxes, labels, colors = [judged.boxes[row]], [f'{guess} {objectness}'], [SAID]
        if judged.present[row]:
            boxes, labels, colors = [*boxes, judged.true_boxes[row]], [*labels, ''], [*colors, TRUTH]
        text = {
            'correct': f'{truth}, IoU {judged.ious[row]:.2f}',
            'rightly empty': f'rightly empty ({objectness})',
            'missed': f'missed: {truth} ({objectness})',
            'invented': f'invented: {guess} ({objectness})',
            'wrong class': f'wrong class: {truth} → {guess}, IoU {judged.ious[row]:.2f}',
            'poor box': f'poor box: {truth}, IoU {judged.ious[row]:.2f}',
        }[kind]
        picture = pieces.boxed(
            images[row], np.reshape(boxes, (-1, 4)), labels, colors, f'test image: {text}', side=SIDE
        )
        caption = f'<figcaption>{pieces.dot(plots.KIND_COLORS[kind])}{html.escape(text)}</figcaption>'
        figures.append(f'<figure>{picture}{caption}</figure>')
    return pieces.group('pictures', figures)

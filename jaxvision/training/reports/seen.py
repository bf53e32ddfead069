"""What the network saw: training examples before and after augmentation and mixing."""

import html
from collections.abc import Sequence

import numpy as np

from jaxvision.training.reports import pieces, plots
from jaxvision.training.reports.reading import Records

FAINT = 0.1  # What mixing left less visible than this is not named.


def labelled(records: Records) -> str:
    """Images and the label that each was given."""
    originals, seen, targets = (records.samples[key] for key in ('originals', 'seen', 'targets'))
    names = records.class_names(targets.shape[1])
    figures = []
    for original, image, target in zip(originals, seen, targets, strict=True):
        label = soft_label(target, names)
        pair = pieces.image(original, 'original') + pieces.image(image, f'as the network saw it, labelled {label}')
        figures.append(f'<figure>{pair}<figcaption>{html.escape(label)}</figcaption></figure>')
    return pieces.group('thumbnails', figures) + (
        '<p class="caption">Above the original, below what the network was given, and its label: could you still name '
        'it? Augmentation that nobody can see through teaches noise.</p>'
    )


def soft_label(distribution: np.ndarray, names: Sequence[str]) -> str:
    """A soft label in a few letters: its one class, or its heaviest three with their shares, '3 .71 / 8 .29'."""
    first, *others = np.argsort(-distribution, kind='stable')[:3]
    if distribution[first] > 0.995:
        return str(names[first])
    heaviest = [first, *(index for index in others if distribution[index] >= 0.05)]
    return ' / '.join(
        f'{names[index]}\N{NO-BREAK SPACE}{distribution[index]:.2f}'.replace('\xa00.', '\xa0.') for index in heaviest
    )


def with_objects(records: Records, count: int = 18, side: int = 147) -> str:
    """The first `count` images, of `side` pixels on the page, and the boxes that each was given, on its canvas."""
    samples = records.samples
    originals, seen, boxes, classes, valid = (
        samples[key] for key in ('originals', 'seen', 'boxes', 'classes', 'valid')
    )
    ignored, weights = samples.get('ignored', np.zeros_like(valid)), samples.get('weights', np.ones(valid.shape))
    names = records.class_names(int(classes.max(initial=0)) + 1)
    figures = []
    for row, (original, image) in enumerate(zip(originals[:count], seen[:count], strict=True)):
        shown = np.flatnonzero(valid[row])
        labels = [
            'ignored' if ignored[row, slot] else _weighted(names[classes[row, slot]], weights[row, slot])
            for slot in shown
        ]
        faint = [bool(weights[row, slot] < 0.5) for slot in shown]
        colors = [plots.KIND_COLORS['duplicate' if ignored[row, slot] else 'missed'] for slot in shown]
        before = pieces.boxed(original, np.zeros((0, 4)), (), (), 'original', side=side)
        told = ', '.join(filter(None, labels)) or 'no object'
        after = pieces.boxed(
            image, boxes[row, shown], labels, colors, f'as the network saw it: {told}', dashed=faint, side=side
        )
        figures.append(f'<figure>{before}{after}</figure>')
    return pieces.group('pictures', figures) + (
        '<p class="caption">Above the original, below what the network was given, with the boxes that it was asked to '
        'find: do they still fit, and could you find what is in them? A share beside a class says how visible mixing '
        'left it: dashed, less than half; unnamed, less than a tenth. What is ignored is neither to be found nor to be '
        'missed.</p>'
    )


def _weighted(name: str, weight: float) -> str:
    if weight > 0.995:
        return name
    return f'{name} {weight:.2f}'.replace(' 0.', ' .') if weight >= FAINT else ''

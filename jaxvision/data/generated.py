"""Datasets made on the spot, of any shape, for tests and benchmarks; they are named `generated...` in every record."""

import numpy as np

from jaxvision import rng
from jaxvision.data.objects import Annotated, pad
from jaxvision.errors import UserError

TRIES = 10  # To place a rectangle clear of the others.


def classification(shape: tuple[int, ...], num_classes: int, examples: int):
    """A random prototype a class plus noise: learnable.

    Returns:
      images uint8 [examples, *shape], labels int32 [examples], class names, and the ids of each split.
    """
    draw = rng.generator(0, 'generated', *shape, num_classes, examples)
    prototypes = draw.integers(0, 256, (num_classes, *shape))
    labels = np.arange(examples) % num_classes
    images = 0.5 * prototypes[labels] + 0.5 * draw.integers(0, 256, (examples, *shape))
    names = tuple(f'class {index}' for index in range(num_classes))
    return images.astype(np.uint8), labels.astype(np.int32), names, {'train': np.arange(examples)}


def objects(shape: tuple[int, ...], num_classes: int, examples: int, most: int = 3):
    """Rectangles on dark noise, 0 to `most` an image and apart from each other; the colour is the class.

    Returns:
      images uint8 [examples, *shape], their Objects, class names, and the ids of each split.

    Raises:
      UserError: the shape is not that of a square.
    """
    side, width, channels = shape
    if side != width:
        raise UserError(f'data.generated_shape={shape} is not square, which images with objects have to be')
    draw = rng.generator(0, 'generated', *shape, num_classes, examples, most)
    colours = _colours(num_classes, channels, draw)
    images = draw.integers(0, 48, (examples, *shape)).astype(np.uint8)
    annotated = []
    for index, image in enumerate(images):
        taken = np.zeros((side, side), bool)
        boxes, classes = [], []
        # In turn, so that every number of objects and every class is there however few the examples.
        for number in range(index % (most + 1)):
            for _ in range(TRIES):
                height, width = draw.integers(max(side // 4, 1), max(side // 2, 1) + 1, 2)
                top, left = draw.integers(0, side - height + 1), draw.integers(0, side - width + 1)
                spot = np.s_[top : top + height, left : left + width]
                if not taken[spot].any():
                    taken[spot] = True
                    label = (index // (most + 1) + number) % num_classes
                    image[spot] = colours[label]
                    boxes.append((top / side, left / side, (top + height) / side, (left + width) / side))
                    classes.append(label)
                    break
        annotated.append(Annotated(f'generated {index}', (side, side), boxes, classes, [False] * len(boxes)))
    names = tuple(f'class {index}' for index in range(num_classes))
    return images, pad(annotated), names, {'train': np.arange(examples)}


def _colours(num_classes: int, channels: int, draw: np.random.Generator) -> np.ndarray:
    """uint8 [num_classes, channels]: evenly spaced in every channel, in another order in each."""
    levels = np.linspace(96, 255, num_classes)
    return np.stack([draw.permutation(levels) for _ in range(channels)], axis=1).astype(np.uint8)

"""The objects of all images, padded to one number of slots, so that every batch has one shape.

A box is [ymin, xmin, ymax, xmax] in shares of a height and a width. Here these are those of the *canvas*: the square
that training sees, into which `pixels.letterbox` put the image (`pixels.unletterbox_boxes` leads back to the image).
Of a square image the two are the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

MOST = 10  # Images with more objects than this are of one stratum.
FEWEST = 10  # A stratum of counts has at least so many images.
NOWHERE = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Objects:
    """What is where in n images.

    Attributes:
      boxes: float32 [n, slots, 4], on the canvas; zeros where not valid.
      classes: int32 [n, slots]; 0 where not valid.
      valid: bool [n, slots]; False is padding.
      ignored: bool [n, slots], VOC's "difficult", COCO's "crowd", and what is annotated in a way that is of no use:
        not trained on, and neither a hit nor a miss in evaluation. What is ignored is valid too. Of an unknown class it
        has class 0, so in evaluation only detections of that are excused; without a usable box its box is zeros, so it
        excuses none.
      areas: float32 [n, slots], the object's own area, as of its outline, in pixels before any resize; 0 where none is
        annotated: then it is the box's.
      sizes: int32 [n, 2], the image's own (height, width) in pixels, before any resize.
      names: of each image, for reports: its file, or its split and number.
    """

    boxes: np.ndarray
    classes: np.ndarray
    valid: np.ndarray
    ignored: np.ndarray
    areas: np.ndarray
    sizes: np.ndarray
    names: tuple[str, ...]

    def arrays(self) -> dict[str, np.ndarray]:
        """All but the names."""
        return {key: getattr(self, key) for key in ('boxes', 'classes', 'valid', 'ignored', 'areas', 'sizes')}


class Annotated(NamedTuple):
    """The objects of one image, before padding.

    Attributes:
      name: of the image.
      size: its own (height, width) in pixels.
      boxes: [m, 4] in shares of that height and width; `NOWHERE` where there is an object, but no usable box.
      classes: [m].
      ignored: [m].
      areas: [m] in pixels, 0 for none; or empty, if none is annotated.
    """

    name: str
    size: tuple[int, int]
    boxes: Sequence[Sequence[float]]
    classes: Sequence[int]
    ignored: Sequence[bool]
    areas: Sequence[float] = ()


def pad(images: Sequence[Annotated]) -> Objects:
    """Puts the boxes on the canvas and pads to the largest number of objects (one slot at least)."""
    from jaxvision.data import pixels  # OpenCV, which a start from the cache can do without.

    n, slots = len(images), max(1, *(len(image.boxes) for image in images))
    boxes = np.zeros((n, slots, 4), np.float32)
    classes = np.zeros((n, slots), np.int32)
    valid, ignored = np.zeros((n, slots), bool), np.zeros((n, slots), bool)
    areas = np.zeros((n, slots), np.float32)
    sizes = np.array([image.size for image in images], np.int32)
    for index, image in enumerate(images):
        m = len(image.boxes)
        own = np.asarray(image.boxes, np.float32).reshape(m, 4)
        boxes[index, :m] = np.where(own.any(axis=1, keepdims=True), pixels.letterbox_boxes(own, sizes[index]), NOWHERE)
        classes[index, :m] = image.classes
        ignored[index, :m] = image.ignored
        areas[index, : len(image.areas)] = image.areas
        valid[index, :m] = True
    return Objects(boxes, classes, valid, ignored, areas, sizes, tuple(image.name for image in images))


def usable_area(value: object) -> float:
    """An area as annotated, or 0 if it is none."""
    try:
        area = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return area if 0 < area < math.inf else 0.0


def strata(objects: Objects, num_classes: int) -> np.ndarray:
    """What splits are stratified by, int32 [n]; ignored objects do not count.

    Where no image has more than one object (localisation) it is the class of that object, num_classes if there is
    none. Else (detection) it is the number of objects, at most 10; a number that fewer than 10 images have is taken
    together with the next larger ones (the largest with the next smaller ones), so that folds do not fail for it.
    """
    counted = objects.valid & ~objects.ignored
    counts = counted.sum(axis=1)
    if counts.max() <= 1:
        only = objects.classes[np.arange(len(counts)), counted.argmax(axis=1)]
        return np.where(counts == 1, only, num_classes).astype(np.int32)
    counts = np.minimum(counts, MOST)
    bounds, members = [], 0  # The largest number of each stratum.
    for count in np.unique(counts):
        members += np.sum(counts == count)
        if members >= FEWEST:
            bounds.append(count)
            members = 0
    if members and bounds:
        bounds.pop()
    bounds = np.unique([*bounds, counts.max()]).astype(np.int32)
    return bounds[np.searchsorted(bounds, counts)]

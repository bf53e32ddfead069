"""The default for localisation and detection: handwritten digits on cluttered canvases, written as a TFDS dataset.

A scene is a pure function of (kind, split, index): a smooth gradient, clutter cut from digits, the digits, and noise.
Numbers reported on these scenes mean something only while all that is pinned here stays as it is.
"""

import functools
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

from jaxvision import rng
from jaxvision.data import splits
from jaxvision.data.blank import CLASSES, SCENES, SIZE

KINDS = ('localization', 'detection')
SEED = 0
DIGIT = (14, 32)  # Side in pixels to which the 8x8 bitmap is enlarged; the digit is a little smaller.
# How much lighter than the background full ink is. What passes white is cut off there, in a pixel or more of about half
# of the digits; but as the background is no lighter than GRADIENT, the least contrast is never cut off but by noise.
CONTRAST = (0.5, 1.0)
GRADIENT = 0.3
ACROSS = np.linspace([1, 0], [0, 1], SIZE)  # [64, 2]: what the two ends of a gradient weigh.
NOISE = 0.05
FRAGMENTS = 6
FRAGMENT = (5, 8)
INK = 0.25  # From this share of full ink on, a pixel belongs to the digit: its box is tight around these.
OVERLAP = 0.2  # Largest IoU of two boxes.
TRIES = 20


class DigitScenes(tfds.core.GeneratorBasedBuilder):
    """8,000 + 1,000 + 1,000 scenes of scikit-learn's digits; those of the three splits share no digit.

    `localization` has no digit (20 %) or one, `detection` 0 to 6, each number as often.
    """

    VERSION = tfds.core.Version('1.0.0')
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=kind) for kind in KINDS]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(shape=(SIZE, SIZE, 1)),
                    'objects': tfds.features.Sequence(
                        {
                            'bbox': tfds.features.BBoxFeature(),
                            'label': tfds.features.ClassLabel(names=CLASSES),
                        }
                    ),
                }
            ),
            description='Handwritten digits at random place, scale and contrast on cluttered 64x64 canvases.',
            disable_shuffling=True,  # They are drawn at random; so record number i is scene i.
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SCENES}

    def _generate_examples(self, split):
        config: Any = self.builder_config
        for index in range(SCENES[split]):
            image, boxes, classes = scene(config.name, split, index)
            encoded, png = cv2.imencode('.png', image)
            assert encoded
            objects = [
                {'bbox': tfds.features.BBox(*(box / SIZE).tolist()), 'label': int(label)}
                for box, label in zip(boxes, classes, strict=True)
            ]
            # Encoded bytes, not an array: so TFDS needs no TensorFlow to write it.
            yield index, {'image': png.tobytes(), 'objects': objects}


def scene(kind: str, split: str, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws one scene.

    Args:
      kind: `localization` or `detection`.
      split: whose digits are used.
      index: number of the scene in the split.

    Returns:
      uint8 [64, 64, 1] image, int [m, 4] boxes [ymin, xmin, ymax, xmax] in pixels (the ends are exclusive), and
      int [m] classes.
    """
    bitmaps, labels = samples()[split]
    draw = rng.generator(SEED, 'generated', KINDS.index(kind), list(SCENES).index(split), index)
    count = draw.integers(0, 7) if kind == 'detection' else int(draw.random() >= 0.2)
    chosen = draw.integers(len(labels), size=count)
    digits, boxes = _place_digits(draw, bitmaps[chosen])
    ink = np.zeros((SIZE, SIZE), np.float32)
    others = np.delete(np.arange(len(labels)), chosen)  # A part of a digit in the scene could be told by its whole.
    for patch, top, left in digits + _place_fragments(draw, bitmaps, others, boxes):
        spot = ink[top : top + len(patch), left : left + len(patch)]
        np.maximum(spot, draw.uniform(*CONTRAST) * patch, out=spot)
    image = _gradient(draw) + ink + NOISE * draw.standard_normal((SIZE, SIZE), np.float32)
    image = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return image[..., None], np.array(boxes, int).reshape(-1, 4), labels[chosen]


@functools.cache
def samples() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The 1,797 digits of scikit-learn in 70 / 10 / 20 %, stratified: float32 [n, 8, 8] ink in [0, 1], int [n]."""
    from sklearn.datasets import load_digits  # Half a second; needed only the first time.

    bitmaps, labels = load_digits(return_X_y=True)
    bitmaps = (bitmaps.reshape(-1, 8, 8) / 16).astype(np.float32)
    draw = rng.generator(SEED, 'generated')
    test, rest = splits.take(np.arange(len(labels)), labels, 0.2, draw)
    validation, train = splits.take(rest, labels, 0.125, draw)
    return {
        split: (bitmaps[ids], labels[ids])
        for split, ids in (('train', train), ('validation', validation), ('test', test))
    }


def _place_digits(draw: np.random.Generator, bitmaps: np.ndarray):
    """Sizes and places for given digits: (patch, top, left) of each, and the boxes.

    Where a digit finds no place at which all overlaps are small enough, all sizes and places are drawn anew: so the
    number of digits is always as drawn, and crowded scenes tend to smaller digits.
    """
    while True:
        digits, boxes = [], []
        for bitmap in bitmaps:
            patch = _enlarge(draw, bitmap)
            side, (ymin, xmin, ymax, xmax) = len(patch), _ink_box(patch)
            for top, left in draw.integers(0, SIZE - side + 1, (TRIES, 2)).tolist():
                box = (top + ymin, left + xmin, top + ymax, left + xmax)
                if all(_iou(box, other) <= OVERLAP for other in boxes):
                    digits.append((patch, top, left))
                    boxes.append(box)
                    break
            else:
                break
        if len(boxes) == len(bitmaps):
            return digits, boxes


def _place_fragments(draw: np.random.Generator, bitmaps: np.ndarray, ids: np.ndarray, boxes):
    """Up to 6 squares cut from the digits of these ids, around a pixel with ink: (patch, top, left) of each.

    They look like parts of digits, but touch no digit's box, in which a stroke too many could make another class of
    it. Where there is no such place, the fragment is left out.
    """
    fragments = []
    for _ in range(draw.integers(0, FRAGMENTS + 1)):
        whole = _enlarge(draw, bitmaps[ids[draw.integers(len(ids))]])
        side = int(draw.integers(FRAGMENT[0], FRAGMENT[1] + 1))
        inked = np.argwhere(whole >= INK)
        y, x = np.clip(inked[draw.integers(len(inked))] - side // 2, 0, len(whole) - side)
        patch = whole[y : y + side, x : x + side]
        for top, left in draw.integers(0, SIZE - side + 1, (TRIES, 2)).tolist():
            if all(_iou((top, left, top + side, left + side), box) == 0 for box in boxes):
                fragments.append((patch, top, left))
                break
    return fragments


def _enlarge(draw: np.random.Generator, bitmap: np.ndarray) -> np.ndarray:
    side = int(draw.integers(DIGIT[0], DIGIT[1] + 1))
    return cv2.resize(bitmap, (side, side), interpolation=cv2.INTER_LINEAR)


def _ink_box(patch: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero((patch >= INK).any(axis=1)), np.flatnonzero((patch >= INK).any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _iou(a, b) -> float:
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(height, 0) * max(width, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _gradient(draw: np.random.Generator) -> np.ndarray:
    """float32 [64, 64]: four random corners, and bilinear between them."""
    corners = draw.uniform(0, GRADIENT, (2, 2))
    return (ACROSS @ corners @ ACROSS.T).astype(np.float32)

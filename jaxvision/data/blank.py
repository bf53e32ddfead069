"""Our own sets before they are prepared: blank, and of the very shapes that they will have.

What is compiled for a blank set serves the real one.
"""

import numpy as np

from jaxvision.data.objects import Objects
from jaxvision.data.source import Source

CLASSES = tuple(str(digit) for digit in range(10))
SCENES, SIZE = {'train': 8000, 'validation': 1000, 'test': 1000}, 64  # Of both kinds of scenes; pixels a side.
# Of each set: how many examples its official splits have, pixels a side, and the most objects in an image, where it has
# objects.
FORMS: dict[str, tuple[dict[str, int], int, int | None]] = {
    'uci_digits': ({'train': 1797}, 8, None),
    'digit_scenes/localization': (SCENES, SIZE, 1),
    'digit_scenes/detection': (SCENES, SIZE, 6),
}


def source(name: str, image_size: int = 0) -> Source:
    """A set of our own, all zeros, which take no memory; no object is valid, and there is no fingerprint.

    Args:
      name: one of FORMS, perhaps with a version.
      image_size: as of `sources.load`.
    """
    counts, side, slots = FORMS[name.partition(':')[0]]
    side, n = image_size or side, sum(counts.values())
    ends = np.cumsum([0, *counts.values()])
    official = {split: np.arange(*ends[i : i + 2], dtype=np.int32) for i, split in enumerate(counts)}
    objects = None
    if slots is not None:
        objects = Objects(
            boxes=_zeros(np.float32, n, slots, 4),
            classes=_zeros(np.int32, n, slots),
            valid=_zeros(np.bool_, n, slots),
            ignored=_zeros(np.bool_, n, slots),
            areas=_zeros(np.float32, n, slots),
            sizes=_zeros(np.int32, n, 2),
            names=('',) * n,
        )
    return Source(name, _zeros(np.uint8, n, side, side, 1), _zeros(np.int32, n), CLASSES, official, '', objects)


def _zeros(dtype: type, *shape: int) -> np.ndarray:
    return np.broadcast_to(np.zeros((), dtype), shape)

"""What a dataset in memory is, whatever it was read from."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from jaxvision.data.objects import Objects, strata

MEMORY_LIMIT = 8 * 2**30  # Bytes of decoded pixels; larger sets want streaming, which is not here yet.


@dataclass(frozen=True)
class Source:
    """A dataset in memory.

    Attributes:
      name: how the records call it.
      images: uint8 [n, height, width, channel]; square in a set with objects.
      labels: int32 [n], what the splits are stratified by: the class; in a set with objects `objects.strata`, which is
        the class of the only object (num_classes for an empty image) where no image has more than one, else the
        number of objects.
      class_names: one a class.
      official: int32 ids of the splits that the dataset itself defines, some of train, validation, test.
      fingerprint: hash of pixels, labels, official splits and objects (not of their images' names).
      objects: where the objects are, in a set for detection or localisation; else None.
      problems: (kind, file, detail) of all that was wrong with the annotations, see `problems.py`.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    official: dict[str, np.ndarray]
    fingerprint: str
    objects: Objects | None = None
    problems: tuple[tuple[str, str, str], ...] = ()

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.images.shape[1:]


def finish(name, images, labels, class_names, official, problems=()) -> Source:
    """A source for classification, from what a reader returns."""
    return _finish(name, images, labels, class_names, official, problems=problems)


def finish_objects(name, images, objects, class_names, official, problems=()) -> Source:
    """A source for detection or localisation, from what a reader returns."""
    return _finish(name, images, strata(objects, len(class_names)), class_names, official, objects, problems)


def _finish(name, images, labels, class_names, official, objects=None, problems=()) -> Source:
    official = {split: np.asarray(ids, np.int32) for split, ids in official.items()}
    arrays = [images, labels, *(official[split] for split in sorted(official))]
    if objects is not None:
        arrays += objects.arrays().values()
    digest = hashlib.sha256(json.dumps([images.shape, list(class_names)]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    fingerprint = digest.hexdigest()[:16]
    return Source(name, images, labels, tuple(class_names), official, fingerprint, objects, tuple(problems))

"""What jaxvision can make again, it keeps under one folder: prepared datasets, decoded arrays, teachers.

Several processes may make the same thing at once: each makes its own beside the place and renames it, and the first
to finish wins.
"""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxvision.data.objects import Objects
from jaxvision.data.source import Source
from jaxvision.errors import UserError

BROKEN = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)
FORMAT = 5  # To be raised when decoding, or what is kept of it, changes: then what was decoded before is not used.


def cache_dir() -> pathlib.Path:
    """Where that folder is: $JAXVISION_CACHE, else jaxvision under $XDG_CACHE_HOME or ~/.cache."""
    root = os.environ.get('JAXVISION_CACHE') or os.path.join(
        os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'jaxvision'
    )
    return pathlib.Path(os.path.expanduser(root)).absolute()


def place(made: pathlib.Path, target: pathlib.Path) -> None:
    """Puts a folder in its place, unless another process was first."""
    try:
        os.rename(made, target)
    except OSError:
        if not target.exists():
            raise


def decoded(name: str, key: str, make: Callable[[], Source]) -> Source:
    """A dataset's decoded arrays: from the cache, or made and put there.

    Args:
      name: how the records call the dataset.
      key: the folder's name; it has to change whenever the arrays would.
      make: decodes the dataset; the ids of each of its official splits are a range.

    Raises:
      UserError: the cache cannot be written, or what `make` raises.
    """
    folder = cache_dir() / 'decoded' / key
    with contextlib.suppress(*BROKEN):  # Or not there: then it is made anew.
        return _read(name, folder)
    shutil.rmtree(folder, ignore_errors=True)
    source = make()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = pathlib.Path(scratch) / 'made'
            made.mkdir()
            _write(source, made)
            place(made, folder)
    except OSError as error:
        raise UserError(f'cannot cache the dataset under {folder.parent}: {error.strerror or error}') from error
    return source


def _write(source: Source, folder: pathlib.Path) -> None:
    np.save(folder / 'images.npy', source.images)
    np.save(folder / 'labels.npy', source.labels)
    if source.objects is not None:
        arrays: dict[str, Any] = {**source.objects.arrays(), 'names': np.array(source.objects.names)}
        np.savez(folder / 'objects.npz', **arrays)
    meta = {
        'class_names': source.class_names,
        'official': {split: [int(ids[0]), int(ids[-1]) + 1] for split, ids in source.official.items()},
        'fingerprint': source.fingerprint,
        'objects': source.objects is not None,
        'problems': source.problems,
    }
    (folder / 'meta.json').write_text(json.dumps(meta))


def _read(name: str, folder: pathlib.Path) -> Source:
    meta = json.loads((folder / 'meta.json').read_text())
    objects = None
    if meta['objects']:
        with open(folder / 'objects.npz', 'rb') as file, np.load(file) as kept:  # It leaves a broken one open.
            arrays = {key: kept[key] for key in kept.files}
        objects = Objects(names=tuple(arrays.pop('names').tolist()), **arrays)
    return Source(
        name,
        np.load(folder / 'images.npy', mmap_mode='r'),
        np.load(folder / 'labels.npy'),
        tuple(meta['class_names']),
        {split: np.arange(*meta['official'][split], dtype=np.int32) for split in meta['official']},
        meta['fingerprint'],
        objects,
        tuple((kind, file, detail) for kind, file, detail in meta['problems']),
    )

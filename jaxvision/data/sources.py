"""Sources: a dataset by name -> all of its images and labels in memory, as uint8.

A prepared TFDS dataset is decoded once and kept as .npy files in the user's cache, so that later starts need neither
TFDS nor a decoder. Reading never needs TensorFlow or a network.
"""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import shutil
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvision import rng
from jaxvision.errors import UserError

EMBEDDED = 'uci_digits'
GENERATED = 'generated'
FOLDER = 'image_folder'
SPLITS = ('train', 'validation', 'test')
MEMORY_LIMIT = 8 * 2**30  # Bytes of decoded pixels; larger sets want streaming, which is not here yet.


@dataclass(frozen=True)
class Source:
    """A dataset in memory.

    Attributes:
      name: how the records call it.
      images: uint8 [n, height, width, channel].
      labels: int32 [n].
      class_names: one a class.
      official: int32 ids of the splits that the dataset itself defines, some of train, validation, test.
      fingerprint: hash of pixels, labels and official splits.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    official: dict[str, np.ndarray]
    fingerprint: str

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.images.shape[1:]


def cache_dir() -> pathlib.Path:
    """Where jaxvision keeps what it can make again: $JAXVISION_CACHE, else ~/.cache/jaxvision."""
    root = os.environ.get('JAXVISION_CACHE') or os.path.join(
        os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'jaxvision'
    )
    return pathlib.Path(os.path.expanduser(root)).absolute()


def load(
    name: str,
    *,
    data_dir: str = '',
    path: str = '',
    image_size: int = 0,
    generated_shape: tuple[int, ...] = (8, 8, 1),
    generated_classes: int = 10,
    generated_examples: int = 1000,
) -> Source:
    """Loads a dataset.

    Args:
      name: `uci_digits` (embedded), `generated`, `image_folder`, or any prepared TFDS classification set, optionally
        with its config and version as in `name/config:1.0.0`.
      data_dir: where TFDS datasets lie; empty for TFDS's own default (for uci_digits: the cache).
      path: the folder of an `image_folder`, one sub-folder a class.
      image_size: resize to this many pixels a side; 0 keeps the images as they are (then all must be of one size).
      generated_shape, generated_classes, generated_examples: what `generated` makes.

    Raises:
      UserError: the dataset is unknown, not prepared, not a classification set, or of images of several sizes.
    """
    if name == GENERATED:
        return _generate(generated_shape, generated_classes, generated_examples)
    if name == FOLDER:
        from jaxvision.data import folders

        return _finish(name, *folders.read(path, image_size))
    location = _find(name, data_dir)
    if location is None and name in (EMBEDDED, f'{EMBEDDED}:1.0.0'):
        location = _write_digits(data_dir)
    if location is None:
        raise UserError(_not_prepared(name, data_dir))
    return _cached(name, location, image_size)


def _generate(shape: tuple[int, ...], num_classes: int, examples: int) -> Source:
    """A random prototype a class plus noise: learnable, of any shape, and named `generated` in every record."""
    draw = rng.generator(0, 'generated', *shape, num_classes, examples)
    prototypes = draw.integers(0, 256, (num_classes, *shape))
    labels = np.arange(examples) % num_classes
    images = 0.5 * prototypes[labels] + 0.5 * draw.integers(0, 256, (examples, *shape))
    names = tuple(f'class {index}' for index in range(num_classes))
    return _finish(GENERATED, images.astype(np.uint8), labels.astype(np.int32), names, {'train': np.arange(examples)})


def _finish(name, images, labels, class_names, official) -> Source:
    official = {split: np.asarray(ids, np.int32) for split, ids in official.items()}
    digest = hashlib.sha256(json.dumps([images.shape, list(class_names)]).encode())
    for array in (images, labels, *(official[split] for split in sorted(official))):
        digest.update(np.ascontiguousarray(array).data)
    return Source(name, images, labels, tuple(class_names), official, digest.hexdigest()[:16])


def _data_dir(data_dir: str) -> pathlib.Path:
    root = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
    return pathlib.Path(os.path.expanduser(root)).absolute()


def _version(path: pathlib.Path) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in path.name.split('.'))
    except ValueError:
        return ()


def _find(name: str, data_dir: str) -> pathlib.Path | None:
    """The folder of a prepared dataset's newest (or named) version, without importing TFDS."""
    dataset, _, version = name.partition(':')
    roots = [_data_dir(data_dir)]
    if dataset == EMBEDDED and not data_dir:
        roots = [cache_dir() / 'datasets']
    for root in roots:
        candidates = [info.parent for info in (root / dataset).glob('*/dataset_info.json')]
        candidates = [folder for folder in candidates if not version or folder.name == version]
        if candidates:
            return max(candidates, key=_version)
    return None


def _write_digits(data_dir: str) -> pathlib.Path:
    """Prepares the embedded digits; two processes may do so at once, the first to finish wins."""
    import tensorflow_datasets as tfds

    from jaxvision.data import digits

    root = _data_dir(data_dir) if data_dir else cache_dir() / 'datasets'
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as scratch:
            builder = digits.UciDigits(data_dir=scratch, file_format='array_record')
            tfds.disable_progress_bar()
            with contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare()
            target = root / EMBEDDED / str(builder.version)
            target.parent.mkdir(exist_ok=True)
            _rename(pathlib.Path(builder.data_dir), target)
    except OSError as error:
        raise UserError(f'cannot write the dataset {EMBEDDED} under {root}: {error.strerror or error}') from error
    return target


def _rename(made: pathlib.Path, target: pathlib.Path) -> None:
    """Puts a folder in its place, unless another process was first."""
    try:
        os.rename(made, target)
    except OSError:
        if not target.exists():
            raise


def _not_prepared(name: str, data_dir: str) -> str:
    root = _data_dir(data_dir)
    there = sorted({info.parent.parent.name for info in root.glob('*/*/dataset_info.json')})
    return (
        f'data.name={name!r} is neither of {EMBEDDED}, {GENERATED}, {FOLDER}, nor prepared under {root} (there: '
        f'{", ".join(there) or "nothing"}); set data.data_dir to where it is, or prepare a TFDS set once, where there '
        f"is a network: pip install -e '.[prepare]' && tfds build {name.partition(':')[0]} "
        f'--file_format=array_record --data_dir={root}'
    )


def _stamp(location: pathlib.Path) -> str:
    """Changes when the prepared files do."""
    files = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in location.iterdir())
    return hashlib.sha256(json.dumps([str(location), files]).encode()).hexdigest()[:16]


def _cached(name: str, location: pathlib.Path, image_size: int) -> Source:
    """The decoded arrays: from the cache, or decoded and put there."""
    folder = cache_dir() / 'decoded' / f'{location.parent.name}-{image_size or "as_is"}-{_stamp(location)}'
    with contextlib.suppress(OSError, ValueError, KeyError):  # Not there, or broken: then it is made anew.
        meta = json.loads((folder / 'meta.json').read_text())
        official = {split: np.arange(*meta['official'][split], dtype=np.int32) for split in meta['official']}
        images = np.load(folder / 'images.npy', mmap_mode='r')
        labels = np.load(folder / 'labels.npy')
        return Source(name, images, labels, tuple(meta['class_names']), official, meta['fingerprint'])
    shutil.rmtree(folder, ignore_errors=True)
    try:
        decoded = _decode(name, location, image_size)
    except UserError:
        raise
    except Exception as error:  # TFDS and array_record raise many kinds, and all mean broken files.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f'dataset {name!r} under {location} cannot be read, prepare it again: {reason[:200]}'
        ) from error
    source = _finish(name, *decoded)
    meta = {
        'class_names': source.class_names,
        'official': {split: [int(ids[0]), int(ids[-1]) + 1] for split, ids in source.official.items()},
        'fingerprint': source.fingerprint,
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = pathlib.Path(scratch) / 'made'
            made.mkdir()
            np.save(made / 'images.npy', source.images)
            np.save(made / 'labels.npy', source.labels)
            (made / 'meta.json').write_text(json.dumps(meta))
            _rename(made, folder)
    except OSError as error:
        raise UserError(f'cannot cache the dataset under {folder.parent}: {error.strerror or error}') from error
    return source


def _decode(name: str, location: pathlib.Path, image_size: int):
    """Reads a prepared TFDS directory with random access, decoding with OpenCV."""
    import tensorflow_datasets as tfds

    from jaxvision.data import pixels

    builder: Any = tfds.builder_from_directory(str(location))
    features: Any = builder.info.features
    image_key, label_key = builder.info.supervised_keys or ('image', 'label')
    if not (
        isinstance(image_key, str)
        and isinstance(label_key, str)
        and isinstance(builder.info.features, tfds.features.FeaturesDict)
        and isinstance(dict(features.items()).get(image_key), tfds.features.Image)
        and isinstance(dict(features.items()).get(label_key), tfds.features.ClassLabel)
    ):
        raise UserError(f'dataset {name!r} is not a classification set: it has no image with one class label')
    channels = features[image_key].shape[-1] or 3
    images, labels, official = [], [], {}
    for split in (split for split in SPLITS if split in builder.info.splits):
        first = len(labels)
        try:
            records = builder.as_data_source(split=split, decoders={image_key: tfds.decode.SkipDecoding()})
        except (NotImplementedError, ValueError) as error:
            raise UserError(
                f'dataset {name!r} under {location} is not in array_record format; prepare it again with '
                '--file_format=array_record'
            ) from error
        for index in range(len(records)):
            record = records[index]
            images.append(pixels.decode(record[image_key], channels, image_size))
            labels.append(int(record[label_key]))
            if images[-1].shape != images[0].shape:
                raise UserError(f'dataset {name!r} has images of several sizes; set data.image_size to resize them')
            if len(images) * images[0].nbytes > MEMORY_LIMIT:
                raise UserError(f'dataset {name!r} does not fit in memory; set a smaller data.image_size')
        official[split] = np.arange(first, len(labels))
    if 'train' not in official:
        raise UserError(f'dataset {name!r} has no split named train')
    return np.stack(images), np.array(labels, np.int32), features[label_key].names, official

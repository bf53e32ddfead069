"""Prepared TFDS datasets: found, decoded once, and kept as arrays in the user's cache.

Later starts need neither TFDS nor a decoder. The sets of our own are prepared at their first use.
"""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import signal
import sys
import tempfile
from typing import Any

import numpy as np

from jaxvision import interpreters
from jaxvision.data import blank, cache
from jaxvision.data.objects import NOWHERE, Annotated, pad, usable_area
from jaxvision.data.problems import Problems, usable_box
from jaxvision.data.source import MEMORY_LIMIT, Source, finish, finish_objects
from jaxvision.errors import UserError

OWN = tuple(blank.FORMS)
SPLITS = ('train', 'validation', 'test')


def load(name: str, data_dir: str, image_size: int) -> Source:
    """Loads a prepared set, or one of our own; see `sources.load`."""
    dataset = name.partition(':')[0]
    location = _prepare(dataset, data_dir) if unprepared(name, data_dir) else _find(name, data_dir)
    if location is None:
        raise UserError(_not_prepared(name, data_dir))
    key = f'{dataset.replace("/", "-")}-{image_size or "as_is"}-{_stamp(location)}-{cache.FORMAT}'
    return cache.decoded(name, key, lambda: _decode(name, location, image_size))


def unprepared(name: str, data_dir: str) -> bool:
    """Whether `load` prepares this set first: it is one of our own, and not there yet."""
    dataset, _, version = name.partition(':')
    return dataset in OWN and version in ('', '1.0.0') and _find(name, data_dir) is None


def _root(dataset: str, data_dir: str) -> pathlib.Path:
    """Where a dataset lies that the user did or did not say the folder of."""
    if dataset in OWN and not data_dir:
        return cache.cache_dir() / 'datasets'
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
    folders = [info.parent for info in (_root(dataset, data_dir) / dataset).glob('*/dataset_info.json')]
    return max((folder for folder in folders if version in ('', folder.name)), key=_version, default=None)


def _prepare(dataset: str, data_dir: str) -> pathlib.Path:
    """Prepares a dataset of our own; two processes may do so at once, the first to finish wins."""
    import tensorflow_datasets as tfds

    root = _root(dataset, data_dir)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as scratch:
            builder = _builder(dataset, scratch)
            tfds.disable_progress_bar()
            with contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare()
            target = root / dataset / str(builder.version)
            target.parent.mkdir(parents=True, exist_ok=True)
            cache.place(pathlib.Path(builder.data_dir), target)
    except OSError as error:
        raise UserError(f'cannot write the dataset {dataset} under {root}: {error.strerror or error}') from error
    return target


def _builder(dataset: str, folder: str):
    """What writes a dataset of our own. Scenes draw by keys of JAX's; digits need not wait for it."""
    family, _, config = dataset.partition('/')
    if family == 'uci_digits':
        from jaxvision.data import digits

        return digits.UciDigits(data_dir=folder, file_format='array_record')
    from jaxvision.data import digit_scenes

    return digit_scenes.DigitScenes(config=config, data_dir=folder, file_format='array_record')


def _not_prepared(name: str, data_dir: str) -> str:
    dataset = name.partition(':')[0]
    root = _root('', data_dir)
    infos = [*root.glob('*/*/dataset_info.json'), *root.glob('*/*/*/dataset_info.json')]
    there = sorted({str(info.parent.parent.relative_to(root)) for info in infos})
    return (
        f'data.name={name!r} is neither of {", ".join(OWN)}, generated, generated_objects, image_folder, voc_folder, '
        f'coco_folder, nor prepared under {root} (there: {", ".join(there) or "nothing"}); set data.data_dir to where '
        "it is, or prepare a TFDS set once, where there is a network: pip install -e '.[prepare]' && tfds build "
        f'{dataset} --file_format=array_record --data_dir={root}'
    )


def _stamp(location: pathlib.Path) -> str:
    """Changes when the prepared files do."""
    files = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in location.iterdir())
    return hashlib.sha256(json.dumps([str(location), files]).encode()).hexdigest()[:16]


def _decode(name: str, location: pathlib.Path, image_size: int) -> Source:
    """Reads a prepared TFDS directory, whatever may be wrong with it."""
    import tensorflow_datasets as tfds

    try:
        builder: Any = tfds.builder_from_directory(str(location))
        if _has_label(builder.info):
            return _decode_labels(name, builder, image_size)
        if _has_objects(builder.info):
            return _decode_objects(name, builder, image_size)
    except UserError:
        raise
    except Exception as error:  # TFDS and array_record raise many kinds, and all mean broken files.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f'dataset {name!r} under {location} cannot be read, prepare it again: {reason[:200]}'
        ) from error
    raise UserError(
        f'dataset {name!r} is not a classification set, nor one for detection: it has no image with one class label, '
        'nor an image with objects of bbox and label'
    )


def _keys(info) -> tuple[Any, Any]:
    return info.supervised_keys or ('image', 'label')


def _has_label(info) -> bool:
    import tensorflow_datasets as tfds

    features = _features(info.features)
    image_key, label_key = _keys(info)
    return (
        isinstance(image_key, str)
        and isinstance(label_key, str)
        and isinstance(features.get(image_key), tfds.features.Image)
        and isinstance(features.get(label_key), tfds.features.ClassLabel)
    )


def _has_objects(info) -> bool:
    import tensorflow_datasets as tfds

    features = _features(info.features)
    objects = features.get('objects')
    parts = _features(objects.feature) if isinstance(objects, tfds.features.Sequence) else {}
    return (
        isinstance(features.get('image'), tfds.features.Image)
        and isinstance(parts.get('bbox'), tfds.features.BBoxFeature)
        and isinstance(parts.get('label'), tfds.features.ClassLabel)
    )


def _features(features) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    return dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}


def _records(name: str, builder, image_key: str):
    """Yields each official split's name and its records, with random access and the images still encoded."""
    import tensorflow_datasets as tfds

    if 'train' not in builder.info.splits:
        raise UserError(f'dataset {name!r} has no split named train')
    for split in (split for split in SPLITS if split in builder.info.splits):
        try:
            yield split, builder.as_data_source(split=split, decoders={image_key: tfds.decode.SkipDecoding()})
        except (NotImplementedError, ValueError) as error:
            raise UserError(
                f'dataset {name!r} under {builder.data_dir} is not in array_record format; prepare it again with '
                '--file_format=array_record'
            ) from error


def _append(name: str, images: list[np.ndarray], image: np.ndarray) -> None:
    images.append(image)
    if image.shape != images[0].shape:
        raise UserError(f'dataset {name!r} has images of several sizes; set data.image_size to resize them')
    if len(images) * image.nbytes > MEMORY_LIMIT:
        raise UserError(f'dataset {name!r} does not fit in memory; set a smaller data.image_size')


def _decode_labels(name: str, builder, image_size: int) -> Source:
    """A set of images with one label each."""
    from jaxvision.data import pixels

    image_key, label_key = _keys(builder.info)
    channels = builder.info.features[image_key].shape[-1] or 3
    problems = Problems()
    images, labels, official = [], [], {}
    for split, records in _records(name, builder, image_key):
        first = len(labels)
        for index in range(len(records)):
            record = records[index]
            _append(name, images, pixels.decode(record[image_key], channels, image_size))
            labels.append(int(record[label_key]))
        secret = sum(label < 0 for label in labels[first:])
        if secret == len(records):  # As the test part of ImageNet: no number can come from it.
            problems.add('split without labels', split, f'{len(records)} images')
            del images[first:], labels[first:]
        elif secret:
            raise UserError(f'dataset {name!r} has no label for {secret} of the {len(records)} images in {split}')
        else:
            official[split] = np.arange(first, len(labels))
    if 'train' not in official:
        raise UserError(f'dataset {name!r} has no label in its split train')
    names = builder.info.features[label_key].names
    return finish(name, np.stack(images), np.array(labels, np.int32), names, official, problems.found)


def _decode_objects(name: str, builder, image_size: int) -> Source:
    """A set of images with objects, as TFDS writes VOC and COCO: boxes are shares of the image already."""
    from jaxvision.data import pixels

    class_names = builder.info.features['objects']['label'].names
    channels = builder.info.features['image'].shape[-1] or 3
    problems = Problems()
    images, annotated, official = [], [], {}
    for split, records in _records(name, builder, 'image'):
        if not any(len(records[index]['objects']['bbox']) for index in range(len(records))):
            # As the test part of COCO, whose annotations are secret: no number can come from it.
            problems.add('split without objects', split, f'{len(records)} images')
            continue
        first = len(images)
        for index in range(len(records)):
            record = records[index]
            # Boxes are of the array as it was stored, whatever orientation a camera noted in it.
            image = pixels.decode(record['image'], channels, upright=False)
            file = record.get('image/filename', b'').decode() or f'{split} {index}'
            annotated.append(_annotated(file, image.shape[:2], record['objects'], len(class_names), problems))
            if not image_size and image.shape[0] != image.shape[1]:
                raise UserError(
                    f'dataset {name!r} has images that are not square; set data.image_size to letterbox them'
                )
            _append(name, images, pixels.letterbox(image, image_size or len(image)))
        if all(all(image.ignored) for image in annotated[first:]):
            problems.add('split without objects', split, f'{len(images) - first} images')
            del images[first:], annotated[first:]
        else:
            official[split] = np.arange(first, len(images))
    if 'train' not in official:
        raise UserError(f'dataset {name!r} has no object in its split train')
    return finish_objects(name, np.stack(images), pad(annotated), class_names, official, problems.found)


def _annotated(file: str, size, objects: dict[str, Any], num_classes: int, problems: Problems) -> Annotated:
    boxes, classes, ignored = [], [], []
    flags = [objects[key] for key in ('is_difficult', 'is_crowd') if key in objects]
    for index, (box, label) in enumerate(zip(objects['bbox'], objects['label'], strict=True)):
        what, known = f'object {index + 1}', 0 <= label < num_classes
        if not known:
            problems.add('unknown class', file, f'{what}, class {label}')
        usable = usable_box(box.tolist(), problems, file, what)
        # It is there all the same: so the image is not an empty one, nor its place, if that is known, background.
        boxes.append(usable or NOWHERE)
        classes.append(int(label) if known else 0)
        ignored.append(not known or not usable or any(bool(flag[index]) for flag in flags))
    areas = [usable_area(area) for area in objects.get('area', ())]
    return Annotated(file, size, boxes, classes, ignored, areas)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that nothing half done is left.
    interpreters.end_with_the_first()
    load(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""A user's own images with boxes: folders in the layout of Pascal VOC or of COCO.

Both are read in two steps: what the annotations say, and then, together with the image files, what of it is usable.
Whatever is not usable ends in `problems.Problems`.
"""

import json
import os
import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from jaxvision.data import pixels
from jaxvision.data.folders import images_in
from jaxvision.data.objects import Annotated, Objects, pad
from jaxvision.data.problems import Problems, tell, usable_box
from jaxvision.data.source import MEMORY_LIMIT
from jaxvision.errors import UserError

SPLITS = {'train': ('train',), 'validation': ('validation', 'val', 'valid'), 'test': ('test',)}  # And their folders.
HELD_OUT_FIRST = ('test', 'validation', 'train')
MALFORMED = (KeyError, TypeError, ValueError, OverflowError, AttributeError)  # Raised by JSON of another shape.


class Marked(NamedTuple):
    """One object as annotated: its class (name or number), [ymin, xmin, ymax, xmax] in pixels, whether ignored."""

    label: Hashable
    box: tuple[float, float, float, float]
    ignored: bool


class Listed(NamedTuple):
    """One image as annotated: its split, its file, the (height, width) that the annotation claims, its objects."""

    split: str
    image: pathlib.Path
    size: tuple[int, int] | None
    objects: list[Marked]


class Read(NamedTuple):
    """What `source.finish_objects` takes."""

    images: np.ndarray
    objects: Objects
    class_names: tuple[str, ...]
    official: dict[str, np.ndarray]
    problems: list[tuple[str, str, str]]


def voc_folder(path: str, image_size: int) -> Read:
    """Reads PATH/Annotations/*.xml with PATH/JPEGImages/, or PATH/{train,validation,test}/ each of that kind.

    The images may also lie in `images/` or beside the XML files; an image and its XML share their name up to the
    ending. Splits are those of PATH/ImageSets/Main/{train,val,test}.txt where these are (trainval.txt is read only if
    train.txt is missing), else all is `train`. Classes are the lines of PATH/classes.txt, else all names that occur,
    sorted. `difficult` objects are ignored ones.

    Pixels are counted from 1 and both ends are inclusive, as VOC does: xmin..xmax reaches from xmin - 1 to xmax. By
    that a box with xmin == xmax is a pixel wide; but it is a slip of the mouse, and reported as a box without area.

    Raises:
      UserError: no such folder, images that are not square or of several sizes without `image_size`, or nothing usable.
    """
    root, problems = _root(path, 'voc_folder', 'Annotations/*.xml and JPEGImages/'), Problems()
    listed, splits = [], []
    for split, home, stems in _voc_splits(root, problems):
        splits.append(split)
        files, images = _voc_files(home), _voc_images(home)
        for stem in stems:
            if stem not in files:
                problems.add('missing annotation', images.get(stem, home / stem).relative_to(root))
                continue
            try:
                size, objects = _voc_annotation(files[stem], files[stem].relative_to(root), problems)
            except (ET.ParseError, OSError, ValueError, LookupError) as error:
                problems.add('malformed XML', files[stem].relative_to(root), str(error))
                continue
            listed.append(Listed(split, images.get(stem, home / stem), size, objects))
    if not any(each.objects for each in listed) and not problems.found:
        raise UserError(f'{root} has no objects; data.name=voc_folder wants Annotations/*.xml and JPEGImages/ in it')
    names = _class_file(root) or tuple(sorted({str(marked.label) for each in listed for marked in each.objects}))
    return _read(root, listed, splits, {name: name for name in names}, image_size, problems)


def _voc_files(home: pathlib.Path) -> dict[str, pathlib.Path]:
    folder = home / 'Annotations' if (home / 'Annotations').is_dir() else home
    return {file.stem: file for file in sorted(folder.glob('*.xml'))}


def _voc_images(home: pathlib.Path) -> dict[str, pathlib.Path]:
    for folder in (home / 'JPEGImages', home / 'images', home / 'Annotations', home):
        if images := images_in(folder):
            return {image.stem: image for image in images}
    return {}


def _voc_splits(root: pathlib.Path, problems: Problems) -> list[tuple[str, pathlib.Path, list[str]]]:
    """Of each split: its name, the folder that it lies in, and the stems of its images."""
    lists = root / 'ImageSets' / 'Main'
    names = {'train': 'train', 'validation': 'val', 'test': 'test'}
    if not (lists / 'train.txt').is_file() and (lists / 'trainval.txt').is_file():
        names = {'train': 'trainval', 'test': 'test'}
    found = [
        (split, root, _lines(lists / f'{name}.txt'))
        for split, name in names.items()
        if (lists / f'{name}.txt').is_file()
    ]
    if not found:
        parts = (not (root / 'Annotations').is_dir() and _parts(root)) or {'train': root}
        return [(split, home, sorted(_voc_stems(home))) for split, home in parts.items()]
    for stem in sorted(_voc_stems(root).difference(*(stems for _, _, stems in found))):
        problems.add('image in no split', stem)
    return found


def _voc_stems(home: pathlib.Path) -> set[str]:
    return _voc_files(home).keys() | _voc_images(home).keys()


def _voc_annotation(file: pathlib.Path, name: pathlib.Path, problems: Problems):
    """The claimed (height, width) or None, and the objects; raises what parsers raise."""
    root = ET.parse(file).getroot()
    if root.tag != 'annotation':
        raise ValueError(f'it holds <{root.tag}>, not <annotation>')
    try:
        size = int(root.findtext('size/height', '')), int(root.findtext('size/width', ''))
    except ValueError:
        size = None
    objects = []
    for number, element in enumerate(root.findall('object'), 1):
        label = (element.findtext('name') or '').strip()
        try:
            ymin, xmin, ymax, xmax = (
                float(element.findtext(f'bndbox/{side}', '')) for side in ('ymin', 'xmin', 'ymax', 'xmax')
            )
        except ValueError:
            problems.add('malformed object', name, f'object {number} ({label}): its bndbox is not four numbers')
            continue
        if not label:
            problems.add('malformed object', name, f'object {number} has no name')
            continue
        box = (_voc_edge(ymin, ymax), _voc_edge(xmin, xmax), ymax, xmax)
        objects.append(Marked(label, box, element.findtext('difficult', '0').strip() == '1'))
    return size, objects


def _voc_edge(first: float, last: float) -> float:
    """Where the pixels first..last begin; what is degenerate stays so, and the 0 of other tools is the edge too."""
    if not first < last:
        return first
    return first - 1 if first >= 1 else min(first, 0.0)


def coco_folder(path: str, image_size: int) -> Read:
    """Reads PATH/annotations/instances_{train,val,test}*.json, or PATH/{train,valid,test}/_annotations.coco.json.

    In the first layout the images lie in a folder named as the file is (`train2017`), or as the split, in PATH or in
    PATH/images; or all in PATH/images. In the second, which Roboflow writes, they lie beside the JSON. Classes are the
    categories in the order of their ids; `iscrowd` objects are ignored ones.

    Raises:
      UserError: no such folder, files or categories that contradict each other, images that are not square or of
        several sizes without `image_size`, or nothing usable.
    """
    root = _root(path, 'coco_folder', 'annotations/instances_train*.json or train/_annotations.coco.json')
    problems, listed, splits, categories = Problems(), [], [], {}
    for split, file, folders in _coco_files(root):
        splits.append(split)
        try:
            content = json.loads(file.read_bytes())
            entries, objects = list(content['images']), list(content.get('annotations', ()))
            names = {int(category['id']): str(category['name']) for category in content.get('categories', ())}
        except (OSError, *MALFORMED) as error:
            problems.add('malformed JSON', file.relative_to(root), f'{type(error).__name__}: {error}')
            continue
        for number, name in names.items():
            if categories.setdefault(number, name) != name:
                raise UserError(f'{file}: category {number} is {name!r}, but {categories[number]!r} in another file')
        images = _coco_images(root, split, file, folders, entries, problems)
        _coco_objects(root, file, images, objects, problems)
        listed += images.values()
    used = {each.image for each in listed}
    for folder in sorted({image.parent for image in used}):
        for image in images_in(folder):
            if image not in used:
                problems.add('missing annotation', _short(root, image))
    return _read(root, listed, splits, dict(sorted(categories.items())), image_size, problems)


def _coco_files(root: pathlib.Path) -> list[tuple[str, pathlib.Path, list[pathlib.Path]]]:
    """Of each split: its name, its JSON file, and the folders to look for its images in."""
    parts = {split: part for split, part in _parts(root).items() if (part / '_annotations.coco.json').is_file()}
    if not parts and (root / '_annotations.coco.json').is_file():
        parts = {'train': root}
    if parts:
        return [(split, part / '_annotations.coco.json', [part]) for split, part in parts.items()]
    folder = root / 'annotations'
    files = sorted(folder.glob('instances_*.json')) or sorted(folder.glob('*.json'))
    if not files:
        raise UserError(
            f'{root} has neither annotations/*.json nor {{train,valid,test}}/_annotations.coco.json, '
            'one of which data.name=coco_folder wants'
        )
    found = {}
    for file in files:
        split = next((split for split, names in SPLITS.items() if any(name in file.stem for name in names)), None)
        split = split or ('train' if len(files) == 1 else None)
        if split is None or split in found:
            raise UserError(
                f'{file} is {f"a second file for {split}" if split else "for no split"}; keep one JSON in {folder} '
                'for each of train, val and test, with that word in its name'
            )
        names = (file.stem.removeprefix('instances_'), *SPLITS[split])
        folders = [place / name for name in names for place in (root, root / 'images')]
        found[split] = (split, file, [*folders, root / 'images', root])
    return [found[split] for split in SPLITS if split in found]


def _coco_images(root, split: str, file, folders, entries: list[Any], problems: Problems) -> dict[Any, Listed]:
    """Image id -> the image, which has no objects yet."""
    images = {}
    for entry in entries:
        try:
            number, name = int(entry['id']), str(entry['file_name'])
        except MALFORMED:
            problems.add('malformed image entry', file.relative_to(root), json.dumps(entry)[:100])
            continue
        if number in images:
            problems.add('image listed twice', name, f'id {number} in {file.relative_to(root)}')
            continue
        places = [folder / name for folder in folders]
        image = next((place for place in places if place.is_file()), places[0])
        try:
            size = int(entry['height']), int(entry['width'])
        except MALFORMED:
            size = None
        images[number] = Listed(split, image, size, [])
    return images


def _coco_objects(root, file, images: dict[Any, Listed], objects: list[Any], problems: Problems) -> None:
    """Gives the images their objects."""
    for entry in objects:
        try:
            number, label = int(entry['image_id']), int(entry['category_id'])
            x, y, width, height = (float(value) for value in entry['bbox'])
            ignored = bool(entry.get('iscrowd', 0))
        except MALFORMED:
            problems.add('malformed object', file.relative_to(root), json.dumps(entry)[:100])
            continue
        if number not in images:
            told = f'annotation {entry.get("id")}, image {number}'
            problems.add('object of an unknown image', file.relative_to(root), told)
            continue
        images[number].objects.append(Marked(label, (y, x, y + height, x + width), ignored))


def _root(path: str, name: str, wanted: str) -> pathlib.Path:
    root = pathlib.Path(os.path.expanduser(path))
    if not path or not root.is_dir():
        raise UserError(f'data.path={path!r} is not a folder; data.name={name} wants one with {wanted}')
    return root


def _short(root: pathlib.Path, file: pathlib.Path) -> str:
    """A file's name in reports."""
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


def _parts(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders of the splits, if there is one of training."""
    named = {split: [root / name for name in names if (root / name).is_dir()] for split, names in SPLITS.items()}
    parts = {split: folders[0] for split, folders in named.items() if folders}
    return parts if 'train' in parts else {}


def _class_file(root: pathlib.Path) -> tuple[str, ...]:
    file = root / 'classes.txt'
    return tuple(dict.fromkeys(_lines(file))) if file.is_file() else ()


def _lines(file: pathlib.Path) -> list[str]:
    """A text file's lines that are not empty."""
    return [line.strip() for line in file.read_text(errors='replace').splitlines() if line.strip()]


def _read(root, listed: list[Listed], splits, classes: dict[Any, str], image_size: int, problems: Problems) -> Read:
    """The images, and what is usable of their annotations; classes: the annotations' label -> name, in order."""
    numbers = {label: index for index, label in enumerate(classes)}
    images, annotated, official = [], [], {split: [] for split in splits}
    for each in _once(root, listed, problems):
        file = _short(root, each.image)
        if not each.image.is_file():
            problems.add('missing image', file)
            continue
        try:
            image = pixels.decode(each.image.read_bytes(), 3)
        except (OSError, ValueError) as error:
            problems.add('unreadable image', file, str(error))
            continue
        height, width = image.shape[:2]
        if each.size not in (None, (height, width)):
            told = f'annotated as {each.size[1]}x{each.size[0]}, the file has {width}x{height}'
            problems.add('other size than the file', file, told)
        official[each.split].append(len(images))
        annotated.append(_annotated(file, each.objects, (height, width), numbers, problems))
        if not image_size and (height != width or images and image.shape != images[0].shape):
            raise UserError(f'{each.image} is not square or of another size than those before; set data.image_size')
        images.append(pixels.letterbox(image, image_size or height))
        if len(images) * images[0].nbytes > MEMORY_LIMIT:
            raise UserError(f'{root} does not fit in memory; set a smaller data.image_size')
    for split in splits:
        if not official[split]:
            tell(str(root), problems)
            raise UserError(f'{root}: no image of the {split} split is usable; see the problems above')
    without = [split for split, ids in official.items() if not any(len(annotated[i].boxes) for i in ids)]
    if 'train' in without or 'train' not in official:
        tell(str(root), problems)
        raise UserError(f'{root}: the train split has no usable object; see the problems above')
    for split in without:
        problems.add('split without objects', split, f'{len(official[split])} images')
        del official[split]
    return Read(
        np.stack(images),
        pad(annotated),
        tuple(classes.values()),
        {split: np.array(ids, np.int32) for split, ids in official.items()},
        problems.found,
    )


def _once(root: pathlib.Path, listed: list[Listed], problems: Problems) -> list[Listed]:
    """Every image once; one that is in several splits stays held out of training."""
    kept: dict[pathlib.Path, int] = {}
    for index in sorted(range(len(listed)), key=lambda index: HELD_OUT_FIRST.index(listed[index].split)):
        each = listed[index]
        first = kept.setdefault(each.image, index)
        if first != index:
            where = listed[first].split
            kind = 'image listed twice' if where == each.split else 'image in several splits'
            problems.add(kind, _short(root, each.image), f'in {each.split}, kept in {where}')
    return [listed[index] for index in sorted(kept.values())]


def _annotated(file: str, objects: list[Marked], size: tuple[int, int], numbers, problems: Problems) -> Annotated:
    height, width = size
    boxes, classes, ignored = [], [], []
    for index, marked in enumerate(objects, 1):
        what = f'object {index} ({marked.label})'
        if marked.label not in numbers:
            problems.add('unknown class', file, what)
            continue
        ymin, xmin, ymax, xmax = marked.box
        box = usable_box((ymin / height, xmin / width, ymax / height, xmax / width), problems, file, what)
        if box is not None:
            boxes.append(box)
            classes.append(numbers[marked.label])
            ignored.append(marked.ignored)
    return Annotated(file, size, boxes, classes, ignored)

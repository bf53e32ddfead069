"""A user's own images with boxes: folders in the layout of Pascal VOC or of COCO.

Both are read in two steps: what the annotations say, and then, together with the image files, what of it is usable.
Whatever is not usable ends in `problems.Problems`.
"""

import json
import os
import pathlib
import reprlib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from jaxvision.data import pixels
from jaxvision.data.folders import SPLITS, images_in, parts_of
from jaxvision.data.objects import NOWHERE, Annotated, Objects, pad, usable_area
from jaxvision.data.problems import Problems, tell, usable_box
from jaxvision.data.source import MEMORY_LIMIT
from jaxvision.errors import UserError

HELD_OUT_FIRST = ('test', 'validation', 'train')
OTHERS = ('captions_', 'person_keypoints_', 'stuff_', 'panoptic_', 'image_info_')  # COCO's files of other tasks.
MALFORMED = (KeyError, TypeError, ValueError, OverflowError, AttributeError)  # Raised by JSON of another shape.


class Marked(NamedTuple):
    """One object as annotated: its class (name or number), [ymin, xmin, ymax, xmax] in pixels, whether ignored.

    Also its area in pixels, 0 for none. A label or a box that is None was malformed, and has been reported.
    """

    label: Hashable | None
    box: tuple[float, float, float, float] | None
    ignored: bool
    area: float = 0.0


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
    found = _voc_splits(root, problems)
    for home in dict.fromkeys(home for _, home, _ in found):
        for image in _voc_image_files(home):
            if image != (used := _voc_images(home)[image.stem]):
                problems.add('images of one stem', _short(root, image), f'{used.name} is used')
    for split, home, stems in found:
        splits.append(split)
        files, images = _voc_files(home), _voc_images(home)
        for stem in stems:
            if stem not in files:
                problems.add('missing annotation', _short(root, images.get(stem, home / stem)))
                continue
            try:
                size, objects = _voc_annotation(files[stem], files[stem].relative_to(root), problems)
            except (ET.ParseError, OSError, ValueError, LookupError) as error:
                problems.add('malformed XML', files[stem].relative_to(root), str(error))
                continue
            listed.append(Listed(split, images.get(stem, home / stem), size, objects))
    if not any(each.objects for each in listed) and not problems.found:
        raise UserError(f'{root} has no objects; data.name=voc_folder wants Annotations/*.xml and JPEGImages/ in it')
    labels = {str(marked.label) for each in listed for marked in each.objects if marked.label is not None}
    names = _class_file(root) or tuple(sorted(labels))
    return _read(root, listed, splits, {name: name for name in names}, image_size, problems)


def _voc_files(home: pathlib.Path) -> dict[str, pathlib.Path]:
    folder = home / 'Annotations' if (home / 'Annotations').is_dir() else home
    return {file.stem: file for file in sorted(folder.glob('*.xml'))}


def _voc_image_files(home: pathlib.Path) -> list[pathlib.Path]:
    folders = (home / 'JPEGImages', home / 'images', home / 'Annotations', home)
    return next((images for folder in folders if (images := images_in(folder))), [])


def _voc_images(home: pathlib.Path) -> dict[str, pathlib.Path]:
    """Stem -> image, the first of several."""
    return {image.stem: image for image in reversed(_voc_image_files(home))}


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
        parts = (not (root / 'Annotations').is_dir() and parts_of(root)) or {'train': root}
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
        label = (element.findtext('name') or '').strip() or None
        if label is None:
            problems.add('malformed object', name, f'object {number} has no name')
        try:
            ymin, xmin, ymax, xmax = (
                float(element.findtext(f'bndbox/{side}', '')) for side in ('ymin', 'xmin', 'ymax', 'xmax')
            )
        except ValueError:
            problems.add('malformed object', name, f'object {number} ({label}): its bndbox is not four numbers')
            box = None
        else:
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
    categories in the order of their ids; `iscrowd` objects are ignored ones; an `area` is that of the outline.

    Raises:
      UserError: no such folder, files or categories that contradict each other, images that are not square or of
        several sizes without `image_size`, or nothing usable.
    """
    root = _root(path, 'coco_folder', 'annotations/instances_train*.json or train/_annotations.coco.json')
    problems, listed, splits, categories = Problems(), [], [], {}
    for split, file, folders in _coco_files(root, problems):
        splits.append(split)
        try:
            content = json.loads(file.read_bytes())
            entries, objects = list(content['images']), list(content.get('annotations', ()))
            names = [(int(category['id']), str(category['name'])) for category in content.get('categories', ())]
        except (OSError, RecursionError, *MALFORMED) as error:
            problems.add('malformed JSON', file.relative_to(root), f'{type(error).__name__}: {error}')
            continue
        for number, name in names:
            if categories.setdefault(number, name) != name:
                raise UserError(f'{file}: category {number} is {name!r}, but elsewhere {categories[number]!r}')
        images = _coco_images(root, split, file, folders, entries, problems)
        _coco_objects(root, file, images, objects, problems)
        listed += {each.image: each for each in images.values()}.values()
    for name, count in Counter(categories.values()).items():
        if count > 1:
            numbers = ', '.join(str(number) for number in sorted(categories) if categories[number] == name)
            problems.add('categories of one name', name, f'ids {numbers}')
    used = {each.image for each in listed}
    for folder in sorted({image.parent for image in used}):
        for image in images_in(folder):
            if image not in used:
                problems.add('missing annotation', _short(root, image))
    return _read(root, listed, splits, dict(sorted(categories.items())), image_size, problems)


def _coco_files(root: pathlib.Path, problems: Problems) -> list[tuple[str, pathlib.Path, list[pathlib.Path]]]:
    """Of each split: its name, its JSON file, and the folders to look for its images in."""
    parts = {split: part for split, part in parts_of(root).items() if (part / '_annotations.coco.json').is_file()}
    if not parts and (root / '_annotations.coco.json').is_file():
        parts = {'train': root}
    if parts:
        for split, part in parts_of(root).items():
            if split not in parts and images_in(part):
                problems.add('missing annotation', part.relative_to(root), 'it has no _annotations.coco.json')
        return [(split, part / '_annotations.coco.json', [part]) for split, part in parts.items()]
    folder = root / 'annotations'
    everything = sorted(folder.glob('*.json'))
    files = [file for file in everything if file.stem.startswith('instances_')] or everything
    for file in everything:
        if file not in files and not file.stem.startswith(OTHERS):
            problems.add('file not looked at', file.relative_to(root), 'as there are instances_*.json')
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
    """Image id -> the image, which has no objects yet; ids of the same file share it, and so its objects."""
    images, of_file = {}, {}
    for entry in entries:
        try:
            number, name = int(entry['id']), str(entry['file_name'])
        except MALFORMED:
            problems.add('malformed image entry', file.relative_to(root), reprlib.repr(entry))
            continue
        if number in images:
            problems.add('image listed twice', name, f'id {number} in {file.relative_to(root)}')
            continue
        places = [folder / name for folder in folders]
        image = next((place for place in places if os.path.isfile(place)), places[0])
        try:
            size = int(entry['height']), int(entry['width'])
        except MALFORMED:
            size = None
        if image in of_file:
            problems.add('image listed twice', _short(root, image), f'also as id {number} in {file.relative_to(root)}')
        images[number] = of_file.setdefault(image, Listed(split, image, size, []))
    return images


def _coco_objects(root, file, images: dict[Any, Listed], objects: list[Any], problems: Problems) -> None:
    """Gives the images their objects."""
    for entry in objects:
        try:
            number = int(entry['image_id'])
        except MALFORMED:
            problems.add('object of an unknown image', file.relative_to(root), reprlib.repr(entry))
            continue
        if number not in images:
            told = f'annotation {entry.get("id")}, image {number}'
            problems.add('object of an unknown image', file.relative_to(root), told)
            continue
        label, box = None, None
        try:
            x, y, width, height = (float(value) for value in entry['bbox'])
            box = (y, x, y + height, x + width)
            label = int(entry['category_id'])
        except MALFORMED:
            problems.add('malformed object', file.relative_to(root), reprlib.repr(entry))
        area = usable_area(entry.get('area', 0))
        images[number].objects.append(Marked(label, box, bool(entry.get('iscrowd', 0)), area))


def _root(path: str, name: str, wanted: str) -> pathlib.Path:
    root = pathlib.Path(os.path.expanduser(path))
    if not path or not root.is_dir():
        raise UserError(f'data.path={path!r} is not a folder; data.name={name} wants one with {wanted}')
    return root


def _short(root: pathlib.Path, file: pathlib.Path) -> str:
    """A file's name in reports."""
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


def _class_file(root: pathlib.Path) -> tuple[str, ...]:
    file = root / 'classes.txt'
    return tuple(dict.fromkeys(_lines(file))) if file.is_file() else ()


def _lines(file: pathlib.Path) -> list[str]:
    """A text file's lines that are not empty."""
    return [line.strip() for line in file.read_text(errors='replace').splitlines() if line.strip()]


def _read(root, listed: list[Listed], splits, classes: dict[Any, str], image_size: int, problems: Problems) -> Read:
    """The images, and what is usable of their annotations; classes: the annotations' label -> name, in order."""
    names = tuple(dict.fromkeys(classes.values()))
    numbers = {label: names.index(name) for label, name in classes.items()}
    images, annotated, official = [], [], {split: [] for split in splits}
    for each in _once(root, listed, problems):
        file = _short(root, each.image)
        if not os.path.isfile(each.image):  # pathlib's raises where a name is too long.
            problems.add('missing image', file)
            continue
        try:
            image = _decode(each.image.read_bytes(), each.size)
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
    without = [split for split, ids in official.items() if all(all(annotated[i].ignored) for i in ids)]
    if 'train' in without or 'train' not in official:
        tell(str(root), problems)
        raise UserError(f'{root}: the train split has no usable object; see the problems above')
    for split in without:
        problems.add('split without objects', split, f'{len(official[split])} images')
        del official[split]
    return Read(
        np.stack(images),
        pad(annotated),
        names,
        {split: np.array(ids, np.int32) for split, ids in official.items()},
        problems.found,
    )


def _decode(encoded: bytes, size: tuple[int, int] | None) -> np.ndarray:
    """The image upright; but as it is stored where the annotated size is of that, as the boxes are then too."""
    if size is not None:
        image = pixels.decode(encoded, 3, upright=False)
        if image.shape[:2] == size:
            return image
    return pixels.decode(encoded, 3)


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
        what, known = f'object {index} ({marked.label})', marked.label in numbers
        if not known and marked.label is not None:
            problems.add('unknown class', file, what)
        box = None
        if marked.box is not None:
            ymin, xmin, ymax, xmax = marked.box
            box = usable_box((ymin / height, xmin / width, ymax / height, xmax / width), problems, file, what)
        # It is there all the same: so the image is not an empty one, nor its place, if that is known, background.
        boxes.append(box or NOWHERE)
        classes.append(numbers.get(marked.label, 0))
        ignored.append(marked.ignored or not known or not box)
    return Annotated(file, size, boxes, classes, ignored, [marked.area for marked in objects])

"""A user's own images: one sub-folder a class, of any format that OpenCV reads."""

import os
import pathlib

import numpy as np

from jaxvision.data import pixels
from jaxvision.errors import UserError

SPLITS = {'train': ('train',), 'validation': ('validation', 'val', 'valid'), 'test': ('test',)}  # And their folders.
ENDINGS = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')


def read(path: str, image_size: int):
    """Reads FOLDER/class/*.png, or FOLDER/SPLIT/class/*.png where there is a folder of training; see `SPLITS`.

    Returns:
      images uint8 [n, height, width, 3], labels int32 [n], class names, and the ids of each split.

    Raises:
      UserError: no such folder, fewer than two classes, a broken file, or images of several sizes.
    """
    root = pathlib.Path(os.path.expanduser(path))
    if not path or not root.is_dir():
        raise UserError(
            f'data.path={path!r} is not a folder; data.name=image_folder wants one with a sub-folder a class'
        )
    parts = parts_of(root) or {'train': root}
    folders = [folder for part in parts.values() for folder in part.iterdir() if folder.is_dir()]
    class_names = sorted({folder.name for folder in folders if not folder.name.startswith('.') and images_in(folder)})
    if len(class_names) < 2:
        raise UserError(f'{root} has {len(class_names)} class folders that hold images; at least two are needed')
    images, labels, official = [], [], {}
    for split, part in parts.items():
        first = len(labels)
        for label, name in enumerate(class_names):
            for file in images_in(part / name):
                try:
                    images.append(pixels.decode(file.read_bytes(), 3, image_size))
                except (OSError, ValueError) as error:
                    raise UserError(f'{file}: {error}') from error
                labels.append(label)
                if images[-1].shape != images[0].shape:
                    raise UserError(f'{file} is of another size than the images before it; set data.image_size')
        official[split] = np.arange(first, len(labels))
    if not len(official['train']):
        raise UserError(f'{parts["train"]} holds no images ({", ".join(ENDINGS)})')
    return np.stack(images), np.array(labels, np.int32), tuple(class_names), official


def parts_of(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders of the splits, if there is one of training."""
    named = {split: [root / name for name in names if (root / name).is_dir()] for split, names in SPLITS.items()}
    parts = {split: folders[0] for split, folders in named.items() if folders}
    return parts if 'train' in parts else {}


def images_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The image files of a folder, by name."""
    return sorted(file for file in folder.glob('*') if file.suffix.lower() in ENDINGS and file.is_file())

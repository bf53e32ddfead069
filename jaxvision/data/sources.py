"""Sources: a dataset by name -> all of its images and labels (and objects) in memory, as uint8.

Reading never needs TensorFlow or a network.
"""

from jaxvision.data import generated, prepared
from jaxvision.data.cache import cache_dir as cache_dir  # Others know it as sources.cache_dir.
from jaxvision.data.problems import Problems, tell
from jaxvision.data.source import Source, finish, finish_objects


def load(
    name: str,
    *,
    data_dir: str = '',
    path: str = '',
    image_size: int = 0,
    generated_shape: tuple[int, ...] = (8, 8, 1),
    generated_classes: int = 10,
    generated_examples: int = 1000,
    generated_most: int = 3,
) -> Source:
    """Loads a dataset. What is wrong with its annotations is told on stderr, and kept in the result.

    Args:
      name: `uci_digits` (embedded), `digit_scenes/localization`, `digit_scenes/detection` (drawn from them),
        `generated`, `generated_objects`, `image_folder`, `voc_folder`, `coco_folder`, or any prepared TFDS set for
        classification or detection, optionally with its config and version as in `name/config:1.0.0`.
      data_dir: where TFDS datasets lie; empty for TFDS's own default (for our own: the cache).
      path: the folder of an `image_folder` (one sub-folder a class), a `voc_folder` or a `coco_folder`.
      image_size: resize to this many pixels a side, and where there are objects letterbox to it; 0 keeps the images
        as they are (then all must be of one size, and with objects square).
      generated_shape, generated_classes, generated_examples: what `generated` and `generated_objects` make.
      generated_most: the most objects in an image of `generated_objects`.

    Raises:
      UserError: the dataset is unknown, not prepared, for another task, of images of several sizes, or nothing of it
        is usable.
    """
    size_of_generated = generated_shape, generated_classes, generated_examples
    if name == 'generated':
        source = finish(name, *generated.classification(*size_of_generated))
    elif name == 'generated_objects':
        source = finish_objects(name, *generated.objects(*size_of_generated, generated_most))
    elif name == 'image_folder':
        from jaxvision.data import folders

        source = finish(name, *folders.read(path, image_size))
    elif name in ('voc_folder', 'coco_folder'):
        from jaxvision.data import annotations

        read = annotations.voc_folder if name == 'voc_folder' else annotations.coco_folder
        source = finish_objects(name, *read(path, image_size))
    else:
        source = prepared.load(name, data_dir, image_size)
    tell(name, Problems(list(source.problems)))
    return source

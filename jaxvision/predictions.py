"""Predictions: what the network of a finished run says of images that it has never seen.

    network = predictions.load('runs/detect')
    image = predictions.read('street.jpg')
    (found,) = predictions.predict(network, [image])
    PIL.Image.fromarray(predictions.draw(image, found, network.class_names))

The data that the network was trained on is not needed. An image is fitted to the network as the training images were:
resized for a classifier, letterboxed for a localiser or a detector. Nothing else is done to it: a network that has
learnt white digits on black sees nothing that it knows in black ones on white paper.
"""

import colorsys
import io
import itertools
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from jaxvision import assembly, runs
from jaxvision.data import folders, pixels
from jaxvision.data.objects import Annotated, pad
from jaxvision.data.source import Source
from jaxvision.data.splits import Splits
from jaxvision.errors import UserError
from jaxvision.tasks.detect import Detect
from jaxvision.tasks.localize import Localize
from jaxvision.tasks.task import Task, Variables
from jaxvision.training import loop, parallel
from jaxvision.training.records import Workdir
from jaxvision.training.reports import drawing

ENDINGS = (*folders.ENDINGS, '.gif')
BATCH = 8  # Images in memory at once; photographs are large.
TOP = 5  # Classes that a classifier's prediction names.
PRESENT = 0.5  # A localiser's objectness from which its box is drawn, as in `metrics.localization_scores`.
LARGEST = 8192  # Pixels a side; a larger image is shrunk to this before it is letterboxed, or memory runs out.
DRAWN = (320, 1600)  # The longer side of a drawing in pixels, at least and at most.
FONT = 14  # Height of the letters on a drawing, at least.


class Network(NamedTuple):
    """A trained network.

    Attributes:
      kind: of task: classify, localize or detect.
      shape: of the images that it takes, (height, width, channel).
      class_names: one a class.
      variables: of the network.
      answer: compiled; variables, uint8 images [batch, *shape] -> what `predict` tells, as arrays [batch, ...].
    """

    kind: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    variables: Variables
    answer: Callable[..., Any]


def load(path: str | os.PathLike, at: str = 'last') -> Network:
    """Restores the network of a finished run.

    Args:
      path: of the workdir; of a distillation, the student is taken.
      at: the `last` step, or the `best` on validation.

    Raises:
      UserError: the run is not finished or not of this version, its checkpoint is gone, or it wants images that are
        neither grey nor RGB.
    """
    workdir = Workdir(path)
    workdir.read('result.json')
    run = _without_data(workdir)
    shape, kind = run.source.shape, run.settings.task
    if shape[2] not in (1, 3):
        raise UserError(f'{workdir} was trained on images of {shape[2]} channels; predictions are of grey or RGB ones')

    def answer(variables: Variables, images: jax.Array):
        outputs, _ = run.task.forward(variables, images.astype(jnp.float32) / 255, None)
        return ANSWERS[kind](run.task, outputs)

    variables = jax.device_put(runs.restore(run, workdir, at).variables)
    return Network(kind, shape, run.source.class_names, variables, jax.jit(answer))


def _without_data(workdir: Workdir) -> assembly.Run:
    """The run of a workdir, with one black image in place of its data, which may be gone by now."""
    settings = runs.settings_of(workdir).alone()
    dataset = workdir.read('environment.json')['dataset']
    shape, class_names = tuple(dataset['shape']), tuple(dataset['class_names'])
    objects = None if settings.task == 'classify' else pad([Annotated('black', shape[:2], [], [], [])])
    only = np.zeros(1, np.int32)
    source = Source(
        dataset['name'], np.zeros((1, *shape), np.uint8), only, class_names, {}, dataset['fingerprint'], objects
    )
    return assembly.Run(
        settings=settings,
        source=source,
        splits=Splits(only, only, only),
        task=assembly.build_task(settings, source),
        evaluator=assembly.EVALUATORS[settings.task](source),
        plan=loop.Plan(steps=1, batch_size=1, seed=settings.seed, eval_every=1, checkpoint_every=1),
        parallel=parallel.Parallel(settings.parallel, jax.local_devices()[:1]),
    )


def _answer_classify(task: Task, outputs):
    return jax.nn.softmax(outputs)


def _answer_localize(task: Localize, outputs):
    return jax.nn.softmax(outputs.class_logits), outputs.boxes, jax.nn.sigmoid(outputs.objectness)


def _answer_detect(task: Detect, outputs):
    return jax.vmap(task.suppress)(outputs.class_logits, outputs.boxes, outputs.objectness)


ANSWERS: dict[str, Callable[..., Any]] = {
    'classify': _answer_classify,
    'localize': _answer_localize,
    'detect': _answer_detect,
}


def predict(network: Network, images: Iterable[np.ndarray], min_score: float = 0.3) -> Iterator[dict[str, Any]]:
    """Says what is in images, a few at a time, in their order.

    Args:
      network: from `load`.
      images: each uint8 [height, width], [height, width, 1] or [height, width, 3], of any size, as from `read`.
      min_score: a detector's objects below this score are left out.

    Yields:
      {'size': [height, width]} of each image, and of a classifier
        'classes': [{'name', 'probability'}], the five most probable ones, most probable first;
      of a localiser
        'objectness', 'class', 'probability' and 'box': the probability that there is an object, which one it would be,
        the probability of that, and where;
      of a detector
        'objects': [{'class', 'score', 'box'}], best first.
      A box is [ymin, xmin, ymax, xmax] in pixels of the image.

    Raises:
      UserError: an image is of another shape or type.
    """
    images, size = iter(images), 0
    while batch := list(itertools.islice(images, BATCH)):
        size = size or len(batch)  # The first batch says how large all are: one program, no larger than needed.
        fitted = np.zeros((size, *network.shape), np.uint8)
        for index, image in enumerate(batch):
            fitted[index] = fit(image, network)
        answers = jax.device_get(network.answer(network.variables, fitted))
        for index, image in enumerate(batch):
            own = jax.tree.map(lambda array, index=index: array[index], answers)
            height, width = image.shape[:2]
            yield {'size': [height, width], **TELL[network.kind](network, own, (height, width), min_score)}


def fit(image: np.ndarray, network: Network) -> np.ndarray:
    """An image of any size -> uint8 `network.shape`, as the training images were fitted.

    Raises:
      UserError: it is not an image as `predict` wants it.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)) or not image.size:
        raise UserError(f'an image is {image.dtype} {image.shape}; wanted is uint8 [height, width, 1 or 3]')
    height, width, channels = network.shape
    picture, image_size = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image).convert('RGB'), 0
    if network.kind != 'classify':
        if max(picture.size) > LARGEST:
            picture.thumbnail((LARGEST, LARGEST))
    elif height == width:
        image_size = height
    else:  # Training images that are not square came as they are: any good way of resizing will do.
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    # By way of a BMP, which is quick, into the very function that made the training images.
    encoded = io.BytesIO()
    picture.save(encoded, 'bmp')
    decoded = pixels.decode(encoded.getvalue(), channels, image_size)
    return decoded if network.kind == 'classify' else pixels.letterbox(decoded, height)


def _tell_classes(network: Network, answer, size, min_score) -> dict[str, Any]:
    best = np.argsort(-answer, kind='stable')[:TOP]
    return {'classes': [{'name': network.class_names[i], 'probability': _share(answer[i])} for i in best]}


def _tell_object(network: Network, answer, size, min_score) -> dict[str, Any]:
    probabilities, box, objectness = answer
    best = int(probabilities.argmax())
    return {
        'objectness': _share(objectness),
        'class': network.class_names[best],
        'probability': _share(probabilities[best]),
        'box': _in_pixels(box[None], size)[0],
    }


def _tell_objects(network: Network, answer, size, min_score) -> dict[str, Any]:
    scores, classes, boxes = answer
    found = zip(scores, classes, _in_pixels(boxes, size), strict=True)
    return {
        'objects': [
            {'class': network.class_names[label], 'score': _share(score), 'box': box}
            for score, label, box in found
            # Above 0, since the others are padding; with an extent, since a box on the grey has none in the image.
            if score > 0 and score >= min_score and box[0] < box[2] and box[1] < box[3]
        ]
    }


TELL: dict[str, Callable[..., dict[str, Any]]] = {
    'classify': _tell_classes,
    'localize': _tell_object,
    'detect': _tell_objects,
}


def _in_pixels(boxes: np.ndarray, size: tuple[int, int]) -> list[list[float]]:
    """Boxes [m, 4] on the network's square -> in the image's own pixels, cut off at its edges."""
    boxes = pixels.unletterbox_boxes(boxes, np.array(size)) * np.array([*size, *size])
    return [[round(float(side), 2) for side in box] for box in boxes]


def _share(value) -> float:
    return round(float(value), 6)


def files(arguments: Sequence[str], output: pathlib.Path) -> list[pathlib.Path]:
    """The images that a user names: files as they are, there or not, and in their place those in folders, sorted.

    Args:
      arguments: files and folders; hidden files in folders are left out, folders in folders are not.
      output: where predictions are written: what lies there is no input.

    Raises:
      UserError: a file or folder lies in `output`, or there is nothing at all.
    """
    found, output = [], output.resolve()
    for argument in arguments:
        path = pathlib.Path(os.path.expanduser(argument))
        if path.resolve().is_relative_to(output):
            raise UserError(f'{path} lies in {output}, where the predictions are written; give another --output')
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.rglob('*') if file.suffix.lower() in ENDINGS and file.is_file())
            inside = [file for file in inside if not file.name.startswith('.')]
        found += [file for file in inside if not file.resolve().is_relative_to(output)]
    if not found:
        raise UserError(f'no images in {", ".join(arguments)} ({", ".join(ENDINGS)})')
    return found


def read(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file as it is displayed: turned as its EXIF says, on white where transparent, its first frame.

    Returns:
      uint8 [height, width, 3], RGB.

    Raises:
      UserError: there is no such file, or it is no image, a broken one, or one of pixels that 8 bits cannot hold.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Of odd metadata, and of large images: neither is wrong here.
            with Image.open(path) as image:
                image.load()
                return np.asarray(pixels.rgb(ImageOps.exif_transpose(image)))
    except UnidentifiedImageError:
        reason = 'not an image, or a broken one'
    except OSError as error:
        reason = error.strerror or f'a broken image ({error})'
    except Exception as error:  # Pillow's decoders raise whatever a broken file brings about.
        reason = f'cannot be read as an image ({" ".join(str(error).split()) or type(error).__name__})'
    raise UserError(f'{path}: {reason}')


def draw(image: np.ndarray, found: dict[str, Any], class_names: Sequence[str]) -> np.ndarray:
    """Draws a prediction: boxes on the image, a classifier's classes below it.

    Args:
      image: uint8 [height, width, 1 or 3], or [height, width].
      found: what `predict` says of it.
      class_names: of the network; a class has the same colour in all images.

    Returns:
      uint8 [height', width', 3]: a small image enlarged by a whole number, a large one shrunk.
    """
    objects, lines = [], []
    if 'classes' in found:
        lines = [f'{each["name"]}: {each["probability"]:.1%}' for each in found['classes']]
    elif 'objects' in found:
        objects = [(each['box'], each['class'], each['score']) for each in found['objects']]
        lines = [] if objects else ['nothing']
    elif found['objectness'] >= PRESENT:
        objects = [(found['box'], found['class'], found['objectness'] * found['probability'])]
    else:
        lines = [f'nothing (an object: {found["objectness"]:.1%})']
    boxes = np.array([box for box, _, _ in objects]).reshape(-1, 4) / (found['size'] * 2)
    labels = [f'{name} {score:.2f}' for _, name, score in objects]
    colors = [class_color(class_names.index(name)) for _, name, _ in objects]

    picture = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image).convert('RGB')
    picture.thumbnail((DRAWN[1], DRAWN[1]))
    scale = max(1, round(DRAWN[0] / max(picture.size)))
    text = max(FONT, scale * max(picture.size) // 60)
    line = text // 7
    # A black edge inside the coloured one: so it stands out on any ground.
    unseen = [''] * len(boxes), ['#000000'] * len(boxes)
    drawn = drawing.draw(np.asarray(picture), boxes, *unseen, scale=scale, line=line + max(1, line // 2))
    return _caption(drawing.draw(drawn, boxes, labels, colors, line=line, text=text), lines, text)


def class_color(index: int) -> str:
    """A bright colour a class, as '#rrggbb': hues a golden section apart are never close for neighbours."""
    return '#' + ''.join(f'{round(255 * part):02x}' for part in colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.8, 1.0))


def _caption(image: np.ndarray, lines: Sequence[str], text: int) -> np.ndarray:
    """Lines of text on white below an image."""
    if not lines:
        return image
    font, margin, step = ImageFont.load_default(text), text // 2, text * 4 // 3
    height, width = image.shape[:2]
    needed = max(round(font.getlength(line)) for line in lines) + 2 * margin
    sheet = Image.new('RGB', (max(width, needed), height + len(lines) * step + 2 * margin), 'white')
    sheet.paste(Image.fromarray(image))
    pen = ImageDraw.Draw(sheet)
    for index, line in enumerate(lines):
        pen.text((margin, height + margin + index * step), line, fill='black', font=font)
    return np.asarray(sheet)

"""Predictions on images from anywhere: what the run's own evaluation says, whatever the file; and the command."""

import io
import json
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxvision import assembly, predictions, runs
from jaxvision.data import pixels
from jaxvision.errors import UserError
from jaxvision.settings import defaults, resolve
from jaxvision.training.records import Workdir

from .conftest import ROOT

COLOURS = {'red': (220, 40, 30), 'green': (30, 200, 60), 'blue': (20, 60, 230)}


def small(task: str):
    """A config of a task that trains in seconds."""
    config = defaults()
    config.task = task
    config.devices = 1
    config.data.batch_size = 16
    config.data.validation_fraction = 0.2
    config.model.filters = (8,)
    config.model.features = 8
    config.model.levels = 1
    config.model.head_convs = 1
    config.detect.assigner = 'center'
    config.detect.min_score = 0.0
    config.optim.name = 'adam'
    config.optim.lr = 0.01
    config.train.epochs = 2.0
    return config


def train(config, path):
    """Trains without a report; returns (workdir, test ids, their arrays in predictions.npz, source)."""
    run = assembly.assemble(resolve(config))
    workdir = Workdir(path)
    with workdir.alone():
        runs.train(run, workdir, stream=io.StringIO())
    with np.load(workdir / 'predictions.npz') as arrays:
        return workdir, run.splits.test, dict(arrays), run.source


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    config = small('classify')
    config.data.name = 'generated'
    config.data.generated_shape = (6, 9, 3)
    config.data.generated_classes = 7
    config.data.generated_examples = 100
    config.optim.ema = 0.5
    return train(config, tmp_path_factory.mktemp('classifier') / 'run')


@pytest.fixture(scope='module')
def rectangles(tmp_path_factory):
    """A COCO folder of images that are not square, each with one rectangle or none; and the images by name."""
    folder, draw = tmp_path_factory.mktemp('rectangles'), np.random.default_rng(0)
    listed, annotated, images = [], [], {}
    for number in range(60):
        height, width = draw.integers(20, 60, 2).tolist()
        image = draw.integers(0, 50, (height, width, 3)).astype(np.uint8)
        if number % 4:
            top, left = int(draw.integers(0, height - 10)), int(draw.integers(0, width - 10))
            image[top : top + 10, left : left + 10] = list(COLOURS.values())[number % 3]
            annotated.append({'image_id': number, 'category_id': number % 3, 'bbox': [left, top, 10, 10]})
        name = f'{number:02}.png'
        images[name] = image
        listed.append({'id': number, 'file_name': name, 'height': height, 'width': width})
        (folder / 'train').mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / 'train' / name)
    categories = [{'id': number, 'name': name} for number, name in enumerate(COLOURS)]
    for number, one in enumerate(annotated):
        one |= {'id': number, 'iscrowd': 0, 'area': 100}
    (folder / 'annotations').mkdir()
    content = {'images': listed, 'annotations': annotated, 'categories': categories}
    (folder / 'annotations' / 'instances_train.json').write_text(json.dumps(content))
    return folder, images


def trained_on(task, rectangles, folder):
    """`train` on rectangles that are deleted afterwards; and the test images."""
    original, images = rectangles
    shutil.copytree(original, folder / 'data')
    config = small(task)
    config.data.name = 'coco_folder'
    config.data.path = str(folder / 'data')
    config.data.image_size = 32
    config.train.epochs, config.train.eval_every = 20.0, 1000
    workdir, ids, arrays, source = train(config, folder / 'run')
    shutil.rmtree(folder / 'data')
    assembly.load_source.cache_clear()
    return workdir, arrays, [images[source.objects.names[i].split('/')[-1]] for i in ids]


@pytest.fixture(scope='module')
def localizer(rectangles, tmp_path_factory):
    return trained_on('localize', rectangles, tmp_path_factory.mktemp('localizer'))


@pytest.fixture(scope='module')
def detector(rectangles, tmp_path_factory):
    return trained_on('detect', rectangles, tmp_path_factory.mktemp('detector'))


# What is said.


def test_a_classifier_says_what_its_evaluation_did(classifier):
    workdir, ids, arrays, source = classifier
    found = list(predictions.predict(predictions.load(workdir.path), source.images[ids]))
    assert len(found) == len(ids) > predictions.BATCH  # So that there is a last batch to be padded.
    logits = arrays['test_logits'].astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for one, row in zip(found, expected, strict=True):
        assert one['size'] == [6, 9]
        best = sorted(range(7), key=lambda label: -row[label])[:5]
        assert [each['name'] for each in one['classes']] == [f'class {label}' for label in best]
        assert [each['probability'] for each in one['classes']] == pytest.approx([row[i] for i in best], abs=1e-5)


def test_a_localizer_says_what_its_evaluation_did_without_its_data(localizer):
    workdir, arrays, images = localizer
    found = list(predictions.predict(predictions.load(workdir.path), images))
    assert len(found) == len(images) > predictions.BATCH
    names = list(COLOURS)
    for index, (one, image) in enumerate(zip(found, images, strict=True)):
        height, width = image.shape[:2]
        logits = arrays['test_class_logits'][index].astype(np.float64)
        assert one['size'] == [height, width]
        assert one['objectness'] == pytest.approx(float(arrays['test_objectness'][index]), abs=1e-5)
        assert one['class'] == names[logits.argmax()]
        assert one['probability'] == pytest.approx(float(np.exp(logits.max()) / np.exp(logits).sum()), abs=1e-5)
        assert one['box'] == pytest.approx(by_hand(arrays['test_boxes'][index], height, width), abs=0.02)


def by_hand(box, height, width):
    """A box on the letterbox square -> in pixels of the image."""
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    ymin, xmin, ymax, xmax = (float(edge) * side for edge in box)
    within = lambda value, most: min(max(value, 0.0), most)  # noqa: E731
    return [
        within(ymin - top, height),
        within(xmin - left, width),
        within(ymax - top, height),
        within(xmax - left, width),
    ]


def test_a_detector_says_what_its_evaluation_did_without_its_data(detector):
    workdir, arrays, images = detector
    found = list(predictions.predict(predictions.load(workdir.path), images, min_score=0.0))
    assert sum(len(one['objects']) for one in found) > len(images)
    for index, (one, image) in enumerate(zip(found, images, strict=True)):
        height, width = image.shape[:2]
        assert one['size'] == [height, width]
        names = [list(COLOURS)[label] for label in arrays['test_classes'][index]]
        boxes = arrays['test_boxes'][index] * [height, width, height, width]
        expected = list(zip(names, arrays['test_scores'][index], boxes, strict=True))
        said = [(each['class'], each['score'], each['box']) for each in one['objects']]
        assert [each for each in said if not any(same(each, other) for other in expected)] == []
        # A box that lies on the grey is left out; so whether one of almost no extent is said depends on rounding.
        clear = arrays['test_valid'][index] & (boxes[:, 2:] - boxes[:, :2] > 0.1).all(axis=1)
        expected = [each for each, shown in zip(expected, clear, strict=True) if shown]
        assert [each for each in expected if not any(same(each, other) for other in said)] == []


def same(one, other):
    """Two detections, but for rounding."""
    return one[0] == other[0] and abs(one[1] - other[1]) < 1e-4 and np.allclose(one[2], other[2], rtol=0, atol=0.05)


def test_another_checkpoint_is_another_network(classifier, tmp_path):
    workdir = Workdir(shutil.copytree(classifier[0].path, tmp_path / 'copy'))
    result = workdir.read('result.json')
    steps = sorted(int(path.name) for path in (workdir / 'checkpoints').iterdir())
    assert steps[-1] == result['steps'] > steps[0]
    workdir.write('result.json', {**result, 'best': {**result['best'], 'step': steps[0]}})
    image = classifier[3].images[:1]
    (last,) = predictions.predict(predictions.load(workdir.path), image)
    (best,) = predictions.predict(predictions.load(workdir.path, 'best'), image)
    assert last != best
    shutil.rmtree(workdir / 'checkpoints')
    with pytest.raises(UserError, match='no checkpoint of step'):
        predictions.load(workdir.path)


def test_min_score(detector):
    workdir, _, images = detector
    network = predictions.load(workdir.path)
    everything = [each['score'] for one in predictions.predict(network, images, 0.0) for each in one['objects']]
    ordered = sorted(everything)
    _, middle = max((b - a, (a + b) / 2) for a, b in zip(ordered, ordered[1:], strict=False))
    some = [each['score'] for one in predictions.predict(network, images, middle) for each in one['objects']]
    assert 0 < len(some) < len(everything)
    assert sorted(some) == sorted(score for score in everything if score >= middle)


def test_the_batch_changes_nothing_and_one_program_serves_all(classifier):
    network = predictions.load(classifier[0].path)
    images = classifier[3].images[:19]
    together = list(predictions.predict(network, images))
    assert network.answer._cache_size() == 1
    for image, expected in zip(images, together, strict=True):
        (alone,) = predictions.predict(network, [image])
        for one, other in zip(alone['classes'], expected['classes'], strict=True):
            assert one['name'] == other['name']
            assert one['probability'] == pytest.approx(other['probability'], abs=1e-5)
    assert list(predictions.predict(network, [])) == []


def test_images_are_fitted_as_in_training(classifier):
    network = predictions.load(classifier[0].path)._replace(shape=(12, 12, 3))
    draw = np.random.default_rng(0)
    for height, width in ((12, 12), (31, 50), (13, 13), (5, 7), (12, 12)):
        image = draw.integers(0, 256, (height, width, 3)).astype(np.uint8)
        for channels in (1, 3):
            network = network._replace(shape=(12, 12, channels))
            expected = pixels.decode(png(image), channels, 12)
            fitted = predictions.fit(image, network)
            assert fitted.dtype == np.uint8 and fitted.shape == (12, 12, channels)
            # OpenCV's readers of PNG and of BMP make grey of colours with another rounding.
            assert np.abs(fitted.astype(int) - expected).max() <= 2 * (channels == 1), (height, width, channels)
            boxed = predictions.fit(image, network._replace(kind='detect'))
            expected = pixels.letterbox(pixels.decode(png(image), channels), 12)
            assert np.abs(boxed.astype(int) - expected).max() <= 2 * (channels == 1), (height, width, channels)


def png(image) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'png')
    return file.getvalue()


def test_grey_arrays(classifier):
    network = predictions.load(classifier[0].path)
    grey = np.random.default_rng(1).integers(0, 256, (30, 20)).astype(np.uint8)
    forms = [grey, grey[..., None], np.stack([grey] * 3, axis=-1)]
    first, second, third = predictions.predict(network, forms)
    assert first == second == third


@pytest.mark.parametrize(
    'image',
    [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8)],
)
def test_arrays_that_are_no_images(classifier, image):
    with pytest.raises(UserError, match=r'wanted is uint8 \[height, width, 1 or 3\]'):
        list(predictions.predict(predictions.load(classifier[0].path), [image]))


def test_a_needle_of_an_image_does_not_fill_the_memory(detector, monkeypatch):
    boxed, letterbox = [], pixels.letterbox
    monkeypatch.setattr(predictions, 'LARGEST', 256)
    monkeypatch.setattr(pixels, 'letterbox', lambda image, size: boxed.append(image.shape) or letterbox(image, size))
    needle = np.full((1, 60_000, 3), 255, np.uint8)
    (found,) = predictions.predict(predictions.load(detector[0].path), [needle], 0.0)
    assert boxed == [(1, 256, 3)]
    assert found['size'] == [1, 60_000] and found['objects']
    for each in found['objects']:
        ymin, xmin, ymax, xmax = each['box']
        assert 0 <= ymin < ymax <= 1 and 0 <= xmin < xmax <= 60_000


# Files of every kind.

CORNERS = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [90, 90, 90]]], np.uint8).repeat(8, 0).repeat(12, 1)


def close(image, expected, by=1) -> bool:
    return image.shape == expected.shape and np.abs(image.astype(int) - expected).max() <= by


def test_rgb_palette_and_gif(tmp_path):
    for name in ('a.png', 'a.bmp', 'a.tif', 'a.ppm'):
        Image.fromarray(CORNERS).save(tmp_path / name)
        assert close(predictions.read(tmp_path / name), CORNERS, 0), name
    palette = Image.fromarray(CORNERS).quantize(4)
    palette.save(tmp_path / 'palette.png')
    assert close(predictions.read(tmp_path / 'palette.png'), CORNERS)
    others = [Image.fromarray(255 - CORNERS).quantize(4) for _ in range(2)]
    palette.save(tmp_path / 'film.gif', save_all=True, append_images=others)
    with Image.open(tmp_path / 'film.gif') as film:
        assert film.n_frames == 3 or film.n_frames == 2  # Pillow may join equal frames.
    assert close(predictions.read(tmp_path / 'film.gif'), CORNERS)


def test_grey_and_black_and_white(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / 'grey.png')
    assert close(predictions.read(tmp_path / 'grey.png'), np.stack([grey] * 3, axis=-1), 0)
    Image.fromarray(grey).convert('1', dither=Image.Dither.NONE).save(tmp_path / 'bits.png')
    assert close(predictions.read(tmp_path / 'bits.png'), np.stack([(grey > 127) * 255] * 3, axis=-1), 0)


def test_transparency_is_on_white(tmp_path):
    alpha = np.array([[0, 255], [128, 255]], np.uint8).repeat(8, 0).repeat(12, 1)
    expected = CORNERS.copy()
    expected[:8, :12] = 255
    expected[8:, :12] = np.rint([255 * 127 / 255, 255 * 127 / 255, (250 * 128 + 255 * 127) / 255])
    Image.fromarray(np.dstack([CORNERS, alpha])).save(tmp_path / 'rgba.png')
    assert close(predictions.read(tmp_path / 'rgba.png'), expected)
    Image.fromarray(np.dstack([np.full((4, 4), 60, np.uint8), np.zeros((4, 4), np.uint8)])).save(tmp_path / 'la.png')
    assert (predictions.read(tmp_path / 'la.png') == 255).all()
    palette = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2))
    palette = palette.convert('P')
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    palette.save(tmp_path / 'p.png', transparency=1)
    expected = [[[10, 20, 30], [255, 255, 255]], [[70, 80, 90], [100, 110, 120]]]
    assert predictions.read(tmp_path / 'p.png').tolist() == expected


def test_cmyk(tmp_path):
    Image.fromarray(CORNERS).convert('CMYK').save(tmp_path / 'cmyk.jpg', quality=100)
    assert close(predictions.read(tmp_path / 'cmyk.jpg'), CORNERS, 12)


def test_sixteen_bits(tmp_path):
    values = np.array([[0, 255, 256], [32_768, 65_279, 65_535]], np.uint16)
    expected = np.stack([[[0, 0, 1], [128, 254, 255]]] * 3, axis=-1)
    for name in ('deep.png', 'deep.tif'):
        Image.fromarray(values).save(tmp_path / name)
        assert predictions.read(tmp_path / name).tolist() == expected.tolist(), name
        assert pixels.decode((tmp_path / name).read_bytes(), 3).tolist() == expected.tolist(), name  # As in training.
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / 'fractions.tif')
    with pytest.raises(UserError, match='fractions'):
        predictions.read(tmp_path / 'fractions.tif')


def test_what_is_transparent_is_white_in_training_too(tmp_path):
    draw = np.random.default_rng(0)
    rgba = draw.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    rgba[0, 0] = 0, 0, 0, 0
    grey = Image.fromarray(rgba).convert('LA')
    palette = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7) % 4).convert('P')
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.info['transparency'] = 0
    for name, image in {'rgba.png': Image.fromarray(rgba), 'grey.png': grey, 'palette.png': palette}.items():
        image.save(tmp_path / name)
        shown = predictions.read(tmp_path / name)
        assert shown[0, 0].tolist() == [255, 255, 255], name
        for channels in (1, 3):
            decoded = pixels.decode((tmp_path / name).read_bytes(), channels)
            expected = shown if channels == 3 else shown @ [0.299, 0.587, 0.114]
            np.testing.assert_allclose(decoded.squeeze(), expected, atol=2, err_msg=name)
    Image.fromarray(rgba).save(tmp_path / 'rgba.webp', lossless=True)
    assert close(pixels.decode((tmp_path / 'rgba.webp').read_bytes(), 3), predictions.read(tmp_path / 'rgba.webp'), 2)


def test_transparency_that_opencv_drops(tmp_path):
    """Found by a review: of a TIFF, of a grey PNG that names a transparent grey, and of an image turned by EXIF."""
    rgba = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    rgba[0, 0] = 0, 0, 0, 0
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgba).save(tmp_path / 'rgba.tif')
    Image.fromarray(rgba).save(tmp_path / 'turned.png', exif=exif)
    Image.fromarray(rgba).save(tmp_path / 'turned.webp', exif=exif, lossless=True)
    Image.fromarray(np.array([[7, 200]], np.uint8)).save(tmp_path / 'grey.png', transparency=7)
    for name, white in {'rgba.tif': 0, 'turned.png': -1, 'turned.webp': -1, 'grey.png': 0}.items():
        shown, encoded = predictions.read(tmp_path / name), (tmp_path / name).read_bytes()
        assert shown[0, white].tolist() == [255, 255, 255], name
        np.testing.assert_array_equal(pixels.decode(encoded, 3), shown, name)
        np.testing.assert_allclose(pixels.decode(encoded, 1)[..., 0], shown @ [0.299, 0.587, 0.114], atol=1)
    stored = pixels.decode((tmp_path / 'turned.png').read_bytes(), 3, upright=False)
    np.testing.assert_array_equal(np.rot90(stored, -1), predictions.read(tmp_path / 'turned.png'))


def test_whole_numbers_of_32_bits_may_be_8(tmp_path):
    Image.fromarray(np.array([[0, 200]], np.int32)).save(tmp_path / 'a.tif')
    assert predictions.read(tmp_path / 'a.tif')[0, :, 0].tolist() == [0, 200]


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    turned = {
        1: CORNERS,
        2: CORNERS[:, ::-1],
        3: CORNERS[::-1, ::-1],
        4: CORNERS[::-1],
        5: CORNERS.transpose(1, 0, 2),
        6: np.rot90(CORNERS, -1),
        7: CORNERS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(CORNERS),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(CORNERS).save(tmp_path / 'a.jpg', exif=exif, quality=100, subsampling=0)
    assert close(predictions.read(tmp_path / 'a.jpg'), turned, 12)
    assert close(pixels.decode((tmp_path / 'a.jpg').read_bytes(), 3), turned, 12)  # Training sees the same.


def test_what_cannot_be_read_is_one_line(tmp_path):
    whole = png(CORNERS.repeat(10, 0))
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'empty.jpg').touch()
    (tmp_path / 'cut.png').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'spoilt.png').write_bytes(whole[:60] + bytes(20) + whole[80:])
    header = whole[:8] + whole[8:16] + struct.pack('>II', 2**20, 2**20) + whole[24:]
    (tmp_path / 'claims.png').write_bytes(header)
    (tmp_path / 'folder.png').mkdir()
    for name in ('text.png', 'empty.jpg', 'cut.png', 'spoilt.png', 'claims.png', 'folder.png', 'nowhere.png'):
        with pytest.raises(UserError) as caught:
            predictions.read(tmp_path / name)
        told = str(caught.value)
        assert told.startswith(f'{tmp_path / name}: ') and '\n' not in told and len(told) < 250, told


def test_large_images_are_read_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 300)
    Image.fromarray(CORNERS).save(tmp_path / 'large.png')
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(tmp_path / 'large.png').close()
    assert close(predictions.read(tmp_path / 'large.png'), CORNERS, 0)


# Which files.


def test_folders_are_searched_and_sorted(tmp_path):
    for name in ('b.png', 'a/z.JPG', 'a/c.gif', 'notes.txt', '.hidden.png', 'out/drawn.png'):
        (tmp_path / 'in' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'in' / name).touch()
    folder, output = tmp_path / 'in', tmp_path / 'in' / 'out'
    arguments = [str(folder / 'notes.txt'), str(folder), 'missing.png']
    found = [str(path).removeprefix(f'{folder}/') for path in predictions.files(arguments, output)]
    assert found == ['notes.txt', 'a/c.gif', 'a/z.JPG', 'b.png', 'missing.png']


def test_no_images_and_overwriting_are_refused(tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='no images in .*empty'):
        predictions.files([str(tmp_path / 'empty')], tmp_path / 'out')
    for argument in (tmp_path / 'empty', tmp_path / 'empty' / 'a.png'):
        with pytest.raises(UserError, match='give another --output'):
            predictions.files([str(argument)], tmp_path / 'empty')


# Drawings.


def test_a_box_is_drawn_where_it_is():
    image = np.full((50, 80, 3), 128, np.uint8)
    found = {'size': [50, 80], 'objects': [{'class': 'cat', 'score': 0.9, 'box': [20.0, 10.0, 40.0, 70.0]}]}
    drawn, scale = predictions.draw(image, found, ('dog', 'cat')), 4
    assert drawn.shape == (50 * scale, 80 * scale, 3) and drawn.dtype == np.uint8
    changed = (drawn != 128).any(axis=-1)
    inner = np.s_[20 * scale + 4 : 40 * scale - 4, 10 * scale + 4 : 70 * scale - 4]
    assert not changed[inner].any() and not changed[40 * scale :].any()
    colour = predictions.class_color(1)
    for y, x in ((20, 40), (39.75, 40), (30, 10), (30, 69.75)):
        assert '#{:02x}{:02x}{:02x}'.format(*drawn[int(y * scale), int(x * scale)]) == colour
    assert changed[20 * scale - 12, 10 * scale]  # The label, above the box.


@pytest.mark.parametrize('size', [(1, 1), (8, 8), (1, 4000), (3000, 40), (100, 100)])
def test_drawings_of_every_size_and_task(size):
    image = np.zeros((*size, 3), np.uint8)
    everything = {'class': 'x' * 90, 'score': 1.0, 'box': [0.0, 0.0, float(size[0]), float(size[1])]}
    where = {'class': 'x' * 90, 'probability': 1.0, 'box': everything['box']}
    for found in (
        {'classes': [{'name': 'x' * 90, 'probability': 0.5}]},
        {'objects': [everything, everything]},
        {'objects': []},
        {'objectness': 0.9, **where},
        {'objectness': 0.1, **where},
    ):
        drawn = predictions.draw(image, {'size': list(size), **found}, ['x' * 90])
        assert drawn.ndim == 3 and drawn.shape[2] == 3 and drawn.dtype == np.uint8
        assert drawn.shape[0] <= 1800
        assert (drawn != 0).any()


def test_drawings_are_of_a_size_to_look_at():
    found = {'classes': [{'name': 'cat', 'probability': 0.5}]}
    for size, expected in (((8, 8), (320, 320)), ((400, 300), (400, 300)), ((3200, 1600), (1600, 800))):
        image = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
        drawn = predictions.draw(image, {'size': list(size), **found}, ['cat'])
        assert drawn.shape[0] > expected[0] and drawn.shape[1] == expected[1]
        assert (drawn[-1] == 255).all() and (drawn[expected[0] :] < 100).any()  # Black words on white.
        if size[0] <= 400:
            assert (
                drawn[: expected[0], :, 0] == image.repeat(expected[0] // size[0], 0).repeat(expected[1] // size[1], 1)
            ).all()


def test_neighbouring_classes_have_unlike_colours():
    colours = [predictions.class_color(index) for index in range(8)]
    parts = np.array([[int(colour[start : start + 2], 16) for start in (1, 3, 5)] for colour in colours])
    apart = np.abs(parts[:, None] - parts).sum(axis=-1)
    assert apart[~np.eye(8, dtype=bool)].min() > 60


# The command.


def test_the_command(localizer, launch, tmp_path):
    workdir, _, images = localizer
    (tmp_path / 'in' / 'deep').mkdir(parents=True)
    for name, image in zip(('a.png', 'deep/a.png', 'deep/b.png'), images, strict=False):
        Image.fromarray(image).save(tmp_path / 'in' / name)
    (tmp_path / 'in' / 'broken.jpg').write_text('no image')
    flags = [f'--workdir={workdir}', f'--output={tmp_path}/out']
    done = launch('predict.py', flags[0], f'{tmp_path}/in', flags[1], f'{tmp_path}/none.png')
    assert done.returncode == 1, done.stderr
    told = done.stderr.splitlines()
    assert [line.split(': ')[0] for line in told] == [f'{tmp_path}/in/broken.jpg', f'{tmp_path}/none.png']
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line['file'] for line in lines] == [
        f'{tmp_path}/in/{name}' for name in ('a.png', 'deep/a.png', 'deep/b.png')
    ]
    network = predictions.load(workdir.path)
    for line, expected in zip(lines, predictions.predict(network, images[:3]), strict=True):
        assert line.keys() == {'file', 'size', 'objectness', 'class', 'probability', 'box'}
        assert line['size'] == expected['size'] and line['box'] == pytest.approx(expected['box'], abs=0.02)
    assert (tmp_path / 'out' / 'predictions.jsonl').read_text() == done.stdout
    drawn = {path.name for path in (tmp_path / 'out').iterdir()} - {'predictions.jsonl'}
    assert drawn == {'a.png', 'a-2.png', 'b.png'}
    for name in drawn:
        assert predictions.read(tmp_path / 'out' / name).max() > 200


def test_without_broken_files_it_succeeds_and_writes_into_the_workdir(classifier, launch, tmp_path):
    Image.fromarray(CORNERS).save(tmp_path / 'a.png')
    done = launch('predict.py', f'{tmp_path}/a.png', f'--workdir={classifier[0]}', '--checkpoint=best')
    assert (done.returncode, done.stderr) == (0, '')
    assert json.loads(done.stdout)['file'] == f'{tmp_path}/a.png'
    assert {path.name for path in (classifier[0] / 'predictions').iterdir()} == {'a.png', 'predictions.jsonl'}


def test_mistakes_are_one_line(classifier, tmp_path):
    unfinished = tmp_path / 'unfinished'
    shutil.copytree(classifier[0].path, unfinished)
    (unfinished / 'result.json').unlink()
    Image.fromarray(CORNERS).save(tmp_path / 'a.png')
    image = str(tmp_path / 'a.png')
    for arguments, words in (
        ([image], '--workdir is missing'),
        ([f'--workdir={classifier[0]}'], 'no images'),
        ([f'--workdir={classifier[0]}', image, '--min_score=2'], 'min_score'),
        ([f'--workdir={classifier[0]}', image, '--colour=red'], 'colour'),
    ):
        assert_refused(arguments, words)
    with pytest.raises(UserError, match='not a finished run'):
        predictions.load(unfinished)
    with pytest.raises(UserError, match='not a finished run'):
        predictions.load(tmp_path / 'nowhere')


def assert_refused(arguments, words):
    done = subprocess.run([sys.executable, 'launch/predict.py', *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and done.stdout == ''
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith('error: ') and words in done.stderr


def test_channels_that_no_image_file_has(classifier, tmp_path):
    workdir = Workdir(shutil.copytree(classifier[0].path, tmp_path / 'copy'))
    record = workdir.read('environment.json')
    record['dataset']['shape'] = [6, 9, 2]
    workdir.write('environment.json', record)
    with pytest.raises(UserError, match='2 channels'):
        predictions.load(workdir.path)


def test_help_loads_nothing_heavy():
    code = (
        'import sys, runpy; sys.path.insert(0, "launch"); sys.argv = ["launch/predict.py", "--help"]\n'
        'try: runpy.run_path("launch/predict.py", run_name="__main__")\n'
        'except SystemExit: pass\n'
        'print("loaded", *sys.modules)'
    )
    printed = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert '--min_score' in printed or '--[no]min_score' in printed
    assert not {'jax', 'flax', 'numpy', 'PIL', 'cv2'} & set(printed.split('loaded ')[-1].split())

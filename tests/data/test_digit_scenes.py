"""Digit scenes are as pinned: what is drawn, from which digits, and where the boxes are."""

import hashlib

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxvision.data import cache, digit_scenes, prepared, sources
from jaxvision.errors import UserError

# (kind, split, index) -> classes, boxes, mean pixel.
GOLDEN = [
    ('localization', 'train', 7999, [7], [[37, 9, 63, 26]], 51.510),
    ('localization', 'validation', 1, [], [], 43.192),
    ('localization', 'test', 2, [8], [[17, 49, 37, 61]], 32.823),
    (
        'detection',
        'train',
        7999,
        [4, 2, 3, 2, 3],
        [[0, 33, 31, 58], [9, 13, 37, 38], [22, 47, 37, 58], [35, 24, 60, 44], [21, 34, 41, 48]],
        84.445,
    ),
    ('detection', 'validation', 1, [], [], 46.874),
    ('detection', 'test', 2, [1, 4], [[11, 38, 41, 54], [43, 17, 61, 31]], 52.410),
]


def scenes(kind, split='train', count=300):
    return [digit_scenes.scene(kind, split, index) for index in range(count)]


@pytest.fixture(scope='module')
def detection():
    return scenes('detection')


@pytest.fixture(scope='module')
def localization():
    return scenes('localization')


def iou(a, b):
    """By counting pixels."""
    masks = np.zeros((2, 64, 64), bool)
    for mask, (ymin, xmin, ymax, xmax) in zip(masks, (a, b), strict=True):
        mask[ymin:ymax, xmin:xmax] = True
    return (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()


def fingerprint(drawn):
    digest = hashlib.sha256()
    for array in drawn:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize('kind', digit_scenes.KINDS)
def test_a_scene_is_a_function_of_kind_split_and_index(kind):
    places = [('train', 0), ('train', 1), ('validation', 0), ('test', 0), ('test', 999)]
    once = [fingerprint(digit_scenes.scene(kind, split, index)) for split, index in places]
    digit_scenes.samples.cache_clear()
    again = [fingerprint(digit_scenes.scene(kind, split, index)) for split, index in reversed(places)]
    assert again[::-1] == once
    assert len(set(once)) == len(places)


def test_the_numbers_are_the_pinned_ones():
    assert digit_scenes.SCENES == {'train': 8000, 'validation': 1000, 'test': 1000}
    assert (digit_scenes.SIZE, digit_scenes.SEED, digit_scenes.DIGIT) == (64, 0, (14, 32))
    assert (digit_scenes.CONTRAST, digit_scenes.NOISE) == ((0.5, 1.0), 0.05)
    assert (digit_scenes.FRAGMENTS, digit_scenes.FRAGMENT, digit_scenes.OVERLAP) == (6, (5, 8), 0.2)


@pytest.mark.parametrize(('kind', 'split', 'index', 'classes', 'boxes', 'mean'), GOLDEN)
def test_scenes_are_those_that_were_measured(kind, split, index, classes, boxes, mean):
    image, found, labels = digit_scenes.scene(kind, split, index)
    assert labels.tolist() == classes
    # Other versions of OpenCV may round otherwise.
    np.testing.assert_allclose(found, np.reshape(boxes, (-1, 4)), atol=1)
    np.testing.assert_allclose(image.mean(), mean, atol=0.05)


def test_kinds_are_different_scenes():
    assert fingerprint(digit_scenes.scene('detection', 'train', 0)) != fingerprint(
        digit_scenes.scene('localization', 'train', 0)
    )


def test_splits_share_no_digit_and_are_stratified():
    samples = digit_scenes.samples()
    assert {split: len(labels) for split, (_, labels) in samples.items()} == {
        'train': 1258,
        'validation': 180,
        'test': 359,
    }
    rows = np.concatenate([bitmaps.reshape(len(bitmaps), 64) for bitmaps, _ in samples.values()])
    assert len(np.unique(rows, axis=0)) == 1797  # scikit-learn's digits are all different.
    whole = np.bincount(np.concatenate([labels for _, labels in samples.values()])) / 1797
    for bitmaps, labels in samples.values():
        assert bitmaps.dtype == np.float32 and bitmaps.min() == 0 and bitmaps.max() == 1
        np.testing.assert_allclose(np.bincount(labels), whole * len(labels), atol=1.5)


def test_localization_has_one_digit_or_none(localization):
    counts = np.array([len(boxes) for _, boxes, _ in localization])
    assert set(counts) == {0, 1}
    assert 0.1 < np.mean(counts == 0) < 0.3  # 20 % of 300, give or take 4 standard deviations.


def test_detection_has_zero_to_six_digits(detection):
    counts = np.bincount([len(boxes) for _, boxes, _ in detection], minlength=7)
    assert len(counts) == 7
    assert counts.min() > 18 and counts.max() < 70  # 43 each, with a standard deviation of 6.


def test_images_and_boxes_are_of_the_canvas(detection):
    for image, boxes, classes in detection:
        assert image.shape == (64, 64, 1) and image.dtype == np.uint8
        assert boxes.shape == (len(classes), 4)
        assert np.all((boxes >= 0) & (boxes <= 64))
        heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        assert np.all((heights > 0) & (heights <= 32) & (widths > 0) & (widths <= 32))
        assert np.all((classes >= 0) & (classes < 10))


def test_boxes_overlap_by_a_fifth_at_most(detection):
    overlaps = [iou(boxes[i], boxes[j]) for _, boxes, _ in detection[:120] for i in range(len(boxes)) for j in range(i)]
    assert max(overlaps) <= 0.2
    assert max(overlaps) > 0.15  # And some do.


def test_all_classes_sizes_and_places_occur(localization):
    classes = np.concatenate([classes for _, _, classes in localization])
    assert np.bincount(classes, minlength=10).min() > 5
    boxes = np.concatenate([boxes for _, boxes, _ in localization])
    heights = boxes[:, 2] - boxes[:, 0]
    assert heights.min() <= 15 and heights.max() >= 30
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert np.all(np.histogramdd(centres, bins=(2, 2), range=((0, 64), (0, 64)))[0] > 20)


def test_box_is_tight_around_the_ink():
    """A bitmap enlarged as OpenCV does; then the box by looking at every pixel."""
    bitmap = digit_scenes.samples()['train'][0][3]
    patch = cv2.resize(bitmap, (20, 20), interpolation=cv2.INTER_LINEAR)
    inked = [(y, x) for y in range(20) for x in range(20) if patch[y, x] >= 0.25]
    ys, xs = [y for y, _ in inked], [x for _, x in inked]
    assert digit_scenes._ink_box(patch) == (min(ys), min(xs), max(ys) + 1, max(xs) + 1)


def without_noise(monkeypatch, kind, index):
    """A scene that is only ink: no noise, no gradient."""
    monkeypatch.setattr(digit_scenes, 'NOISE', 0.0)
    monkeypatch.setattr(digit_scenes, 'GRADIENT', 0.0)
    return digit_scenes.scene(kind, 'train', index)


def test_ink_of_the_digit_fills_its_box(monkeypatch):
    for index in range(30):
        image, boxes, _ = without_noise(monkeypatch, 'localization', index)
        for ymin, xmin, ymax, xmax in boxes:
            inside = image[ymin:ymax, xmin:xmax, 0] / 255
            contrast = inside.max()
            assert 0.4 < contrast <= 1  # At least 0.5 of ink that reaches 15/16 and more at its darkest.
            ink = inside >= 0.25 * contrast - 0.01
            assert ink[0].any() and ink[-1].any() and ink[:, 0].any() and ink[:, -1].any()


def test_noise_and_gradient_are_as_pinned():
    images = [image[..., 0] / 255 for image, boxes, _ in scenes('localization', count=200) if not len(boxes)]
    # Neighbours differ by the noise of both; clutter covers few pixels, so the median is of the background.
    differences = np.concatenate([np.abs(np.diff(image, axis=1)).ravel() for image in images if image.mean() > 0.12])
    np.testing.assert_allclose(np.median(differences) / 0.6745, 0.05 * np.sqrt(2), rtol=0.1)
    levels = [np.median(image) for image in images]
    assert min(levels) < 0.12 and 0.18 < max(levels) < 0.3


def test_fragments_are_small_apart_from_the_digits_and_up_to_six():
    bitmaps, _ = digit_scenes.samples()['train']
    counts, sides = [], []
    box = (16, 16, 48, 48)
    for seed in range(200):
        fragments = digit_scenes._place_fragments(np.random.default_rng(seed), bitmaps, np.arange(len(bitmaps)), [box])
        counts.append(len(fragments))
        for patch, top, left in fragments:
            sides.append(len(patch))
            assert patch.shape == (len(patch), len(patch)) and patch.max() >= 0.25
            assert 0 <= top <= 64 - len(patch) and 0 <= left <= 64 - len(patch)
            assert iou((top, left, top + len(patch), left + len(patch)), box) == 0
    assert set(counts) == set(range(7))
    assert set(sides) == {5, 6, 7, 8}


def test_more_digits_than_there_is_room_are_drawn_smaller(monkeypatch):
    """Sizes are drawn anew until all fit, so the number stays."""
    monkeypatch.setattr(digit_scenes, 'OVERLAP', 0.0)
    bitmaps = digit_scenes.samples()['train'][0][:6]
    for seed in range(10):
        digits, boxes = digit_scenes._place_digits(np.random.default_rng(seed), bitmaps)
        assert len(digits) == len(boxes) == 6
        assert max(iou(boxes[i], boxes[j]) for i in range(6) for j in range(i)) == 0


@pytest.fixture
def few(monkeypatch):
    """Few scenes, so that they are prepared at once."""
    monkeypatch.setattr(digit_scenes, 'SCENES', {'train': 12, 'validation': 4, 'test': 4})


@pytest.mark.parametrize('kind', digit_scenes.KINDS)
def test_prepared_at_the_first_use(few, kind, monkeypatch):
    source = sources.load(f'digit_scenes/{kind}')
    assert source.name == f'digit_scenes/{kind}' and source.class_names == tuple('0123456789')
    assert source.images.shape == (20, 64, 64, 1)
    assert {split: (int(ids[0]), len(ids)) for split, ids in source.official.items()} == {
        'train': (0, 12),
        'validation': (12, 4),
        'test': (16, 4),
    }
    assert source.problems == () and source.objects is not None
    for split, first in (('train', 0), ('test', 16)):
        for index in range(4):
            image, boxes, classes = digit_scenes.scene(kind, split, index)
            valid = source.objects.valid[first + index]
            np.testing.assert_array_equal(source.images[first + index], image)
            np.testing.assert_allclose(source.objects.boxes[first + index][valid], boxes / 64, rtol=1e-6)
            np.testing.assert_array_equal(source.objects.classes[first + index][valid], classes)
    folder = cache.cache_dir() / 'datasets' / 'digit_scenes' / kind / '1.0.0'
    assert tfds.builder_from_directory(str(folder)).info.splits['train'].num_examples == 12
    monkeypatch.setattr(prepared, '_decode', None)
    again = sources.load(f'digit_scenes/{kind}:1.0.0')
    assert again.fingerprint == source.fingerprint


def test_scenes_without_a_kind_are_explained():
    with pytest.raises(UserError, match='digit_scenes/localization, digit_scenes/detection'):
        sources.load('digit_scenes')

"""Decoding: any encoded image becomes grey or RGB pixels of the size wanted, and any shape a square with its boxes."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.data import pixels


def png(image):
    """Encodes RGB or grey pixels."""
    encoded, data = cv2.imencode('.png', image[..., ::-1] if image.ndim == 3 else image)
    assert encoded
    return data.tobytes()


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def test_colour_is_rgb(colours):
    got = pixels.decode(png(colours), 3)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, colours)


def test_grey_keeps_a_channel(colours):
    grey = colours[..., 0]
    np.testing.assert_array_equal(pixels.decode(png(grey), 1), grey[..., None])
    np.testing.assert_array_equal(pixels.decode(png(grey), 3), np.repeat(grey[..., None], 3, axis=2))


def test_colour_as_grey_is_luminance(colours):
    got = pixels.decode(png(colours), 1)
    assert got.shape == (4, 6, 1)
    np.testing.assert_allclose(got[..., 0], colours @ [0.299, 0.587, 0.114], atol=1)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('size', [2, 4, 9])
def test_resized_to_a_square(colours, channels, size):
    assert pixels.decode(png(colours), channels, size).shape == (size, size, channels)


def test_shrinking_averages_and_does_not_skip():
    dots = np.zeros((8, 8), np.uint8)
    dots[::4, ::4] = 160  # One pixel of each 4x4: a plain bilinear resize would miss them all.
    np.testing.assert_array_equal(pixels.decode(png(dots), 1, 2), np.full((2, 2, 1), 10))


def test_an_axis_that_shrinks_is_averaged_where_the_other_grows():
    """It was skipped over: only the shorter side was asked."""
    stripes = np.tile(np.array([[0, 180]], np.uint8), (2, 45))
    got = pixels.decode(png(stripes), 1, 10)
    np.testing.assert_array_equal(got, np.tile(np.array([[[80], [100]]], np.uint8), (10, 5, 1)))


def test_growing_interpolates():
    ramp = np.tile(np.array([[0, 100]], np.uint8), (2, 1))
    np.testing.assert_array_equal(pixels.decode(png(ramp), 1, 4)[0, :, 0], [0, 25, 75, 100])


@pytest.mark.parametrize('encoded', [b'', b'no image at all', b'\x89PNG\r\n\x1a\n'])
def test_what_is_no_image_is_refused(encoded):
    with pytest.raises(ValueError, match='not an image, or a broken one'):
        pixels.decode(encoded, 3)


# Letterboxing.

FIXED = settings(max_examples=80, deadline=None, derandomize=True)
SIDES = st.integers(1, 40)


def noise(height, width, channels=3):
    return np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize('channels', [1, 3])
def test_square_of_the_size_is_left_bit_for_bit(channels):
    image = noise(9, 9, channels)
    np.testing.assert_array_equal(pixels.letterbox(image, 9), image)


@pytest.mark.parametrize('channels', [1, 3])
def test_image_is_centred_on_grey(channels):
    image = noise(4, 8, channels)
    got = pixels.letterbox(image, 8)
    assert got.dtype == np.uint8 and got.shape == (8, 8, channels)
    np.testing.assert_array_equal(got[2:6], image)
    assert np.all(got[:2] == 114) and np.all(got[6:] == 114)
    np.testing.assert_array_equal(pixels.letterbox(image.swapaxes(0, 1), 8), got.swapaxes(0, 1))


def test_letterbox_shrinks_by_averages():
    image = noise(4, 8)
    got = pixels.letterbox(image, 4)
    means = image.reshape(2, 2, 4, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(got[1:3], means, atol=0.51)
    assert np.all(got[[0, 3]] == 114)


def test_letterbox_grows_by_interpolation():
    got = pixels.letterbox(np.array([[[0], [100]], [[0], [100]]], np.uint8), 4)
    np.testing.assert_array_equal(got[0, :, 0], [0, 25, 75, 100])


@given(SIDES, SIDES, st.integers(1, 50), st.sampled_from([1, 3]))
@FIXED
def test_letterbox_is_of_the_size_asked(height, width, size, channels):
    assert pixels.letterbox(noise(height, width, channels), size).shape == (size, size, channels)


def test_boxes_in_letterbox_by_hand():
    """100 x 200 on a square: the image fills the middle half of the height."""
    box = [[0.2, 0.3, 0.6, 0.5]]
    np.testing.assert_allclose(pixels.letterbox_boxes(np.array(box), (100, 200)), [[0.35, 0.3, 0.55, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(pixels.letterbox_boxes(np.array(box), (200, 100)), [[0.2, 0.4, 0.6, 0.5]], rtol=1e-6)
    # 3 x 4: one line of grey, below.
    np.testing.assert_allclose(pixels.letterbox_boxes(np.array([[0, 0, 1, 1]]), (3, 4)), [[0, 0, 0.75, 1]], rtol=1e-6)


def test_boxes_of_a_square_image_stay_bit_for_bit():
    boxes = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    np.testing.assert_array_equal(pixels.letterbox_boxes(boxes, (37, 37)), boxes)
    np.testing.assert_array_equal(pixels.unletterbox_boxes(boxes, (37, 37)), boxes)


@given(st.lists(st.tuples(st.integers(1, 4000), st.integers(1, 4000)), min_size=1, max_size=4))
@FIXED
def test_boxes_come_back_from_the_letterbox(sizes):
    boxes = np.random.default_rng(0).random((len(sizes), 3, 4))
    there = pixels.letterbox_boxes(boxes, np.array(sizes))
    assert there.dtype == np.float32 and there.shape == boxes.shape
    assert np.all((there >= 0) & (there <= 1))
    elongation = max(max(size) / min(size) for size in sizes)
    np.testing.assert_allclose(pixels.unletterbox_boxes(there, np.array(sizes)), boxes, atol=2e-7 * elongation)
    for index, size in enumerate(sizes):  # A stack is its images one by one.
        np.testing.assert_array_equal(there[index], pixels.letterbox_boxes(boxes[index], np.array(size)))


@given(st.integers(8, 60), st.integers(8, 60), st.sampled_from([32, 64, 100]))
@FIXED
def test_pixels_and_boxes_move_together(height, width, size):
    """The bright rectangle of the canvas is where the moved box is: within a pixel of it."""
    image = np.zeros((height, width, 1), np.uint8)
    ymin, xmin, ymax, xmax = height // 4, width // 3, height - 2, width - 1
    image[ymin:ymax, xmin:xmax] = 255
    canvas = pixels.letterbox(image, size)[..., 0]
    rows, columns = np.flatnonzero((canvas > 127).any(axis=1)), np.flatnonzero((canvas > 127).any(axis=0))
    box = np.array([[ymin / height, xmin / width, ymax / height, xmax / width]])
    expected = pixels.letterbox_boxes(box, (height, width))[0] * size
    got = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
    np.testing.assert_allclose(got, expected, atol=1)

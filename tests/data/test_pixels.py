"""Decoding: any encoded image becomes grey or RGB pixels of the size wanted."""

import cv2
import numpy as np
import pytest

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


def test_growing_interpolates():
    ramp = np.tile(np.array([[0, 100]], np.uint8), (2, 1))
    np.testing.assert_array_equal(pixels.decode(png(ramp), 1, 4)[0, :, 0], [0, 25, 75, 100])


@pytest.mark.parametrize('encoded', [b'', b'no image at all', b'\x89PNG\r\n\x1a\n'])
def test_what_is_no_image_is_refused(encoded):
    with pytest.raises(ValueError, match='not an image, or a broken one'):
        pixels.decode(encoded, 3)

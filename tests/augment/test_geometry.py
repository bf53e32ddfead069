"""Affine maps against NumPy slicing (bit for bit) and against SciPy's resampling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from jaxvision import augment

FIXED = settings(max_examples=40, deadline=None, derandomize=True)
SIZES = [(6, 6), (5, 5), (4, 7), (7, 4)]  # Even, odd, not square.
KEYS = 3000


def image(height, width, channels=2):
    return np.random.default_rng(0).random((height, width, channels)).astype(np.float32)


@functools.partial(jax.jit, static_argnames=('height', 'width'))
def _affine(height, width, mirror, shift, degrees):
    return augment.affine(height, width, mirror=mirror, shift=shift, degrees=degrees)


def warped(pixels, *, mirror=False, shift=(0.0, 0.0), degrees=0.0):
    """Through `affine` and `warp`, both jitted as they are in training."""
    matrix = _affine(*pixels.shape[:2], mirror, tuple(map(float, shift)), float(degrees))
    return np.asarray(jax.jit(augment.warp)(pixels, matrix))


def shifted(pixels, down, right):
    """NumPy's: black moves in."""
    height, width, _ = pixels.shape
    result = np.zeros_like(pixels)
    result[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = pixels[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return result


@pytest.mark.parametrize('size', SIZES)
def test_identity_is_exact(size):
    np.testing.assert_array_equal(warped(image(*size)), image(*size))


@pytest.mark.parametrize('size', [*SIZES, (224, 224)])
def test_mirror_is_exact(size):
    np.testing.assert_array_equal(warped(image(*size), mirror=True), image(*size)[:, ::-1])


@pytest.mark.parametrize('shift', [(1, 0), (0, 2), (-2, 1), (2, -3), (-1, -1)])
@pytest.mark.parametrize('size', SIZES)
def test_whole_pixel_shift_is_exact(size, shift):
    np.testing.assert_array_equal(warped(image(*size), shift=shift), shifted(image(*size), *shift))


@pytest.mark.parametrize('shift', [(1, 0), (-1, 2)])
@pytest.mark.parametrize('size', SIZES)
def test_first_mirrored_then_shifted(size, shift):
    np.testing.assert_array_equal(
        warped(image(*size), mirror=True, shift=shift), shifted(image(*size)[:, ::-1], *shift)
    )


def test_shift_out_of_sight_is_black():
    assert not warped(image(5, 6), shift=(5, 0)).any()
    assert not warped(image(5, 6), shift=(0, -6)).any()


@pytest.mark.parametrize(('degrees', 'turns'), [(90, 1), (180, 2), (-90, -1), (270, 3)])
@pytest.mark.parametrize('side', [5, 6])
def test_quarter_turns_are_counter_clockwise(side, degrees, turns):
    np.testing.assert_allclose(
        warped(image(side, side), degrees=degrees), np.rot90(image(side, side), turns), atol=3e-6
    )


@pytest.mark.parametrize('size', [(4, 7), (7, 4)])
def test_half_turn_of_any_size(size):
    np.testing.assert_allclose(warped(image(*size), degrees=180), image(*size)[::-1, ::-1], atol=3e-6)


def test_counter_clockwise_on_the_screen():
    """A bright pixel on the right of the centre moves up."""
    pixels = np.zeros((5, 5, 1), np.float32)
    pixels[2, 4] = 1
    expected = np.zeros_like(pixels)
    expected[0, 2] = 1
    np.testing.assert_allclose(warped(pixels, degrees=90), expected, atol=1e-6)


def test_mirrored_then_turned_then_shifted():
    pixels = image(5, 5)
    expected = shifted(np.rot90(pixels[:, ::-1]), 1, -2)
    np.testing.assert_allclose(warped(pixels, mirror=True, degrees=90, shift=(1, -2)), expected, atol=3e-6)


@given(
    st.sampled_from(SIZES),
    st.booleans(),
    st.tuples(st.floats(-4, 4, width=16), st.floats(-4, 4, width=16)),
    st.floats(-180, 180, width=16),
)
@FIXED
def test_any_map_is_the_resampling_of_scipy(size, mirror, shift, degrees):
    """`grid-constant` blends with the black outside, as `warp` does; so the border agrees too."""
    pixels = image(*size)
    matrix = np.asarray(augment.affine(*size, mirror=mirror, shift=shift, degrees=degrees), np.float64)
    expected = [
        ndimage.affine_transform(channel, matrix[:, :2], matrix[:, 2], order=1, mode='grid-constant', cval=0)
        for channel in np.moveaxis(pixels.astype(np.float64), 2, 0)
    ]
    got = warped(pixels, mirror=mirror, shift=shift, degrees=degrees)
    np.testing.assert_allclose(got, np.stack(expected, axis=2), atol=1e-5)


@given(st.booleans(), st.tuples(st.floats(-4, 4), st.floats(-4, 4)), st.floats(-180, 180))
@FIXED
def test_map_is_the_composition_of_its_parts(mirror, shift, degrees):
    """Output point -> minus shift -> turned back about the centre -> mirrored, in float64."""
    height, width = 5, 8
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    angle = np.deg2rad(degrees)
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [0, width - 1], [height - 1, 0], [1.5, 2.0]])
    expected = (corners - shift - centre) @ back.T
    if mirror:
        expected[:, 1] *= -1
    matrix = np.asarray(augment.affine(height, width, mirror=mirror, shift=shift, degrees=degrees))
    got = corners @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(got, expected + centre, atol=5e-6)


@pytest.mark.parametrize('degrees', [0.0, 13.0, 45.0])
def test_constant_image_stays_constant_inside(degrees):
    pixels = np.full((12, 12, 1), 0.7, np.float32)
    got = warped(pixels, shift=(0.3, -0.6), degrees=degrees)
    np.testing.assert_allclose(got[4:8, 4:8], 0.7, rtol=1e-6)
    assert got.min() >= 0 and got.max() <= 0.7 * (1 + 1e-6)


def parts(matrices, height, width):
    """What `random_affine` drew, read off its matrices: mirrored, (down, right), degrees."""
    matrices = np.asarray(matrices, np.float64)
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    linear, offset = matrices[:, :, :2], matrices[:, :, 2]
    # The output point that shows the input's centre is the centre plus the shift.
    shift = np.linalg.solve(linear, (centre - offset)[..., None])[..., 0] - centre
    return np.linalg.det(linear) < 0, shift, np.rad2deg(np.arctan2(linear[:, 0, 1], linear[:, 0, 0]))


def drawn(mirror, crop, rotate, height=9, width=12):
    keys = jax.random.split(jax.random.key(0), KEYS)
    draw = functools.partial(augment.random_affine, height=height, width=width, mirror=mirror, crop=crop, rotate=rotate)
    return parts(jax.jit(jax.vmap(draw))(keys), height, width)


@pytest.fixture(scope='module')
def everything():
    return drawn(True, 2, 30.0)


def test_half_of_the_images_are_mirrored(everything):
    mirrored, _, _ = everything
    assert stats.binomtest(int(mirrored.sum()), KEYS, 0.5).pvalue > 1e-3


def test_shift_is_uniform_on_whole_pixels(everything):
    _, shift, _ = everything
    pixels = np.rint(shift).astype(int)
    np.testing.assert_allclose(shift, pixels, atol=1e-5)
    assert pixels.min() == -2 and pixels.max() == 2
    # Over all 25 pairs at once: down and right are independent, too.
    counts = np.bincount((pixels[:, 0] + 2) * 5 + pixels[:, 1] + 2, minlength=25)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_angle_is_uniform(everything):
    _, _, degrees = everything
    assert np.abs(degrees).max() <= 30 + 1e-4
    assert stats.kstest(degrees, stats.uniform(-30, 60).cdf).pvalue > 1e-3


def test_mirror_shift_and_angle_are_independent(everything):
    mirrored, shift, degrees = everything
    correlations = np.corrcoef(np.stack([mirrored, shift[:, 0], shift[:, 1], degrees]))
    assert np.abs(correlations[np.triu_indices(4, 1)]).max() < 4 / np.sqrt(KEYS)


def test_what_is_off_does_nothing():
    mirrored, shift, degrees = drawn(False, 0, 0.0)
    assert not mirrored.any() and not shift.any() and not degrees.any()
    matrix = augment.random_affine(jax.random.key(3), 6, 7, mirror=False, crop=0, rotate=0.0)
    np.testing.assert_array_equal(warped_by(matrix, image(6, 7)), image(6, 7))


def test_mirror_and_crop_alone_are_exact():
    for seed in range(4):
        matrix = augment.random_affine(jax.random.key(seed), 6, 7, mirror=True, crop=2, rotate=0.0)
        mirrored, shift, _ = parts(matrix[None], 6, 7)
        expected = image(6, 7)[:, ::-1] if mirrored[0] else image(6, 7)
        np.testing.assert_array_equal(warped_by(matrix, image(6, 7)), shifted(expected, *np.rint(shift[0]).astype(int)))


def warped_by(matrix, pixels):
    return np.asarray(jax.jit(augment.warp)(pixels, matrix))


def test_rotation_strength_is_traced():
    traces = []

    @jax.jit
    def draw(key, rotate):
        traces.append(1)
        return augment.random_affine(key, 6, 6, mirror=False, crop=0, rotate=rotate)

    angles = [parts(draw(jax.random.key(1), jnp.float32(rotate))[None], 6, 6)[2][0] for rotate in (10.0, 40.0)]
    np.testing.assert_allclose(angles[1], 4 * angles[0], rtol=1e-5)
    assert len(traces) == 1

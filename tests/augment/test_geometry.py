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


@pytest.mark.parametrize('side', [1, 2, 5])
def test_reflected_borders_are_those_of_numpy(side):
    pixels, pad = image(side, side + 2), 3
    expected = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode='reflect')
    for down, right in ((0, 0), (-pad, pad), (2, -1), (pad, pad)):
        matrix = augment.affine(side, side + 2, shift=(down, right))
        got = jax.jit(functools.partial(augment.warp, border='reflect'))(pixels, matrix)
        part = expected[pad - down : pad - down + side, pad - right : pad - right + side + 2]
        np.testing.assert_array_equal(got, part)


def test_unknown_border_is_refused():
    with pytest.raises(ValueError, match="unknown border 'wrap'"):
        augment.warp(image(3, 3), augment.affine(3, 3), border='wrap')


def test_mirror_may_be_decided_beforehand():
    for mirror in (False, True):
        matrix = augment.random_affine(jax.random.key(1), 6, 7, mirror=jnp.array(mirror), crop=0, rotate=0.0)
        expected = image(6, 7)[:, ::-1] if mirror else image(6, 7)
        np.testing.assert_array_equal(warped_by(matrix, image(6, 7)), expected)


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


MAPS = st.tuples(
    st.booleans(),
    st.tuples(st.floats(-4, 4, width=16), st.floats(-4, 4, width=16)),
    st.floats(-180, 180, width=16),
    st.tuples(st.floats(0.5, 2, width=16), st.floats(0.5, 2, width=16)),
)


def map_of(size, drawn):
    mirror, shift, degrees, scale = drawn
    return augment.affine(*size, mirror=mirror, shift=shift, degrees=degrees, scale=jnp.array(scale))


def whole(matrix):
    """The map as a matrix [3, 3] of float64."""
    return np.concatenate([np.asarray(matrix, np.float64), [[0.0, 0.0, 1.0]]])


def resampled(pixels, matrix, size, fill):
    """SciPy's, in float64; outside is `fill`."""
    matrix = np.asarray(matrix, np.float64)
    channels = [
        ndimage.affine_transform(
            channel, matrix[:, :2], matrix[:, 2], size, order=1, mode='grid-constant', cval=fill, prefilter=False
        )
        for channel in np.moveaxis(pixels.astype(np.float64), 2, 0)
    ]
    return np.stack(channels, axis=2)


@given(MAPS)
@FIXED
def test_scaled_map_is_the_composition_of_its_parts(drawn):
    """Output point -> minus shift -> turned back about the centre -> shrunk back -> mirrored, in float64."""
    mirror, shift, degrees, scale = drawn
    centre = np.array([2.0, 3.5])
    angle = np.deg2rad(degrees)
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [0, 7], [4, 7], [1.5, 2.0]])
    expected = (corners - shift - centre) @ back.T / np.array(scale) * [1, -1 if mirror else 1]
    got = augment.transform(map_of((5, 8), drawn), jnp.asarray(corners, jnp.float32))
    np.testing.assert_allclose(got, expected + centre, atol=1e-5)


def test_above_one_enlarges_about_the_centre():
    pixels = np.zeros((8, 8, 1), np.float32)
    pixels[3:5, 3:5] = 1
    matrix = augment.affine(8, 8, scale=3.0)
    expected = np.zeros_like(pixels)
    expected[1:7, 1:7] = 1
    np.testing.assert_array_equal(warped_by(matrix, pixels) > 0.4, expected > 0)


@pytest.mark.parametrize('scale', [1.0, 1, (1.0, 1.0), np.float32(1)])
def test_scale_of_one_changes_no_bit(scale):
    plain = augment.affine(6, 7, mirror=True, shift=(1.0, -2.0), degrees=31.0)
    again = augment.affine(6, 7, mirror=True, shift=(1.0, -2.0), degrees=31.0, scale=jnp.asarray(scale))
    np.testing.assert_array_equal(plain, again)


def test_scale_jitter_moves_nothing_else():
    draw = functools.partial(augment.random_affine, height=9, width=9, mirror=True, crop=2, rotate=20.0)
    keys = jax.random.split(jax.random.key(5), 200)
    without = np.asarray(jax.vmap(draw)(keys), np.float64)
    scaled = np.asarray(jax.vmap(functools.partial(draw, scale=0.5))(keys), np.float64)
    factor = np.sqrt(np.abs(np.linalg.det(without[:, :, :2]) / np.linalg.det(scaled[:, :, :2])))
    np.testing.assert_allclose(scaled[:, :, :2] * factor[:, None, None], without[:, :, :2], atol=1e-5)
    for before, after in zip(parts(without, 9, 9), parts(scaled, 9, 9), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-3)


def test_logarithm_of_the_scale_is_uniform_and_its_strength_traced():
    keys = jax.random.split(jax.random.key(0), KEYS)
    draw = functools.partial(augment.random_affine, height=9, width=9, mirror=False, crop=0, rotate=0.0)
    drawn = jax.jit(jax.vmap(lambda key, scale: draw(key, scale=scale), (0, None)))
    for strength in (0.0, 0.5):
        logarithm = -np.log(np.asarray(drawn(keys, jnp.float32(strength))[:, 0, 0], np.float64))
        assert np.abs(logarithm).max() <= np.log1p(strength) + 1e-6
    assert stats.kstest(logarithm, stats.uniform(-np.log(1.5), 2 * np.log(1.5)).cdf).pvalue > 1e-3


def test_plain_zero_draws_no_scale():
    def draws(**scale):
        draw = functools.partial(augment.random_affine, height=9, width=9, mirror=True, crop=1, rotate=5.0, **scale)
        return str(jax.make_jaxpr(draw)(jax.random.key(0))).count('random_')

    assert draws() == draws(scale=0.0) < draws(scale=0.1)


@given(MAPS, MAPS)
@FIXED
def test_compose_is_the_product_of_the_matrices(outer, inner):
    outer, inner = map_of((5, 8), outer), map_of((6, 4), inner)
    np.testing.assert_allclose(whole(augment.compose(outer, inner)), whole(outer) @ whole(inner), atol=2e-5, rtol=1e-5)


def test_outer_is_what_the_image_meets_first():
    pixels = image(6, 6)
    mirror, shift = augment.affine(6, 6, mirror=True), augment.affine(6, 6, shift=(1.0, 2.0))
    np.testing.assert_array_equal(
        warped_by(augment.compose(mirror, shift), pixels), warped_by(shift, warped_by(mirror, pixels))
    )
    np.testing.assert_array_equal(warped_by(augment.compose(mirror, shift), pixels), shifted(pixels[:, ::-1], 1, 2))


@given(MAPS)
@FIXED
def test_map_and_its_inverse_are_the_identity(drawn):
    matrix = map_of((7, 9), drawn)
    np.testing.assert_allclose(whole(augment.invert(matrix)), np.linalg.inv(whole(matrix)), atol=5e-5)
    there = augment.compose(augment.invert(matrix), matrix)
    np.testing.assert_allclose(there, [[1, 0, 0], [0, 1, 0]], atol=5e-5)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 128))
@FIXED
def test_letterbox_shows_the_extent_centred_and_as_large_as_fits(height, width, size):
    scale = size / max(height, width)
    low = np.array([size - scale * height, size - scale * width]) / 2
    edges = np.stack([low, size - low]) - 0.5  # Of the shown image, in coordinates of the canvas' pixels.
    expected = [[-0.5, -0.5], [height - 0.5, width - 0.5]]
    got = augment.transform(augment.letterbox(height, width, size), jnp.asarray(edges, jnp.float32))
    np.testing.assert_allclose(got, expected, atol=2e-4)


def test_letterbox_of_its_own_size_is_exact():
    np.testing.assert_array_equal(augment.letterbox(7, 7, 7), [[1, 0, 0], [0, 1, 0]])
    pixels = image(4, 8)
    boxed = np.asarray(augment.warp(pixels, augment.letterbox(4, 8, 8), fill=0.5, size=(8, 8)))
    np.testing.assert_array_equal(boxed[2:6], pixels)
    np.testing.assert_array_equal(boxed[[0, 1, 6, 7]], np.full((4, 8, 2), 0.5, np.float32))


@given(st.sampled_from(SIZES), MAPS, st.sampled_from([0.0, 0.4, 1.0]), st.sampled_from([(5, 5), (3, 9)]))
@FIXED
def test_fill_and_size_are_those_of_scipy(size, drawn, fill, shown):
    matrix = map_of(size, drawn)
    got = warp_to(image(*size), matrix, jnp.float32(fill), shown)
    np.testing.assert_allclose(got, resampled(image(*size), matrix, shown, fill), atol=1e-5)


warp_to = jax.jit(augment.warp, static_argnames='size')


def test_fill_of_each_channel():
    got = np.asarray(
        augment.warp(image(4, 4, 3), augment.affine(4, 4, shift=(9.0, 0.0)), fill=jnp.array([0.1, 0.2, 0.3]))
    )
    np.testing.assert_allclose(got, np.broadcast_to(np.float32([0.1, 0.2, 0.3]), got.shape), rtol=1e-6)


def test_dtype_stays():
    half = jnp.ones((4, 4, 1), jnp.bfloat16)
    assert augment.warp(half, augment.affine(4, 4, degrees=9.0), fill=0.5).dtype == jnp.bfloat16


@settings(deadline=None, max_examples=30)
@given(
    scale=st.tuples(st.floats(0.3, 3.0), st.floats(0.3, 3.0)),
    shift=st.tuples(st.floats(-6.0, 6.0), st.floats(-6.0, 6.0)),
    mirror=st.booleans(),
)
def test_rescale_is_warp_without_turning(scale, shift, mirror):
    image = jnp.asarray(np.random.default_rng(0).random((7, 9, 2), np.float32))
    matrix = augment.affine(7, 9, mirror=mirror, shift=shift, scale=jnp.asarray(scale))
    np.testing.assert_allclose(augment.rescale(image, matrix), augment.warp(image, matrix), atol=1e-5)

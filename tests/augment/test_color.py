"""Color jitter against slow references in the standard library's HSV, and against the distributions it draws from."""

import colorsys
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxvision import augment
from jaxvision.augment import color

KEYS = 2000
STRENGTHS = ('brightness', 'contrast', 'saturation', 'hue')


def image(channels=3, low=0.3, high=0.7):
    return np.random.default_rng(0).uniform(low, high, (5, 6, channels)).astype(np.float32)


@functools.cache
def jittered(name):
    return jax.jit(lambda key, pixels, strength: augment.color_jitter(key, pixels, **{name: strength}))


def hsv(pixels):
    return np.array([colorsys.rgb_to_hsv(*map(float, pixel)) for pixel in pixels.reshape(-1, 3)])


@pytest.mark.parametrize('channels', [1, 3])
def test_off_changes_no_bit(channels):
    pixels = image(channels, -1.0, 2.0)
    np.testing.assert_array_equal(augment.color_jitter(jax.random.key(0), pixels), pixels)


@pytest.mark.parametrize('name', STRENGTHS)
def test_traced_strength_of_zero_changes_next_to_nothing(name):
    got = jittered(name)(jax.random.key(0), image(), jnp.float32(0))
    np.testing.assert_allclose(got, image(), atol=2e-6)


@pytest.mark.parametrize('seed', range(4))
def test_brightness_adds_one_number(seed):
    got = np.asarray(jittered('brightness')(jax.random.key(seed), image(), 0.2))
    added = (got - image()).mean()
    assert 0 < abs(added) <= 0.2
    np.testing.assert_allclose(got, image() + added, atol=1e-6)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('channels', [1, 3])
def test_contrast_scales_the_distance_to_the_mean(seed, channels):
    pixels = image(channels)
    got = np.asarray(jittered('contrast')(jax.random.key(seed), pixels, 0.4))
    mean = pixels.mean(axis=(0, 1))
    factor = got.std() / pixels.std()
    assert 0.6 <= factor <= 1.4 and factor != 1
    np.testing.assert_allclose(
        got, mean + np.sqrt(((got - mean) ** 2).sum() / ((pixels - mean) ** 2).sum()) * (pixels - mean), atol=1e-5
    )


@pytest.mark.parametrize('seed', range(4))
def test_saturation_scales_that_of_hsv(seed):
    before, after = hsv(image()), hsv(np.asarray(jittered('saturation')(jax.random.key(seed), image(), 0.5)))
    np.testing.assert_allclose(after[:, 2], before[:, 2], atol=1e-6)
    factors = after[:, 1] / before[:, 1]
    assert factors.min() >= 0.5 and factors.max() <= 1.5 and np.ptp(factors) < 1e-3
    np.testing.assert_allclose((after[:, 0] - before[:, 0] + 0.5) % 1, 0.5, atol=1e-4)


@pytest.mark.parametrize('seed', range(4))
def test_hue_turns_that_of_hsv(seed):
    before, after = hsv(image()), hsv(np.asarray(jittered('hue')(jax.random.key(seed), image(), 0.1)))
    np.testing.assert_allclose(after[:, 1:], before[:, 1:], atol=1e-5)
    turns = (after[:, 0] - before[:, 0] + 0.5) % 1 - 0.5
    assert 0 < np.abs(turns).max() <= 0.1 + 1e-4 and np.ptp(turns) < 1e-3


@pytest.mark.parametrize(('factor', 'turn'), [(0.0, 0.0), (1.0, 0.5), (1.5, -0.5), (10.0, 0.2), (0.5, 0.9)])
def test_the_adjustments_are_those_of_the_standard_library(factor, turn):
    """Greys, black and white, the colours where two channels tie, and others."""
    corners = np.array(list(itertools.product((0.0, 0.5, 1.0), repeat=3)))
    pixels = np.concatenate([corners, image(3, 0.0, 1.0).reshape(-1, 3)]).astype(np.float32)[None]
    duller, turned = [], []
    for h, s, v in hsv(pixels):
        duller.append(colorsys.hsv_to_rgb(h, min(s * factor, 1), v))
        turned.append(colorsys.hsv_to_rgb((h + turn) % 1, s, v))
    np.testing.assert_allclose(color.adjust_saturation(pixels, factor)[0], duller, atol=2e-6)
    np.testing.assert_allclose(color.adjust_hue(pixels, turn)[0], turned, atol=2e-6)
    assert np.asarray(color.adjust_saturation(pixels, factor)).min() >= 0


def test_grey_has_no_saturation_and_no_hue():
    pixels = np.repeat(image(1), 3, axis=-1)
    got = augment.color_jitter(jax.random.key(0), pixels, saturation=0.9, hue=0.5)
    np.testing.assert_array_equal(got, pixels)


def test_stays_in_range_and_keeps_the_dtype():
    keys = jax.random.split(jax.random.key(0), 200)
    jitter = functools.partial(augment.color_jitter, brightness=0.9, contrast=3.0, saturation=3.0, hue=0.5)
    got = np.asarray(jax.jit(jax.vmap(jitter, (0, None)))(keys, image(low=0.0, high=1.0)))
    assert got.min() == 0 and got.max() == 1 and np.isfinite(got).all()
    assert (
        augment.color_jitter(keys[0], jnp.asarray(image(), jnp.bfloat16), brightness=0.1, hue=0.1).dtype == jnp.bfloat16
    )


def test_what_is_drawn_is_uniform():
    keys = jax.random.split(jax.random.key(0), KEYS)
    pixels = np.float32([[[0.4], [0.6]]])
    drawn = jax.jit(jax.vmap(lambda key: augment.color_jitter(key, pixels, brightness=0.2)))(keys)
    assert stats.kstest(np.asarray(drawn)[:, 0, 0, 0] - 0.4, stats.uniform(-0.2, 0.4).cdf).pvalue > 1e-3
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: augment.color_jitter(key, pixels, contrast=0.5)))(keys))
    factors = (drawn[:, 0, 1, 0] - drawn[:, 0, 0, 0]) / 0.2
    assert stats.kstest(factors, stats.uniform(0.5, 1.0).cdf).pvalue > 1e-3


def test_one_does_not_depend_on_the_others():
    """What brightness adds is the same whether contrast is drawn too: the mean, which contrast keeps, tells it."""
    key = jax.random.key(7)
    alone = augment.color_jitter(key, image(), brightness=0.1)
    both = augment.color_jitter(key, image(), brightness=0.1, contrast=0.2)
    np.testing.assert_allclose(both.mean(), alone.mean(), atol=1e-5)
    assert not np.allclose(both, alone, atol=1e-3)


def test_strengths_are_traced():
    traces = []

    @jax.jit
    def jitter(key, strength):
        traces.append(1)
        return augment.color_jitter(key, jnp.asarray(image()), brightness=strength, hue=strength)

    assert not np.array_equal(jitter(jax.random.key(0), 0.05), jitter(jax.random.key(0), 0.1))
    assert len(traces) == 1


def test_together_they_are_one_after_the_other():
    """In one program as in four: where the largest channel is asked for, rounding must not answer."""
    draw = np.random.default_rng(0)
    pixels = np.repeat(draw.uniform(0, 1, (24, 32, 32, 1)), 3, axis=-1) + draw.uniform(0, 0.1, (24, 32, 32, 3))
    pixels = np.clip(pixels, 0, 1).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), len(pixels))

    def over(names):
        return jax.jit(jax.vmap(lambda key, image: augment.color_jitter(key, image, **dict.fromkeys(names, 0.2))))

    one_by_one = pixels
    for name in STRENGTHS:
        one_by_one = over([name])(keys, one_by_one)
    np.testing.assert_allclose(over(STRENGTHS)(keys, pixels), one_by_one, atol=1e-5)

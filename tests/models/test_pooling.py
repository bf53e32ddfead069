"""Pools beside Flax's, and where their gradients go."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models import plain
from jaxvision.models.pooling import overlapping_max_pool, pool


def images(seed=0, shape=(2, 6, 6, 3)):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize('size', [(4, 4), (5, 5), (2, 7), (3, 2), (6, 9)])
@pytest.mark.parametrize('kind', ['max', 'average'])
def test_pool_is_that_of_flax(kind, size):
    x = images(0, (2, *size, 3))
    expected = {'max': nn.max_pool, 'average': nn.avg_pool}[kind](x, (2, 2), (2, 2))
    np.testing.assert_allclose(pool(x, kind), expected, rtol=1e-6, atol=1e-7)


def test_gradient_of_the_max_goes_to_the_largest():
    x = images(0, (1, 4, 6, 2))
    mine = jax.grad(lambda x: jnp.sum(pool(x, 'max') ** 2))(x)
    theirs = jax.grad(lambda x: jnp.sum(nn.max_pool(x, (2, 2), (2, 2)) ** 2))(x)
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('size', [(4, 6), (5, 7)])
def test_ties_share_the_gradient(size, dtype):
    """As of plain layers, whatever the number of equal values; of few whole numbers, so that there are all."""
    draw = np.random.default_rng(0)
    x = jnp.asarray(draw.integers(0, 3, (8, *size, 3)), dtype)
    found, ours = jax.vjp(lambda x: pool(x, 'max'), x)
    with plain.layers():
        wanted, back = jax.vjp(lambda x: pool(x, 'max'), x)
    gradient = jnp.asarray(draw.integers(-3, 4, found.shape), dtype)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(ours(gradient)[0], back(gradient)[0])
    alike = np.asarray(x[:, : size[0] // 2 * 2, : size[1] // 2 * 2].reshape(8, 2, 2, -1, 2, 3), np.float32)
    assert set(np.sum(alike == alike.max((2, 4), keepdims=True), (2, 4)).flat) == {1, 2, 3, 4}


def test_plain_layers_have_forward_derivatives_of_the_max():
    x, tangent = images(0, (2, 4, 4, 3)), images(1, (2, 4, 4, 3))
    found, back = jax.vjp(lambda x: pool(x, 'max'), x)
    with plain.layers():
        forwards = jax.jvp(lambda x: pool(x, 'max'), (x,), (tangent,))[1]
    np.testing.assert_allclose(jnp.vdot(back(found)[0], tangent), jnp.vdot(found, forwards), rtol=1e-5)


def test_the_gradient_of_the_max_moves_less_memory_than_that_of_its_slices():
    x = images(0, (64, 16, 16, 32))

    def moved() -> float:
        gradients = jax.jit(lambda x, gradient: jax.vjp(lambda x: pool(x, 'max'), x)[1](gradient))
        return gradients.lower(x, x[:, ::2, ::2]).compile().cost_analysis()['bytes accessed']

    ours = moved()
    with plain.layers():
        assert moved() > 1.5 * ours


def test_no_pool_is_the_identity():
    np.testing.assert_array_equal(pool(images(), 'none'), images())


@pytest.mark.parametrize('size', [(1, 4), (4, 1)])
def test_pool_of_a_single_row_is_refused(size):
    with pytest.raises(ValueError, match=f'nothing left to pool.*{size[0]}x{size[1]}'):
        pool(images(0, (1, *size, 1)), 'max')


# The one that overlaps.

SIZES = [(8, 8), (7, 9), (2, 5), (1, 1), (1, 4), (12, 3)]


def windows(x):
    return nn.max_pool(x, (3, 3), (2, 2), padding=[(1, 1), (1, 1)])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('size', SIZES)
def test_overlapping_maxima_and_their_gradient_are_those_of_windows(size, dtype):
    """Of whole numbers, so that there are many equal ones, and sums are exact."""
    draw = np.random.default_rng(0)
    x = jnp.asarray(draw.integers(-3, 4, (2, *size, 3)), dtype)
    wanted, back = jax.vjp(windows, x)
    found, ours = jax.vjp(overlapping_max_pool, x)
    np.testing.assert_array_equal(found, wanted)
    gradient = jnp.asarray(draw.integers(-9, 10, wanted.shape), dtype)
    np.testing.assert_array_equal(ours(gradient)[0], back(gradient)[0])
    assert found.dtype == ours(gradient)[0].dtype == dtype


def test_overlapping_maxima_below_zero_and_not_a_number():
    x = images(0, (1, 6, 6, 2)) - 9.0
    np.testing.assert_array_equal(overlapping_max_pool(x), windows(x))
    holed = x.at[0, 3, 3, 0].set(jnp.nan)
    np.testing.assert_array_equal(np.isnan(overlapping_max_pool(holed)), np.isnan(windows(holed)))


def test_networks_are_stacked_with_overlapping_pools():
    x = images(0, (3, 2, 6, 5, 2))
    slope = jax.grad(lambda x: jnp.sum(overlapping_max_pool(x) ** 2))
    np.testing.assert_array_equal(jax.vmap(slope)(x), jnp.stack([slope(each) for each in x]))


def test_plain_layers_have_windows_and_forward_derivatives(monkeypatch):
    x = images()
    with pytest.raises(TypeError, match='forward-mode'):
        jax.jvp(overlapping_max_pool, (x,), (x,))
    with plain.layers():
        found, slope = jax.jvp(overlapping_max_pool, (x,), (x,))
        np.testing.assert_array_equal(found, windows(x))
        np.testing.assert_array_equal(slope, windows(x))
    monkeypatch.setenv('JAXVISION_CONVOLUTION', 'xla')
    assert 'reduce_window' in str(jax.make_jaxpr(overlapping_max_pool)(x))


def test_the_large_stem_has_it():
    model = models.build('resnet', 3, depth=18, stem='7x7', width=0.1)
    traced = str(jax.make_jaxpr(lambda x: model.init(jax.random.key(0), x))(images(0, (1, 32, 32, 3))))
    assert 'reduce_window' not in traced and 'custom_vjp' in traced

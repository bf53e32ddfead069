"""Pairs of columns beside XLA's convolution, and when they are taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxvision.models import convolution, paired, winograd

from . import xla
from .xla import drawn

CASES = [(5, 8, 3, 4), (4, 2, 1, 1), (3, 6, 16, 16)]  # Height, width, channels, filters.
SAME = ((1, 1), (1, 1))


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """As on a machine with AVX-512; and layers are traced anew."""
    monkeypatch.setattr(paired, '_has_avx512', lambda: True)
    xla.forget()
    yield
    xla.forget()


@pytest.mark.parametrize('case', CASES)
def test_values_and_gradients_are_those_of_xla(case):
    height, width, channels, filters = case
    x, kernel = drawn(0, 3, height, width, channels), drawn(1, 3, 3, channels, filters)
    wanted, back = jax.vjp(lambda x, kernel: xla.convolve(x, kernel, (1, 1), SAME), x, kernel)
    np.testing.assert_allclose(paired.convolution(x, kernel), wanted, rtol=1e-5, atol=1e-5)
    gradient = drawn(2, *wanted.shape)
    by_input, by_kernel = back(gradient)
    np.testing.assert_allclose(paired.by_input(gradient, kernel), by_input, rtol=1e-5, atol=3e-5)
    np.testing.assert_allclose(paired.by_kernel(gradient, x), by_kernel, rtol=1e-5, atol=3e-5)


def test_a_weight_meets_what_it_should():
    """In whole numbers, by the definition: exactly."""
    draw = np.random.default_rng(0)
    x, kernel = draw.integers(-9, 9, (2, 3, 4, 2)), draw.integers(-9, 9, (3, 3, 2, 3))
    around, wanted = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), np.zeros((2, 3, 4, 3))
    for row, column in np.ndindex(3, 3):
        wanted += around[:, row : row + 3, column : column + 4] @ kernel[row, column]
    found = paired.convolution(jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32))
    np.testing.assert_array_equal(found, wanted)


def test_many_kernels():
    """As the engine of stacked trials may map it."""
    x, kernels = drawn(0, 2, 4, 4, 3), drawn(1, 4, 3, 3, 3, 5)

    def gradients(conv):
        return jax.vmap(jax.grad(lambda kernel: jnp.sum(jnp.square(conv(x, kernel)))))(kernels)

    wanted = gradients(lambda x, kernel: xla.convolve(x, kernel, (1, 1), SAME))
    np.testing.assert_allclose(gradients(layer), wanted, rtol=1e-4, atol=1e-3)


def layer(x, kernel):
    return convolution._convolve(x, kernel, (1, 1), SAME)


def test_the_layer_is_differentiated_through_pairs(monkeypatch):
    counted = []
    for name in ('convolution', 'by_input', 'by_kernel'):
        called = getattr(paired, name)
        monkeypatch.setattr(paired, name, lambda *args, name=name, called=called: counted.append(name) or called(*args))
    x, kernel = drawn(0, 1, 2, 4, 3), drawn(1, 3, 3, 3, 2)
    check_grads(layer, (x, kernel), 1, ['rev'], rtol=2e-2)
    assert set(counted) == {'convolution', 'by_input', 'by_kernel'}


@pytest.mark.parametrize(
    ('why', 'shape', 'filters', 'strides', 'padding'),
    [
        ('it is odd', (1, 4, 5, 8), 8, (1, 1), SAME),
        ('channels', (1, 4, 4, 17), 8, (1, 1), SAME),
        ('filters', (1, 4, 4, 8), 17, (1, 1), SAME),
        ('strides', (1, 4, 4, 8), 8, (2, 2), SAME),
        ('padding', (1, 4, 4, 8), 8, (1, 1), ((0, 0), (0, 0))),
        ('precision', (1, 4, 4, 8), 8, (1, 1), SAME),
        ('machine', (1, 4, 4, 8), 8, (1, 1), SAME),
    ],
)
def test_what_does_not_suit(why, shape, filters, strides, padding, monkeypatch):
    if why == 'machine':
        monkeypatch.setattr(paired, '_has_avx512', lambda: False)
    x, kernel = drawn(0, *shape), drawn(1, 3, 3, shape[3], filters)
    if why == 'precision':
        x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    assert not paired.suits(x, kernel, strides, padding)
    assert paired.suits(drawn(0, 1, 4, 4, 8), drawn(1, 3, 3, 8, 8), (1, 1), SAME) == (why != 'machine')


@pytest.mark.parametrize('side', [3, 5])
def test_an_odd_number_of_channels_is_made_even(side):
    x, kernel = drawn(0, 2, 6, 5, 3), drawn(1, side, side, 3, 20)
    wanted, back = jax.vjp(lambda *args: xla.convolve(*args, (1, 1), 'SAME'), x, kernel)
    found, ours = jax.vjp(
        lambda *args: convolution.convolve(*args, (1, 1), 'SAME', dimension_numbers=xla.LAYOUT), x, kernel
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    gradient = drawn(2, *wanted.shape)
    for one, other in zip(ours(gradient), back(gradient), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=5e-5)
    traced = jax.make_jaxpr(lambda *args: convolution.convolve(*args, (1, 1), 'SAME', dimension_numbers=xla.LAYOUT))
    assert f'f32[{side},{side},4,20]' in str(traced(x, kernel))


@pytest.mark.parametrize(
    ('why', 'side', 'channels', 'filters', 'strides'),
    [
        ('it is even', 3, 4, 20, (1, 1)),
        ('one channel', 3, 1, 20, (1, 1)),
        ('few filters', 3, 3, 16, (1, 1)),
        ('many filters', 3, 3, 33, (1, 1)),
        ('a product', 1, 3, 20, (1, 1)),
        ('strides', 3, 3, 20, (2, 2)),
        ('precision', 3, 3, 20, (1, 1)),
        ('machine', 3, 3, 20, (1, 1)),
    ],
)
def test_what_is_left_as_it_is(why, side, channels, filters, strides, monkeypatch):
    if why == 'machine':
        monkeypatch.setattr(paired, '_has_avx512', lambda: False)
    x, kernel = drawn(0, 1, 4, 4, channels), drawn(1, side, side, channels, filters)
    if why == 'precision':
        x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    found = paired.even(x, kernel, strides)
    assert found[0] is x and found[1] is kernel


def test_no_convolution_suits_both():
    assert paired.CHANNELS < winograd.CHANNELS

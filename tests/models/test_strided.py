"""Strided convolutions of few channels beside XLA's."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import convolution, plain, strided

from . import xla
from .xla import drawn

# Height, width, channels, kernel, stride, padding.
CASES = [
    (16, 16, 3, 7, 2, ((3, 3), (3, 3))),  # The stem of large residual networks.
    (15, 18, 3, 7, 2, ((3, 3), (3, 3))),
    (16, 16, 3, 4, 4, 'VALID'),  # Patches.
    (18, 17, 3, 4, 4, 'VALID'),  # Some pixels are left over.
    (9, 8, 1, 3, 2, 'SAME'),
    (12, 13, 4, 5, 3, ((0, 2), (1, 1))),
    (7, 7, 2, 7, 2, 'VALID'),
]


UNEVEN = [  # Of rows and columns: kernel, strides, padding.
    ((3, 5), (2, 3), ((1, 0), (2, 2))),
    ((5, 2), (3, 2), ((0, 4), (-1, 1))),
    ((4, 4), (2, 4), 'SAME'),
]


def arguments(case):
    height, width, channels, side, stride, padding = case
    x, kernel = drawn(0, 2, height, width, channels), drawn(1, side, side, channels, 5)
    return x, kernel, (stride, stride), padding


def ours(x, kernel, strides, padding):
    return convolution.convolve(x, kernel, strides, padding, convolution.LAYOUT)


@pytest.mark.parametrize('backend', ['cpu', 'gpu'])
@pytest.mark.parametrize('case', CASES)
def test_values_and_gradients_are_those_of_xla(case, backend, monkeypatch):
    monkeypatch.setattr(jax, 'default_backend', lambda: backend)  # What is chosen for it, computed here.
    x, kernel, strides, padding = arguments(case)
    wanted, back = jax.vjp(lambda x, kernel: xla.convolve(x, kernel, strides, padding), x, kernel)
    found, mine = jax.vjp(lambda x, kernel: ours(x, kernel, strides, padding), x, kernel)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-5)
    gradient = drawn(2, *wanted.shape)
    for one, other in zip(mine(gradient), back(gradient), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=5e-5)


@pytest.mark.parametrize('size', [(9, 8), (2, 3)])  # Of which the second is smaller than some of the kernels.
@pytest.mark.parametrize(('sides', 'strides', 'padding'), UNEVEN)
def test_rows_and_columns_are_told_apart(sides, strides, padding, size):
    x, kernel = drawn(0, 2, *size, 3), drawn(1, *sides, 3, 5)
    assert strided.suits(x, kernel, strides)
    np.testing.assert_allclose(
        ours(x, kernel, strides, padding), xla.convolve(x, kernel, strides, padding), rtol=1e-5, atol=2e-5
    )


@pytest.mark.parametrize('shape', [(0, 8, 8, 3), (1, 7, 1, 3)])
def test_nothing_comes_of_nothing(shape, monkeypatch):
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    x, kernel = jnp.zeros(shape), jnp.ones((3, 3, 3, 5))
    found = ours(x, kernel, (2, 3), 'VALID')
    assert found.shape == xla.convolve(x, kernel, (2, 3), 'VALID').shape and found.size == 0


@pytest.mark.parametrize(('backend', 'patches'), [('cpu', 'dot_general'), ('gpu', 'conv_general_dilated')])
def test_none_has_a_stride_left(backend, patches, monkeypatch):
    monkeypatch.setattr(jax, 'default_backend', lambda: backend)
    for case in CASES:
        x, kernel, strides, padding = arguments(case)
        traced = str(jax.make_jaxpr(functools.partial(ours, strides=strides, padding=padding))(x, kernel))
        assert set(re.findall(r'window_strides=(\S+ \S+)', traced)) <= {'(1, 1)'}
        assert (patches if case[3] == case[4] else 'conv_general_dilated') in traced


def test_plain_layers_are_as_asked(monkeypatch):
    x, kernel, strides, padding = arguments(CASES[0])

    def asked():
        traced = jax.make_jaxpr(functools.partial(ours, strides=strides, padding=padding))(x, kernel)
        return 'window_strides=(2, 2)' in str(traced)

    assert not asked()
    with plain.layers():
        assert asked()
    monkeypatch.setenv('JAXVISION_CONVOLUTION', 'xla')
    assert asked()


@pytest.mark.parametrize(
    ('channels', 'side', 'stride', 'suits'),
    [(3, 7, 2, True), (4, 4, 4, True), (5, 7, 2, False), (3, 3, 1, False), (3, 1, 2, False)],
)
def test_what_suits(channels, side, stride, suits):
    x, kernel = jnp.zeros((1, 8, 8, channels)), jnp.zeros((side, side, channels, 5))
    assert strided.suits(x, kernel, (stride, stride)) == suits


@pytest.mark.parametrize(('dtype', 'channels'), [(jnp.float32, 12), (jnp.bfloat16, 16), (jnp.float16, 16)])
def test_in_16_bits_channels_come_in_eights(dtype, channels):
    x, kernel, strides, padding = arguments(CASES[0])
    x, kernel = strided.gathered(x.astype(dtype), kernel.astype(dtype), strides, padding)
    assert x.shape == (2, 11, 11, channels) and kernel.shape == (4, 4, channels, 5)
    assert x.dtype == kernel.dtype == dtype
    assert not np.any(np.asarray(x, np.float32)[..., 12:]) and not np.any(np.asarray(kernel, np.float32)[:, :, 12:])


def test_half_precision_is_as_close_as_the_values_allow():
    x, kernel, strides, padding = arguments(CASES[0])
    exact = xla.convolve(
        x.astype(jnp.bfloat16).astype(jnp.float32), kernel.astype(jnp.bfloat16).astype(jnp.float32), strides, padding
    )
    found = ours(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16), strides, padding)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(found, np.float32), exact, rtol=2**-7, atol=2**-5)

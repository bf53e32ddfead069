"""Convolutions as products: equal to XLA's, and what many networks as one program are traced with."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import convolution, im2col, plain

from . import xla
from .xla import LAYOUT, drawn

# height, width, channels, filters, kernel, strides, padding
CASES = [
    (8, 8, 3, 5, (3, 3), (1, 1), 'SAME'),
    (9, 7, 2, 3, (3, 3), (2, 2), 'SAME'),
    (8, 9, 4, 4, (1, 1), (2, 2), 'SAME'),
    (8, 8, 3, 2, (5, 3), (2, 1), 'VALID'),
    (7, 7, 1, 2, (2, 2), (2, 2), ((0, 1), (2, 1))),
    (6, 6, 2, 3, (3, 3), (2, 3), ((1, 1), (0, 2))),
]


def arguments(case, networks=(), batch=2, dtype=np.float32):
    height, width, channels, filters, sides, strides, padding = case
    x = drawn(0, *networks, batch, height, width, channels, dtype=dtype)
    return x, drawn(1, *networks, *sides, channels, filters, dtype=dtype), strides, padding


def convolve(x, kernel, strides, padding):
    return convolution.convolve(x, kernel, strides, padding, dimension_numbers=LAYOUT)


@pytest.mark.parametrize('case', CASES)
def test_values_and_gradients_are_those_of_xla(case):
    """Of each of three networks."""
    x, kernel, strides, padding = arguments(case, networks=(3,))

    def outcome(function):
        mapped = jax.vmap(functools.partial(function, strides=strides, padding=padding))
        outputs, back = jax.vjp(mapped, x, kernel)
        return outputs, *back(drawn(2, *outputs.shape))

    wanted = outcome(xla.convolve)
    with im2col.layers():
        found = outcome(convolve)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=3e-5)


def test_it_has_a_derivative_forwards():
    x, kernel, strides, padding = arguments(CASES[1])
    tangents = drawn(3, *x.shape), drawn(4, *kernel.shape)
    with im2col.layers():
        found = jax.jvp(functools.partial(convolve, strides=strides, padding=padding), (x, kernel), tangents)[1]
    wanted = jax.jvp(functools.partial(xla.convolve, strides=strides, padding=padding), (x, kernel), tangents)[1]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=3e-5)


def test_halves_are_products_of_halves():
    x, kernel, strides, padding = arguments(CASES[0], dtype=jnp.bfloat16)
    with im2col.layers():
        found = convolve(x, kernel, strides, padding)
    assert found.dtype == jnp.bfloat16
    wanted = xla.convolve(x, kernel, strides, padding)
    np.testing.assert_allclose(found.astype(np.float32), wanted.astype(np.float32), rtol=2e-2, atol=2e-2)


def test_layers_are_of_many_networks_within_and_of_one_elsewhere():
    x, kernel, strides, padding = arguments(CASES[1])

    def used():
        return not xla.is_used(functools.partial(convolve, strides=strides, padding=padding), x, kernel)

    assert not used() and convolution.algorithm() == 'winograd'
    with im2col.layers():
        assert used() and convolution.algorithm() == 'im2col'
        with im2col.layers(many=False):
            assert not used()
        assert used()
        with plain.layers():
            assert not used()
    assert not used()


def test_the_users_own_choice_stands(monkeypatch):
    monkeypatch.setenv('JAXVISION_CONVOLUTION', 'xla')
    x, kernel, strides, padding = arguments(CASES[0])
    with im2col.layers():
        assert xla.is_used(functools.partial(convolve, strides=strides, padding=padding), x, kernel)


def test_groups_are_left_to_xla():
    x, kernel = drawn(0, 2, 6, 6, 4), drawn(1, 3, 3, 2, 4)
    with im2col.layers():
        found = convolution.convolve(x, kernel, (1, 1), 'SAME', dimension_numbers=LAYOUT, feature_group_count=2)
    halves = [xla.convolve(x[..., i : i + 2], kernel[..., i : i + 2], (1, 1), 'SAME') for i in (0, 2)]
    np.testing.assert_allclose(found, jnp.concatenate(halves, axis=3), rtol=1e-5, atol=3e-5)

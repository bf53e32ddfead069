"""The product of dense layers beside lax.dot_general, and that a transformer's tokens are summed over one axis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxvision import models
from jaxvision.models.product import product


def drawn(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ('x', 'kernel', 'numbers'),
    [
        ((5, 3), (3, 4), (((1,), (0,)), ((), ()))),  # Dense.
        ((2, 5, 3), (3, 4), (((2,), (0,)), ((), ()))),  # Of tokens.
        ((2, 5, 3), (3, 2, 2), (((2,), (0,)), ((), ()))),  # Of tokens, into heads.
        ((2, 5, 2, 2), (2, 2, 3), (((2, 3), (0, 1)), ((), ()))),  # Out of heads.
        ((2, 5, 3), (4, 3), (((2,), (1,)), ((), ()))),  # These are handed on.
        ((2, 5, 3), (5, 4), (((1,), (0,)), ((), ()))),
        ((2, 5, 3), (2, 3, 4), (((2,), (1,)), ((0,), (0,)))),
    ],
)
def test_values_and_gradients_are_those_of_a_dot_general(x, kernel, numbers):
    x, kernel = drawn(0, *x), drawn(1, *kernel)
    wanted, back = jax.vjp(lambda *args: lax.dot_general(*args, numbers), x, kernel)
    found, ours = jax.vjp(lambda *args: product(*args, numbers), x, kernel)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    gradient = drawn(2, *wanted.shape)
    for one, other in zip(ours(gradient), back(gradient), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_precision_and_type_are_heard():
    x, kernel, numbers = drawn(0, 2, 5, 3), drawn(1, 3, 4), (((2,), (0,)), ((), ()))
    traced = jax.make_jaxpr(lambda *args: product(*args, numbers, lax.Precision.HIGHEST, jnp.bfloat16))(x, kernel)
    (dot,) = (equation for equation in traced.eqns if equation.primitive.name == 'dot_general')
    assert dot.params['precision'] == (lax.Precision.HIGHEST,) * 2
    assert dot.params['preferred_element_type'] == jnp.bfloat16


def test_gradients_of_a_transformer_sum_tokens_over_one_axis():
    model = models.build('vit', 3, patch=4, embedding=8, layers=1, heads=2)
    images = drawn(0, 2, 8, 8, 3)
    variables = model.init(jax.random.key(0), images)
    traced = jax.make_jaxpr(jax.grad(lambda params: model.apply({'params': params}, images).sum()))(variables['params'])
    dots = [equation for equation in _equations(traced.jaxpr) if equation.primitive.name == 'dot_general']
    kernels = [dot for dot in dots if not dot.params['dimension_numbers'][1][0]]  # Attention's own have batches.
    assert len(kernels) >= 6 * 3
    assert all(len(dot.params['dimension_numbers'][0][0]) == 1 for dot in kernels)


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, 'jaxpr')):
            if hasattr(inner, 'jaxpr'):
                yield from _equations(inner.jaxpr)

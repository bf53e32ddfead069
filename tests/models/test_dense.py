"""The fully-connected layer beside Flax's, what its bias's gradient sums in, and a transformer's over one axis."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models.dense import Dense


def drawn(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize('use_bias', [True, False])
@pytest.mark.parametrize(
    ('x', 'features', 'axes'),
    [
        ((5, 3), 4, 1),
        ((2, 5, 3), 4, 1),  # Of tokens.
        ((2, 5, 3), (2, 2), 1),  # Of tokens, into heads.
        ((2, 5, 2, 2), 3, 2),  # Out of heads.
    ],
)
def test_parameters_values_and_gradients_are_those_of_flax(x, features, axes, use_bias):
    x = drawn(0, *x)
    ours = Dense(features, axes, use_bias)
    theirs = nn.DenseGeneral(features, axis=tuple(range(-axes, 0)), use_bias=use_bias)
    variables = theirs.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, ours.init(jax.random.key(1), x), variables)
    variables = jax.tree.map(lambda leaf: drawn(3, *leaf.shape), variables)  # A bias that is not 0, too.
    wanted, back = jax.vjp(lambda *args: theirs.apply(*args), variables, x)
    found, mine = jax.vjp(lambda *args: ours.apply(*args), variables, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    gradient = drawn(2, *wanted.shape)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), mine(gradient), back(gradient))


def test_computes_in_its_dtype_and_sums_the_gradient_of_the_bias_in_float32():
    model = Dense(4, dtype=jnp.bfloat16)
    x = drawn(0, 6, 3)
    variables = model.init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    assert model.apply(variables, x).dtype == jnp.bfloat16
    traced = jax.make_jaxpr(jax.grad(lambda variables: model.apply(variables, x).astype(jnp.float32).sum()))(variables)
    sums = [equation.invars[0].aval for equation in _equations(traced.jaxpr) if equation.primitive.name == 'reduce_sum']
    assert {each.dtype for each in sums if each.shape == (6, 4)} == {jnp.dtype('float32')}
    (dot,) = (
        e for e in _equations(jax.make_jaxpr(model.apply)(variables, x).jaxpr) if e.primitive.name == 'dot_general'
    )
    assert [each.aval.dtype for each in dot.invars] == [jnp.bfloat16] * 2


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

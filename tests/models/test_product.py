"""The product and its gradients beside XLA's own, what is turned round, and where nothing is."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import plain, product

from .xla import drawn


def gradients(function, *args):
    return jax.grad(lambda *args: jnp.sum(jnp.sin(function(*args))), argnums=(0, 1))(*args)


@pytest.mark.parametrize(('examples', 'inputs', 'outputs'), [(1, 1, 1), (1, 3, 2), (5, 3, 6), (5, 3, 7), (64, 96, 10)])
def test_is_the_product_and_its_gradients_are_those_of_it(examples, inputs, outputs):
    x, matrix = drawn(0, examples, inputs), drawn(1, inputs, outputs)
    np.testing.assert_array_equal(product.of(x, matrix), x @ matrix)
    for found, wanted in zip(gradients(product.of, x, matrix), gradients(jnp.matmul, x, matrix), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_in_the_end_the_gradient_by_the_matrix_turns_nothing_round_within_the_product():
    def dots(function, outputs):
        compiled = (
            jax.jit(lambda *args: gradients(function, *args)).lower(drawn(0, 8, 9), drawn(1, 9, outputs)).compile()
        )
        return [line for line in compiled.as_text().splitlines() if ' dot(' in line]

    def turned(lines):
        return [line for line in lines if 'lhs_contracting_dims={0}' in line]

    assert not turned(dots(product.of, 18))
    assert turned(dots(product.of, 19))  # Too many outputs.
    assert turned(dots(jnp.matmul, 18))


@pytest.mark.parametrize('why', ['plain', 'wide', 'half'])
def test_elsewhere_it_is_xlas_own_with_all_derivatives(why):
    dtype = jnp.bfloat16 if why == 'half' else jnp.float32
    x, matrix = drawn(0, 5, 3, dtype=dtype), drawn(1, 3, 7 if why == 'wide' else 2, dtype=dtype)
    with plain.layers() if why == 'plain' else contextlib.nullcontext():
        found = jax.jvp(lambda matrix: product.of(x, matrix), (matrix,), (matrix,))
    jax.tree.map(np.testing.assert_array_equal, found, (x @ matrix, x @ matrix))


def test_many_networks_and_second_derivatives():
    x, matrices = drawn(0, 4, 5, 3), drawn(1, 4, 3, 2)
    found = jax.vmap(lambda x, matrix: gradients(product.of, x, matrix))(x, matrices)
    wanted = jax.vmap(lambda x, matrix: gradients(jnp.matmul, x, matrix))(x, matrices)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, wanted)

    def twice(function):
        return jax.grad(lambda matrix: jnp.sum(gradients(function, x[0], matrix)[1] ** 2))(matrices[0])

    np.testing.assert_allclose(twice(product.of), twice(jnp.matmul), rtol=1e-4, atol=1e-5)

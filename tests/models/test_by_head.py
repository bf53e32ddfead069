"""Attention a head at a time beside Flax's: values, first and second derivatives, and where it is used."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import attention, by_head, plain


def drawn(count, *shape, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(0).normal(size=(count, *shape)), dtype)


@pytest.mark.parametrize('shape', [(2, 5, 3, 4), (1, 17, 2, 8), (3, 4, 1, 1)])
def test_is_what_flax_computes_and_derives(shape):
    *inputs, gradient = drawn(4, *shape)
    (found, mine), (wanted, theirs) = (jax.vjp(of, *inputs) for of in (by_head.attend, nn.dot_product_attention))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    for one, other in zip(mine(gradient), theirs(gradient), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_second_derivatives_and_stacked_networks():
    inputs = drawn(6, 2, 5, 3, 4).reshape(3, 2, 2, 5, 3, 4)

    def curved(of):
        def slope(*args):
            return sum(
                jnp.sum(jnp.sin(each)) for each in jax.grad(lambda *all: jnp.sum(of(*all) ** 2), (0, 1, 2))(*args)
            )

        return jax.vmap(jax.grad(slope, (0, 1, 2)))(*inputs)

    for one, other in zip(curved(by_head.attend), curved(nn.dot_product_attention), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_large_scores_overflow_nowhere():
    query, key, value = 1e3 * drawn(3, 1, 4, 1, 8)
    found, back = jax.vjp(by_head.attend, query, key, value)
    assert all(np.isfinite(each).all() for each in (found, *back(found)))


def test_is_used_in_float32_for_all_tokens_unless_plain_layers_are_asked(monkeypatch):
    used = []
    monkeypatch.setattr(by_head, 'attend', lambda query, key, value: used.append(query.dtype) or query)
    inputs = drawn(3, 2, 5, 3, 4)
    attention.attend(*inputs, 5)
    assert used == [jnp.float32]
    attention.attend(*inputs, 4)
    attention.attend(*inputs.astype(jnp.bfloat16), 5)
    with plain.layers():
        attention.attend(*inputs, 5)
    assert used == [jnp.float32]

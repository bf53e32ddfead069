"""The exact GELU: values, slopes, rounding, and what its gradient writes down."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import special

from jaxvision.models import plain
from jaxvision.models.gelu import exact_gelu

from .xla import drawn


def test_values_and_slopes():
    x = np.concatenate([np.linspace(-12, 12, 401), [-1e4, 0.0, 1e4]])
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    got, slope = jax.vmap(jax.value_and_grad(exact_gelu))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got, x * special.ndtr(x), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slope, special.ndtr(x) + x * density, rtol=1e-5, atol=1e-6)


def test_halves_are_rounded_once():
    x = jnp.linspace(-6, 6, 801).astype(jnp.bfloat16)
    wide = np.asarray(x, np.float64)
    values, back = jax.vjp(exact_gelu, x)
    slope = special.ndtr(wide) + wide * np.exp(-(wide**2) / 2) / np.sqrt(2 * np.pi)
    for got, exact in ((values, wide * special.ndtr(wide)), (back(jnp.ones_like(x))[0], slope)):
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(got, np.float64), exact, rtol=2**-8, atol=1e-6)


def test_plain_layers_have_forward_derivatives():
    x = drawn(0, 50)
    with plain.layers():
        forwards = jax.jvp(exact_gelu, (x,), (jnp.ones_like(x),))[1]
    np.testing.assert_allclose(jax.grad(lambda x: exact_gelu(x).sum())(x), forwards, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='elsewhere XLA decides itself what it computes twice')
def test_erf_is_not_written_down_for_its_gradient():
    """Between two products, as in a block of a transformer."""
    x, first, second = drawn(0, 512, 64), drawn(1, 64, 256), drawn(2, 256, 64)

    def temporary() -> int:
        def loss(x, first, second):
            return jnp.sum(lax.square(exact_gelu(x @ first) @ second))

        compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(x, first, second).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    ours = temporary()
    with plain.layers():
        assert temporary() >= ours + 4 * 512 * 256

"""What is kept as it was written: no value changes by it, and the compiled program has it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import barrier

from .xla import drawn


@pytest.mark.parametrize('first', [1.0, 2.0, -jnp.inf, jnp.inf, jnp.nan])
def test_materialize_changes_no_value(first):
    x = drawn(0, 2, 3, 4, 5).at[0, 0, 0, 0].set(first)
    np.testing.assert_array_equal(jax.jit(barrier.materialize)(x), x)
    half = x.astype(jnp.bfloat16)
    np.testing.assert_array_equal(jax.jit(barrier.materialize)(half).astype(jnp.float32), half.astype(jnp.float32))


def test_materialize_stays_in_the_compiled_program():
    """What nothing reads but after it has a buffer of its own: a carry of the loop."""
    compiled = jax.jit(lambda x: jnp.sin(barrier.materialize(jnp.cos(x))).T).lower(drawn(0, 4, 5)).compile()
    assert ' while(' in compiled.as_text()
    assert ' while(' not in jax.jit(lambda x: jnp.sin(jnp.cos(x)).T).lower(drawn(0, 4, 5)).compile().as_text()


@pytest.mark.parametrize('first', [0.0, -3.0, jnp.inf, -jnp.inf, jnp.nan])
def test_waiting_changes_no_value(first):
    x, other = drawn(0, 4, 5), drawn(1, 3).at[0].set(first)
    np.testing.assert_array_equal(jax.jit(barrier.wait)(x, other), x)


def test_what_waits_comes_after_it_in_the_compiled_program(monkeypatch):
    def looped() -> bool:
        return 'while' in jax.jit(lambda x, y: barrier.wait(x, jnp.cos(y))).lower(x, x).compile().as_text()

    x = drawn(0, 4, 5)
    assert looped()
    monkeypatch.setenv('JAXVISION_CONVOLUTION', 'xla')
    assert not looped()

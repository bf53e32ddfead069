"""What XLA's CPU compiler would compute anew, or at the same time, kept as it was written."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxvision.models import plain


@jax.custom_jvp
def materialize(x: jax.Array) -> jax.Array:
    """x, as an array in memory: no consumer of it computes it anew. It waits for itself, and has a derivative.

    XLA's CPU compiler drops lax.optimization_barrier before it fuses. A loop that does not run, which the compiler does
    not know, stays.
    """
    return _through(x, x)


@materialize.defjvp
def _tangent(primals, tangents):
    return materialize(*primals), tangents[0]


def wait(x: jax.Array, other: jax.Array) -> jax.Array:
    """x, but on CPU not before `other` is computed; there is no derivative in reverse.

    XLA's CPU compiler runs what does not depend on each other at the same time, on the same cores: two networks take
    longer so than one after the other.
    """
    return _through(x, other) if plain.replaced_on_cpu() else x


def _through(x: jax.Array, other: jax.Array) -> jax.Array:
    """x through a loop that would run if the first value of the other were less than 1 and not a number."""
    first = other[(0,) * other.ndim]
    times = (jnp.isnan(first) & (first < 1)).astype(jnp.int32)
    return lax.while_loop(lambda carry: carry[0] < times, lambda carry: (carry[0] + 1, carry[1] + carry[1]), (0, x))[1]

"""The product of examples with a matrix, whose gradient by the matrix XLA's CPU compiler computes quicker.

That is a product, too: of what was multiplied, turned round, with the gradient of what came out. XLA's products go to
YNN, but none whose left side is turned round: those go to Eigen (jax 0.10.2 and 0.11.2), and with few outputs take many
times as long. Turned round beforehand it is like any other; and what is turned round lies in memory before, as within
what makes it XLA's loop would do so several times more slowly. Times the former on one core of a Zen 4:

    inputs to outputs   of examples   50    128    512    2,048
      64 to 10                      0.90   0.65   0.41     0.38
      64 to 64                      0.83   0.86   0.69     0.70
     512 to 512                     0.88   0.81   0.83     0.85
   1,024 to 512                     0.77   0.77   0.79     0.79
     512 to 1,024                   0.90   0.86   0.91     0.91
     192 to 384                     0.96   1.00   0.96     1.00

and 0.16 for 512 to 10, of 128. With more than twice as many outputs as inputs nothing is won. In turns, steps of
benchmarks.json's perceptron take 0.94 of the time (0.91 to 0.96), of its transformer 0.97 (0.95 to 1.01).
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxvision.models import plain
from jaxvision.models.barrier import materialize

MOST = 2  # Times as many outputs as inputs: up to there it is quicker.


def of(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """x [example, input] @ matrix [input, output]; on CPU its first derivative is in reverse only."""
    suits = plain.replaced_on_cpu() and x.dtype == jnp.float32 and matrix.shape[1] <= MOST * matrix.shape[0]
    return _product(x, matrix) if suits else x @ matrix


@jax.custom_vjp
def _product(x, matrix):
    return x @ matrix


def _forward(x, matrix):
    x = materialize(x)
    return x @ matrix, (x, matrix)


def _backward(saved, gradient):
    x, matrix = saved
    return gradient @ matrix.T, lax.optimization_barrier(x.T) @ gradient


_product.defvjp(_forward, _backward)

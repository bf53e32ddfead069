"""The product of a dense layer as that of two matrices, whatever the shape of what it reads."""

import math

import jax
from jax import lax


def product(x: jax.Array, kernel: jax.Array, dimension_numbers, precision=None, preferred_element_type=None):
    """lax.dot_general for dense layers, to be handed to Flax's Dense, DenseGeneral and attention.

    The gradient by the kernel sums over examples and tokens. For a sum over two axes XLA's CPU compiler first
    transposes the gradient of what the layer puts out (jax 0.10.2); for one over a single axis it does not.

    Args:
      x: [..., inputs], where the inputs may be several axes, the last.
      kernel: [inputs, outputs], each one axis or several.
      dimension_numbers, precision, preferred_element_type: as there; other numbers than these are handed on.

    Returns:
      [..., outputs].
    """
    (of_x, of_kernel), batch = dimension_numbers
    count = len(of_x)
    last, first = tuple(range(x.ndim - count, x.ndim)), tuple(range(count))
    if tuple(of_x) != last or tuple(of_kernel) != first or any(batch):
        return lax.dot_general(x, kernel, dimension_numbers, precision, preferred_element_type)
    inputs = math.prod(kernel.shape[:count])
    found = lax.dot_general(
        x.reshape(-1, inputs),
        kernel.reshape(inputs, -1),
        (((1,), (0,)), ((), ())),
        precision,
        preferred_element_type,
    )
    return found.reshape(*x.shape[: x.ndim - count], *kernel.shape[count:])

"""What a network costs, counted from its program alone."""

import math

import jax

from jaxvision.models import convolution


def parameters(params) -> int:
    """How many there are in a tree of arrays, or of what describes them."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def flops(function, *args) -> float:
    """Of the convolutions and matrix products that function(*args) is made of; of a loop, its body once.

    Nothing is computed. Two a multiplication, as is usual; everything else that a network does is small beside them.
    """
    with convolution.plain():
        traced = jax.make_jaxpr(lambda *args: function(*args))(*args)  # Anew: what was traced before is kept.
    return _flops(traced.jaxpr)


def _flops(jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        shapes = [variable.aval.shape for variable in equation.invars if hasattr(variable.aval, 'shape')]
        if equation.primitive.name == 'conv_general_dilated':
            filters = shapes[1][equation.params['dimension_numbers'].rhs_spec[0]]
            total += 2.0 * equation.outvars[0].aval.size * math.prod(shapes[1]) / filters
        elif equation.primitive.name == 'dot_general':
            (contracted, _), _ = equation.params['dimension_numbers']
            total += 2.0 * equation.outvars[0].aval.size * math.prod(shapes[0][axis] for axis in contracted)
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, 'jaxpr')):
            inner = getattr(inner, 'jaxpr', inner)
            if hasattr(inner, 'eqns'):
                total += _flops(inner)
    return total

"""What a network costs, counted from its program alone."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax

from jaxvision.models import plain


@dataclass(frozen=True)
class Cost:
    """Of a network.

    Attributes:
      flops: forwards, for the images that it is initialised with.
      parameters: how many numbers are learnt.
      convolves: whether any of its layers is a convolution.
    """

    flops: float
    parameters: int
    convolves: bool


def of(init: Callable[[jax.Array], Any]) -> Cost:
    """What the network costs that init(key) -> {'params', ...} initialises; nothing is computed."""
    program, variables = traced(init, jax.random.key(0))
    return Cost(flops(program), parameters(variables['params']), convolves(program))


def parameters(params) -> int:
    """How many there are in a tree of arrays, or of what describes them."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def traced(function, *args):
    """The program of function(*args), with plain layers, and the shapes of its result; nothing is computed."""
    with plain.layers():  # And anew: what was traced before is kept.
        program, shapes = jax.make_jaxpr(lambda *args: function(*args), return_shape=True)(*args)
    return program.jaxpr, shapes


def flops(jaxpr) -> float:
    """Of the convolutions and matrix products of a program from `traced`; of a loop, its body once.

    Two a multiplication, as is usual; everything else that a network does is small beside them.
    """
    return sum(_flops(equation) for equation in _equations(jaxpr))


def convolves(jaxpr) -> bool:
    """Whether there is a convolution in a program from `traced`."""
    return any(equation.primitive.name == 'conv_general_dilated' for equation in _equations(jaxpr))


def _equations(jaxpr) -> Iterator[Any]:
    """All of them, those of the programs within included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, 'jaxpr')):
            inner = getattr(inner, 'jaxpr', inner)
            if hasattr(inner, 'eqns'):
                yield from _equations(inner)


def _flops(equation) -> float:
    shapes = [variable.aval.shape for variable in equation.invars if hasattr(variable.aval, 'shape')]
    if equation.primitive.name == 'conv_general_dilated':
        filters = shapes[1][equation.params['dimension_numbers'].rhs_spec[0]]
        zeros = math.prod(equation.params['lhs_dilation'])  # Between what a strided one's gradient reads.
        return 2.0 * equation.outvars[0].aval.size * math.prod(shapes[1]) / filters / zeros
    if equation.primitive.name == 'dot_general':
        (contracted, _), _ = equation.params['dimension_numbers']
        return 2.0 * equation.outvars[0].aval.size * math.prod(shapes[0][axis] for axis in contracted)
    return 0.0

"""Whether layers are to be traced as XLA has them, though something quicker and equal to it within rounding is here."""

import contextlib
import os

import jax

from jaxvision.errors import UserError

ALGORITHMS = ('winograd', 'xla')
_within: list[bool] = []


@contextlib.contextmanager
def layers():
    """Within, they are: for counting FLOPs, and for comparing with them."""
    _within.append(True)
    try:
        yield
    finally:
        _within.pop()


def asked() -> bool:
    """Whether this is within `layers`, or the environment variable JAXVISION_CONVOLUTION=xla makes them so everywhere.

    Only then has every layer derivatives in forward mode.

    Raises:
      UserError: the variable has another value.
    """
    algorithm = os.environ.get('JAXVISION_CONVOLUTION', ALGORITHMS[0])
    if algorithm not in ALGORITHMS:
        raise UserError(f'JAXVISION_CONVOLUTION is {algorithm!r}; known are {", ".join(ALGORITHMS)}')
    return algorithm == 'xla' or bool(_within)


def replaced_on_cpu() -> bool:
    """Whether this is CPU, and layers have what is quicker there."""
    return jax.default_backend() == 'cpu' and not asked()

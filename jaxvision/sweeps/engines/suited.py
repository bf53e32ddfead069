"""The engine that suits the backend."""

import jax

from jaxvision.sweeps.engines import processes, stacked


def name() -> str:
    """Processes on CPU, one a core; stacked on accelerators."""
    return 'processes' if jax.default_backend() == 'cpu' else 'stacked'


def run(some, root, stop):
    """That engine."""
    return (processes if name() == 'processes' else stacked).run(some, root, stop)

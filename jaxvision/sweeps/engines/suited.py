"""The engine that suits the backend."""

import pathlib
from collections.abc import Callable, Iterator, Sequence

import jax

from jaxvision.sweeps.engines import processes, stacked
from jaxvision.sweeps.trials import Trial


def run(some: Sequence[Trial], root: pathlib.Path, stop: Callable[[], bool], count: int = 0) -> Iterator[Trial]:
    """Processes on CPU, where stacking is slower; stacked on accelerators. See either of them."""
    if jax.default_backend() == 'cpu':
        return processes.run(some, root, stop, count)
    return stacked.run(some, root, stop)

"""A measurement in a process of its own, as a run has one.

What a process compiled before leaves holes all over the memory that it keeps (`training.allocator`), and each array
that a step then asks for is sought among them: after four other models a perceptron's step took 1.2 times as long, a
tenth of it in the C library (jax 0.10.2, glibc 2.36; 1.0 times with `JAXVISION_ALLOCATOR=system`).
"""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

from jaxvision.training import setup


def call(what: Callable[..., Any], *args: Any, cpu_devices: int = 0, small: bool = False, **options: Any) -> Any:
    """what(*args, **options) in a new process, which has what a run sets up.

    Args:
      what, args, options: and what comes back: all that pickle takes.
      cpu_devices: so many, and no accelerator; as a run has them unless told.
      small: of the settings of what is trained, `Settings.small`.
    """
    spawn = multiprocessing.get_context('spawn')
    with concurrent.futures.ProcessPoolExecutor(1, spawn, _begin, (cpu_devices, small)) as process:
        return process.submit(what, *args, **options).result()


def _begin(cpu_devices: int, small: bool) -> None:
    if cpu_devices:
        os.environ.pop('XLA_FLAGS', None)
        os.environ['JAX_PLATFORMS'] = 'cpu'
    setup.process(cpu_devices, small=small)

"""What a process sets up once, before it computes anything: memory, devices and caches."""

import gc
import os

import jax

from jaxvision.data import sources
from jaxvision.training import allocator, environment, parallel

# Objects, until Python looks for cycles among the new ones: it looked 14 times as often, a sixth of the time until the
# first step, while programs are traced, of which nearly all stays.
RARELY = 10_000


def process(cpu_devices: int = 0, *, small: bool = False) -> None:
    """CPU devices, memory and programs that are kept.

    Args:
      cpu_devices: how many; 0 for one for each core that this process may use.
      small: whether all arrays of what it trains will be; see `allocator.keep`.
    """
    gc.set_threshold(RARELY)
    allocator.keep(small)
    parallel.set_up_cpu(cpu_devices or environment.cores())
    if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
        jax.config.update('jax_compilation_cache_dir', str(sources.cache_dir() / 'compilation'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)

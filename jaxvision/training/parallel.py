"""Devices: the only file that names pmap or shard_map.

The state and the context are replicated, the batch is cut along its first axis. `pmap` and `jit(shard_map)` run the
same step and give the same numbers; from outside, a state looks the same under both and on any number of devices.
"""

import functools
import os
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvision.errors import UserError

AXIS = 'data'
KINDS = ('pmap', 'shard_map')
PAYS_FROM, USES = 1.4e8, 1500  # FLOPs of a step forwards, and uses of each weight; see `pays`.
FAKED = 'xla_force_host_platform_device_count'  # XLA's flag for a number of CPU devices.
# On 2 cores distill.py's networks take a quarter of the time so, and detect.py's 0.6 of it. At 0 other bits come out.
QUICKLY = {'xla_backend_optimization_level': 1}
LEFT = 8  # Functions of pmap's that are gone, and their programs not.


class Parallel:
    """Maps steps over devices.

    Args:
      kind: pmap or shard_map.
      devices: which; all local ones if None.
    """

    def __init__(self, kind: str = 'pmap', devices: Sequence[Any] | None = None):
        if kind not in KINDS:
            raise ValueError(f'unknown kind {kind!r}; known are {", ".join(KINDS)}')
        self.kind = kind
        self.devices = tuple(devices or jax.local_devices())
        self.mesh = Mesh(np.array(self.devices), (AXIS,))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())

    def __eq__(self, other) -> bool:
        return isinstance(other, Parallel) and (self.kind, self.devices) == (other.kind, other.devices)

    def __hash__(self) -> int:
        return hash((self.kind, self.devices))

    def replicate(self, tree):
        """Puts every array on every device. What a mapped step reads must lie so, else it is copied at each call."""
        return jax.device_put(tree, self.replicated)

    def create(self, init):
        """init compiled, its result replicated; on CPU with less effort, as it runs once, and to the same bits."""
        options = QUICKLY if self.devices[0].platform == 'cpu' and not _asked(*QUICKLY) else None
        return jax.jit(init, out_shardings=self.replicated, compiler_options=options)

    def cut(self, batch: np.ndarray, axis: int = 0) -> np.ndarray:
        """[..., batch, ...] -> [devices, ..., batch / devices, ...]."""
        count, shape = len(self.devices), batch.shape
        parts = batch.reshape(*shape[:axis], count, shape[axis] // count, *shape[axis + 1 :])
        return np.moveaxis(parts, axis, 0)

    def train(self, step, steps: int = 1):
        """The mapped, compiled training step; it takes over (donates) the state's buffers.

        Args:
          step: (state, context, ids [batch / devices], key, *, axis_name) -> (state, metrics).
          steps: how many to run in one call, by lax.scan. Worth it on accelerators; slow for convolutions on CPU.

        Returns:
          A function of (state, context, ids, key). The ids are `cut` from [batch], or where steps > 1 from
          [steps, batch] along axis 1; the metrics are then [steps].
        """
        body = functools.partial(step, axis_name=AXIS)
        if steps > 1:
            body = self._scan(body)
        if self.kind == 'pmap':
            return _pmap(body, in_axes=(None, None, 0, None), out_axes=None, devices=self.devices, donate_argnums=(0,))
        whole, parts = PartitionSpec(), PartitionSpec(AXIS)
        mapped = jax.shard_map(
            lambda state, context, ids, key: body(state, context, ids[0], key),
            mesh=self.mesh,
            in_specs=(whole, whole, parts, whole),
            out_specs=whole,
            check_vma=False,
        )
        return jax.jit(mapped, donate_argnums=(0,))

    @staticmethod
    def _scan(body):
        def many(state, context, ids, key):
            return jax.lax.scan(lambda carry, part: body(carry, context, part, key), state, ids)

        return many

    def predict(self, step):
        """The mapped, compiled evaluation step.

        Args:
          step: (variables, context, ids [batch / devices], *, axis_name) -> outputs [batch / devices, ...].

        Returns:
          A function of (variables, context, ids `cut` from [batch]) -> outputs [devices, batch / devices, ...].
        """
        body = functools.partial(step, axis_name=AXIS)
        if self.kind == 'pmap':
            return _pmap(body, in_axes=(None, None, 0), out_axes=0, devices=self.devices)
        whole, parts = PartitionSpec(), PartitionSpec(AXIS)
        mapped = jax.shard_map(
            lambda variables, context, ids: jax.tree.map(lambda x: x[None], body(variables, context, ids[0])),
            mesh=self.mesh,
            in_specs=(whole, whole, parts),
            out_specs=parts,
            check_vma=False,
        )
        return jax.jit(mapped)


_left: list[None] = []  # One for each.


def _pmap(body: Callable, **options) -> Callable:
    """jax.pmap over `AXIS`, and where LEFT of its functions are gone, JAX's caches are emptied.

    jit forgets the programs of a function that is gone; pmap keeps them for good, since what it keeps by a function
    holds the function (jax 0.10.2, 0.11.2). A detector's are 3,000 memory maps on CPU, and at 65,530 a process on Linux
    dies. Functions that are still there compile once more.
    """
    if len(_left) >= LEFT:
        _left.clear()
        jax.clear_caches()
    mapped = jax.pmap(body, AXIS, **options)
    weakref.finalize(mapped, _left.append, None).atexit = False
    return mapped


def set_up_cpu(cores: int) -> None:
    """Makes one XLA CPU device a core, before JAX first looks for devices: a batch mapped over them trains faster."""
    if not _asked(FAKED):
        jax.config.update('jax_num_cpu_devices', cores)


def _asked(flag: str) -> bool:
    """Whether the user has set this flag of XLA's."""
    return flag in os.environ.get('XLA_FLAGS', '')


def pays(flops: float, parameters: int) -> bool:
    """Whether a batch mapped over several CPU devices trains faster than on one that uses all cores by itself.

    Measured on 2 cores for 22 networks, convolutional, transformers and perceptrons: two devices are up to 25 % faster
    where both bounds hold, up to twice as slow on either side of them, and about equal near to them.

    Args:
      flops: of a step, forwards.
      parameters: that the step updates, on each device.
    """
    return flops >= PAYS_FROM and flops >= 2 * USES * parameters


def pick_devices(count: int, batch_size: int, spread: bool = True) -> list[Any]:
    """The devices of a run.

    Args:
      count: how many, or 0 for all of them; on CPU, 0 is the largest number that divides the batch, or one where that
        is quicker.
      batch_size: examples a step over all devices.
      spread: whether several CPU devices pay; where the user has asked XLA for a number of them, they are used.

    Raises:
      UserError: there are fewer devices, or the batch cannot be cut evenly.
    """
    available = jax.local_devices()
    if count > len(available):
        raise UserError(f'devices is {count}, but there are only {len(available)} ({available[0].platform})')
    if not count:
        count = len(available)
        if available[0].platform == 'cpu':
            divisors = [number for number in range(1, count + 1) if batch_size % number == 0]
            count = max(divisors) if spread or _asked(FAKED) else 1
    if batch_size % count:
        raise UserError(f'data.batch_size is {batch_size}, which {count} devices cannot share evenly')
    return available[:count]

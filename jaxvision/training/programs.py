"""The compiled programs of a run; runs of one process that differ only in what is traced share them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxvision.optim import Optimizer
from jaxvision.tasks.task import Task
from jaxvision.training import state, step
from jaxvision.training.parallel import Parallel

KEPT = 8  # Sets of programs that a process keeps; a sweep goes through its variants one after the other.


class Programs:
    """What a run calls: all of it pure, mapped over the devices, and compiled at its first call.

    Attributes:
      names: of the metrics of a training step, once it was called.
      predict: (variables, context, ids `cut`) -> outputs; see `Parallel.predict`.
      create: (key, strengths, constants) -> the state before the first step, replicated.
    """

    def __init__(self, task: Task, optimizer: Optimizer, parallel: Parallel):
        self.names: list[str] = []
        self._step = functools.partial(packed, step.train_step(task, optimizer), self.names)
        self._parallel = parallel
        self._train: dict[int, Callable] = {}
        self.predict = parallel.predict(step.predict_step(task))
        self._create = functools.partial(state.create, task, optimizer)
        self.create = parallel.create(self._create)

    def like(self, *args) -> state.State:
        """The shapes, types and places of what create(*args) would be; nothing is compiled or computed."""
        place = functools.partial(jax.ShapeDtypeStruct, sharding=self._parallel.replicated)
        return jax.tree.map(lambda leaf: place(leaf.shape, leaf.dtype), jax.eval_shape(self._create, *args))

    def compiled(self, steps: int) -> bool:
        """Whether the program of so many steps was asked for already."""
        return steps in self._train

    def train(self, steps: int) -> Callable:
        """The program of so many steps: (state, context, ids, key) -> (state, metrics [..., name])."""
        return self._mapped(steps)

    def lower(self, steps: int, *described) -> jax.stages.Lowered:
        """What train(steps) gives, for arguments of these shapes, types and places; JAX keeps what it compiles to."""
        return self._mapped(steps).lower(*described)

    def _mapped(self, steps: int) -> Any:
        if steps not in self._train:
            self._train[steps] = self._parallel.train(self._step, steps)
        return self._train[steps]


def packed(step, names: list[str], now, context, ids, key, *, axis_name) -> tuple[Any, jax.Array]:
    """The step, with its metrics as one array [name], sorted as in `names`: one transfer instead of one a metric.

    It holds no programs: JAX keeps what it maps, and would keep them.
    """
    now, metrics = step(now, context, ids, key, axis_name=axis_name)
    names[:] = sorted(metrics)
    return now, jnp.stack([metrics[name] for name in names])


@functools.lru_cache(maxsize=KEPT)
def programs(task: Task, optimizer: Optimizer, parallel: Parallel, convolution: str) -> Programs:
    """The programs of all runs of this task, under this optimizer, on these devices, with these convolutions."""
    del convolution  # Which `models.convolution.algorithm` they are traced with.
    return Programs(task, optimizer, parallel)

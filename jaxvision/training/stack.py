"""The compiled programs of several runs at once: seeds, splits and strengths are an axis, [run], on one device."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxvision.models import im2col
from jaxvision.optim import Optimizer
from jaxvision.tasks.task import Task
from jaxvision.training import state, step
from jaxvision.training.programs import KEPT, packed


class Stack:
    """What a stack calls; the context has an axis of runs in its strengths alone.

    Attributes:
      names: of the metrics of a training step, once it was called.
      create: (keys [run], strengths [run], constants [run]) -> states [run].
      predict: (variables [run], context, ids int32 [run, batch]) -> outputs [run, batch, ...].
      select: (mask bool [run], ours [run], theirs [run]) -> ours where the mask holds, else theirs.
    """

    def __init__(self, task: Task, optimizer: Optimizer):
        self._step, self._predict = step.train_step(task, optimizer), step.predict_step(task)
        self._train: dict[int, Callable] = {}
        self.names: list[str] = []
        self.create = jax.jit(jax.vmap(functools.partial(state.create, task, optimizer)))
        self.predict = jax.jit(self._outputs)
        self.select = jax.jit(jax.vmap(_where))

    def train(self, steps: int) -> Callable:
        """The program of so many steps; it takes over (donates) the states' buffers.

        Returns:
          A function of (states [run], context, ids int32 [steps, run, batch], keys [run]) -> (states, metrics float32
          [steps, run, name]).
        """
        if steps not in self._train:
            self._train[steps] = jax.jit(self._many if steps > 1 else self._one, donate_argnums=0)
        return self._train[steps]

    def _one(self, states, context, ids, keys):
        states, metrics = self._stepped(states, context, ids[0], keys)
        return states, metrics[None]

    def _many(self, states, context, ids, keys):
        return jax.lax.scan(lambda carry, part: self._stepped(carry, context, part, keys), states, ids)

    def _stepped(self, states, context, ids, keys):
        return jax.vmap(self._packed, (0, _axes(context), 0, 0))(states, context, ids, keys)

    def _packed(self, now, context, ids, key):
        with im2col.layers():
            return packed(self._step, self.names, now, context, ids, key, axis_name=None)

    def _outputs(self, variables, context, ids):
        predict = functools.partial(self._predict, axis_name=None)
        with im2col.layers():
            return jax.vmap(predict, ((0,), _axes(context), 0))((variables,), context, ids)


def _axes(context) -> dict[str, int | None]:
    return {name: 0 if name == 'strengths' else None for name in context}


def _where(mask, ours, theirs):
    return jax.tree.map(lambda one, other: jnp.where(mask, one, other), ours, theirs)


@functools.lru_cache(maxsize=KEPT)
def stack(task: Task, optimizer: Optimizer, convolution: str) -> Stack:
    """The programs of all stacks of this task, under this optimizer, with these convolutions."""
    del convolution  # Which `models.convolution.algorithm` they are traced with.
    return Stack(task, optimizer)

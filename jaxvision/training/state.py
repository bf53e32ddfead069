"""The state of a run: everything that a step changes, and that a checkpoint holds."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxvision.tasks.task import Variables


class State(flax.struct.PyTreeNode):
    """What changes.

    Attributes:
      step: int32 scalar, steps done.
      params, batch_stats: the network.
      constants: what turns pixels into input and logits into output; they never change, and travel along.
      opt_state: of the optax chain.
      average: the moving average of params and batch_stats, or None.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    constants: Any
    opt_state: Any
    average: Any = None

    @property
    def variables(self) -> Variables:
        """What is evaluated: the moving average where there is one."""
        network = self.average or {'params': self.params, 'batch_stats': self.batch_stats}
        return {**network, 'constants': self.constants}


def create(task, optimizer, key: jax.Array, strengths, constants) -> State:
    """The state before the first step.

    Args:
      task: a tasks.task.Task.
      optimizer: an optim.Optimizer.
      key: of the initial weights.
      strengths: of the step's context.
      constants: {'mean', 'std': float32 [channel], 'temperature': float32 scalar}.
    """
    variables = task.init(key)
    network = {'params': variables['params'], 'batch_stats': variables['batch_stats']}
    return State(
        step=jnp.zeros((), jnp.int32),
        **network,
        constants=jax.tree.map(jnp.asarray, constants),
        opt_state=optimizer.chain(strengths, 0.0).init(variables['params']),
        # A copy: the state is donated whole, and no buffer may be donated twice.
        average=jax.tree.map(jnp.copy, network) if optimizer.averaging else None,
    )

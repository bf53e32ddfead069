"""The one training step, and the one evaluation step: pure functions, written against an axis name."""

import jax
import jax.numpy as jnp
import optax

from jaxvision import optim
from jaxvision.optim import Optimizer
from jaxvision.tasks.task import Context, Task, Variables
from jaxvision.training.reduction import mean_over
from jaxvision.training.state import State


def train_step(task: Task, optimizer: Optimizer):
    """Builds step(state, context, ids, key, *, axis_name) -> (state, metrics).

    Args:
      task: what is minimised.
      optimizer: how; its strengths and peak learning rate are traced, in `context['strengths']`.

    Returns:
      The step. `ids` int32 [batch] are this device's examples, `key` is the run's. The metrics are scalars: the means
      of the task's losses, learning_rate, gradient_norm (before clipping) and weight_norm (after the update).
    """

    def step(state: State, context: Context, ids: jax.Array, key: jax.Array, *, axis_name: str | None):
        strengths = context['strengths']
        examples = task.examples(context, ids, key, state.step, axis_name)
        training = task.training(strengths, ids, key, state.step, axis_name)

        def objective(params):
            variables = {'params': params, 'batch_stats': state.batch_stats, 'constants': state.constants}
            outputs, batch_stats = task.forward(variables, examples.images, training)
            means = jax.tree.map(jnp.mean, task.losses(outputs, examples, strengths))
            return means['loss'], (means, batch_stats)

        gradients, others = jax.grad(objective, has_aux=True)(state.params)
        gradients, (metrics, batch_stats) = mean_over((gradients, others), axis_name)
        learning_rate = optimizer.rate(strengths, state.step)
        rule = optimizer.chain(strengths, learning_rate)
        updates, opt_state = rule.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics |= {
            'learning_rate': learning_rate,
            'gradient_norm': optax.tree.norm(gradients),
            'weight_norm': optax.tree.norm(params),
        }
        average = state.average
        if optimizer.averaging:
            network = {'params': params, 'batch_stats': batch_stats}
            average = optim.average(average, network, optimizer.averaging, state.step)
        state = state.replace(
            step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state, average=average
        )
        return state, metrics

    return step


def predict_step(*tasks: Task):
    """Builds predict(variables, context, ids, *, axis_name) -> decoded outputs of this device's clean examples.

    Args:
      *tasks: one network a task; of several, the outputs are those of their ensemble. `variables` is a tuple, one a
        task.
    """

    def predict(variables: tuple[Variables, ...], context: Context, ids: jax.Array, *, axis_name: str | None):
        del axis_name  # In evaluation no example knows of another.
        examples = tasks[0].clean(context, ids)
        outputs = [task.forward(own, examples.images, None)[0] for task, own in zip(tasks, variables, strict=True)]
        return tasks[0].decode(tasks[0].ensemble(outputs), examples, context['strengths'])

    return predict

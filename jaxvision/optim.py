"""Optimisation: learning-rate schedules, the weight-decay mask, and optimizers as optax chains."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

OPTIMIZERS = ('sgd', 'momentum', 'nesterov', 'adam', 'adamw')
SCHEDULES = ('constant', 'cosine', 'step', 'linear')
DECAYS = ('decoupled', 'coupled')


@dataclass(frozen=True)
class Optimizer:
    """What is static of an optimizer: two that are equal compile to the same step, whatever the traced strengths.

    Attributes:
      name, decay, momentum, b2, clip: as in `chain`.
      decays: whether strengths['weight_decay'] acts.
      schedule, steps, warmup, milestones, factor: as in `schedule`.
      averaging: decay of the moving average of the weights; 0 keeps none.
    """

    name: str
    decays: bool = False
    decay: str = 'decoupled'
    momentum: float = 0.9
    b2: float = 0.999
    clip: float = 0.0
    schedule: str = 'constant'
    steps: int = 1
    warmup: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1
    averaging: float = 0.0

    def rate(self, strengths, step):
        """The learning rate at a step: strengths['learning_rate'], the peak, times the schedule."""
        shape = schedule(self.schedule, self.steps, warmup=self.warmup, milestones=self.milestones, factor=self.factor)
        return strengths['learning_rate'] * shape(step)

    def chain(self, strengths, learning_rate) -> optax.GradientTransformation:
        """The optax chain under traced strengths."""
        return chain(
            self.name,
            learning_rate=learning_rate,
            weight_decay=strengths['weight_decay'] if self.decays else None,
            decay=self.decay,
            momentum=self.momentum,
            b2=self.b2,
            clip=self.clip,
        )


def schedule(
    name: str,
    steps: int,
    *,
    warmup: float = 0.0,
    milestones: Sequence[float] = (0.5, 0.75),
    factor: float = 0.1,
) -> optax.Schedule:
    """The learning rate over a run, as a multiple of its peak.

    Args:
      name: constant; cosine (to zero); linear (to zero); step (times `factor` at each milestone).
      steps: of the whole run.
      warmup: share of the steps in which the rate first rises linearly from zero.
      milestones: shares of the steps at which `step` goes down.
      factor: see milestones.

    Returns:
      A function of the step (from 0) in [0, 1].
    """
    after: optax.Schedule
    rise = round(warmup * steps)
    rest = max(steps - rise, 1)
    if name == 'constant':
        after = optax.constant_schedule(1.0)
    elif name == 'cosine':
        after = optax.cosine_decay_schedule(1.0, rest)
    elif name == 'linear':
        after = optax.linear_schedule(1.0, 0.0, rest)
    elif name == 'step':
        places = jnp.array([round(share * steps) - rise for share in milestones])

        def stairs(step):
            return factor ** jnp.sum(step >= places)

        after = stairs
    else:
        raise ValueError(f'unknown schedule {name!r}; known are {", ".join(SCHEDULES)}')
    if not rise:
        return after
    # The first step is already of 1 / rise: a rate of zero would waste it.
    return optax.join_schedules([optax.linear_schedule(1 / rise, 1.0, max(rise - 1, 1)), after], [rise])


def decay_mask(params):
    """Which parameters decay: kernels do; biases, norm scales, positions and class tokens do not.

    Returns:
      A tree of bools like `params`.
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == 'kernel', params)


def chain(
    name: str,
    *,
    learning_rate,
    weight_decay=None,
    decay: str = 'decoupled',
    momentum: float = 0.9,
    b2: float = 0.999,
    clip: float = 0.0,
) -> optax.GradientTransformation:
    """An optimizer as an optax chain: clip -> [coupled L2] -> direction -> [decoupled decay] -> learning rate.

    Args:
      name: sgd, momentum, nesterov, adam or adamw (adam with decoupled decay).
      learning_rate: scalar (it may be traced) or schedule.
      weight_decay: scalar (it may be traced), or None for a chain without decay.
      decay: `decoupled` shrinks the weights by learning_rate * weight_decay at each step (Loshchilov and Hutter,
        Decoupled Weight Decay Regularization, 2019); `coupled` adds weight_decay * weights to the gradient, the
        derivative of an L2 penalty of weight_decay / 2.
      momentum: of momentum and nesterov, and b1 of adam.
      b2: of adam.
      clip: largest global norm of the gradient; 0 does not clip.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f'unknown optimizer {name!r}; known are {", ".join(OPTIMIZERS)}')
    if decay not in DECAYS:
        raise ValueError(f'unknown decay {decay!r}; known are {", ".join(DECAYS)}')
    directions = {
        'sgd': optax.identity,
        'momentum': lambda: optax.trace(momentum),
        'nesterov': lambda: optax.trace(momentum, nesterov=True),
        'adam': lambda: optax.scale_by_adam(b1=momentum, b2=b2),
        'adamw': lambda: optax.scale_by_adam(b1=momentum, b2=b2),
    }
    links = [optax.clip_by_global_norm(clip)] if clip else []
    shrink = [] if weight_decay is None else [optax.add_decayed_weights(weight_decay, mask=decay_mask)]
    direction = [directions[name]()]
    links += shrink + direction if decay == 'coupled' else direction + shrink
    return optax.chain(*links, optax.scale_by_learning_rate(learning_rate))


def average(previous, current, decay: float, step):
    """Exponential moving average of weights: decay * previous + (1 - decay) * current.

    Early on the decay is min(decay, (1 + step) / (10 + step)), so that the start is soon forgotten.

    Args:
      previous, current: trees of arrays.
      decay: in (0, 1).
      step: steps done so far.
    """
    rate = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return optax.incremental_update(current, previous, 1.0 - rate)

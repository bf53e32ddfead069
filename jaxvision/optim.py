"""Optimisation: learning-rate schedules, the weight-decay mask, and optimizers as optax chains."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

OPTIMIZERS = ('sgd', 'momentum', 'nesterov', 'adam', 'adamw', 'muon')
SCHEDULES = ('constant', 'cosine', 'step', 'linear')
DECAYS = ('decoupled', 'coupled')
DECAYED = ('kernels', 'all')
OUTPUTS = ('logits', 'box', 'objectness', 'attention')  # Layers of the heads.
GROUPS = ('kernel', 'head', 'bias')  # Of parameters; see `group`.


@dataclass(frozen=True)
class Optimizer:
    """What is static of an optimizer: two that are equal compile to the same step, whatever the traced strengths.

    Attributes:
      name, decay, decayed, momentum, other_momentum, b2, newton_schulz, normalize, clip: as in `chain`.
      decays: whether strengths['weight_decay'] acts.
      rates: whether strengths['head_rate'] and strengths['bias_rate'] act, multiples of the learning rate.
      schedule, steps, warmup, milestones, factor: as in `schedule`.
      averaging: decay of the moving average of the weights; 0 keeps none.
    """

    name: str
    decays: bool = False
    decay: str = 'decoupled'
    decayed: str = 'kernels'
    rates: bool = False
    momentum: float = 0.9
    other_momentum: float = 0.9
    b2: float = 0.999
    newton_schulz: int = 5
    normalize: bool = False
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
            decayed=self.decayed,
            rates={'head': strengths['head_rate'], 'bias': strengths['bias_rate']} if self.rates else None,
            momentum=self.momentum,
            other_momentum=self.other_momentum,
            b2=self.b2,
            newton_schulz=self.newton_schulz,
            normalize=self.normalize,
            clip=self.clip,
        )

    def decay_mask(self, params):
        """Which parameters decay, where any do: a tree of bools like `params`."""
        return decay_mask(params, self.decayed, normalized=self.name == 'muon' and self.normalize)


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


def groups(params):
    """What each parameter is: the kernel of a hidden layer, one that puts out what the network says, or no matrix.

    Returns:
      A tree like `params` of names in `GROUPS`; `bias` are biases, norm scales, positions and class tokens.
    """

    def name(path, _) -> str:
        layer = path[-2].key if len(path) > 1 else ''
        return 'bias' if path[-1].key != 'kernel' else 'head' if layer in OUTPUTS else 'kernel'

    return jax.tree_util.tree_map_with_path(name, params)


def decay_mask(params, decayed: str = 'kernels', *, normalized: bool = False):
    """Which parameters decay.

    Args:
      params: a tree.
      decayed: `kernels` leaves out biases, norm scales, positions and class tokens; `all` does not.
      normalized: whether hidden kernels are, as in `chain`: then they have no length to lose.

    Returns:
      A tree of bools like `params`.
    """
    if decayed not in DECAYED:
        raise ValueError(f'unknown choice {decayed!r} of what decays; known are {", ".join(DECAYED)}')
    decaying = set(GROUPS) - ({'bias'} if decayed == 'kernels' else set()) - ({'kernel'} if normalized else set())
    return jax.tree.map(lambda name: name in decaying, groups(params))


def chain(
    name: str,
    *,
    learning_rate,
    weight_decay=None,
    decay: str = 'decoupled',
    decayed: str = 'kernels',
    rates: Mapping[str, Any] | None = None,
    momentum: float = 0.9,
    other_momentum: float = 0.9,
    b2: float = 0.999,
    newton_schulz: int = 5,
    normalize: bool = False,
    clip: float = 0.0,
) -> optax.GradientTransformation:
    """An optimizer as an optax chain.

    clip -> [coupled L2] -> direction -> [rates of groups] -> [decoupled decay] -> learning rate -> [normalize]

    Args:
      name: sgd, momentum, nesterov, adam, adamw (adam with decoupled decay) or muon, see `_muon`.
      learning_rate: scalar (it may be traced) or schedule.
      weight_decay: scalar (it may be traced), or None for a chain without decay.
      decay: `decoupled` shrinks the weights by learning_rate * weight_decay at each step (Loshchilov and Hutter,
        Decoupled Weight Decay Regularization, 2019); `coupled` adds weight_decay * weights to the gradient, the
        derivative of an L2 penalty of weight_decay / 2.
      decayed: what decays, as in `decay_mask`.
      rates: {'head', 'bias'}: what the learning rates of these `groups` are, as multiples; None for all alike.
      momentum: of momentum, nesterov and muon, and b1 of adam.
      other_momentum: of what muon leaves to nesterov.
      b2: of adam.
      newton_schulz: iterations of muon's orthogonalisation.
      normalize: of muon: give each hidden kernel the norm sqrt(outputs) before a step is taken from it.
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
        'muon': lambda: _muon(momentum, other_momentum, newton_schulz),
    }
    normalized = name == 'muon' and normalize

    def decaying(params):
        return decay_mask(params, decayed, normalized=normalized)

    links = [optax.clip_by_global_norm(clip)] if clip else []
    shrink = [] if weight_decay is None else [optax.add_decayed_weights(weight_decay, mask=decaying)]
    direction = [directions[name]()] + ([] if rates is None else [_scale_groups(rates)])
    links += shrink + direction if decay == 'coupled' else direction + shrink
    links += [optax.scale_by_learning_rate(learning_rate)]
    return optax.chain(*links, *([_normalized()] if normalized else []))


def _muon(momentum: float, other_momentum: float, iterations: int) -> optax.GradientTransformation:
    """Hidden kernels move along the orthogonal matrix nearest to their momentum, all else by Nesterov's.

    A kernel is a matrix from all that it reads to its outputs; its step has the spectral norm sqrt(outputs / inputs),
    or 1 where it reads more than it puts out. Source: Jordan et al., Muon: An optimizer for hidden layers in neural
    networks, 2024; Bernstein and Newhouse, Old Optimizer, New Norm, 2024.
    """
    hidden = optax.chain(
        optax.contrib.scale_by_muon(ns_steps=iterations, beta=momentum, weight_dimension_numbers=_matrices),
        optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(_widened, updates)),
    )
    other = optax.trace(other_momentum, nesterov=True)
    return optax.partition({'kernel': hidden, 'head': other, 'bias': other}, groups)


def _outputs(path, kernel) -> tuple[int, ...]:
    """The axes of a kernel that it puts out; it reads the others."""
    # Flax's attention splits its features over heads: (features, heads, each) in, (heads, each, features) out.
    return (1, 2) if kernel.ndim == 3 and path[-2].key != 'out' else (kernel.ndim - 1,)


def _width(path, kernel) -> int:
    """How many a kernel puts out."""
    return math.prod(kernel.shape[axis] for axis in _outputs(path, kernel))


def _widened(path, update: jax.Array) -> jax.Array:
    outputs = _width(path, update)
    return update * math.sqrt(max(1, outputs * outputs / update.size))


def _matrices(params):
    """Which axes of each kernel are read, and which are put out, for optax."""

    def axes(path, kernel) -> optax.contrib.MuonDimensionNumbers:
        outputs = _outputs(path, kernel)
        read = tuple(axis for axis in range(kernel.ndim) if axis not in outputs)
        return optax.contrib.MuonDimensionNumbers(read, outputs)

    return jax.tree_util.tree_map_with_path(axes, params)


def _scale_groups(rates: Mapping[str, Any]) -> optax.GradientTransformation:
    return optax.stateless(
        lambda updates, _: jax.tree.map(lambda update, name: update * rates.get(name, 1.0), updates, groups(updates))
    )


def _normalized() -> optax.GradientTransformation:
    """Takes the step from where each hidden kernel has the norm sqrt(outputs)."""

    def moved(path, update, weight, name):
        if name != 'kernel':
            return update
        norm = jnp.maximum(jnp.linalg.norm(weight), 1e-12)
        return update + weight * (math.sqrt(_width(path, weight)) / norm - 1)

    def normalize(updates, params):
        return jax.tree_util.tree_map_with_path(moved, updates, params, groups(updates))

    return optax.stateless(normalize)


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

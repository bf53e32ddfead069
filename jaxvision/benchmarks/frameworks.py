"""Our training against PyTorch's: the same model, batch and data, all sides in turns of a few steps, and the ratio.

Our side is what launch/train.py runs, with its records, and of a large model the step alone; theirs is `pytorch.py`
under another interpreter, eager and compiled, of which the quicker counts. Turns are short, for what disturbs a shared
machine lasts for seconds, and then it strikes all sides.
"""

import dataclasses
import functools
import pathlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision import assembly, rng, runs
from jaxvision.benchmarks import timing
from jaxvision.benchmarks.cases import LARGE, settings_of
from jaxvision.benchmarks.partner import Partner
from jaxvision.benchmarks.turns import InTurns, Turns
from jaxvision.data import order
from jaxvision.errors import UserError
from jaxvision.metrics import intervals
from jaxvision.models import cost, plain
from jaxvision.settings import Settings
from jaxvision.training import environment, step
from jaxvision.training.records import Workdir

VARIANTS = ('eager', 'compiled')
PROBE = 8  # Steps that tell how long a turn will take.
TURN = 0.25  # Seconds, or one step where that is longer.
SIDES = {'cpu': 2048}  # Of the square matrices whose product is the machine's peak,
SIDE = 8192  # and on accelerators.
PRODUCTS = 3  # The best of so many counts.


class Ours:
    """A model of ours, trained anew each time."""

    def __init__(self, settings: Settings, devices=None):
        self._settings = settings
        self.run = assembly.assemble(settings, devices=devices)
        self.batch_size, self.devices = self.run.plan.batch_size, self.run.parallel.devices
        self.dtype = settings.model.dtype
        self.parameters = assembly.cost_of(self.run.task).parameters

    @functools.cached_property
    def flops(self) -> float:
        """Of a step: what the model asks for, however it is computed."""
        with plain.layers():
            return len(self.devices) * cost.flops(_step(self.run).jaxpr)

    @functools.cached_property
    def compiled(self) -> jax.stages.Compiled:
        """One device's share of a step; what a run has is compiled by itself, and not with this."""
        return _step(self.run).lower().compile()

    @functools.cached_property
    def bytes(self) -> float:
        """That a step reads and writes."""
        return len(self.devices) * float((self.compiled.cost_analysis() or {})['bytes accessed'])

    def milliseconds(self, steps: int) -> float:
        """Of a step, as the run itself records it: everything between two evaluations."""
        return 1e3 * self.batch_size / self._train(self._of(steps))['examples_per_second']

    def turns(self, steps: int, count: int, others: Callable[[], Any]) -> list[float]:
        """Milliseconds of a step, turn by turn of one run: everything from a turn's first call to its last result.

        Args:
          steps: a turn, rounded up to whole calls of as many as the loop takes at once.
          count: of turns.
          others: called before each, while our devices have nothing to do.
        """
        together = self.run.plan.steps_per_call
        steps = -(-steps // together) * together
        run = self._of((1 + count) * steps + together)  # One to compile, and a call after the last.
        turns = Turns(steps, count, others)
        self._train(InTurns.of(run, turns))
        return turns.milliseconds

    def _of(self, steps: int) -> assembly.Run:
        epochs = steps * self.batch_size / len(self.run.splits.train)
        schedule = dataclasses.replace(self._settings.train, epochs=epochs, eval_every=steps)
        return assembly.assemble(dataclasses.replace(self._settings, train=schedule), devices=self.devices)

    @staticmethod
    def _train(run: assembly.Run) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder, open('/dev/null', 'w') as silence:
            return runs.train(run, Workdir(folder), stream=silence)


class Bare(Ours):
    """A large model's step alone, on one device: compiled once, and nothing is evaluated or written."""

    def __init__(self, settings: Settings):
        device = jax.local_devices()[0]
        super().__init__(settings, [device])
        self._read = jax.device_put((self.run.context(), rng.base(0)), device)
        self._state = jax.device_put(self.run.initial(), device)

    def milliseconds(self, steps: int) -> float:
        """Of a step, with as many under way as the loop has."""
        (context, key), at = self._read, iter(range(steps))

        def call():
            ids = order.batch_ids(self.run.splits.train, 0, next(at), self.batch_size)
            self._state, metrics = self.compiled(self._state, context, ids, key)
            return metrics

        return 1e3 * timing.seconds(call, steps, self.devices)

    def turns(self, steps: int, count: int, others: Callable[[], Any]) -> list[float]:
        found = []
        for _ in range(count):
            others()
            found.append(self.milliseconds(steps))
        return found


class Theirs(Partner):
    """The same model in a process of PyTorch's interpreter."""

    def __init__(self, python: str, model: str, batch_size: int):
        super().__init__(python, 'pytorch.py', model, str(batch_size), str(environment.cores()))

    def milliseconds(self, variant: str, steps: int) -> float:
        """Of a step."""
        return self.ask(variant, steps)[0]

    def peak(self, side: int) -> float:
        """FLOPs a second of a product of square matrices."""
        return 2e3 * side**3 / self.milliseconds('product', side)


def prepare(model: str) -> None:
    """Has JAX's cache hold what `compare` compiles of ours, as `beforehand` sees to it for a long run."""
    _ours(model).milliseconds(PROBE)


def compare(model: str, python: str, *, repeats: int = 5, seconds: float = 4.0) -> dict[str, Any]:
    """Ours and theirs in turns of `TURN`, and each round the machine's peak: a large product, by whoever is quicker.

    Args:
      model: a key of `cases.MODELS` or `cases.LARGE`.
      python: an interpreter that has torch.
      repeats: rounds.
      seconds: that our side trains a round.

    Returns:
      A row of benchmarks.json: {'model', 'device', 'dtype', 'batch_size', 'parameters', 'turns', 'ours_ms',
      'theirs_ms': of a step, 'theirs': the quicker variant, 'variants': {variant: ms}, 'ratio': the median of the
      turns' ours / theirs, 'spread': [low, high], the 95 % interval of that median, 'gflop': of a step's convolutions
      and matrix products as they are asked for, zeros of the padding included, 'gbyte': of the step as it runs, as XLA
      counts them, 'peak_gflops', 'percent_of_peak': of ours}.

    Raises:
      UserError: the interpreter cannot be run, has no torch, or builds another network.
    """
    ours = _ours(model)
    theirs = Theirs(python, model, ours.batch_size)
    variants: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    peaks, draws = [], random.Random(0)
    try:
        if theirs.parameters != ours.parameters:
            raise UserError(f'{model} has {ours.parameters:,} parameters here, {theirs.parameters:,} there')
        ours.milliseconds(PROBE)  # Compiles.
        step_ms = ours.milliseconds(PROBE)
        steps = max(1, round(1e3 * min(TURN, seconds) / step_ms))
        a_round = max(1, round(1e3 * seconds / step_ms / steps))
        side = SIDES.get(ours.devices[0].platform, SIDE)
        peak = _peak(ours.devices, side, ours.dtype)
        for variant in VARIANTS:
            theirs.milliseconds(variant, PROBE)

        def others() -> None:
            if len(variants[VARIANTS[0]]) % a_round == 0:
                peaks.append(max(peak(), theirs.peak(side)))
            for variant in draws.sample(VARIANTS, len(VARIANTS)):
                variants[variant].append(theirs.milliseconds(variant, steps))

        turns = ours.turns(steps, repeats * a_round, others)
    finally:
        theirs.close()
    medians = {variant: statistics.median(values) for variant, values in variants.items()}
    best = min(VARIANTS, key=lambda variant: medians[variant])
    ratios = [here / there for here, there in zip(turns, variants[best], strict=True)]
    ours_ms, flops = statistics.median(turns), statistics.median(peaks)
    return {
        'model': model,
        'device': ours.devices[0].device_kind,
        'dtype': ours.dtype,
        'batch_size': ours.batch_size,
        'parameters': ours.parameters,
        'turns': len(turns),
        'ours_ms': ours_ms,
        'theirs_ms': medians[best],
        'theirs': best,
        'variants': medians,
        'ratio': statistics.median(ratios),
        'spread': intervals.median(ratios),
        'gflop': ours.flops / 1e9,
        'gbyte': ours.bytes / 1e9,
        'peak_gflops': flops / 1e9,
        'percent_of_peak': 100 * ours.flops / (1e-3 * ours_ms) / flops,
    }


def _ours(model: str) -> Ours:
    return (Bare if model in LARGE else Ours)(settings_of(model))


def _step(run: assembly.Run) -> jax.stages.Traced:
    """One device's share of a training step, traced for arguments that are only described."""
    body = step.train_step(run.task, run.optimizer)
    state, context, ids, key = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), run.described())
    share = jax.ShapeDtypeStruct(ids.shape[1:], ids.dtype)
    return jax.jit(lambda *args: body(*args, axis_name=None), donate_argnums=0).trace(state, context, share, key)


def _peak(devices, side: int, dtype: str) -> Callable[[], float]:
    """A function that measures the FLOPs a second of a product of square matrices, one on each device at once."""
    product = jax.jit(jnp.dot)
    factor = np.random.default_rng(0).normal(size=(side, side)).astype(jnp.dtype(dtype))
    factors = [jax.device_put(factor, device) for device in devices]

    def measure() -> float:
        found = []
        for _ in range(PRODUCTS):
            started = time.perf_counter()
            jax.block_until_ready([product(each, each) for each in factors])
            found.append(time.perf_counter() - started)
        return len(devices) * 2 * side**3 / min(found)

    measure()  # Compiles.
    return measure


def surroundings(python: str) -> dict[str, Any]:
    """What the figures depend on besides the code: versions of both sides, machine, commit."""
    theirs = Theirs(python, 'mlp', 1)
    theirs.close()
    found = machine()
    return {**found, 'versions': {**found['versions'], 'torch': theirs.version}}


def machine() -> dict[str, Any]:
    """What figures of our side alone depend on."""
    return {
        **environment.machine(jax.local_devices()),
        'processor': _processor(),
        'versions': environment.versions(),
        'git': environment.commit(),
    }


def _processor() -> str:
    try:
        lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return ''
    return next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')), '')

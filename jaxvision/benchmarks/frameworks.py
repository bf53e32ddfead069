"""Our training against PyTorch's: the same model, batch and data, all sides in turn, and the ratio, round by round.

Our side is what launch/train.py runs, with its records; theirs is `pytorch.py` under another interpreter, eager and
compiled, of which the quicker counts.
"""

import dataclasses
import pathlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision import assembly, runs, summary
from jaxvision.benchmarks.cases import settings_of
from jaxvision.errors import UserError
from jaxvision.models import convolution
from jaxvision.settings import Settings
from jaxvision.training import environment
from jaxvision.training.records import Workdir

VARIANTS = ('eager', 'compiled')
PROBE = 8  # Steps that tell how long a round will take.
SIDE = {'cpu': 2048}  # Of the square matrices whose product is the machine's peak,
LARGE = 8192  # and on accelerators.
PRODUCTS = 3  # The best of so many counts.


class Ours:
    """A model of ours, trained anew each round."""

    def __init__(self, settings: Settings):
        self._settings = settings
        run = assembly.assemble(settings)
        self._train_size = len(run.splits.train)
        self.batch_size, self.devices = run.plan.batch_size, run.parallel.devices
        self.parameters = assembly.cost_of(run.task).parameters
        with convolution.plain():  # What the model asks for, however it is computed.
            lowered = summary.lowered_step(run)
        asked, compiled = (stage.cost_analysis() or {} for stage in (lowered, lowered.compile()))
        self.flops = len(self.devices) * float(asked['flops'])
        self.bytes = len(self.devices) * float(compiled['bytes accessed'])

    def milliseconds(self, steps: int) -> float:
        """Of a step, as the run itself records it: everything between two evaluations."""
        epochs = steps * self.batch_size / self._train_size
        schedule = dataclasses.replace(self._settings.train, epochs=epochs, eval_every=steps)
        run = assembly.assemble(dataclasses.replace(self._settings, train=schedule))
        with tempfile.TemporaryDirectory() as folder, open('/dev/null', 'w') as silence:
            result = runs.train(run, Workdir(folder), stream=silence)
        return 1e3 * self.batch_size / result['examples_per_second']


class Theirs:
    """The same model in a process of PyTorch's interpreter."""

    def __init__(self, python: str, model: str, batch_size: int):
        script = pathlib.Path(__file__).with_name('pytorch.py')
        command = [python, str(script), model, str(batch_size), str(environment.cores())]
        self._said = tempfile.TemporaryFile('w+')  # noqa: SIM115  (closed with the process)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
            )
        except OSError as error:
            raise UserError(f'--pytorch={python} cannot be run: {error.strerror}') from error
        self.version, parameters = self._answer().split()
        self.parameters = int(parameters)

    def milliseconds(self, variant: str, steps: int) -> float:
        """Of a step."""
        assert self._process.stdin is not None
        self._process.stdin.write(f'{variant} {steps}\n')
        self._process.stdin.flush()
        return float(self._answer())

    def peak(self, side: int) -> float:
        """FLOPs a second of a product of square matrices."""
        return 2e3 * side**3 / self.milliseconds('product', side)

    def close(self) -> None:
        self._process.communicate()
        self._said.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            said = self._said.read().strip().splitlines()
            raise UserError(f'the interpreter of --pytorch ended: {said[-1] if said else "it said nothing"}')
        return line


def compare(model: str, python: str, *, repeats: int = 5, seconds: float = 4.0) -> dict[str, Any]:
    """Ours and theirs in turn, with the machine's peak between them: a large product, by whichever side is quicker.

    Args:
      model: a key of `cases.MODELS`.
      python: an interpreter that has torch.
      repeats: rounds.
      seconds: that our side trains a round.

    Returns:
      A row of benchmarks.json: {'model', 'device', 'batch_size', 'parameters', 'ours_ms', 'theirs_ms': of a step,
      'theirs': the quicker variant, 'variants': {variant: ms}, 'ratio': the median of the rounds' ours / theirs,
      'spread': [least, most] of them, 'gflop', 'gbyte': of a step, as XLA counts
      them for its own convolutions, 'peak_gflops', 'percent_of_peak': of ours}.

    Raises:
      UserError: the interpreter cannot be run, has no torch, or builds another network.
    """
    ours = Ours(settings_of(model))
    theirs = Theirs(python, model, ours.batch_size)
    try:
        if theirs.parameters != ours.parameters:
            raise UserError(f'{model} has {ours.parameters:,} parameters here, {theirs.parameters:,} there')
        ours.milliseconds(PROBE)  # Compiles.
        steps = max(PROBE, round(1e3 * seconds / ours.milliseconds(PROBE)))
        side = SIDE.get(ours.devices[0].platform, LARGE)
        peak = _peak(ours.devices, side)
        for variant in VARIANTS:
            theirs.milliseconds(variant, PROBE)
        rounds, peaks = [], []
        for _ in range(repeats):
            here = ours.milliseconds(steps)
            rounds.append((here, *(theirs.milliseconds(variant, steps) for variant in VARIANTS)))
            peaks.append(max(peak(), theirs.peak(side)))
    finally:
        theirs.close()
    ours_ms, *others = (statistics.median(side) for side in zip(*rounds, strict=True))
    variants = dict(zip(VARIANTS, others, strict=True))
    best = min(VARIANTS, key=lambda variant: variants[variant])
    ratios = [each[0] / each[1 + VARIANTS.index(best)] for each in rounds]
    flops = statistics.median(peaks)
    return {
        'model': model,
        'device': ours.devices[0].device_kind,
        'batch_size': ours.batch_size,
        'parameters': ours.parameters,
        'ours_ms': ours_ms,
        'theirs_ms': variants[best],
        'theirs': best,
        'variants': variants,
        'ratio': statistics.median(ratios),
        'spread': [min(ratios), max(ratios)],
        'gflop': ours.flops / 1e9,
        'gbyte': ours.bytes / 1e9,
        'peak_gflops': flops / 1e9,
        'percent_of_peak': 100 * ours.flops / (1e-3 * ours_ms) / flops,
    }


def _peak(devices, side: int) -> Callable[[], float]:
    """A function that measures the FLOPs a second of a product of square matrices, one on each device at once."""
    product = jax.jit(jnp.dot)
    factor = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
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

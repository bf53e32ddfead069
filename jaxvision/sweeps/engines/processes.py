"""Local processes, each on a core of its own: the engine for CPUs."""

import contextlib
import os
import pathlib
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from jaxvision import assembly, interpreters
from jaxvision.errors import UserError
from jaxvision.sweeps import trials
from jaxvision.sweeps.trials import Trial

WORKER = 3 * 2**28  # Bytes of a worker that has imported JAX and compiled a small step.
LEVEL = '--xla_backend_optimization_level=2'
PATIENCE = 10.0  # Seconds that a worker has for saving what it does, once it is asked to stop.


class _Worker:
    """The parent's end of one worker process.

    Attributes:
      trial: what it is at; None before it is ready.
    """

    def __init__(self, core: int, small: bool, log: pathlib.Path):
        with log.open('a') as errors:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'jaxvision.sweeps.engines.worker', str(core), str(small)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={
                    **os.environ,
                    'PYTHONPATH': interpreters.path(),
                    'XLA_FLAGS': xla_flags(os.environ.get('XLA_FLAGS', ''), small),
                },
                start_new_session=True,  # Ctrl-C is the parent's to handle.
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.inbox, self.outbox = self.process.stdin, self.process.stdout
        self.trial: Trial | None = None
        self.core, self.log = core, log

    def start(self, trial: Trial) -> None:
        self.trial = trial
        with contextlib.suppress(BrokenPipeError):  # Dead already: that is told when its end of the pipe is read.
            self.inbox.write(trial.as_json() + '\n')
            self.inbox.flush()

    def ask_to_stop(self) -> None:
        """In the middle of a trial it may save first."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self, patience: float = 0.0) -> None:
        """Ends the process, after so many seconds at most."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.inbox.close()
        self.outbox.close()


def check(some: Sequence[Trial], count: int = 0) -> None:
    """Makes sure that a worker can run these.

    Raises:
      UserError: one wants several devices.
    """
    del count
    trials.want_one_device(some, 'each process of a sweep has one CPU device')


def run(some: Sequence[Trial], root: pathlib.Path, stop: Callable[[], bool], count: int = 0) -> Iterator[Trial]:
    """Runs trials in parallel; a worker stays with the trials that share its compiled programs while there are any.

    A worker that dies costs its trial alone: another takes its place.

    Args:
      some: what to run; those that have a result are left alone.
      root: of the sweep; the workers' stderr goes to worker-N.log there.
      stop: asked twice a second; when it says so, the workers are asked to stop, and the iteration ends.
      count: of processes; 0 for as many as fit cores and memory.

    Yields:
      Each trial once it has a result.json or an error.json.

    Raises:
      UserError: a worker cannot even start.
    """
    some = trials.waiting(some)
    waiting = _Waiting(some)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else [-1] * (os.cpu_count() or 1)
    count = min(count or fitting(some, len(cores)), len(some))
    small = all(trial.settings.small for trial in some)
    workers: set[_Worker] = set()
    with selectors.DefaultSelector() as selector:

        def hire(core: int, log: pathlib.Path) -> None:
            worker = _Worker(core, small, log)
            workers.add(worker)
            selector.register(worker.outbox, selectors.EVENT_READ, worker)

        def dismiss(worker: _Worker) -> None:
            selector.unregister(worker.outbox)
            workers.remove(worker)
            worker.end()

        try:
            for index in range(count):
                hire(cores[index % len(cores)], root / f'worker-{index}.log')
            while workers and not stop():
                for key, _ in selector.select(timeout=0.5):
                    worker: _Worker = key.data
                    alive, ended = bool(worker.outbox.readline()), worker.trial
                    if not alive:
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            worker.process.wait(1)
                        dismiss(worker)
                        if ended is None:
                            raise UserError(f'a worker {_death(worker)} before it was ready; see {worker.log}')
                        trials.fail(ended, f'its process {_death(worker)}; see {worker.log.name}')
                        if waiting:
                            hire(worker.core, worker.log)
                    elif waiting:
                        worker.start(waiting.next(ended))
                    else:
                        dismiss(worker)
                    if ended is not None:
                        yield ended
        finally:
            until = time.monotonic() + (PATIENCE if stop() else 0.0)
            for worker in workers:
                if stop():
                    worker.ask_to_stop()
            for worker in workers:
                worker.end(max(until - time.monotonic(), 0.0))


def xla_flags(flags: str, small: bool) -> str:
    """A worker's XLA_FLAGS: small trials, which compile for as long as they train, compile with less effort.

    From an empty cache ablation.py with one seed took 113 and 123 s so instead of 136 and 132, crossval.py 49 and 52
    instead of 58 and 57, capacity.py 139 instead of 138 (2 cores, jax 0.10.2); their steps take as long. Not so of
    large networks: the loops of Winograd's convolutions take up to three times as long, the CNN's step 1.13 times.
    """
    return flags if not small or LEVEL.partition('=')[0] in flags else f'{flags} {LEVEL}'.strip()


def _death(worker: _Worker) -> str:
    code = worker.process.returncode
    return f'was killed by {signal.Signals(-code).name}' if code < 0 else f'exited with {code}'


class _Waiting:
    """Trials that wait, by program."""

    def __init__(self, some: Sequence[Trial]):
        self._by_program = trials.by_program(some)
        self._begun: set[int] = set()

    def __bool__(self) -> bool:
        return any(self._by_program.values())

    def next(self, before: Trial | None) -> Trial:
        """The next for a worker: of the program that it has compiled, else of a fresh one, else of the longest row."""
        left = {program: row for program, row in self._by_program.items() if row}
        if before is not None and before.program in left:
            program = before.program
        else:
            fresh = [number for number in left if number not in self._begun]
            program = fresh[0] if fresh else max(left, key=lambda number: len(left[number]))
        self._begun.add(program)
        return left[program].pop(0)


def fitting(some: Sequence[Trial], cores: int) -> int:
    """How many workers fit the cores and the memory that is available."""
    sets = {(d.name, d.path, d.image_size): d for d in (one.settings.data for one in some)}.values()
    largest = max((assembly.load_data(data)[0].images.nbytes for data in sets), default=0)
    each = WORKER + 8 * largest
    return max(1, min(cores, available_memory() // each))


def available_memory() -> int:
    """Bytes that processes may still take, by the kernel's own estimate and the limit of this control group."""
    found = []
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = pathlib.Path('/proc/meminfo').read_text().splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith('MemAvailable')).split()[1]))
    with contextlib.suppress(OSError, ValueError):
        group = pathlib.Path('/sys/fs/cgroup')
        limit = int((group / 'memory.max').read_text())
        found.append(limit - int((group / 'memory.current').read_text()))
    return max(0, min(found)) if found else 2**62

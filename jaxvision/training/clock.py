"""Time spent training: without evaluations and saves, and for the rate without what compiles."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np


class Clock:
    """Runs from `start` to `pause`; the first call of so many steps compiles, and counts in no rate."""

    def __init__(self, batch_size: int):
        self._batch_size = batch_size
        self._started = 0.0
        self._steady_seconds, self._steady_steps = 0.0, 0
        self._since, self._steps = 0.0, 0
        self._running = False
        self._called: set[int] = set()

    def start(self) -> None:
        self._started = self._since = time.perf_counter()
        self._steps, self._running = 0, True

    def before(self, steps: int, under_way: Any) -> None:
        """Before a call of so many steps; `under_way` is what the calls before it give. The first waits for them."""
        if steps not in self._called:
            jax.block_until_ready(under_way)
            self._settle()

    def after(self, steps: int, given: Any) -> None:
        """After that call, which gives `given`; the first waits for it."""
        self._steps += steps
        if steps not in self._called:
            jax.block_until_ready(given)
            self._called.add(steps)
            self._since, self._steps = time.perf_counter(), 0

    def pause(self) -> float:
        """Stops the clock; returns the seconds since `start`."""
        self._settle()
        self._running = False
        return self._since - self._started

    def _settle(self) -> None:
        """What came since `start`, or the last call that compiled, counts."""
        now = time.perf_counter()
        if self._steps:
            self._steady_seconds += now - self._since
            self._steady_steps += self._steps
        self._since, self._steps = now, 0

    def seconds_a_step(self) -> float:
        steps = self._steady_steps + self._steps
        lately = time.perf_counter() - self._since if self._running else 0.0
        return (self._steady_seconds + lately) / steps if steps else 0.0

    def rate(self) -> float:
        """Examples a second since the run started, 0 before there is anything to tell."""
        seconds = self.seconds_a_step()
        return self._batch_size / seconds if seconds else 0.0


def typical_rate(records: Iterable[Mapping[str, Any]]) -> float:
    """The median of what records tell of examples a second, of those that tell any; 0 where none does."""
    known = [record['examples_per_second'] for record in records if record['examples_per_second']]
    return float(np.median(known)) if known else 0.0


def told_rate(rate: float) -> str:
    """Examples a second as they are printed; a dash where there is nothing to tell yet."""
    return f'{rate:,.0f}' if rate else '–'

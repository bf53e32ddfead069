"""Calls that were dispatched and are not waited for yet: enough to keep the devices busy, and no more."""

import collections
from typing import Any

import jax


def in_flight(devices) -> int:
    """How many calls may be under way while the next is dispatched: enough to keep an accelerator busy.

    On several CPU devices none: with a queue of steps that reduce over them, XLA's threads end up waiting for each
    other (seen with 50 calls ahead on 2 cores, jax 0.10.2: it aborts after 40 s). It costs nothing there.
    """
    if devices[0].platform == 'cpu':
        return 1 if len(devices) == 1 else 0
    return 2


class UnderWay:
    """What was dispatched and is not waited for yet, at most as much as `in_flight` lets be."""

    def __init__(self, devices):
        self._ahead = in_flight(devices)
        self._results: collections.deque = collections.deque()

    def add(self, result: Any) -> None:
        """Takes what a call returned, and waits for the oldest where there are too many."""
        self._results.append(result)
        if len(self._results) > self._ahead:
            jax.block_until_ready(self._results.popleft())

    def wait(self) -> None:
        """Waits for all of them."""
        jax.block_until_ready(list(self._results))
        self._results.clear()

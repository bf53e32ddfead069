"""Calls timed as the loop makes them: the next is dispatched while earlier ones are under way, but only so many."""

import collections
import time
from collections.abc import Callable
from typing import Any

import jax

from jaxvision.training.parallel import in_flight


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


def seconds(call: Callable[[], Any], calls: int, devices) -> float:
    """Of a call, of so many.

    Args:
      call: dispatches, and returns what tells that it is done.
      calls: how many.
      devices: that it runs on.
    """
    started, under_way = time.perf_counter(), UnderWay(devices)
    for _ in range(calls):
        under_way.add(call())
    under_way.wait()
    return (time.perf_counter() - started) / calls

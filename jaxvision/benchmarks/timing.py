"""Calls timed as the loop makes them: the next is dispatched while earlier ones are under way, but only so many."""

import time
from collections.abc import Callable
from typing import Any

from jaxvision.training.under_way import UnderWay


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

"""What is measured in a process of its own."""

import os

import jax
import pytest

from jaxvision.benchmarks import apart


def divided(dividend: float, divisor: float) -> float:
    return dividend / divisor


def test_is_another_process():
    assert apart.call(os.getpid) != os.getpid()


def test_has_the_devices_that_it_asks_for():
    assert apart.call(jax.device_count, cpu_devices=3) == 3


def test_passes_what_it_is_given_and_what_goes_wrong():
    assert apart.call(divided, 6, divisor=4) == 1.5
    with pytest.raises(ZeroDivisionError):
        apart.call(divided, 1, 0)

"""The C library's allocator: has it keep what arrays free for those of the next step, and give back what it loses.

Large arrays are otherwise fetched from the system anew at every step, a fifth of its time on CPU (configs/localize.py:
50 ms of system time a step against 4). But where it keeps memory, glibc (2.36) also loses some. A program's temporary
arrays are one block, freed at its end. To align the next such block, glibc looks for 96 bytes more than that, and does
not find them where a small object has meanwhile taken what was cut off: it goes on to new memory, until holes enough
lie side by side. That run took 740 to 1,270 MiB at its peak so, and 690 where nothing was kept.

Where threads have an arena each, as glibc has it, it keeps no block above 64 MiB: that comes from the system at every
step, whatever is set. So a large network's threads share one arena. But in that they also compile, and each array is
then sought among the holes that this leaves (14,000 above 4 KiB after classify.py's). Of one arena's, a step takes in a
run that compiles:

                      block, MiB   an arena a thread   the system's own settings
  ablation.py                  1   0.76                0.78
  distill.py's student         1   0.53                0.54
  the perceptron               3   0.94                0.93
  classify.py                  6   0.77                0.79
  fashion_mnist.py, of 32     17   0.89                1.17
  localize.py                 48   0.87                -
  detect.py                   52   0.77                -
  fashion_mnist.py            68   1.14                1.16
  the convolutional network  100   1.14                1.15
  the detector               154   1.01                -
  the transformer            239   1.18                1.17

and the whole command, caches empty, 0.78 for classify.py, 0.74 for distill.py, 0.76 for localize.py's first epoch. Runs
that find their programs in the cache have no such holes, and `beforehand` sees to it for long ones. (Real runs in a
process each, in turns of 0.25 s, Fashion-MNIST's images generated; two cores of a Zen 4 with 1 MiB of second-level
cache; jax 0.10.2; 95 % intervals reach 0.08 to a side, of the 68 MiB 0.2.)
"""

import contextlib
import ctypes
import os
import pathlib

# No block of its own for a large array; never give back the top. See mallopt(3).
KEPT = ((-4, 0), (-1, -1))
ONE_ARENA = ((-8, 1), (-2, 2**28))  # And it takes 256 MiB at a time.
STATM = pathlib.Path('/proc/self/statm')
GROWN = 1.1  # Times what was in use: then something is given back,
SHARE, SPARE = 0.01, 0.5  # as long as all of that has taken less than this share of the cores' time, and these seconds.


class Keeper:
    """Gives freed memory back to the system where the process has grown since it last did."""

    def __init__(self):
        self._started = _core_seconds()[1]
        self._since = self._spent = 0.0  # When it last gave back, by the system's share; what all of it has taken.
        self._used: int | None = 0  # Bytes after giving back, and a call; None until that call.

    def tidy(self) -> None:
        """To be called between two calls of compiled programs."""
        size = resident()
        if size is None:
            return
        system, busy = _core_seconds()
        if self._used is None:  # What of it is used has been fetched anew, which takes longer than giving it back.
            self._used, self._spent = size, self._spent + system - self._since
        if size > GROWN * self._used and self._spent < SPARE + SHARE * (busy - self._started):
            give_back()
            self._used, self._since = None, system


_keeper: Keeper | None = None
_shared = False


def keep(small: bool = False) -> None:
    """Has the C library keep freed memory, where it is glibc and the user has not set it up already.

    To be called before there are other threads: one that has an arena stays with it.

    Args:
      small: whether every array, and all temporary ones of a step on a device together, will be below 64 MiB.
    """
    global _keeper, _shared
    if os.environ.get('JAXVISION_ALLOCATOR') == 'system' or any(name.startswith('MALLOC_') for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError):  # Not on Linux, or another C library.
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in KEPT if small else KEPT + ONE_ARENA:
            mallopt(parameter, value)
        _keeper, _shared = Keeper(), not small


def shared() -> bool:
    """Whether this process keeps its memory in one arena, so that compiling leaves holes among its arrays."""
    return _shared


def tidy() -> None:
    """Gives back what lies idle of the memory that this process keeps, if it keeps any and has grown by much."""
    if _keeper is not None:
        _keeper.tidy()


def resident() -> int | None:
    """Bytes of this process that lie in memory, or None where the system does not tell."""
    try:
        pages = int(STATM.read_text().split()[1])
    except OSError:
        return None
    import resource  # Not on Windows.

    return pages * resource.getpagesize()


def _core_seconds() -> tuple[float, float]:
    """Of this process, all cores counting: in the system, and in all. It does not go on while the process waits."""
    used = os.times()
    return used.system, used.system + used.user


def give_back() -> None:
    """Returns all freed memory to the system."""
    with contextlib.suppress(AttributeError, OSError):  # Another C library.
        ctypes.CDLL(None).malloc_trim(0)

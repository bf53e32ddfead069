"""The C library's allocator: has it keep what arrays free for those of the next step, and give back what it loses.

Large arrays are otherwise fetched from the system anew at every step, a fifth of its time on CPU (configs/localize.py:
50 ms of system time a step against 4). But where it keeps memory, glibc (2.36) also loses some. A program's temporary
arrays are one block, freed at its end. To align the next such block, glibc looks for 96 bytes more than that, and does
not find them where a small object has meanwhile taken what was cut off: it goes on to new memory, until holes enough
lie side by side. That run took 740 to 1,270 MiB at its peak so, and 690 where nothing was kept.

And one arena has its price: both cores compile in it, and every array is then sought among the holes that this left.
Where arrays are small that is more than the fetching was. In their first runs, which compile, of two cores:

                       the system's own   one arena   an arena a thread
  classify.py, a step       0.74, and 0.80           1   0.79
  a perceptron's                   0.92           1   0.92
  the convolutional network's      1.10           1   1.12
  the transformer's                1.18           1   -
  compiling classify.py            0.82           1   0.83

(Models of benchmarks/cases.py; jax 0.10.2; 95 % intervals of the steps reach 0.06 to a side, of the transformer's 1.06
to 1.22.) With an arena a thread each keeps what its threads free: after four other models 1.7 GiB lay in memory in a
process, against 0.5.
"""

import contextlib
import ctypes
import os
import pathlib

# One arena; no block of its own for a large array; never give back the top; take 256 MiB at a time. See mallopt(3).
MALLOPT = ((-8, 1), (-4, 0), (-1, -1), (-2, 2**28))
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


def keep() -> None:
    """Has the C library keep freed memory, where it is glibc and the user has not set it up already."""
    global _keeper
    if os.environ.get('JAXVISION_ALLOCATOR') == 'system' or any(name.startswith('MALLOC_') for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError):  # Not on Linux, or another C library.
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in MALLOPT:
            mallopt(parameter, value)
        _keeper = Keeper()


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

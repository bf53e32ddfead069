"""The memory that a process keeps, and what of it it gives back."""

import mmap
import subprocess
import sys

import numpy as np
import pytest

from jaxvision.training import allocator

MIB = 2**20


class Machine:
    """A process whose size is said, and clocks that are set: giving back takes a tenth of a second, fetching it two."""

    def __init__(self, monkeypatch):
        self.size, self.after, self.given, self.system, self.busy = 0, 0, 0, 0.0, 0.0
        monkeypatch.setattr(allocator, 'resident', lambda: self.size)
        monkeypatch.setattr(allocator, 'give_back', self.give_back)
        monkeypatch.setattr(allocator, '_core_seconds', lambda: (self.system, self.busy))

    def give_back(self):
        self.size, self.given = self.after, self.given + 1
        self.work(0.1, of_system=0.1)

    def work(self, seconds: float, of_system: float = 0.0):
        self.system, self.busy = self.system + of_system, self.busy + seconds


@pytest.fixture
def process(monkeypatch):
    return Machine(monkeypatch)


def test_gives_back_what_was_there_before_the_first_step(process):
    process.size, process.after = 1000, 400
    allocator.Keeper().tidy()
    assert process.given == 1


def test_gives_back_only_what_it_has_grown_by_since(process):
    keeper = allocator.Keeper()
    process.size, process.after = 1000, 400
    keeper.tidy()
    for process.size in (600, 610, 650, 660):  # The step after it takes its 600 again.
        keeper.tidy()
    assert process.given == 1
    process.size = 661
    keeper.tidy()
    assert process.given == 2


def test_a_larger_program_is_let_be(process):
    keeper = allocator.Keeper()
    for process.size in (600, 600, 900, 900, 900, 700, 900):  # The first of 900 is not known to be in use yet.
        keeper.tidy()
        process.after = process.size
    assert process.given == 2


def test_gives_back_for_a_small_share_of_the_time_that_the_cores_are_busy(process):
    keeper, given = allocator.Keeper(), 0
    for _ in range(10_000):
        fetched = process.given - given
        process.size = 1 if fetched else 2  # Half of it seems to lie idle at every call but those after giving back.
        process.work(0.1 + 0.2 * fetched, of_system=0.2 * fetched)
        given = process.given
        keeper.tidy()
    most = allocator.SPARE + allocator.SHARE * process.busy
    assert most - 1 < 0.3 * process.given <= most + 0.3
    assert process.given > 20


@pytest.mark.skipif(allocator.resident() is None, reason='this system does not tell what a process has')
def test_resident_counts_what_was_written():
    before = allocator.resident()
    with mmap.mmap(-1, 64 * MIB) as block:  # Of the system itself: an array may get what this process had kept.
        np.frombuffer(block, np.uint8).fill(1)
        assert allocator.resident() - before >= 60 * MIB


def test_nothing_is_given_back_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(allocator, 'STATM', tmp_path / 'statm')
    monkeypatch.setattr(allocator, 'give_back', lambda: pytest.fail('gave back'))
    assert allocator.resident() is None
    allocator.Keeper().tidy()


KEPT = """
import numpy as np
from jaxvision.training import allocator
allocator.keep()
blocks = [np.ones(64 * 2**20, np.uint8) for _ in range(4)]
last = np.ones(4096, np.uint8)
sizes = [allocator.resident()]
del blocks
sizes.append(allocator.resident())
allocator.tidy()
print(*sizes, allocator.resident())
"""


def sizes(monkeypatch, **variables) -> list[int]:
    """MiB of a process of its own: with 256 that are then freed, after that, and after tidying."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = subprocess.run([sys.executable, '-c', KEPT], capture_output=True, text=True, check=True).stdout
    return [int(size) // MIB for size in found.split()]


@pytest.mark.skipif(sys.platform != 'linux', reason='only the allocator of glibc, on Linux, is told to keep memory')
def test_freed_memory_is_kept_until_it_is_given_back(monkeypatch):
    held, freed, tidied = sizes(monkeypatch)
    assert held - freed < 20 and held - tidied > 240


@pytest.mark.skipif(sys.platform != 'linux', reason='only the allocator of glibc, on Linux, is told to keep memory')
@pytest.mark.parametrize(('name', 'value'), [('JAXVISION_ALLOCATOR', 'system'), ('MALLOC_ARENA_MAX', '4')])
def test_the_users_own_choice_stands(monkeypatch, name, value):
    held, freed, tidied = sizes(monkeypatch, **{name: value})
    assert held - freed > 240 and abs(freed - tidied) < 10


ARENAS = """
import ctypes, sys, threading
from jaxvision.training import allocator
allocator.keep(sys.argv[1] == 'small')
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
threads = [threading.Thread(target=libc.malloc, args=(2**20,)) for _ in range(3)]
for thread in threads:
    thread.start()
    thread.join()
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b'w')))
libc.fflush(None)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='only the allocator of glibc, on Linux, has arenas')
@pytest.mark.parametrize(('arrays', 'shared'), [('small', False), ('large', True)])
def test_threads_share_one_arena_but_where_arrays_are_small(arrays, shared):
    command = [sys.executable, '-c', ARENAS, arrays]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (found.count('<heap nr=') == 1) == shared

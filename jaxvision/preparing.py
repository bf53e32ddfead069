"""A set of our own that is not there yet is prepared in another process, from the moment that the settings are known.

Most of the first second passes in this one with importing JAX.
"""

import contextlib
import subprocess
from collections.abc import Iterator

from jaxvision import interpreters
from jaxvision.data import prepared
from jaxvision.settings import Data

_begun: dict[tuple[str, ...], subprocess.Popen[str]] = {}


def begin(data: Data) -> None:
    """Begins it, where there is something to prepare. Whoever loads the set goes `beside` it before."""
    if _key(data) not in _begun and prepared.unprepared(data.name, data.data_dir):
        with contextlib.suppress(OSError):
            _begun[_key(data)] = interpreters.start('jaxvision.data.prepared', *_key(data))


@contextlib.contextmanager
def beside(data: Data) -> Iterator[bool]:
    """Within, the set is being prepared if this gives True; after it, it is, or whoever loads it is told why not.

    An error ends the other process.
    """
    begin(data)
    process = _begun.pop(_key(data), None)
    if process is None:
        yield False
        return
    with interpreters.waited_for(process):
        yield True


def _key(data: Data) -> tuple[str, ...]:
    return data.name, data.data_dir, str(data.image_size)

"""Being asked to stop, while there is something to save first."""

import contextlib
import os
import signal
from typing import Any


class Signals:
    """Notes SIGTERM and SIGINT while it is entered; asked a second time, it does what was done before it."""

    def __init__(self):
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):  # Not in the main thread: then there is nothing to install.
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *unused):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        before = self._before.get(number)
        if self.received is not None:
            if callable(before):
                before(number, frame)
            else:  # What the system does by itself.
                signal.signal(number, before)
                os.kill(os.getpid(), number)
        self.received = number

"""Being asked to stop: once, it is noted; twice, what was there before is done."""

import os
import signal
import subprocess
import sys

from jaxvision.training.signals import Signals

TWICE = """
import os, signal
from jaxvision.training.signals import Signals
with Signals() as signals:
    os.kill(os.getpid(), signal.SIGTERM)
    print(signals.received == signal.SIGTERM, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
print('still there')
"""


def test_first_signal_is_noted():
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM


def test_second_signal_does_what_it_did_before():
    done = subprocess.run([sys.executable, '-c', TWICE], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ('True\n', -signal.SIGTERM)

"""A process that runs one trial after the other: JAX is imported once, and a step compiled once, for all of them.

python -m jaxvision.sweeps.engines.worker CORE SMALL: a line goes out when it is ready; then a trial's JSON comes in as
a line, and a line goes out when that has ended. SMALL is True where all trials' `Settings.small` is, else False.
"""

import os
import queue
import sys
import threading


def main() -> None:
    core = int(sys.argv[1])
    if core >= 0 and hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {core})  # Before JAX counts the cores.
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # Whatever a library prints is not an answer.
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()

    from jaxvision.errors import Stopped
    from jaxvision.sweeps import trials
    from jaxvision.training import setup

    setup.process(small=sys.argv[2] == str(True))
    print('ready', file=answers, flush=True)
    while True:
        trial = trials.Trial.from_json(lines.get())
        try:
            trials.perform(trial)
        except Stopped:
            os._exit(0)
        print('ended', file=answers, flush=True)


def _listen(lines: queue.Queue[str]) -> None:
    """Hands the trials over; where nobody is left to ask for more, the process ends, whatever it is doing."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == '__main__':
    main()

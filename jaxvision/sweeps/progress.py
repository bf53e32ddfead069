"""Telling how a sweep goes: a bar where somebody watches, else a line from time to time."""

import sys
import time

import tqdm

from jaxvision.sweeps.trials import Trial

QUIET = 10.0  # Seconds between two lines.


class Progress:
    """Reports the trials of a sweep as they end.

    Args:
      total: number of trials.
      waiting: those that are not done yet.
      stream: where to write; stdout if None.
    """

    def __init__(self, total: int, waiting: int, stream=None):
        self._stream = stream or sys.stdout
        self._total, self._waiting, self._ended, self._failed = total, waiting, 0, 0
        self._started = self._told = time.monotonic()
        self._bar = None
        if self._stream.isatty():
            self._bar = tqdm.tqdm(
                total=total, initial=total - waiting, desc='sweep', unit='trial', file=self._stream, dynamic_ncols=True
            )
        elif waiting < total:
            print(f'sweep: {total - waiting} of {total} trials are done already', file=self._stream, flush=True)

    def ended(self, trial: Trial) -> None:
        """Called after each trial."""
        self._ended += 1
        failed = not trial.workdir.complete
        self._failed += failed
        if self._bar is not None:
            self._bar.set_postfix({'last': trial.label, 'failed': self._failed}, refresh=False)
            self._bar.update()
            return
        now = time.monotonic()
        if failed or now - self._told >= QUIET or self._ended == self._waiting:
            self._told = now
            print(self._line(trial, failed, now - self._started), file=self._stream, flush=True)

    def _line(self, trial: Trial, failed: bool, seconds: float) -> str:
        done = self._total - self._waiting + self._ended
        left = seconds / self._ended * (self._waiting - self._ended)
        troubled = f', {self._failed} failed' if self._failed else ''
        how = f'; {trial.label} failed: {trial.workdir.read("error.json")["error"]}' if failed else ''
        return f'sweep: {done}/{self._total} trials{troubled}, {_clock(seconds)}, ETA {_clock(left)}{how}'

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'

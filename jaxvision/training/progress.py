"""Telling how a run goes: a bar where somebody watches, plain lines where the output goes to a file."""

import sys
from typing import Any

import tqdm

from jaxvision.training.clock import told_rate


class Progress:
    """Reports one run of training.

    Args:
      label: what is trained.
      steps: of the whole run.
      start: the step that it starts from.
      stream: where to write; a bar if it is a terminal, else a line an evaluation.
      headline: the metric, a share, that is told.
    """

    def __init__(self, label: str, steps: int, start: int, stream=None, headline: str = 'accuracy'):
        self._stream = stream or sys.stdout
        self._label, self._steps, self._shown = label, steps, start
        self._headline = headline
        self._bar = None
        self._scores: dict[str, str] = {}
        if self._stream.isatty():
            self._bar = tqdm.tqdm(
                total=steps, initial=start, desc=label, unit='step', file=self._stream, dynamic_ncols=True, leave=True
            )

    def advance(self, step: int, loss: float, examples_per_second: float) -> None:
        """Called every few steps."""
        if self._bar is not None:
            self._scores |= {'loss': f'{loss:.4f}', 'images/s': told_rate(examples_per_second)}
            self._bar.set_postfix(self._scores, refresh=False)
            self._bar.update(step - self._shown)
        self._shown = step

    def evaluated(self, record: dict[str, Any], seconds_left: float) -> None:
        """Called after each evaluation, with its line of metrics.jsonl."""
        if self._bar is not None:
            self._scores['validation'] = f'{record[f"validation_{self._headline}"]:.1%}'
            self._bar.set_postfix(self._scores)
            return
        metric = '' if self._headline == 'accuracy' else f'{self._headline}: '
        print(
            f'{self._label}: step {record["step"]}/{self._steps}, loss {record["loss"]:.4f}, '
            f'{metric}clean train {record[f"train_{self._headline}"]:.1%}, '
            f'validation {record[f"validation_{self._headline}"]:.1%}, '
            f'{told_rate(record["examples_per_second"])} images/s, ETA {seconds_left:.0f} s',
            file=self._stream,
            flush=True,
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

"""Turns: a real run's training, stopped after every few steps for somebody else to have the machine."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax

from jaxvision import assembly
from jaxvision.training.programs import Programs


class Turns:
    """Cuts a training into turns and measures them; the first, which compiles, only waits for its end.

    Attributes:
      milliseconds: of a step, turn by turn, once they are over.

    Args:
      steps: a turn.
      count: of turns; what is trained after them is not measured.
      others: called before each turn.
    """

    def __init__(self, steps: int, count: int, others: Callable[[], Any]):
        self._length, self._count, self._others = steps, count, others
        self.milliseconds: list[float] = []
        self._started: float | None = None
        self._steps, self._given = 0, None

    def before(self) -> None:
        """Before a call."""
        if self._steps < self._length or len(self.milliseconds) == self._count:
            return
        jax.block_until_ready(self._given)
        if self._started is not None:
            self.milliseconds.append(1e3 * (time.perf_counter() - self._started) / self._steps)
            if len(self.milliseconds) == self._count:
                return
        self._others()
        self._steps, self._started = 0, time.perf_counter()

    def after(self, steps: int, given: Any) -> None:
        """After a call of so many steps, which gives `given`."""
        self._steps, self._given = self._steps + steps, given


@dataclasses.dataclass(frozen=True)
class InTurns(assembly.Run):
    """A run whose training steps are taken in turns."""

    turns: Turns

    @classmethod
    def of(cls, run: assembly.Run, turns: Turns) -> 'InTurns':
        return cls(**{field.name: getattr(run, field.name) for field in dataclasses.fields(run)}, turns=turns)

    @property
    def programs(self) -> Programs:
        return _Watched(super().programs, self.turns)


class _Watched(Programs):
    """A run's own programs, of which those that train tell the turns."""

    def __init__(self, programs: Programs, turns: Turns):
        self.__dict__.update(programs.__dict__)
        self._turns = turns

    def train(self, steps: int) -> Callable:
        program = super().train(steps)

        def call(*args):
            self._turns.before()
            given = program(*args)
            self._turns.after(steps, given[1])
            return given

        return call

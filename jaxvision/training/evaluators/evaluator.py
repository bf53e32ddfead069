"""The contract between what a task puts out and what is reported of it."""

from typing import Any, ClassVar, Protocol

import numpy as np

from jaxvision.data.splits import Splits

FIRST, WORST = 18, 24  # Test images that are kept for the report: as they come, and those with the most wrong.


def shown(badness: np.ndarray) -> np.ndarray:
    """Which images are kept for the report, int [k]: the first ones, and the worst of those that are bad at all.

    Args:
      badness: float or int [n]; 0 where nothing is wrong.
    """
    worst = np.argsort(-badness, kind='stable')[:WORST]
    return np.union1d(np.arange(min(FIRST, len(badness))), worst[badness[worst] > 0])


class Evaluator(Protocol):
    """Knows the truth of a dataset. `outputs` are what `evaluation.collect` returns for `ids`, int [n]."""

    headline: ClassVar[str]  # The watched metric that is told first: a share, of which more is better.
    note: ClassVar[str]  # One line under the closing table: what its columns are.

    def watch(self, outputs: Any, ids: np.ndarray) -> dict[str, float]:
        """What is looked at during training, quickly."""
        ...

    def rank(self, watched: dict[str, float]) -> tuple[float, ...]:
        """What "best on validation" means: the best step has the largest."""
        ...

    def summarize(self, outputs: Any, ids: np.ndarray) -> dict[str, Any]:
        """A split in result.json: {'n', 'loss', 'error' and others: {'value', 'ci95': [low, high]}}.

        Of a detector, only error, mAP, mAP50 and mAP75 have an interval.
        """
        ...

    def conclude(self, outputs: dict[str, Any], splits: Splits) -> dict[str, Any]:
        """What result.json holds besides splits, gap and verdict; outputs of all splits."""
        ...

    def records(self, outputs: dict[str, Any], splits: Splits) -> dict[str, np.ndarray]:
        """The arrays that the report draws from."""
        ...

    def examine(self, outputs: Any, ids: np.ndarray, temperature: float) -> dict[str, Any]:
        """A split looked at closely, for launch/evaluate.py: its 'metrics' and whatever else is worth knowing.

        Raises:
          UserError: the temperature is not 1, and the task has no softmax to put it in.
        """
        ...

    @staticmethod
    def tell(found: dict[str, Any]) -> list[str]:
        """That in words."""
        ...

    @staticmethod
    def columns(result: dict[str, Any]) -> dict[str, str]:
        """A row of the closing table: head -> cell."""
        ...

"""What several runs say together: means and paired differences, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def mean(values: Sequence[float]) -> dict[str, Any]:
    """The mean of independent runs, with Student's 95% interval.

    Returns:
      {'n', 'mean', 'median', 'std', 'ci95': [low, high], or None for one run, which tells nothing of its spread}.
    """
    from scipy import stats

    array = np.asarray(values, np.float64)
    n, middle = len(array), float(array.mean())
    spread, interval = 0.0, None
    if n > 1:
        spread = float(array.std(ddof=1))
        half = float(stats.t.ppf(0.975, n - 1)) * spread / n**0.5
        interval = [middle - half, middle + half]
    return {'n': n, 'mean': middle, 'median': float(np.median(array)), 'std': spread, 'ci95': interval}


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> dict[str, Any]:
    """The mean of values - baseline over pairs, with Student's 95% interval of the differences.

    A bootstrap would be too short here: simulated on normal data, BCa covers 91 % at n = 12 and 84 % at n = 5.

    Args:
      values, baseline: of the same seeds, in the same order.

    Returns:
      What `mean` returns for the differences, and 'better': how many pairs have values above baseline.
    """
    difference = np.asarray(values, np.float64) - np.asarray(baseline, np.float64)
    return {**mean(difference.tolist()), 'better': int(np.sum(difference > 0))}

"""What several runs say together: means and paired differences, with intervals."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxvision import rng


def mean(values: Sequence[float]) -> dict[str, Any]:
    """The mean of independent runs, with Student's 95% interval.

    Returns:
      {'n', 'mean', 'median', 'std', 'ci95': [low, high]}; the interval is NaN-free only from two values on, and is the
      mean itself where all values are equal.
    """
    from scipy import stats

    array = np.asarray(values, np.float64)
    n, middle = len(array), float(array.mean())
    spread = float(array.std(ddof=1)) if n > 1 else 0.0
    half = float(stats.t.ppf(0.975, n - 1)) * spread / n**0.5 if n > 1 else 0.0
    return {
        'n': n,
        'mean': middle,
        'median': float(np.median(array)),
        'std': spread,
        'ci95': [middle - half, middle + half],
    }


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> dict[str, Any]:
    """The mean of values - baseline over pairs, with a BCa bootstrap 95% interval.

    Source: Efron, Better Bootstrap Confidence Intervals, 1987.

    Args:
      values, baseline: of the same seeds, in the same order; at least two pairs.

    Returns:
      {'n', 'mean', 'ci95': [low, high], 'better': how many pairs have values above baseline}.
    """
    from scipy import stats

    difference = np.asarray(values, np.float64) - np.asarray(baseline, np.float64)
    middle = float(difference.mean())
    if np.ptp(difference) == 0:  # All alike: no resample differs, and BCa is not defined.
        interval = [middle, middle]
    else:
        draw = rng.generator(0, 'bootstrap', len(difference))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', stats.DegenerateDataWarning)
            found = stats.bootstrap((difference,), np.mean, n_resamples=9999, method='BCa', rng=draw)
        interval = [float(found.confidence_interval.low), float(found.confidence_interval.high)]
    return {'n': len(difference), 'mean': middle, 'ci95': interval, 'better': int(np.sum(difference > 0))}

"""Confidence intervals in closed form."""

import math
from collections.abc import Sequence

import numpy as np

Z95 = 1.959963984540054  # The 97.5 % quantile of the standard normal distribution.


def wilson(hits, n, z: float = Z95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a share, 95 % by default; of nothing, [0, 1].

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.

    Args:
      hits, n: numbers or arrays of one shape: how many of how many.

    Returns:
      (low, high), each of that shape.
    """
    hits, n = np.asarray(hits, np.float64), np.asarray(n, np.float64)
    middle = (hits + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(hits * (n - hits) / np.maximum(n, 1) + z**2 / 4)
    # The share itself always lies within, also where rounding says otherwise.
    low, high = np.where(hits == 0, 0.0, middle - half), np.where(hits == n, 1.0, middle + half)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)


def median(values: Sequence[float]) -> list[float]:
    """[low, high]: the 95 % interval of the median of independent values, whatever their distribution.

    How many of n values lie below the median is binomial (n, 1/2): so two of the values are its ends, as far from
    either extreme. Of fewer than six the extremes themselves, which is 50 % of two values and 94 % of five.

    Source: Thompson, On Confidence Ranges for the Median and Other Expectation Distributions, 1936.

    Args:
      values: at least one.
    """
    n, ordered = len(values), sorted(values)
    end, ways = 0, 1 + n  # Of 2 ** n, to have at most end + 1 values below the median.
    while 40 * ways <= 2**n:
        end += 1
        ways += math.comb(n, end + 1)
    return [float(ordered[end]), float(ordered[n - 1 - end])]

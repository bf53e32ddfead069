"""Confidence intervals in closed form."""

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

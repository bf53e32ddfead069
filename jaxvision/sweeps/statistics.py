"""What several runs say together: means, paired differences, and how sure one may be of them.

`scipy.stats` does the work and is imported where it is wanted: it takes a second.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

LEVEL = 0.05  # What is called significant: a p-value, corrected by Holm, of at most this.
POWER = 0.8  # With how many seeds would a true difference of this size be found so often?
RESAMPLES = 9999
FLIPS = 99_999  # Patterns of signs that are drawn where not all are tried: p is then 2e-5 at least.
EXACT = 17  # Up to so many pairs every pattern of signs is tried.
FEWEST = 8  # Below so many pairs a bootstrap knows too little of the tails.
MOST_SEEDS = 10_000


def mean(values: Sequence[float]) -> dict[str, Any]:
    """The mean of independent runs, with Student's 95% interval.

    Returns:
      {'n', 'mean', 'median', 'std', 'ci95': [low, high], or None for one run, which tells nothing of its spread}.
    """
    array = np.asarray(values, np.float64)
    return _described(array, student_interval(array, 1 / len(array)) if len(array) > 1 else None)


def over_folds(values: Sequence[float], test_to_train: float) -> dict[str, Any]:
    """The mean over the folds of a cross-validation, with the corrected 95% interval.

    Folds share training data, so their results are correlated and their spread understates the variance of the mean:
    1 / k becomes 1 / k + n_test / n_train. Source: Nadeau and Bengio, Inference for the Generalization Error, 2003.

    Args:
      values: one a fold, at least two.
      test_to_train: n_test / n_train.

    Returns:
      What `mean` returns.
    """
    array = np.asarray(values, np.float64)
    return _described(array, student_interval(array, 1 / len(array) + test_to_train) if len(array) > 1 else None)


def _described(array: np.ndarray, interval: list[float] | None) -> dict[str, Any]:
    return {
        'n': len(array),
        'mean': float(array.mean()),
        'median': float(np.median(array)),
        'std': float(array.std(ddof=1)) if len(array) > 1 else 0.0,
        'ci95': interval,
    }


def student_interval(values: np.ndarray, factor: float) -> list[float]:
    """mean +- t * sqrt(factor * variance), with n - 1 degrees of freedom; factor 1 / n for independent values [n]."""
    from scipy import stats

    half = float(stats.t.ppf(0.975, len(values) - 1) * np.sqrt(factor * values.var(ddof=1)))
    return [float(values.mean()) - half, float(values.mean()) + half]


def bootstrap_interval(values: np.ndarray) -> tuple[Any, Any]:
    """(low, high): the BCa bootstrap 95% interval of the mean over the last axis of independent values [..., n].

    A bootstrap of a small sample is too short, since its spread is too small by sqrt((n - 1) / n) and its tails are the
    normal's where Student's are wanted: on normal data BCa covers 91 % at n = 12. So its level is raised until a normal
    interval of that level would be as long as Student's, to 97.9 % at n = 12. Simulated: tests/sweeps.
    Sources: Efron, Better Bootstrap Confidence Intervals, 1987; the level: Hesterberg, What Teachers Should Know About
    the Bootstrap, 2015, section 3.3.
    """
    from scipy import stats

    level = expanded_level(values.shape[-1])
    found = stats.bootstrap((values,), np.mean, n_resamples=RESAMPLES, confidence_level=level, rng=_draws(), axis=-1)
    return found.confidence_interval.low, found.confidence_interval.high


def expanded_level(n: int) -> float:
    """The level at which a bootstrap of n values covers about 95 %; see `bootstrap_interval`."""
    from scipy import stats

    return 1 - 2 * float(stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)))


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p-value of the mean of paired differences [n], if each could as well have had the other sign.

    Exact up to `EXACT` pairs, its smallest value being 2 / 2**n; beyond, that of `FLIPS` draws.
    """
    from scipy import stats

    n = len(differences)
    if n < 2 or not differences.any():
        return 1.0
    found = stats.permutation_test(
        (differences,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type='samples',
        vectorized=True,
        n_resamples=2**EXACT if n <= EXACT else FLIPS,
        rng=_draws(),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for there being several, in the same order.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    array = np.asarray(p_values, np.float64)
    order = np.argsort(array, kind='stable')
    stepped = np.maximum.accumulate(array[order] * np.arange(len(array), 0, -1))
    corrected = np.empty_like(array)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected.tolist()


def probability_of_improvement(values: Sequence[float], baseline: Sequence[float]) -> float:
    """P(A > B): how often a run of A, under any seed, beats one of B, under any seed; a tie counts half.

    Source: Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021.
    """
    from scipy import stats

    return float(stats.mannwhitneyu(values, baseline).statistic) / (len(values) * len(baseline))


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> dict[str, Any]:
    """values - baseline over pairs of runs that share their seed.

    Args:
      values, baseline: of the same seeds, in the same order; at least one.

    Returns:
      What `mean` returns for the differences, but for the interval: `bootstrap_interval`, or Student's below `FEWEST`
      pairs ('interval' says which); and 'p': of `sign_flip`, 'p_improvement', 'better': how many pairs have values
      above baseline.
    """
    difference = _differences(values, baseline)
    found = mean(difference.tolist())
    name = "Student's"
    if len(difference) >= FEWEST:
        # Of differences that are all alike there is nothing to resample.
        low, high = bootstrap_interval(difference) if np.ptp(difference) else difference[:2]
        found['ci95'], name = [float(low), float(high)], 'BCa'
    return {**found, 'interval': name, 'p': sign_flip(difference), **_sides(values, baseline, difference)}


def difference_over_folds(values: Sequence[float], baseline: Sequence[float], test_to_train: float) -> dict[str, Any]:
    """values - baseline over the same folds: as `paired_difference`, but corrected as `over_folds` says.

    Folds are no independent draws, so signs cannot be flipped: p is of the corrected resampled t-test. Of differences
    that are all alike, which shares of few images may well be, that test knows no spread: p is then the least that so
    many signs can give, 2 / 2**k.
    """
    from scipy import stats

    difference = _differences(values, baseline)
    found, k = over_folds(difference.tolist(), test_to_train), len(difference)
    p = 1.0
    if k > 1 and found['mean'] != 0:
        error = np.sqrt((1 / k + test_to_train) * difference.var(ddof=1))
        p = 2 * float(stats.t.sf(abs(found['mean']) / error, k - 1)) if error > 0 else 2.0 / 2**k
    return {**found, 'interval': 'Nadeau and Bengio', 'p': p, **_sides(values, baseline, difference)}


def _differences(values: Sequence[float], baseline: Sequence[float]) -> np.ndarray:
    """Rounded, so that equal differences of shares are equal: ties move a bootstrap."""
    return np.round(np.asarray(values, np.float64) - np.asarray(baseline, np.float64), 12)


def _sides(values: Sequence[float], baseline: Sequence[float], difference: np.ndarray) -> dict[str, Any]:
    return {
        'p_improvement': probability_of_improvement(values, baseline),
        'better': int(np.sum(difference > 0)),
    }


def fewest_seeds(comparisons: int) -> int:
    """The fewest seeds for which a sign-flip p-value can pass Holm's correction over so many comparisons."""
    least = 2
    while 2 / 2**least > LEVEL / comparisons:
        least += 1
    return least


def seeds_needed(average: float, spread: float, comparisons: int) -> int | None:
    """How many seeds would probably tell a difference of this size from none.

    Args:
      average: of the paired differences seen so far, taken for the true one.
      spread: their standard deviation.
      comparisons: how many p-values share Holm's correction; the least favourable place among them is assumed.

    Returns:
      The fewest for which a paired t-test of level `LEVEL` / comparisons has `POWER`, and for which a sign-flip p-value
      can be that small; None where `MOST_SEEDS` would not do.
    """
    from scipy import stats

    level, least = LEVEL / comparisons, fewest_seeds(comparisons)
    if spread == 0:
        return least if average else None

    def power(n: int) -> float:
        bound, shift = stats.t.ppf(1 - level / 2, n - 1), abs(average) / spread * np.sqrt(n)
        return float(stats.nct.sf(bound, n - 1, shift))

    if power(MOST_SEEDS) < POWER:
        return None
    low, high = least - 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def _draws() -> np.random.Generator:
    return np.random.default_rng(0)  # The same values always give the same interval.

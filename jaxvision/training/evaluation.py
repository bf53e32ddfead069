"""Evaluation: a clean pass over a split, every example once, and what follows from its logits.

The error on the training split, measured clean (no augmentation, mixing or dropout), is the empirical error; the error
on the test split estimates the real one; their difference is the generalisation gap.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxvision import metrics, rng
from jaxvision.data import order

RESAMPLES = 1000
BATCH = 128  # Examples a call and device; splits are padded to it, and the padding cut off again.


def collect(predict: Callable, variables, context, ids: np.ndarray, parallel) -> np.ndarray:
    """The outputs of a whole split.

    Args:
      predict: a mapped evaluation step.
      variables, context: replicated.
      ids: int32 [n].
      parallel: a training.parallel.Parallel.

    Returns:
      float32 [n, num_classes].
    """
    size = BATCH * len(parallel.devices)
    batches = list(order.padded_batches(ids, size))
    # All calls are under way before the first result is fetched.
    outputs = [(predict(variables, context, parallel.cut(batch)), count) for batch, count in batches]
    return np.concatenate([np.asarray(out).reshape(size, -1)[:count] for out, count in outputs])


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and NLL alone: what is looked at during training."""
    return {
        'accuracy': float(metrics.in_top_k(logits, labels).mean()),
        'nll': float(metrics.negative_log_likelihood(logits, labels).mean()),
    }


def summarize(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> dict[str, Any]:
    """The metrics of a split, each with a 95% interval.

    Shares have Wilson's interval, NLL and ECE a percentile bootstrap over examples (an ECE is biased upwards in small
    samples, and its resamples more so: take its interval as a rough one).

    Args:
      logits: float [n, num_classes].
      labels: int [n].
      temperature: of the softmax; it moves NLL and ECE only.

    Returns:
      {'n', 'loss', 'accuracy', 'error', 'top5_accuracy', 'nll', 'ece'}; all but the first two are
      {'value', 'ci95': [low, high]}. The loss is the NLL's value.
    """
    correct = metrics.in_top_k(logits, labels)
    nll = metrics.negative_log_likelihood(logits, labels, temperature)
    confidence = metrics.probabilities(logits, temperature).max(axis=1)
    accuracy = share(correct)
    low, high = accuracy['ci95']
    return {
        'n': len(labels),
        'loss': float(nll.mean()),
        'accuracy': accuracy,
        'error': {'value': 1 - accuracy['value'], 'ci95': [1 - high, 1 - low]},
        'top5_accuracy': share(metrics.in_top_k(logits, labels, 5)),
        'nll': {'value': float(nll.mean()), 'ci95': _interval(bootstrap_means(nll[:, None])[:, 0])},
        'ece': {
            'value': metrics.calibration_error(confidence, correct),
            'ci95': _interval(bootstrap_calibration_errors(confidence, correct)),
        },
    }


def share(hits: np.ndarray) -> dict[str, Any]:
    """The share of hits, bool [n], with Wilson's 95% interval."""
    return share_of(int(hits.sum()), len(hits))


def share_of(hits: int, n: int) -> dict[str, Any]:
    """hits / n with Wilson's 95% interval; of nothing, 0 within [0, 1]."""
    low, high = metrics.wilson(hits, n)
    return {'value': hits / max(n, 1), 'ci95': [float(low), float(high)]}


def gap(train: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """Test error minus clean train error, with Newcombe's hybrid score interval.

    Source: Newcombe, Interval estimation for the difference between independent proportions, 1998, method 10.

    Args:
      train, test: from `summarize`.
    """
    (a, (a_low, a_high)), (b, (b_low, b_high)) = ((s['error']['value'], s['error']['ci95']) for s in (test, train))
    value = a - b
    low = value - np.hypot(a - a_low, b_high - b)
    high = value + np.hypot(a_high - a, b - b_low)
    return {'value': value, 'ci95': [float(low), float(high)]}


def bootstrap_means(values: np.ndarray) -> np.ndarray:
    """Means of resamples with replacement: float [n, k] -> [RESAMPLES, k]; always the same draws for the same n."""
    n = len(values)
    draw = rng.generator(0, 'bootstrap', n)
    chunk = max(1, 2_000_000 // n)
    means = []
    for start in range(0, RESAMPLES, chunk):
        count = min(chunk, RESAMPLES - start)
        rows = np.repeat(np.arange(count), n) * n + draw.integers(0, n, count * n)
        weights = np.bincount(rows, minlength=count * n).reshape(count, n)
        means.append(weights @ values / n)
    return np.concatenate(means)


def bootstrap_calibration_errors(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> np.ndarray:
    """The ECE of resamples, [RESAMPLES]: an ECE is the sum over bins of |mean of (correct - confidence) in the bin|."""
    table = np.zeros((len(confidence), bins))
    table[np.arange(len(confidence)), metrics.bin_of(confidence, bins)] = correct - confidence
    return np.abs(bootstrap_means(table)).sum(axis=1)


def _interval(values: np.ndarray) -> list[float]:
    return [float(v) for v in np.percentile(values, [2.5, 97.5])]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The softmax temperature of least NLL, between 0.05 and 20. Fit it on validation, never on test.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017.

    Args:
      logits: float [n, num_classes].
      labels: int [n].
    """
    from scipy import optimize  # Half a second to import, and only wanted at the end of a run.

    def loss(log_temperature: float) -> float:
        return float(metrics.negative_log_likelihood(logits, labels, float(np.exp(log_temperature))).mean())

    found = optimize.minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method='bounded', options={'xatol': 1e-3})
    return float(np.exp(found.x))


def calibrate(validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Temperature fitted on validation, and what it does to NLL and ECE on test.

    Args:
      validation, test: (logits [n, num_classes], labels [n]).
    """
    fitted = fit_temperature(*validation)
    logits, labels = test
    correct = metrics.in_top_k(logits, labels)
    result = {'fitted': fitted}
    for name, temperature in (('before', 1.0), ('after', fitted)):
        confidence = metrics.probabilities(logits, temperature).max(axis=1)
        result[f'test_nll_{name}'] = float(metrics.negative_log_likelihood(logits, labels, temperature).mean())
        result[f'test_ece_{name}'] = metrics.calibration_error(confidence, correct)
    return result


def verdict(train: dict[str, Any], test: dict[str, Any]) -> str:
    """One sentence on under- and overfitting, with the numbers that led to it.

    The test error is the clean train error plus the gap: whichever is the larger part names the trouble. A gap whose
    interval holds zero is no evidence of overfitting, and a test error of at most 1 % of neither.
    """
    difference = gap(train, test)
    low, high = difference['ci95']
    numbers = (
        f'clean train error {_percent(train["error"])}, test error {_percent(test["error"])}, '
        f'gap {difference["value"] * 100:.1f} points (95% interval {low * 100:.1f} to {high * 100:.1f})'
    )
    if test['error']['value'] <= 0.01:
        return f'Neither underfitting nor overfitting to speak of: {numbers}.'
    if low > 0 and difference['value'] >= train['error']['value']:
        return f'Overfitting: most of the test error is gap; {numbers}.'
    if low > 0:
        return (
            f'More underfitting than overfitting: the train error is the larger part, but the gap is real; {numbers}.'
        )
    if train['error']['ci95'][0] > 0.01:
        return f'Underfitting: the test error is there on the training images already; {numbers}.'
    if high < 0:
        return f'Neither: the test examples are the easier ones here; {numbers}.'
    return f'Too few examples to tell: the interval of the gap holds zero; {numbers}.'


def _percent(value: dict[str, Any]) -> str:
    low, high = value['ci95']
    return f'{value["value"]:.1%} ({low:.1%} to {high:.1%})'

"""Accuracy: how often the right class is the first, or among the first k."""

import numpy as np


def in_top_k(logits: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Whether the label is among the k largest logits. Among equal logits the lower class comes first.

    Logits with a NaN are never a hit.

    Args:
      logits: float [n, num_classes].
      labels: int [n].
      k: at least 1; more than num_classes counts as num_classes.

    Returns:
      bool [n].
    """
    logits = np.asarray(logits)
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    lower = np.arange(logits.shape[1])[None, :] < labels[:, None]
    rank = np.sum((logits > own) | ((logits == own) & lower), axis=1)
    return (rank < k) & ~np.isnan(logits).any(axis=1)


def confusion_matrix(predictions: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts of (true class, predicted class).

    Args:
      predictions: int [n].
      labels: int [n].
      num_classes: number of classes.

    Returns:
      int [num_classes, num_classes]; rows are true classes, columns predicted ones.
    """
    flat = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def per_class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """The share of each true class that was predicted as such (recall); NaN for a class without examples.

    Args:
      confusion: int [num_classes, num_classes] from `confusion_matrix`.

    Returns:
      float [num_classes].
    """
    totals = confusion.sum(axis=1)
    return np.where(totals > 0, np.diag(confusion) / np.maximum(totals, 1), np.nan)

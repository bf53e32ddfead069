"""Calibration: whether the probability that the softmax states is the share of times that it is right."""

from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
    """One entry a bin of confidence, all [bins]: examples, mean confidence, accuracy (0 where a bin is empty)."""

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def log_probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """log softmax(logits / temperature), float64 [n, num_classes]."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """softmax(logits / temperature), float64 [n, num_classes]."""
    return np.exp(log_probabilities(logits, temperature))


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """-log of the probability given to the label, in nats, float64 [n]."""
    return -np.take_along_axis(log_probabilities(logits, temperature), labels[:, None], axis=1)[:, 0]


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The bin, int [n], of each confidence: bins are (0, 1/bins], (1/bins, 2/bins], ... as usual for the ECE."""
    # By the edges themselves: ceil(confidence * bins) is off by one where a product is rounded up.
    return np.searchsorted(np.arange(1, bins) / bins, confidence, side='left')


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> Reliability:
    """Mean confidence and accuracy in bins of equal width of confidence.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017.

    Args:
      confidence: float [n], the largest probability of each example.
      correct: bool [n].
      bins: number of bins.
    """
    index = bin_of(confidence, bins)
    counts = np.bincount(index, minlength=bins)
    total = np.maximum(counts, 1)
    return Reliability(
        counts,
        np.bincount(index, weights=confidence, minlength=bins) / total,
        np.bincount(index, weights=correct.astype(np.float64), minlength=bins) / total,
    )


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (ECE): the mean over examples of |accuracy - confidence| of their bin, in [0, 1].

    Source: Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.
    """
    table = reliability(confidence, correct, bins)
    return float(np.sum(table.counts * np.abs(table.accuracy - table.confidence)) / max(len(confidence), 1))

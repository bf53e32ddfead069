"""Accuracies against scikit-learn, and against counting by hand where it does not answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import accuracy_score, recall_score, top_k_accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from jaxvision import metrics

FIXED = settings(max_examples=100, deadline=None, derandomize=True)
EXAMPLES, CLASSES = 40, 6

LABELS = hnp.arrays(np.int32, (8,), elements=st.integers(0, 3))
# Whole numbers, so that most rows hold ties.
TIED = hnp.arrays(np.float32, (8, 4), elements=st.integers(-2, 2).map(float))


@pytest.fixture
def outputs():
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(EXAMPLES, CLASSES)).astype(np.float32)
    return logits, draw.integers(0, CLASSES, EXAMPLES).astype(np.int32)


def test_first_choice_is_the_accuracy_of_scikit_learn(outputs):
    logits, labels = outputs
    hits = metrics.in_top_k(logits, labels)
    assert hits.dtype == bool and hits.shape == labels.shape
    np.testing.assert_array_equal(hits, logits.argmax(axis=1) == labels)
    assert hits.mean() == accuracy_score(labels, logits.argmax(axis=1))


@pytest.mark.parametrize('k', range(1, CLASSES))
def test_top_k_is_that_of_scikit_learn(outputs, k):
    logits, labels = outputs
    expected = top_k_accuracy_score(labels, logits, k=k, labels=range(CLASSES))
    assert metrics.in_top_k(logits, labels, k).mean() == expected


def test_more_than_the_classes_is_all_of_them(outputs):
    for k in (CLASSES, CLASSES + 1, 100):
        assert metrics.in_top_k(*outputs, k).all()


@given(TIED, LABELS, st.integers(1, 6))
@FIXED
def test_among_ties_the_lower_class_comes_first(logits, labels, k):
    ranking = np.argsort(-logits, axis=1, kind='stable')
    expected = [label in row[:k] for row, label in zip(ranking, labels, strict=True)]
    np.testing.assert_array_equal(metrics.in_top_k(logits, labels, k), expected)


@given(TIED, LABELS)
@FIXED
def test_one_and_only_one_class_is_the_first(logits, labels):
    hits = [metrics.in_top_k(logits, np.full_like(labels, label)) for label in range(4)]
    np.testing.assert_array_equal(np.sum(hits, axis=0), 1)


def test_temperature_does_not_move_the_ranking(outputs):
    logits, labels = outputs
    for k in (1, 3):
        np.testing.assert_array_equal(
            metrics.in_top_k(metrics.log_probabilities(logits, 7.0), labels, k), metrics.in_top_k(logits, labels, k)
        )


@given(LABELS, LABELS)
@FIXED
def test_confusion_matrix_is_that_of_scikit_learn(predictions, labels):
    got = metrics.confusion_matrix(predictions, labels, 4)
    np.testing.assert_array_equal(got, sklearn_confusion_matrix(labels, predictions, labels=range(4)))


def test_rows_are_true_classes():
    got = metrics.confusion_matrix(np.array([1, 1, 2]), np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(got, [[0, 2, 0], [0, 0, 0], [0, 0, 1]])


def test_per_class_accuracy_is_the_recall_of_scikit_learn(outputs):
    logits, labels = outputs
    predictions = logits.argmax(axis=1)
    assert len(np.unique(labels)) == CLASSES
    got = metrics.per_class_accuracy(metrics.confusion_matrix(predictions, labels, CLASSES))
    np.testing.assert_allclose(got, recall_score(labels, predictions, average=None), rtol=1e-15)


def test_class_without_examples_has_no_accuracy():
    # Class 1 is predicted but never true, class 3 neither.
    got = metrics.per_class_accuracy(metrics.confusion_matrix(np.array([0, 1, 2]), np.array([0, 0, 2]), 4))
    np.testing.assert_array_equal(got, [0.5, np.nan, 1.0, np.nan])


def test_nan_logits_are_never_a_hit():
    logits = np.array([[np.nan, np.nan], [np.nan, 1.0], [0.0, 1.0]])
    np.testing.assert_array_equal(metrics.in_top_k(logits, np.array([0, 1, 1])), [False, False, True])

"""Localisation by hand and against a loop over the examples."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision import metrics

FIXED = settings(max_examples=100, deadline=None, derandomize=True)


def slow_iou(a, b):
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if min(height, width, a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1]) <= 0:
        return 0.0
    return height * width / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - height * width)


def test_by_hand():
    whole, half, flat = [0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0, 1, 0]
    scores = metrics.localization_scores(
        np.array([0.9, 0.5, 0.4, 0.9, 0.2, 0.8, 0.9]),
        np.array([1, 1, 1, 0, 0, 0, 1]),
        np.array([whole, half, whole, whole, flat, whole, flat], np.float32),
        present=np.array([1, 1, 1, 1, 0, 0, 1], bool),
        labels=np.array([1, 1, 1, 1, 0, 0, 1]),
        # Whatever stands in the box of an image without an object is not read.
        target_boxes=np.array([whole, whole, whole, whole, [np.nan] * 4, [np.nan] * 4, flat], np.float32),
    )
    assert scores['class_accuracy'].tolist() == [True, True, True, False, True]
    assert scores['mean_iou'].tolist() == [1, 0.5, 1, 1, 0]
    assert scores['objectness_accuracy'].tolist() == [True, True, False, True, True, False, True]
    assert scores['empty_accuracy'].tolist() == [True, False]
    assert scores['detection_accuracy'].tolist() == [True, True, False, False, True, False, False]


@given(st.integers(0, 10**6), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
@FIXED
def test_is_the_loop_over_examples(seed, threshold, iou):
    draw = np.random.default_rng(seed)
    n = draw.integers(0, 12)
    probability, present = draw.random(n), draw.random(n) < 0.7
    predictions, labels = draw.integers(0, 2, (2, n))
    boxes, targets = draw.integers(0, 5, (2, n, 4)) / 4
    expected = {name: [] for name in ('class_accuracy', 'mean_iou', 'objectness_accuracy', 'empty_accuracy')}
    expected['detection_accuracy'] = []
    for i in range(n):
        said, value = probability[i] >= threshold, slow_iou(boxes[i], targets[i])
        expected['objectness_accuracy'].append(said == present[i])
        if present[i]:
            expected['class_accuracy'].append(predictions[i] == labels[i])
            expected['mean_iou'].append(value)
            expected['detection_accuracy'].append(said and predictions[i] == labels[i] and value >= iou)
        else:
            expected['empty_accuracy'].append(not said)
            expected['detection_accuracy'].append(not said)
    got = metrics.localization_scores(
        probability,
        predictions,
        boxes,
        present=present,
        labels=labels,
        target_boxes=targets,
        threshold=threshold,
        iou=iou,
    )
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        assert got[name].dtype == (np.float64 if name == 'mean_iou' else bool)
        np.testing.assert_allclose(got[name], values, rtol=1e-12)

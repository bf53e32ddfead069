"""Objects: padded, put on the canvas, and counted into strata that folds survive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.data.objects import NOWHERE, Annotated, Objects, pad, strata, usable_area
from jaxvision.data.splits import make_splits

FIXED = settings(max_examples=80, deadline=None, derandomize=True)


def counted(counts, classes=None):
    """Objects of which only the numbers (and classes) matter."""
    counts = np.asarray(counts)
    slots = max(1, counts.max())
    valid = np.arange(slots) < counts[:, None]
    labels = np.zeros((len(counts), slots), np.int32)
    if classes is not None:
        labels[:, 0] = classes
    n = len(counts)
    boxes = np.where(valid[..., None], np.float32([0.1, 0.1, 0.2, 0.2]), np.float32(0))
    return Objects(
        boxes,
        labels,
        valid,
        np.zeros_like(valid),
        np.zeros(valid.shape, np.float32),
        np.full((n, 2), 8, np.int32),
        ('',) * n,
    )


def test_padding_is_zeros_and_not_valid():
    objects = pad(
        [
            Annotated('a', (4, 4), [(0.1, 0.2, 0.3, 0.4), (0.5, 0.5, 1.0, 1.0)], [2, 1], [False, True], [0, 1.5]),
            Annotated('b', (6, 6), [], [], []),
            Annotated('c', (8, 8), [(0.0, 0.0, 0.5, 0.5)], [3], [False]),
        ]
    )
    assert objects.names == ('a', 'b', 'c')
    assert {key: (array.dtype.name, array.shape) for key, array in objects.arrays().items()} == {
        'boxes': ('float32', (3, 2, 4)),
        'classes': ('int32', (3, 2)),
        'valid': ('bool', (3, 2)),
        'ignored': ('bool', (3, 2)),
        'areas': ('float32', (3, 2)),
        'sizes': ('int32', (3, 2)),
    }
    np.testing.assert_array_equal(objects.valid, [[True, True], [False, False], [True, False]])
    np.testing.assert_array_equal(objects.ignored, [[False, True], [False, False], [False, False]])
    np.testing.assert_array_equal(objects.classes, [[2, 1], [0, 0], [3, 0]])
    np.testing.assert_array_equal(objects.boxes[0], np.float32([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 1, 1]]))
    np.testing.assert_array_equal(objects.areas, [[0, 1.5], [0, 0], [0, 0]])
    assert not objects.boxes[~objects.valid].any()
    np.testing.assert_array_equal(objects.sizes, [[4, 4], [6, 6], [8, 8]])


def test_boxes_are_put_on_the_canvas():
    """Twice as wide as high: the image fills the middle half of the canvas, from a quarter to three quarters."""
    objects = pad([Annotated('a', (10, 20), [(0.0, 0.0, 1.0, 1.0), (0.5, 0.1, 1.0, 0.2)], [0, 0], [False] * 2)])
    np.testing.assert_allclose(objects.boxes[0], [[0.25, 0, 0.75, 1], [0.5, 0.1, 0.75, 0.2]], rtol=1e-6)


def test_an_object_without_a_box_has_none_on_the_canvas_either():
    objects = pad([Annotated('a', (10, 20), [NOWHERE, (0.0, 0.0, 1.0, 1.0)], [0, 0], [True, False])])
    np.testing.assert_array_equal(objects.boxes[0], np.float32([[0, 0, 0, 0], [0.25, 0, 0.75, 1]]))


@pytest.mark.parametrize('value', [None, 'wide', [], -1, 0, float('nan'), float('inf'), 10**400])
def test_an_area_that_is_none_is_zero(value):
    assert usable_area(value) == 0
    assert usable_area('7.5') == usable_area(np.float32(7.5)) == 7.5


def test_one_slot_where_all_is_empty():
    objects = pad([Annotated('a', (4, 4), [], [], [])])
    assert objects.boxes.shape == (1, 1, 4) and not objects.valid.any()


def test_strata_of_localisation_are_the_classes_and_nothing():
    got = strata(counted([1, 0, 1, 1], classes=[2, 0, 0, 2]), 3)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, [2, 3, 0, 2])


def test_ignored_objects_do_not_count():
    objects = counted([2, 1, 0])
    objects.classes[0] = [1, 2]
    objects.ignored[0, 0] = True  # What is left is the second, of class 2.
    objects.ignored[1, 0] = True
    np.testing.assert_array_equal(strata(objects, 5), [2, 5, 5])


def test_strata_of_detection_are_the_numbers_up_to_ten():
    counts = np.repeat([0, 1, 3, 12, 40], [20, 10, 15, 7, 8])
    np.testing.assert_array_equal(strata(counted(counts), 3), np.repeat([0, 1, 3, 10], [20, 10, 15, 15]))


@pytest.mark.parametrize(
    ('images', 'expected'),
    [
        ({0: 3, 1: 20, 2: 20}, {0: 1, 1: 1, 2: 2}),  # Few empty images: with those of one object.
        ({0: 20, 1: 20, 9: 1}, {0: 0, 1: 9, 9: 9}),  # The rare largest: with the next smaller.
        ({0: 20, 3: 4, 5: 4, 7: 4}, {0: 0, 3: 7, 5: 7, 7: 7}),
        ({0: 1, 2: 1}, {0: 2, 2: 2}),  # All are rare.
    ],
)
def test_rare_numbers_are_taken_together(images, expected):
    counts = np.repeat(list(images), list(images.values()))
    np.testing.assert_array_equal(strata(counted(counts), 3), [expected[count] for count in counts.tolist()])


@given(st.lists(st.integers(0, 15), min_size=10, max_size=80))
@FIXED
def test_strata_keep_the_order_and_are_large_enough(counts):
    if max(counts) <= 1:
        counts = [*counts, 2]
    labels = strata(counted(counts), 3)
    ordered = labels[np.argsort(counts, kind='stable')]
    assert np.all(np.diff(ordered) >= 0)
    assert labels.max() <= 10
    assert np.unique(labels, return_counts=True)[1].min() >= 10


def test_folds_survive_one_image_with_many_objects():
    counts = [*np.arange(60) % 3, 9]
    labels = strata(counted(counts), 3)
    tests = [
        make_splits(
            labels, {'train': np.arange(61)}, validation_fraction=0.1, test_fraction=0.2, folds=5, fold=fold
        ).test
        for fold in range(5)
    ]
    np.testing.assert_array_equal(np.sort(np.concatenate(tests)), np.arange(61))

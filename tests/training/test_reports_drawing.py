"""Boxes on images: pixels where they belong, whole squares when enlarged, labels that fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.training.reports.drawing import draw

RED, GREEN = '#ff0000', '#00ff00'
BLACK = np.zeros((20, 30, 3), np.uint8)


def is_red(picture: np.ndarray) -> np.ndarray:
    return (picture == [255, 0, 0]).all(axis=2)


def test_without_boxes_an_image_is_enlarged_pixel_by_pixel():
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 1), dtype=np.uint8)
    drawn = draw(image, np.zeros((0, 4)), (), (), scale=4)
    assert drawn.shape == (12, 20, 3) and drawn.dtype == np.uint8
    for row in range(12):
        for column in range(20):
            assert (drawn[row, column] == image[row // 4, column // 4, 0]).all()


def test_the_image_itself_is_left_alone():
    image = BLACK.copy()
    draw(image, np.array([[0.1, 0.1, 0.9, 0.9]]), ['x'], [RED])
    assert not image.any()


def test_edges_lie_inside_the_box():
    drawn = draw(BLACK, np.array([[0.25, 0.2, 0.75, 0.8]]), [''], [RED], line=2)
    expected = np.zeros((20, 30), bool)
    expected[5:15, 6:24] = True
    expected[7:13, 8:22] = False
    np.testing.assert_array_equal(is_red(drawn), expected)


def test_edges_follow_the_enlargement():
    drawn = draw(BLACK, np.array([[0.25, 0.2, 0.75, 0.8]]), [''], [RED], line=1, scale=3)
    rows, columns = np.nonzero(is_red(drawn))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 44, 18, 71)


def test_the_first_box_is_on_top():
    box = [0.2, 0.2, 0.8, 0.8]
    assert (
        is_red(draw(BLACK, np.array([box, box]), ['', ''], [RED, GREEN])).sum()
        == is_red(draw(BLACK, np.array([box]), [''], [RED])).sum()
    )


def test_dashes_have_gaps():
    box = np.array([[0.0, 0.0, 1.0, 1.0]])
    whole = is_red(draw(BLACK, box, [''], [RED], line=1))
    dashed = is_red(draw(BLACK, box, [''], [RED], line=1, dashed=[True]))
    assert 0.5 * whole.sum() < dashed.sum() < 0.85 * whole.sum()
    assert not (dashed & ~whole).any()


@pytest.mark.parametrize(
    ('box', 'above'), [([0.5, 0.1, 0.9, 0.5], True), ([0.0, 0.1, 0.9, 0.5], False), ([0.5, 0.7, 0.9, 1.0], True)]
)
def test_a_label_stands_above_its_box_or_at_its_top(box, above):
    image = np.zeros((100, 100, 3), np.uint8)
    bare = is_red(draw(image, np.array([box]), [''], [RED]))
    labelled = draw(image, np.array([box]), ['seven'], [RED])
    rows, columns = np.nonzero((labelled != draw(image, np.array([box]), [''], [RED])).any(axis=2))
    top = np.nonzero(bare)[0].min()
    assert (rows.max() < top) if above else (rows.min() >= top)
    assert columns.max() < 100 and columns.min() >= 0
    assert (labelled == 255).all(axis=2).any()  # White letters on red.


def test_a_label_wider_than_the_image_is_cut():
    image = np.zeros((40, 60, 3), np.uint8)
    box = np.array([[0.6, 0.0, 1.0, 1.0]])
    long = draw(image, box, ['a' * 200], [RED])
    short = draw(image, box, ['a'], [RED])
    assert long.shape == short.shape == (40, 60, 3)
    assert (long != short).any()


def test_letters_are_dark_on_light():
    image = np.full((60, 60, 3), 128, np.uint8)
    drawn = draw(image, np.array([[0.5, 0.0, 1.0, 1.0]]), ['M'], ['#ffff00'], text=30)
    assert (drawn == 0).all(axis=2).any()
    assert not (drawn == 255).all(axis=2).any()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-2, 3)] * 4), max_size=4),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3]),
    st.integers(1, 3),
    st.text(max_size=12),
)
def test_any_box_and_label_can_be_drawn(boxes, height, width, channels, scale, label):
    image = np.zeros((height, width, channels), np.uint8)
    count = len(boxes)
    drawn = draw(image, np.reshape(boxes, (-1, 4)), [label] * count, [RED] * count, dashed=[True] * count, scale=scale)
    assert drawn.shape == (height * scale, width * scale, 3)
    assert bool(drawn.any()) == bool(count)

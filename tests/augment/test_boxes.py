"""Boxes move as pixels do: against drawn rectangles and ellipses, and against a loop in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision import augment

FIXED = settings(max_examples=40, deadline=None, derandomize=True)
HEIGHT, WIDTH = 40, 56
EVERYTHING = {'keep': 0.0, 'minimum': 0.0}

# Whole pixels, so that a drawn rectangle is exactly its box; at least 4 of them, so that its bright half is not lost.
RECTANGLES = st.tuples(st.integers(0, 30), st.integers(0, 46), st.integers(4, 10), st.integers(4, 10))
SHARES = st.tuples(*[st.floats(0, 1, width=32)] * 4)


def box_of(rectangle):
    top, left, height, width = rectangle
    return np.float32([top / HEIGHT, left / WIDTH, (top + height) / HEIGHT, (left + width) / WIDTH])


def drawn(rectangle):
    top, left, height, width = rectangle
    pixels = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    pixels[top : top + height, left : left + width] = 1
    return pixels


def bright_box(pixels):
    """The tight box of what is brighter than a half, in pixels."""
    rows, columns = np.flatnonzero((pixels > 0.5).any(axis=(1, 2))), np.flatnonzero((pixels > 0.5).any(axis=(0, 2)))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])


@functools.partial(jax.jit, static_argnames=('size', 'hull'))
def moved(boxes, matrix, size=(HEIGHT, WIDTH), hull='ellipse', keep=0.0, minimum=0.0):
    valid = jnp.ones(len(boxes), bool)
    return augment.move(boxes, valid, matrix, HEIGHT, WIDTH, size=size, hull=hull, keep=keep, minimum=minimum)


warp = jax.jit(augment.warp, static_argnames='size')
affine = jax.jit(functools.partial(augment.affine, HEIGHT, WIDTH))


def assert_together(rectangle, matrix, size=(HEIGHT, WIDTH)):
    """The warped rectangle's bright box is the moved box, within a pixel."""
    pixels = np.asarray(warp(drawn(rectangle), matrix, size=size))
    boxes, left = moved(box_of(rectangle)[None], matrix, size=size)
    if (pixels > 0.5).any():
        assert left[0]
        np.testing.assert_allclose(boxes[0] * np.array([*size, *size]), bright_box(pixels), atol=1.001)
    else:
        in_sight = np.asarray(boxes[0, 2:] - boxes[0, :2]) * size
        assert in_sight.min() <= 1.001


@given(RECTANGLES, st.booleans(), st.tuples(st.floats(-30, 30, width=16), st.floats(-40, 40, width=16)))
@FIXED
def test_mirrored_and_cropped_together(rectangle, mirror, shift):
    assert_together(rectangle, affine(mirror=mirror, shift=shift))


@given(RECTANGLES, st.booleans(), st.tuples(st.floats(0.5, 3, width=16), st.floats(0.5, 3, width=16)))
@FIXED
def test_scaled_together(rectangle, mirror, scale):
    assert_together(rectangle, affine(mirror=mirror, scale=jnp.array(scale)))


@given(RECTANGLES, st.sampled_from([32, 48, 56, 80]))
@FIXED
def test_letterboxed_together(rectangle, size):
    assert_together(rectangle, augment.letterbox(HEIGHT, WIDTH, size), size=(size, size))


@given(RECTANGLES, st.floats(-180, 180, width=16), st.booleans())
@FIXED
def test_corners_hold_the_turned_rectangle(rectangle, degrees, mirror):
    matrix = affine(mirror=mirror, degrees=degrees)
    pixels = np.asarray(warp(drawn(rectangle), matrix))
    boxes, _ = moved(box_of(rectangle)[None], matrix, hull='corners')
    if (pixels > 0.5).any():
        low, high = np.split(np.asarray(boxes[0]) * [HEIGHT, WIDTH, HEIGHT, WIDTH], 2)
        bright_low, bright_high = np.split(bright_box(pixels), 2)
        assert np.all(low <= bright_low + 0.501) and np.all(high >= bright_high - 0.501)


@given(
    st.tuples(st.integers(10, 20), st.integers(14, 28), st.integers(8, 14), st.integers(8, 20)),
    st.floats(-180, 180, width=16),
    st.floats(0.75, 1.25, width=16),
)
@FIXED
def test_ellipse_is_the_hull_of_the_turned_ellipse(rectangle, degrees, scale):
    """A filled ellipse, drawn where the map takes each pixel: nothing is resampled."""
    top, left, height, width = rectangle
    matrix = np.asarray(affine(degrees=degrees, scale=scale))
    y, x = np.mgrid[-200:300:501j, -200:300:501j] / 4
    source_y, source_x = (row[0] * y + row[1] * x + row[2] for row in matrix)
    centre_y, centre_x = top + height / 2 - 0.5, left + width / 2 - 0.5
    inside = ((source_y - centre_y) / (height / 2)) ** 2 + ((source_x - centre_x) / (width / 2)) ** 2 <= 1
    expected = np.array([y[inside].min(), x[inside].min(), y[inside].max(), x[inside].max()]) + 0.5
    edges = [HEIGHT, WIDTH]
    boxes, _ = moved(box_of(rectangle)[None], matrix)
    np.testing.assert_allclose(
        np.asarray(boxes[0]) * [*edges, *edges], np.clip(expected, 0, [*edges, *edges]), atol=0.55
    )


def test_hulls_of_a_square_at_45_degrees():
    """The corners' hull is sqrt(2) times as wide, the circle's hull as wide as before."""
    box, matrix = box_of((15, 23, 10, 10)), affine(degrees=45.0)
    sides = [np.asarray(moved(box[None], matrix, hull=hull)[0][0]) for hull in ('ellipse', 'corners')]
    sides = [(side[2:] - side[:2]) * [HEIGHT, WIDTH] for side in sides]
    np.testing.assert_allclose(sides, [[10, 10], [10 * np.sqrt(2)] * 2], rtol=1e-5)


@pytest.mark.parametrize('degrees', [0.0, 90.0, 180.0, -90.0])
def test_quarter_turns_have_one_hull(degrees):
    matrix = affine(degrees=degrees)
    box = box_of((15, 22, 8, 10))[None]
    np.testing.assert_allclose(moved(box, matrix)[0], moved(box, matrix, hull='corners')[0], atol=1e-6)


@given(
    RECTANGLES,
    st.booleans(),
    st.tuples(st.floats(-9, 9, width=16), st.floats(-9, 9, width=16)),
    st.tuples(st.floats(0.5, 2, width=16), st.floats(0.5, 2, width=16)),
)
@FIXED
def test_there_and_back(rectangle, mirror, shift, scale):
    matrix = affine(mirror=mirror, shift=shift, scale=jnp.array(scale))
    there, _ = moved(box_of(rectangle)[None], matrix)
    back, _ = moved(there, augment.invert(matrix))
    if there.min() > 0 and there.max() < 1:
        np.testing.assert_allclose(back[0], box_of(rectangle), atol=1e-5)


def test_identity_keeps_every_bit_of_padding_and_little_of_boxes():
    boxes = jnp.array([[0.1, 0.2, 0.5, 0.7], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    got, left = augment.move(boxes, jnp.array([True, True, False]), affine(), HEIGHT, WIDTH)
    np.testing.assert_allclose(got, boxes, atol=1e-6)
    np.testing.assert_array_equal(left, [True, True, False])


def reference(box, matrix, size, view, keep, minimum):
    """One box by its four corners, without rotation, in float64; None where it is dropped."""
    matrix = np.concatenate([np.asarray(matrix, np.float64), [[0, 0, 1]]])
    points = []
    for y in (box[0], box[2]):
        for x in (box[1], box[3]):
            y_out, x_out, _ = np.linalg.inv(matrix) @ [y * HEIGHT - 0.5, x * WIDTH - 0.5, 1]
            points.append(((y_out + 0.5) / size[0], (x_out + 0.5) / size[1]))
    ymin, xmin = min(p[0] for p in points), min(p[1] for p in points)
    ymax, xmax = max(p[0] for p in points), max(p[1] for p in points)
    seen = [max(ymin, view[0]), max(xmin, view[1]), min(ymax, view[2]), min(xmax, view[3])]
    height, width = seen[2] - seen[0], seen[3] - seen[1]
    if height <= 0 or width <= 0 or height * size[0] < minimum or width * size[1] < minimum:
        return None, min(height * size[0], width * size[1]) - minimum
    share = height * width / ((ymax - ymin) * (xmax - xmin))
    if share < keep:
        return None, share - keep
    return seen, min(share - keep, min(height * size[0], width * size[1]) - minimum)


@given(
    st.lists(SHARES, min_size=5, max_size=5),
    st.tuples(st.floats(-30, 30, width=16), st.floats(-30, 30, width=16)),
    st.floats(0.5, 2, width=16),
    st.floats(0, 1, width=16),
    st.floats(0, 12, width=16),
)
@FIXED
def test_what_is_left_is_that_of_the_loop(shares, shift, scale, keep, minimum):
    boxes = np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in shares], np.float32)
    matrix, size, view = affine(shift=shift, scale=scale), (30, 70), (0.1, 0.0, 0.8, 0.9)
    got, left = limited(boxes, matrix, jnp.array(view), keep, minimum)
    for box, result, is_left in zip(boxes, np.asarray(got), np.asarray(left), strict=True):
        expected, margin = reference(box.astype(np.float64), matrix, size, view, keep, minimum)
        if abs(margin) < 1e-3 or np.min(box[2:] - box[:2]) < 1e-3:
            continue  # Rounding decides.
        assert is_left == (expected is not None)
        np.testing.assert_allclose(result, [0, 0, 0, 0] if expected is None else expected, atol=1e-5)


@jax.jit
def limited(boxes, matrix, view, keep, minimum):
    valid = jnp.ones(len(boxes), bool)
    return augment.move(
        boxes, valid, matrix, HEIGHT, WIDTH, size=(30, 70), view=view, keep=keep, minimum=minimum, hull='corners'
    )


def test_less_than_the_share_is_dropped():
    """A box of 10 columns at the right edge, shifted out by 6 and by 8 of them."""
    box = box_of((10, 46, 10, 10))[None]
    for shift, seen in ((6, 0.4), (8, 0.2)):
        boxes, left = moved(box, affine(shift=(0.0, float(shift))), keep=0.3)
        assert bool(left[0]) == (seen > 0.3)
        np.testing.assert_allclose(boxes[0, 1] * WIDTH, 46 + shift if seen > 0.3 else 0, rtol=1e-6)


def test_thinner_than_the_minimum_is_dropped():
    boxes = jnp.stack([jnp.array([0.1, 0.1, 0.1 + rows / HEIGHT, 0.9]) for rows in (1.9, 2.1)])
    _, left = moved(boxes, affine(), minimum=2.0)
    np.testing.assert_array_equal(left, [False, True])


@pytest.mark.parametrize('box', [[0.5, 0.2, 0.5, 0.6], [np.nan] * 4, [0.7, 0.2, 0.5, 0.6], [1.5, 1.5, 1.7, 1.7]])
def test_what_is_no_box_in_sight_is_never_left(box):
    boxes, left = augment.move(jnp.array([box]), jnp.array([True]), affine(), HEIGHT, WIDTH, **EVERYTHING)
    assert not left[0]
    np.testing.assert_array_equal(boxes, np.zeros((1, 4)))


def test_garbage_in_padding_stays_out():
    boxes = jnp.array([[np.nan, np.inf, 0.0, 1.0], [0.1, 0.1, 0.5, 0.5]])
    got, left = augment.move(boxes, jnp.array([False, True]), affine(degrees=10.0), HEIGHT, WIDTH)
    np.testing.assert_array_equal(got[0], np.zeros(4))
    np.testing.assert_array_equal(left, [False, True])


def test_over_a_batch_each_by_its_own_map():
    boxes = jnp.asarray(np.stack([box_of((5, 5, 10, 10)), box_of((20, 30, 8, 9))]))[:, None]
    matrices = jnp.stack([affine(mirror=True), affine(shift=(2.0, 3.0))])
    move = functools.partial(augment.move, height=HEIGHT, width=WIDTH)
    got, _ = jax.vmap(lambda box, matrix: move(box, jnp.array([True]), matrix))(boxes, matrices)
    for each, box, matrix in zip(got, boxes, matrices, strict=True):
        np.testing.assert_allclose(each, move(box, jnp.array([True]), matrix)[0], atol=1e-6)


def test_unknown_hull_is_named():
    with pytest.raises(ValueError, match="unknown hull 'disc'.*ellipse, corners"):
        augment.move(jnp.zeros((1, 4)), jnp.array([True]), affine(), HEIGHT, WIDTH, hull='disc')

"""Boxes against closed forms and against slow loops in float64; NMS against the greedy loop that defines it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxvision import boxes
from jaxvision.errors import UserError

FIXED = settings(max_examples=60, deadline=None, derandomize=True)
KINDS = tuple(boxes.OVERLAPS)

# What networks and annotators come up with: no extent, inverted, identical, far outside, endless.
EDGES = st.one_of(
    st.sampled_from((0.0, 0.25, 0.5, 0.5 + 2.0**-20, 1.0, -1e-30, 1e-20, 1e5, -1e30, np.inf, -np.inf)),
    st.floats(-2, 2, width=32),
)
ANY_BOXES = hnp.arrays(np.float32, (6, 4), elements=EDGES)

values = {kind: jax.jit(lambda a, b, kind=kind: boxes.overlap(kind, a, b)) for kind in KINDS}
gradients = {
    kind: jax.jit(jax.grad(lambda a, b, kind=kind: jnp.sum(boxes.overlap(kind, a, b)), (0, 1))) for kind in KINDS
}


def some_boxes(*shape, seed=0, smallest=0.02):
    """Boxes with extent, some reaching over the border."""
    random = np.random.default_rng(seed)
    centre, half = random.uniform(0, 1, (*shape, 2)), random.uniform(smallest / 2, 0.4, (*shape, 2))
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)


def reference_overlap(kind, a, b, share=None):
    """One pair of boxes in float64; share fixes the weight of CIoU's penalty, which its gradient does not see."""
    a, b = [float(edge) for edge in a], [float(edge) for edge in b]
    area = [max(box[2] - box[0], 0) * max(box[3] - box[1], 0) for box in (a, b)]
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = height * width if height > 0 and width > 0 else 0.0
    union = sum(area) - intersection
    iou = intersection / union
    hull_height, hull_width = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    if kind == 'iou':
        return iou
    if kind == 'giou':
        return iou - (hull_height * hull_width - union) / (hull_height * hull_width)
    y, x = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    diou = iou - (y**2 + x**2) / (hull_height**2 + hull_width**2)
    if kind == 'diou':
        return diou
    unlikeness = 4 / math.pi**2 * (slant(a) - slant(b)) ** 2
    return diou - (reference_share(a, b) if share is None else share) * unlikeness


def slant(box):
    return math.atan((box[3] - box[1]) / (box[2] - box[0]))


def reference_share(a, b):
    unlikeness = 4 / math.pi**2 * (slant(a) - slant(b)) ** 2
    return unlikeness / (1 - reference_overlap('iou', a, b) + unlikeness)


def reference_nms(candidates, scores, classes, iou_threshold, max_outputs):
    kept = []
    for index in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if not scores[index] > 0:
            continue
        rivals = [other for other in kept if classes is None or classes[other] == classes[index]]
        extent = min(candidates[index][2] - candidates[index][0], candidates[index][3] - candidates[index][1])
        ious = [reference_overlap('iou', candidates[index], candidates[other]) if extent > 0 else 0 for other in rivals]
        if all(iou <= iou_threshold for iou in ious):
            kept.append(index)
    return kept[:max_outputs]


@pytest.mark.parametrize('kind', KINDS)
def test_overlap_is_the_definition(kind):
    a, b = some_boxes(300), some_boxes(300, seed=1)
    expected = [reference_overlap(kind, *pair) for pair in zip(a, b, strict=True)]
    np.testing.assert_allclose(values[kind](a, b), expected, atol=2e-6)


def test_overlaps_of_pairs_known_by_hand():
    a, b = jnp.array([0.0, 0.0, 0.5, 0.5]), jnp.array([0.25, 0.25, 0.75, 0.75])
    # Intersection 1/16, union 7/16, hull 9/16; centres (1/4, 1/4) apart; hull's sides 3/4; both are squares.
    assert boxes.iou(a, b) == pytest.approx(1 / 7)
    assert boxes.giou(a, b) == pytest.approx(1 / 7 - 2 / 9)
    assert boxes.diou(a, b) == pytest.approx(1 / 7 - 1 / 9)
    assert boxes.ciou(a, b) == pytest.approx(1 / 7 - 1 / 9)
    corner = jnp.array([0.5, 0.5, 1.0, 1.0])
    assert boxes.iou(a, corner) == 0
    assert boxes.giou(a, corner) == pytest.approx(-1 / 2)
    flat, tall = jnp.array([0.25, 0.0, 0.75, 1.0]), jnp.array([0.0, 0.25, 1.0, 0.75])
    unlikeness = 4 / math.pi**2 * (math.atan(2) - math.atan(1 / 2)) ** 2
    assert boxes.diou(flat, tall) == pytest.approx(1 / 3)
    assert boxes.ciou(flat, tall) == pytest.approx(1 / 3 - unlikeness**2 / (2 / 3 + unlikeness))


@pytest.mark.parametrize('kind', KINDS)
def test_a_box_with_extent_overlaps_itself_wholly(kind):
    a = some_boxes(50)
    np.testing.assert_allclose(values[kind](a, a), 1.0, atol=1e-6)


@pytest.mark.parametrize('kind', KINDS)
def test_gradient_is_that_of_finite_differences(kind):
    a, b = some_boxes(30, smallest=0.1), some_boxes(30, seed=1, smallest=0.1)
    got = np.stack(gradients[kind](a, b), axis=1)
    step = 1e-6
    for index, pair in enumerate(zip(a.astype(np.float64), b.astype(np.float64), strict=True)):
        share = reference_share(*pair)
        for which, edge in np.ndindex(2, 4):
            ahead, behind = np.array(pair), np.array(pair)
            ahead[which, edge] += step
            behind[which, edge] -= step
            slope = (reference_overlap(kind, *ahead, share) - reference_overlap(kind, *behind, share)) / (2 * step)
            assert got[index, which, edge] == pytest.approx(slope, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize('kind', KINDS)
@given(ANY_BOXES, ANY_BOXES)
@FIXED
def test_overlap_and_gradient_are_finite_and_bounded_for_any_boxes(kind, a, b):
    got = values[kind](a, b)
    lowest = {'iou': 0, 'giou': -1, 'diou': -1, 'ciou': -2}[kind]
    assert np.all(got >= lowest - 1e-5)
    assert np.all(got <= 1 + 1e-5)
    for gradient in (*gradients[kind](a, b), *gradients[kind](a, a)):
        assert np.all(np.isfinite(gradient))


@given(ANY_BOXES)
@FIXED
def test_area_is_finite_and_zero_without_extent(a):
    area = np.asarray(boxes.area(a))
    assert np.all(np.isfinite(area))
    assert np.all(area[(a[:, 2] <= a[:, 0]) | (a[:, 3] <= a[:, 1])] == 0)
    assert np.all(np.isfinite(jax.grad(lambda a: jnp.sum(boxes.area(a)))(a)))


@pytest.mark.parametrize(
    'box', [(0.5, 0.5, 0.5, 0.5), (0.2, 0.2, 0.2, 0.8), (0.8, 0.2, 0.2, 0.8)], ids=['point', 'line', 'inverted']
)
def test_a_box_without_extent_overlaps_nothing(box):
    box, whole = jnp.array(box), jnp.array([0.0, 0.0, 1.0, 1.0])
    assert boxes.area(box) == 0
    assert boxes.iou(box, box) == 0
    assert boxes.iou(box, whole) == 0


def test_an_inverted_box_is_pulled_towards_the_target():
    target, inverted = jnp.array([0.4, 0.4, 0.6, 0.6]), jnp.array([0.9, 0.4, 0.7, 0.6])
    pull = jax.grad(boxes.giou)(inverted, target)
    assert pull[0] < 0


def test_area_and_formats():
    a = some_boxes(20)
    np.testing.assert_allclose(boxes.area(a), (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]), rtol=1e-6)
    np.testing.assert_allclose(boxes.centre_size(jnp.array([0.1, 0.2, 0.5, 0.8])), [0.3, 0.5, 0.4, 0.6], atol=1e-7)
    np.testing.assert_allclose(boxes.from_centre_size(boxes.centre_size(a)), a, atol=1e-6)
    np.testing.assert_array_equal(boxes.clip(jnp.array([-0.5, 0.25, 0.5, 1.5])), [0.0, 0.25, 0.5, 1.0])


def test_pairwise_iou_broadcasts():
    a, b = some_boxes(2, 3, 5), some_boxes(2, 1, 7, seed=1)
    got = boxes.pairwise_iou(a, b)
    assert got.shape == (2, 3, 5, 7)
    for n, m, i, j in np.ndindex(got.shape):
        assert got[n, m, i, j] == pytest.approx(reference_overlap('iou', a[n, m, i], b[n, 0, j]), abs=1e-6)


def test_unknown_overlap_is_a_user_error():
    with pytest.raises(UserError, match='siou.*iou, giou, diou, ciou'):
        boxes.overlap('siou', jnp.zeros(4), jnp.zeros(4))


BOXES = 12
# Thresholds that no IoU of boxes on the grid of eighths equals.
THRESHOLDS = st.sampled_from((0.0, 0.1137, 0.3137, 0.5137, 0.7137))
ON_GRID = hnp.arrays(np.int32, (BOXES, 4), elements=st.integers(0, 8))
# Few different scores, so that there are ties, and some that are never kept.
SCORES = hnp.arrays(np.float32, BOXES, elements=st.sampled_from((-np.inf, -0.5, 0.0, 0.25, 0.5, 0.5, 0.75, 1.0)))
CLASSES = hnp.arrays(np.int32, BOXES, elements=st.integers(0, 2))

agnostic = jax.jit(lambda b, s, t: boxes.nms(b, s, iou_threshold=t, max_outputs=5))
per_class = jax.jit(lambda b, s, t, c: boxes.nms(b, s, iou_threshold=t, classes=c, max_outputs=BOXES + 3))


def chosen(result):
    """The valid indices; what is not valid has to be 0 and at the end."""
    indices, valid = np.asarray(result[0]), np.asarray(result[1])
    assert indices.dtype == np.int32
    assert np.all(np.diff(valid.astype(int)) <= 0)
    assert np.all(indices[~valid] == 0)
    return indices[valid].tolist()


@given(ON_GRID, SCORES, CLASSES, THRESHOLDS)
@FIXED
def test_nms_is_the_greedy_loop(grid, scores, classes, threshold):
    candidates = np.concatenate([np.minimum(grid[:, :2], grid[:, 2:]), np.maximum(grid[:, :2], grid[:, 2:])], 1)
    candidates = (candidates / 8).astype(np.float32)
    assert chosen(agnostic(candidates, scores, threshold)) == reference_nms(candidates, scores, None, threshold, 5)
    got = per_class(candidates, scores, threshold, classes)
    assert chosen(got) == reference_nms(candidates, scores, classes, threshold, BOXES + 3)


def test_nms_of_many_boxes_under_vmap():
    random = np.random.default_rng(0)
    candidates, scores = some_boxes(3, 150), random.uniform(0, 1, (3, 150)).astype(np.float32)
    classes = random.integers(0, 4, (3, 150))
    suppress = jax.vmap(lambda b, s, c: boxes.nms(b, s, iou_threshold=0.3, classes=c, max_outputs=60))
    got = jax.jit(suppress)(candidates, scores, classes)
    for n in range(3):
        expected = reference_nms(candidates[n], scores[n], classes[n], 0.3, 60)
        assert chosen((got[0][n], got[1][n])) == expected


def test_nms_of_a_chain_keeps_every_other():
    """Each box overlaps the next alone: the longest chain of decisions that there is."""
    start = np.arange(30, dtype=np.float32) / 40
    chain = np.stack([start, start * 0, start + 0.04, start * 0 + 1], axis=1)
    assert chosen(boxes.nms(chain, 1 - start, iou_threshold=0.1, max_outputs=30)) == list(range(0, 30, 2))


def test_nms_of_equal_scores_takes_the_lower_index():
    same = np.tile(np.array([0.1, 0.1, 0.6, 0.6], np.float32), (4, 1))
    assert chosen(boxes.nms(same, np.full(4, 0.5, np.float32), iou_threshold=0.5, max_outputs=4)) == [0]


def test_nms_keeps_nothing_without_a_score():
    scores = jnp.array([0.0, -1.0, -jnp.inf, jnp.nan])
    assert chosen(boxes.nms(some_boxes(4), scores, iou_threshold=0.5, max_outputs=2)) == []

"""Assigners against loops over objects and points in float64, and what holds for every one of them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import losses

CLASSES, OBJECTS = 3, 6
SEEDS = range(12)
ASSIGNERS = ('center_sampling', 'simota', 'task_aligned')


def grid(*sides):
    """The anchors of a square canvas cut into side x side cells, one level a side."""
    points, sizes = [], []
    for side in sides:
        for row, column in np.ndindex(side, side):
            points.append(((row + 0.5) / side, (column + 0.5) / side))
            sizes.append((1 / side, 1 / side))
    return losses.Anchors(jnp.array(points, jnp.float32), jnp.array(sizes, jnp.float32))


ANCHORS = grid(16, 8, 4)
POINTS, SIZES = np.array(ANCHORS.points, np.float64), np.array(ANCHORS.sizes, np.float64)
A = len(POINTS)


def scene(seed, count=None):
    """Objects (some tiny, some large, some alike), their number padded to `OBJECTS`, and what a detector says."""
    random = np.random.default_rng(seed)
    count = random.integers(1, OBJECTS + 1) if count is None else count
    centre = random.uniform(0.05, 0.95, (OBJECTS, 2))
    half = np.exp(random.uniform(np.log(0.005), np.log(0.45), (OBJECTS, 2)))
    centre[1], half[1] = centre[0] + 0.03, half[0] * 1.1
    boxes = np.clip(np.concatenate([centre - half, centre + half], axis=1), 0, 1).astype(np.float32)
    valid = np.arange(OBJECTS) < count
    boxes[~valid] = 0
    classes = np.where(valid, random.integers(0, CLASSES, OBJECTS), 0)
    reach = random.uniform(0.3, 4, (A, 4)) * np.tile(SIZES, 2)
    # Half of the points predict some object, more or less; the others a box around themselves.
    own = np.concatenate([POINTS - reach[:, :2], POINTS + reach[:, 2:]], axis=1)
    near = boxes[random.integers(0, OBJECTS, A)] + random.normal(0, 0.02, (A, 4))
    predicted = np.where(random.uniform(size=(A, 1)) < 0.5, own, near).astype(np.float32)
    class_logits = random.normal(0, 2, (A, CLASSES)).astype(np.float32)
    objectness = random.normal(-1, 2, A).astype(np.float32)
    return boxes, classes, valid, class_logits, predicted, objectness


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


TRACES = dict.fromkeys(ASSIGNERS, 0)


def assign(name):
    def run(boxes, classes, valid, class_logits, predicted, objectness):
        TRACES[name] += 1
        if name == 'center_sampling':
            return losses.center_sampling(ANCHORS, boxes, valid)
        if name == 'simota':
            return losses.simota(ANCHORS, boxes, classes, valid, class_logits, predicted, objectness)
        return losses.task_aligned(ANCHORS, boxes, classes, valid, jax.nn.sigmoid(class_logits), predicted)

    return jax.jit(run)


RUN = {name: assign(name) for name in ASSIGNERS}


def inside(box, a):
    return box[0] <= POINTS[a, 0] <= box[2] and box[1] <= POINTS[a, 1] <= box[3]


def inside_or_nearest(box):
    found = [a for a in range(A) if inside(box, a)]
    y, x = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    finest = [a for a in range(A) if SIZES[a, 0] == SIZES.min()]
    return found or [min(finest, key=lambda a: ((POINTS[a, 0] - y) ** 2 + (POINTS[a, 1] - x) ** 2, a))]


def central(box, a, radius):
    y, x = abs(POINTS[a, 0] - (box[0] + box[2]) / 2), abs(POINTS[a, 1] - (box[1] + box[3]) / 2)
    return y < radius * SIZES[a, 0] and x < radius * SIZES[a, 1]


def iou(a, b):
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if height <= 0 or width <= 0 or min(b[2] - b[0], b[3] - b[1]) <= 0:
        return 0.0
    return height * width / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - height * width)


def resolve(taken):
    """{object: {point: (rank, quality)}} -> {point: (object, quality)}, the lowest rank of several."""
    result = {}
    for a in range(A):
        rivals = [(of_object[a][0], m, of_object[a][1]) for m, of_object in taken.items() if a in of_object]
        if rivals:
            _, m, quality = min(rivals)
            result[a] = (m, quality)
    return result


def reference_center_sampling(boxes, classes, valid, class_logits, predicted, objectness, radius=1.5):
    levels = sorted({size for size, _ in SIZES})
    taken = {}
    for m in np.flatnonzero(valid):
        box = boxes[m].astype(np.float64)
        height, width = box[2] - box[0], box[3] - box[1]
        taken[m] = {}
        for a in range(A):
            half = max(height, width) / 2 / SIZES[a, 0]
            low = 0 if SIZES[a, 0] == levels[0] else 4
            high = math.inf if SIZES[a, 0] == levels[-1] else 8
            middle = (inside(box, a) and central(box, a, radius)) or central(box, a, 0.501)
            if middle and low <= half < high:
                taken[m][a] = (height * width, 1.0)
    return resolve(taken)


def reference_simota(boxes, classes, valid, class_logits, predicted, objectness, radius=2.5, candidates=10):
    taken = {}
    for m in np.flatnonzero(valid):
        box = boxes[m].astype(np.float64)
        within = inside_or_nearest(box)
        costs, ious = {}, {}
        for a in range(A):
            middle = central(box, a, radius)
            if a not in within and not middle:
                continue
            ious[a] = iou(box, predicted[a].astype(np.float64))
            cost = -3 * math.log(ious[a] + 1e-8)
            for c in range(CLASSES):
                probability = math.sqrt(sigmoid(class_logits[a, c]) * sigmoid(objectness[a]))
                cost -= math.log(probability) if c == classes[m] else math.log(1 - probability)
            costs[a] = cost if a in within and middle else cost + 1e4
        k = max(1, int(sum(sorted(ious.values(), reverse=True)[:candidates])))
        best = sorted(costs, key=lambda a: (costs[a], a))[:k]
        taken[m] = {a: (costs[a], ious[a]) for a in best}
    return resolve(taken)


def reference_task_aligned(boxes, classes, valid, class_logits, predicted, objectness, top=13):
    taken, aligned = {}, {}
    for m in np.flatnonzero(valid):
        box = boxes[m].astype(np.float64)
        ious = {a: iou(box, predicted[a].astype(np.float64)) for a in inside_or_nearest(box)}
        aligned[m] = {a: sigmoid(class_logits[a, classes[m]]) * ious[a] ** 6 for a in ious}
        best = sorted(ious, key=lambda a: (-aligned[m][a], a))[:top]
        taken[m] = {a: (-ious[a], ious[a]) for a in best}
    found, result = resolve(taken), {}
    for a, (m, _) in found.items():
        own = [other for other, (of, _) in found.items() if of == m]
        most = max(aligned[m][other] for other in own)
        result[a] = (m, aligned[m][a] / most * max(taken[m][other][1] for other in own) if most > 0 else 0.0)
    return result


REFERENCES = {
    'center_sampling': reference_center_sampling,
    'simota': reference_simota,
    'task_aligned': reference_task_aligned,
}


@pytest.mark.parametrize('name', ASSIGNERS)
@pytest.mark.parametrize('seed', SEEDS)
def test_assignment_is_the_loop(name, seed):
    what = scene(seed)
    positive, target, quality = (np.asarray(value) for value in RUN[name](*what))
    expected = REFERENCES[name](*what)
    assert expected
    assert np.flatnonzero(positive).tolist() == sorted(expected)
    assert {a: target[a] for a in expected} == {a: m for a, (m, _) in expected.items()}
    for a, (_, value) in expected.items():
        assert quality[a] == pytest.approx(value, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize('name', ASSIGNERS)
def test_what_every_assignment_keeps_to(name):
    for seed in SEEDS:
        what = scene(seed)
        positive, target, quality = (np.asarray(value) for value in RUN[name](*what))
        assert positive.dtype == bool and target.dtype == np.int32 and quality.dtype == np.float32
        assert np.all(what[2][target[positive]])
        assert np.all(target[~positive] == 0)
        assert np.all(quality[~positive] == 0)
        assert np.all((quality >= 0) & (quality <= 1 + 1e-6))


@pytest.mark.parametrize('name', ASSIGNERS)
def test_an_image_without_objects_has_no_positives(name):
    found = RUN[name](*scene(0, count=0))
    assert all(np.all(np.asarray(value) == 0) for value in found)


@pytest.mark.parametrize('name', ASSIGNERS)
@pytest.mark.parametrize(
    'box', [(0.5, 0.5, 0.502, 0.502), (0.0, 0.0, 0.003, 0.003), (0.2, 0.3, 0.201, 0.305), (0.4, 0.4, 0.4, 0.4)]
)
def test_an_object_without_a_point_gets_the_nearest(name, box):
    boxes, classes, valid, *says = scene(1, count=1)
    boxes[0] = box
    assert not np.any(losses.inside(ANCHORS, jnp.asarray(boxes[:1])))
    found = RUN[name](boxes, classes, valid, *says)
    assert np.any(found.positive)
    assert np.all(SIZES[found.positive] == SIZES.min())
    nearest = inside_or_nearest(boxes[0].astype(np.float64))
    if name == 'task_aligned':
        assert np.flatnonzero(found.positive).tolist() == nearest
    if name == 'center_sampling':
        assert np.all(found.positive[np.array(nearest)])


@pytest.mark.parametrize('name', ASSIGNERS)
@pytest.mark.parametrize('seed', SEEDS)
def test_a_lone_object_gets_a_point(name, seed):
    boxes, classes, _, *says = scene(seed)
    for m in range(OBJECTS):
        found = RUN[name](boxes, classes, np.arange(OBJECTS) == m, *says)
        assert np.any(found.positive)
        assert np.all(found.target[found.positive] == m)


@pytest.mark.parametrize('name', ASSIGNERS)
def test_padding_changes_nothing(name):
    boxes, classes, valid, *says = scene(3, count=3)
    found = RUN[name](boxes, classes, valid, *says)
    rubbish = np.where(valid[:, None], boxes, np.float32([0.2, 0.2, 0.9, 0.9]))
    again = RUN[name](rubbish, np.where(valid, classes, 2), valid, *says)
    for value, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize('name', ASSIGNERS)
def test_one_compilation_whatever_the_number_of_objects(name):
    run, before = assign(name), TRACES[name]
    for count in range(OBJECTS + 1):
        assert np.any(run(*scene(5, count)).positive) == (count > 0)
    assert TRACES[name] == before + 1


@pytest.mark.parametrize('name', ASSIGNERS)
def test_no_gradient_flows_through_an_assignment(name):
    boxes, classes, valid, *says = scene(2)

    def total(boxes, *says):
        return jnp.sum(RUN[name](boxes, classes, valid, *says).quality)

    gradients = jax.grad(total, (0, 1, 2, 3))(boxes, *says)
    assert all(np.all(np.asarray(gradient) == 0) for gradient in gradients)


@pytest.mark.parametrize('name', ASSIGNERS)
def test_vmap_is_one_image_after_another(name):
    scenes = [scene(seed) for seed in range(3)]
    together = jax.jit(jax.vmap(RUN[name]))(*(jnp.stack(values) for values in zip(*scenes, strict=True)))
    for i, what in enumerate(scenes):
        alone = RUN[name](*what)
        np.testing.assert_array_equal(together.positive[i], alone.positive)
        np.testing.assert_array_equal(together.target[i], alone.target)
        np.testing.assert_allclose(together.quality[i], alone.quality, rtol=1e-5)


@pytest.mark.parametrize('name', ['simota', 'task_aligned'])
def test_a_detector_gone_astray_still_gets_an_assignment(name):
    boxes, classes, valid, logits, predicted, objectness = scene(4)
    says = (np.sign(logits) * 1e4, np.sign(predicted - 0.5) * 1e30, np.sign(objectness) * 1e4)
    found = RUN[name](boxes, classes, valid, *(value.astype(np.float32) for value in says))
    assert np.any(found.positive)
    assert np.all(np.isfinite(found.quality))


def test_simota_counts_the_good_predictions():
    """k is the sum of the best ten IoUs: where every point predicts the object outright, ten points get it."""
    boxes, classes, valid, logits, predicted, objectness = scene(0, count=1)
    boxes[0] = (0.25, 0.25, 0.75, 0.75)
    perfect = np.broadcast_to(boxes[0], predicted.shape)
    far = np.broadcast_to(np.float32([0, 0, 0.1, 0.1]), predicted.shape)
    assert np.sum(RUN['simota'](boxes, classes, valid, logits, perfect, objectness).positive) == 10
    assert np.sum(RUN['simota'](boxes, classes, valid, logits, far, objectness).positive) == 1


def test_simota_prefers_the_middle_of_the_box():
    """However bad its prediction, a point in the box and near its centre comes before any other."""
    boxes, classes, valid, logits, predicted, objectness = scene(0, count=1)
    boxes[0] = (0.2, 0.2, 0.8, 0.8)
    middle = np.array([inside(boxes[0], a) and central(boxes[0], a, 2.5) for a in range(A)])
    predicted = np.where(middle[:, None], np.float32(0), boxes[0])
    found = RUN['simota'](boxes, classes, valid, logits, predicted, objectness)
    assert np.sum(found.positive) == 10
    assert np.all(middle[found.positive])


def test_center_sampling_gives_a_contested_point_to_the_smaller_object():
    boxes = jnp.array([[0.1, 0.1, 0.9, 0.9], [0.3, 0.3, 0.7, 0.7]])
    one_level = grid(8)
    found = losses.center_sampling(one_level, boxes, jnp.array([True, True]))
    swapped = losses.center_sampling(one_level, boxes[::-1], jnp.array([True, True]))
    # Both centres are the same corner of four cells, and 1.5 cells reach no further.
    assert np.sum(found.positive) == 4
    assert np.all(found.target[found.positive] == 1)
    assert np.all(swapped.target[found.positive] == 0)


def test_size_ranges_are_those_of_fcos_where_levels_are_a_factor_of_two_apart():
    ranges = np.asarray(losses.size_ranges(ANCHORS))
    by_level = {float(size): ranges[a].tolist() for a, (size, _) in enumerate(SIZES)}
    for size, expected in {1 / 16: [0.0, 8.0], 1 / 8: [4.0, 8.0], 1 / 4: [4.0, math.inf]}.items():
        np.testing.assert_allclose(by_level[size], expected, rtol=1e-5)
    np.testing.assert_array_equal(losses.size_ranges(grid(4)), np.broadcast_to([0.0, np.inf], (16, 2)))


@pytest.mark.parametrize('sides', [(16, 8, 4), (17, 8, 3), (11, 6, 3), (20, 4), (7,)])
def test_every_size_has_a_level_however_far_apart_they_are(sides):
    anchors = grid(*sides)
    boxes = [[0.5 - side / 2, 0.5 - side / 2, 0.5 + side / 2, 0.5 + side / 2] for side in np.linspace(0.004, 1, 250)]
    boxes += [[0.0, 0.0, share, 1.0] for share in (2 * 8 / side for side in sides) if share <= 1]  # On the borders.
    found = jax.vmap(losses.center_sampling, (None, 0, None))(
        anchors, jnp.array(boxes, jnp.float32)[:, None], jnp.array([True])
    )
    positive = np.asarray(found.positive)
    assert positive.any(axis=1).all()
    levels = [len(np.unique(np.asarray(anchors.sizes)[each, 0])) for each in positive]
    assert np.mean(np.array(levels) == 1) > 0.98


def test_inside_includes_the_border():
    anchors = losses.Anchors(jnp.array([[0.25, 0.5], [0.5, 0.5], [0.2, 0.5]]), jnp.full((3, 2), 0.25))
    boxes = jnp.array([[0.25, 0.0, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(losses.inside(anchors, boxes), [[True, True, False], [False, False, False]])

"""Detection: which cells learn what, what is left after suppression, and that an image may hold nothing at all."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import losses, models
from jaxvision.losses.localization import BOX_LOSSES
from jaxvision.models.detector import Cells, Detector, grid
from jaxvision.tasks.detect import ASSIGNERS, Detect
from jaxvision.tasks.distill import Distill
from jaxvision.tasks.objects import Targets
from jaxvision.tasks.task import Examples
from jaxvision.tasks.views import Views

SHAPE, CLASSES = (16, 16, 3), 3
ENCODER = models.build('convnet', 0, filters=(4, 8), norm='batch')
TASK = Detect(Detector(ENCODER, CLASSES, levels=2, features=8, convs=1), SHAPE, CLASSES)
MIXED = dataclasses.replace(TASK, views=Views(mirror=True, scale=True), mosaic=True, mixup=True)
EMPTY = np.arange(0, 32, 4, dtype=np.int32)  # Image i has i % 4 objects.
FULL = EMPTY + 3
ANCHORS = jax.tree.map(lambda *parts: jnp.concatenate(parts), grid(6, 6), grid(3, 3))
CELLS = len(ANCHORS.points)
BOX, OTHER = [0.1, 0.1, 0.5, 0.6], [0.55, 0.5, 0.95, 0.9]


def outputs(n=3, seed=0):
    """What a network might say: boxes about their cells, not all of them proper."""
    draw = np.random.default_rng(seed)
    centres = np.asarray(ANCHORS.points) + draw.normal(0, 0.05, (n, CELLS, 2))
    halves = draw.uniform(0.05, 0.3, (n, CELLS, 2))
    boxes = np.concatenate([centres - halves, centres + halves], axis=-1)
    parts = draw.normal(size=(n, CELLS, CLASSES)), boxes, draw.normal(size=(n, CELLS))
    return Cells(*(jnp.asarray(part, jnp.float32) for part in parts), ANCHORS)


def targets(*images, slots=3, ignored=(), density=1.0):
    """Each image is a list of (box, class); ignored are pairs (image, slot)."""
    boxes, classes = np.zeros((len(images), slots, 4), np.float32), np.zeros((len(images), slots), np.int32)
    valid = np.zeros(classes.shape, bool)
    for image, objects in enumerate(images):
        for slot, (box, label) in enumerate(objects):
            boxes[image, slot], classes[image, slot], valid[image, slot] = box, label, True
    marked = np.zeros_like(valid)
    for place in ignored:
        marked[place] = True
    weights, densities = np.ones(valid.shape, np.float32), np.full(len(images), density, np.float32)
    return Targets(*(jnp.asarray(part) for part in (boxes, classes, valid, marked, weights, densities)))


# One object, none, two.
THREE = targets([(BOX, 1)], [], [(BOX, 2), (OTHER, 0)])


@functools.partial(jax.jit, static_argnums=0)
def parts_and_gradients(task, out, examples, strengths):
    def loss(said):
        parts = task.losses(Cells(*said, out.anchors), examples, strengths)
        return parts['loss'].sum(), parts

    gradients, parts = jax.grad(loss, has_aux=True)(out[:3])
    return parts, Cells(*gradients, out.anchors)


def learnt(context, truth, task=TASK, out=None):
    """The losses, and their gradients by the outputs."""
    out = outputs() if out is None else out
    return jax.device_get(parts_and_gradients(task, out, Examples(None, truth), context['strengths']))


@pytest.mark.parametrize('assigner', ASSIGNERS)
def test_without_an_object_class_and_box_learn_exactly_nothing(scenes, assigner):
    parts, gradients = learnt(scenes, THREE, dataclasses.replace(TASK, assigner=assigner))
    assert not gradients.class_logits[1].any() and not gradients.boxes[1].any()
    assert np.all(gradients.objectness[1] > 0)
    for image in (0, 2):
        # The same cells learn a class and a box.
        learners = gradients.class_logits[image].any(axis=-1)
        np.testing.assert_array_equal(gradients.boxes[image].any(axis=-1), learners)
        assert 0 < learners.sum() < CELLS
        np.testing.assert_array_equal(gradients.objectness[image] < 0, learners)
    assert set(parts) == {'loss', 'class_loss', 'box_loss', 'objectness_loss'}
    expected = 0.5 * parts['class_loss'] + 2.0 * parts['box_loss'] + 1.5 * parts['objectness_loss']
    np.testing.assert_allclose(parts['loss'], expected, rtol=1e-6)


@pytest.mark.parametrize('box', BOX_LOSSES)
def test_the_box_loss_is_the_one_asked_for(scenes, box):
    """One cell answers for the one object, so its box loss is that of the pair."""
    task, out = dataclasses.replace(TASK, box=box, assigner='center'), outputs()
    truth = targets([([0.55, 0.55, 0.61, 0.61], 1)], [], [])  # Within a cell of the finer map.
    assigned = task.assign(ANCHORS, *(part[0] for part in out[:3]), jax.tree.map(lambda leaf: leaf[0], truth))
    parts, _ = learnt(scenes, truth, task, out)
    pairs = out.boxes[0][assigned.positive], jnp.broadcast_to(truth.boxes[0, 0], (int(assigned.positive.sum()), 4))
    assert assigned.positive.any()
    np.testing.assert_allclose(parts['box_loss'][0], losses.box_loss(box, *pairs).sum(), rtol=1e-5)
    imitated = task.imitation(out, outputs(seed=1), 2.0)
    others = [dataclasses.replace(task, box=other).imitation(out, outputs(seed=1), 2.0) for other in BOX_LOSSES]
    assert sum(np.allclose(imitated, other, rtol=1e-6) for other in others) == 1


def test_the_class_loss_is_the_one_asked_for(scenes):
    focal, _ = learnt(scenes, THREE, dataclasses.replace(TASK, classification='focal'))
    bce, _ = learnt(scenes, THREE)
    # Of an image without an object the focal loss hears every cell, the other none.
    logits = outputs().class_logits[1]
    np.testing.assert_allclose(focal['class_loss'][1], losses.focal(logits, jnp.zeros(logits.shape)).sum(), rtol=1e-5)
    assert bce['class_loss'][1] == 0


@pytest.mark.parametrize('box', BOX_LOSSES)
def test_boxes_without_extent_leave_everything_finite(scenes, box):
    out = outputs()
    boxes = out.boxes.at[:, ::3].set(0.5).at[:, 1::3].set(jnp.array([0.8, 0.8, 0.2, 0.2])).at[:, 2::9].set(1e6)
    truth = targets([([0.3, 0.3, 0.3, 0.3], 1)], [], [(BOX, 0), ([0.4, 0.1, 0.4, 0.9], 1)])
    parts, gradients = learnt(scenes, truth, dataclasses.replace(TASK, box=box), out._replace(boxes=boxes))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((parts, gradients)))


@pytest.mark.parametrize('assigner', ASSIGNERS)
def test_what_is_ignored_is_neither_learnt_nor_background(scenes, assigner):
    task = dataclasses.replace(TASK, assigner=assigner)
    truth = targets([(BOX, 1)], [], [(OTHER, 0), (BOX, 2)], ignored=[(0, 0), (2, 1)])
    _, gradients = learnt(scenes, truth, task)
    points = np.asarray(ANCHORS.points)
    covered = np.all((points >= BOX[:2]) & (points <= BOX[2:]), axis=1)
    assert not gradients.class_logits[0].any() and not gradients.boxes[0].any()
    assert np.all(gradients.objectness[0][covered] == 0)
    assert np.all(gradients.objectness[0][~covered] > 0)
    # Beside it, an object is learnt as it is alone.
    _, alone = learnt(scenes, targets([], [], [(OTHER, 0)]), task)
    np.testing.assert_allclose(gradients.boxes[2], alone.boxes[2], rtol=1e-6)
    np.testing.assert_allclose(gradients.class_logits[2], alone.class_logits[2], rtol=1e-6)
    learners = alone.objectness[2] < 0
    assert np.all(gradients.objectness[2][covered & ~learners] == 0)


@pytest.mark.parametrize('assigner', ASSIGNERS)
def test_padding_changes_nothing(scenes, assigner):
    task = dataclasses.replace(TASK, assigner=assigner)
    padded = targets([(BOX, 1)], [], [(BOX, 2), (OTHER, 0)], slots=9)
    for one, other in zip(*(jax.tree.leaves(learnt(scenes, truth, task)) for truth in (THREE, padded)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_losses_are_sums_by_the_density(scenes):
    dense, _ = learnt(scenes, THREE._replace(density=jnp.full(3, 4.0)))
    for name, value in learnt(scenes, THREE)[0].items():
        np.testing.assert_allclose(dense[name], value / 4, rtol=1e-6)


def test_objects_of_a_mixed_image_count_by_its_share(scenes):
    full, _ = learnt(scenes, THREE)
    none, gradients = learnt(scenes, THREE._replace(weights=jnp.zeros((3, 3))))
    half, _ = learnt(scenes, THREE._replace(weights=jnp.full((3, 3), 0.5)))
    assert not np.any(none['box_loss']) and not np.any(none['class_loss']) and not gradients.boxes.any()
    for name in full:
        np.testing.assert_allclose(half[name], (full[name] + none[name]) / 2, rtol=1e-5)


# Suppression.


def suppressed(logits, boxes, objectness, task):
    """As `Detect.suppress`, one box after the other."""
    found = []
    for row in range(len(objectness)):
        probability = 1 / (1 + np.exp(-logits[row].max()))
        score = probability / (1 + np.exp(-objectness[row]))
        if score >= task.min_score:
            found.append((float(score), int(logits[row].argmax()), np.clip(boxes[row], 0, 1)))
    kept = []
    for one in sorted(found, key=lambda one: -one[0]):
        rivals = [other for other in kept if other[1] == one[1] or not task.nms_per_class]
        if all(iou(one[2], other[2]) <= task.nms_iou for other in rivals):
            kept.append(one)
    return kept[: task.max_detections]


def iou(a, b):
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(height, 0) * max(width, 0)
    areas = [max(box[2] - box[0], 0) * max(box[3] - box[1], 0) for box in (a, b)]
    return shared / max(sum(areas) - shared, 1e-12)


@pytest.mark.parametrize(
    'values',
    [
        {'nms_iou': 0.3},
        {'nms_iou': 0.3, 'nms_per_class': False},
        {'nms_iou': 1.0, 'min_score': 0.4},
        {'nms_iou': 0.5, 'max_detections': 4},
        {'nms_iou': 0.2, 'min_score': 0.999},
    ],
)
def test_decoded_are_those_that_suppression_leaves(scenes, values):
    task, out = dataclasses.replace(TASK, **{'max_detections': 50, **values}), outputs()
    got = jax.jit(task.decode)(out, Examples(None, THREE), scenes['strengths'])
    counts = []
    for image in range(3):
        expected = suppressed(*(np.asarray(part[image]) for part in out[:3]), task)
        count = len(expected)
        counts.append(count)
        np.testing.assert_array_equal(got.valid[image], np.arange(task.max_detections) < count)
        for at, (score, label, box) in enumerate(expected):
            np.testing.assert_allclose(got.scores[image, at], score, rtol=1e-5)
            np.testing.assert_allclose(got.boxes[image, at], box, atol=1e-6)
            assert got.classes[image, at] == label
        for padding in (got.scores, got.classes, got.boxes):
            assert not np.any(padding[image, count:])
    assert np.all(np.diff(got.scores, axis=1) <= 0)
    assert got.classes.dtype == jnp.int32 and got.valid.dtype == bool and got.boxes.shape[1] == task.max_detections
    assert (max(counts) == 0) == (task.min_score > 0.9)
    np.testing.assert_allclose(got.loss, learnt(scenes, THREE)[0]['loss'], rtol=1e-6)


def test_a_crowd_is_kept_whole():
    """Eight cells say each of 80 objects, as assigners teach them to: none may be crowded out before suppression."""
    objects = np.array([(y, x, y + 0.06, x + 0.06) for y in np.arange(8) / 8 for x in np.arange(10) / 10], np.float32)
    places, draw = np.repeat(objects, 8, axis=0), np.random.default_rng(0)
    scores, classes, boxes = TASK.suppress(
        jnp.full((640, CLASSES), 3.0), jnp.asarray(places), jnp.asarray(draw.uniform(1, 4, 640), jnp.float32)
    )
    assert np.sum(scores > 0) == 80
    np.testing.assert_allclose(sorted(boxes[:80].tolist()), sorted(objects.tolist()), atol=1e-6)


# Several networks.


def test_an_ensemble_is_the_mean_of_its_members_probabilities():
    a, b = outputs(), outputs(seed=1)
    assert TASK.ensemble([a]) is a
    twice, both = TASK.ensemble([a, a]), TASK.ensemble([a, b])
    for name in ('class_logits', 'boxes', 'objectness'):
        of = (lambda x: x) if name == 'boxes' else jax.nn.sigmoid
        one, two, mean = (of(getattr(cells, name)) for cells in (a, twice, both))
        np.testing.assert_allclose(two, one, rtol=1e-5)
        np.testing.assert_allclose(mean, (one + of(getattr(b, name))) / 2, rtol=1e-5)
    assert both.anchors is a.anchors


def test_who_imitates_himself_has_nothing_to_learn():
    teacher = outputs()
    slope = jax.jit(jax.grad(lambda said, cells: TASK.imitation(Cells(*said, ANCHORS), cells, 3.0).sum()))
    for gradient in slope(teacher[:3], teacher):
        np.testing.assert_allclose(gradient, 0, atol=1e-6)
    assert all(np.abs(gradient).max() > 1e-3 for gradient in slope(outputs(seed=1)[:3], teacher))


# The whole of it.


@pytest.fixture(scope='module')
def variables(rgb, key):
    return {**jax.jit(TASK.init)(key), 'constants': rgb}


@pytest.fixture(scope='module')
def learn(scenes, variables, key):
    """task -> (ids -> loss and gradients of the parameters in training, compiled; how often it was traced)."""

    def of(task):
        traces = []

        @jax.jit
        def run(ids):
            traces.append(1)
            strengths = scenes['strengths']
            examples = task.examples(scenes, ids, key, 0, None)

            def loss(params):
                training = task.training(strengths, ids, key, 0, None)
                out, _ = task.forward({**variables, 'params': params}, examples.images, training)
                return task.losses(out, examples, strengths)['loss'].mean()

            return *jax.value_and_grad(loss)(variables['params']), examples.targets.counted.sum()

        return run, traces

    return of


def test_a_batch_of_empty_images_trains_and_any_number_of_objects_is_one_compilation(learn):
    run, traces = learn(MIXED)
    value, gradients, count = run(EMPTY)
    assert count == 0 and np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    for head in ('head1', 'head2'):
        for name in ('logits', 'box'):
            assert not any(np.any(leaf) for leaf in gradients[head][name].values())
        assert np.any(gradients[head]['objectness']['kernel'])
    seen = set()
    for ids in (FULL, EMPTY + 1, np.concatenate([EMPTY[:4], FULL[:4]])):
        value, gradients, count = run(ids)
        seen.add(int(count))
        assert np.isfinite(value)
        assert any(np.any(gradients[head]['box']['kernel']) for head in ('head1', 'head2'))
    assert len(seen) == 3 and 0 not in seen
    assert len(traces) == 1


def test_a_detector_distils(scenes, variables, key):
    task = Distill(MIXED, (TASK, TASK))
    context = {**scenes, 'teachers': (variables, variables)}

    @jax.jit
    def run(ids):
        examples = task.examples(context, ids, key, 0, None)
        out, _ = task.forward(variables, examples.images, None)
        alone = MIXED.losses(out, examples._replace(teacher=None), context['strengths'])
        return out, examples.teacher, task.losses(out, examples, context['strengths']), alone

    out, teacher, parts, alone = run(FULL)
    # The student is its own teacher here, and two alike are one.
    for mine, theirs in zip(jax.tree.leaves(out), jax.tree.leaves(teacher), strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-5)
    assert set(parts) == {'loss', 'student_loss', 'distillation_loss'}
    np.testing.assert_allclose(parts['student_loss'], alone['loss'], rtol=1e-5)
    combined = 0.6 * parts['student_loss'] + 0.4 * 3.0**2 * parts['distillation_loss']
    np.testing.assert_allclose(parts['loss'], combined, rtol=1e-5)

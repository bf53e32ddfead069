"""Images and their objects: what augmentation and mixing make of both, and that it is the same for both."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import augment, rng
from jaxvision.tasks.objects import ObjectTask, mean_probability
from jaxvision.tasks.views import Views

SIDE = 16
PLAIN = ObjectTask(nn.Dense(1), (SIDE, SIDE, 3), 3)  # Of the network nothing is asked here.
MIRRORED = dataclasses.replace(PLAIN, views=Views(mirror=True))
SHIFTED = dataclasses.replace(PLAIN, views=Views(mirror=True, crop=4))
MOSAIC = dataclasses.replace(PLAIN, views=Views(mirror=True), mosaic=True)
MIXED = dataclasses.replace(PLAIN, mixup=True)
EVERYTHING = dataclasses.replace(
    PLAIN,
    views=Views(mirror=True, crop=2, rotate=True, scale=True, colors=('brightness', 'contrast', 'saturation', 'hue')),
    mosaic=True,
    mixup=True,
)
IDS = np.arange(24, dtype=np.int32)

examples_of = jax.jit(lambda task, *args: task.examples(*args, None), static_argnums=0)


def to_numpy(examples):
    return np.asarray(examples.images), jax.tree.map(np.asarray, examples.targets)


def with_data(context, **arrays):
    return {**context, 'data': {**context['data'], **{name: jnp.asarray(value) for name, value in arrays.items()}}}


def with_strengths(context, **values):
    return {**context, 'strengths': {**context['strengths'], **{k: jnp.float32(v) for k, v in values.items()}}}


def with_ignored(context, *images):
    """The first object of each of these images is to be ignored."""
    ignored = np.zeros(context['data']['valid'].shape, bool)
    ignored[list(images), 0] = True
    return with_data(context, ignored=ignored)


def colours(context):
    """The colour of each class: what shows in the middle of its objects."""
    data, found = jax.tree.map(np.asarray, context['data']), {}
    for image, slot in np.argwhere(data['valid']):
        y, x = middle(data['boxes'][image, slot])
        found[int(data['classes'][image, slot])] = data['images'][image, y, x] / np.float32(255)
    return found


def middle(box):
    ymin, xmin, ymax, xmax = box * SIDE
    return int((ymin + ymax) / 2), int((xmin + xmax) / 2)


def test_clean_is_the_data(scenes):
    context = with_ignored(scenes, 3, 7)
    images, targets = to_numpy(jax.jit(PLAIN.clean)(context, IDS))
    data = jax.tree.map(np.asarray, context['data'])
    np.testing.assert_allclose(images, data['images'][IDS] / 255, rtol=1e-6)
    for name in ('boxes', 'classes', 'valid', 'ignored'):
        np.testing.assert_array_equal(getattr(targets, name), data[name][IDS])
    assert np.all(targets.weights == 1)
    np.testing.assert_array_equal(targets.counted, data['valid'][IDS] & ~data['ignored'][IDS])


def test_an_object_without_a_box_is_still_there_after_a_move(scenes, key):
    """So an image that has no other does not become an empty one."""
    context = with_ignored(scenes, 5)
    boxes = np.array(context['data']['boxes'])
    boxes[5, 0] = 0
    got = examples_of(MIRRORED, with_data(context, boxes=boxes), IDS, key, 0).targets
    assert got.valid[5, 0] and got.ignored[5, 0] and not got.boxes[5, 0].any()


def test_without_augmentation_a_step_sees_the_data(scenes, key):
    got, clean = examples_of(PLAIN, scenes, IDS, key, 0), jax.jit(PLAIN.clean)(scenes, IDS)
    for one, other in zip(jax.tree.leaves(got._replace(teacher=None)), jax.tree.leaves(clean), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
    np.testing.assert_array_equal(got.images, clean.images)
    np.testing.assert_array_equal(got.targets.boxes, clean.targets.boxes)


def test_mirrored_images_have_mirrored_boxes(scenes, key):
    images, targets = to_numpy(examples_of(MIRRORED, scenes, IDS, key, 0))
    plain, before = to_numpy(examples_of(PLAIN, scenes, IDS, key, 0))
    turned = 0
    for at in range(len(IDS)):
        boxes = before.boxes[at]
        if not np.array_equal(images[at], plain[at]):
            np.testing.assert_array_equal(images[at], plain[at, :, ::-1])
            ymin, xmin, ymax, xmax = boxes.T
            boxes = np.stack([ymin, 1 - xmax, ymax, 1 - xmin], axis=1) * before.valid[at][:, None]
            turned += 1
        np.testing.assert_allclose(targets.boxes[at], boxes, atol=1e-6)
    assert 0 < turned < len(IDS)
    for name in ('classes', 'valid', 'ignored'):
        np.testing.assert_array_equal(getattr(targets, name), getattr(before, name))


def test_shifted_boxes_are_those_that_the_pixels_say(scenes, key):
    """An image's rectangles have different colours, and whole pixels move exactly: each box is that of its colour."""
    images, targets = to_numpy(examples_of(SHIFTED, scenes, IDS, key, 1))
    known = colours(scenes)
    for image, boxes, classes, valid in zip(images, targets.boxes, targets.classes, targets.valid, strict=True):
        for box, label, is_there in zip(boxes, classes, valid, strict=True):
            if is_there:
                rows, columns = np.nonzero(np.isclose(image, known[label], atol=1e-5).all(axis=-1))
                seen = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
                np.testing.assert_allclose(box * SIDE, seen, atol=1e-4)
            else:
                assert not box.any() and label == 0
    dropped = np.sum(np.asarray(scenes['data']['valid'])[IDS]) - targets.valid.sum()
    assert 0 <= dropped < targets.valid.sum()


ALONE = {
    'mirror': MIRRORED,
    'crop': dataclasses.replace(PLAIN, views=Views(crop=4)),
    'rotate': dataclasses.replace(PLAIN, views=Views(rotate=True)),
    'scale': dataclasses.replace(PLAIN, views=Views(scale=True)),
    'color': dataclasses.replace(PLAIN, views=Views(colors=('brightness', 'hue'))),
    'mosaic': dataclasses.replace(PLAIN, mosaic=True),
    'mixup': MIXED,
}


@pytest.mark.parametrize('name', ALONE)
def test_every_step_draws_anew(scenes, key, name):
    context = with_strengths(scenes, mosaic=1.0)
    first, second = (np.asarray(examples_of(ALONE[name], context, IDS, key, step).images) for step in range(2))
    changed = np.array([not np.array_equal(one, other) for one, other in zip(first, second, strict=True)])
    assert changed.mean() > (0.2 if name == 'mirror' else 0.5)


def test_the_quartets_of_a_mosaic_are_drawn_anew(scenes, key):
    context = with_strengths(scenes, mosaic=1.0)
    first, second = (examples_of(ALONE['mosaic'], context, IDS, key, step).targets for step in range(2))
    slots = scenes['data']['valid'].shape[1]
    # One's own image stays top left; of the others, those that come along are others.
    others = [np.sort(np.asarray(each.classes)[:, slots:], axis=1) for each in (first, second)]
    assert np.mean(np.any(others[0] != others[1], axis=1)) > 0.5


def test_beyond_the_image_is_grey(scenes, key):
    black = with_data(scenes, images=np.zeros(scenes['data']['images'].shape, np.uint8))
    images = np.asarray(examples_of(ALONE['crop'], black, IDS, key, 0).images)
    assert set(np.unique(np.rint(images * 255))) == {0, 114}


def test_the_least_rest_of_what_is_ignored_stays_ignored(scenes, key):
    """An object is dropped below 30 % in view; what is ignored is not: its rest would become background."""
    full = np.zeros(scenes['data']['boxes'].shape, np.float32)
    full[:, 0] = [0.2, 0.0, 0.8, 0.25]  # A crop of 4 pixels of 16 may leave nothing of it, or a quarter.
    valid = np.zeros(full.shape[:2], bool)
    valid[:, 0] = True
    context = with_data(scenes, boxes=full, valid=valid, ignored=np.zeros_like(valid))
    rests = []
    for step in range(4):
        seen = examples_of(ALONE['crop'], context, IDS, key, step).targets
        ignored = examples_of(ALONE['crop'], with_data(context, ignored=valid), IDS, key, step).targets
        assert not np.any(seen.valid & ~ignored.valid)
        rests += (SIDE * ignored.boxes[np.asarray(ignored.valid & ~seen.valid)[:, 0], 0, 3]).tolist()
    assert rests and np.allclose(rests, 1)


@pytest.mark.parametrize('share', [0.0, 1.0])
def test_a_mosaic_has_the_objects_of_four(scenes, key, share):
    context = with_strengths(with_ignored(scenes, 3, 7), mosaic=share)
    images, targets = to_numpy(examples_of(MOSAIC, context, IDS, key, 2))
    slots = scenes['data']['valid'].shape[1]
    assert targets.valid.shape == (len(IDS), 4 * slots)
    assert targets.valid[:, slots:].any() == (share == 1.0)
    known, looked_at = colours(scenes), 0
    for at, slot in np.argwhere(targets.valid):
        box = targets.boxes[at, slot]
        if min(box[2:] - box[:2]) * SIDE < 3:
            continue  # Its middle may be half of something else.
        np.testing.assert_allclose(images[(at, *middle(box))], known[targets.classes[at, slot]], atol=0.02)
        looked_at += 1
    assert looked_at > len(IDS) / 2
    assert not targets.boxes[~targets.valid].any() and not targets.classes[~targets.valid].any()
    assert targets.ignored.any() and not np.any(targets.ignored & ~targets.valid)


def test_mixup_keeps_the_objects_of_both_by_their_shares(scenes, key):
    images, targets = to_numpy(examples_of(MIXED, scenes, IDS, key, 5))
    plain, before = to_numpy(examples_of(PLAIN, scenes, IDS, key, 5))
    partners = np.asarray(jax.random.permutation(rng.key(key, 'mixup', 5), len(IDS)))
    shares = np.asarray(jax.jit(augment.mixing_weights)(rng.key(key, 'mixup', 5, IDS), 0.7))
    slots = before.valid.shape[1]
    assert any(partner == at for at, partner in enumerate(partners))
    for at, (partner, share) in enumerate(zip(partners, shares, strict=True)):
        if partner == at:  # Not mixed. It had its objects twice, and the loss of one share.
            np.testing.assert_allclose(images[at], plain[at], atol=1e-6)
            np.testing.assert_array_equal(targets.valid[at], [*before.valid[at], *[False] * slots])
            np.testing.assert_array_equal(targets.weights[at], [*[1.0] * slots, *[0.0] * slots])
            continue
        np.testing.assert_allclose(images[at], share * plain[at] + (1 - share) * plain[partner], atol=1e-6)
        np.testing.assert_array_equal(targets.boxes[at], [*before.boxes[at], *before.boxes[partner]])
        np.testing.assert_array_equal(targets.classes[at], [*before.classes[at], *before.classes[partner]])
        np.testing.assert_array_equal(targets.valid[at], [*before.valid[at], *before.valid[partner]])
        np.testing.assert_allclose(targets.weights[at], [*[share] * slots, *[1 - share] * slots], rtol=1e-5, atol=1e-6)


def test_nothing_depends_on_the_number_of_devices(scenes, key):
    context = with_ignored(scenes, 3, 7)
    whole = examples_of(EVERYTHING, context, IDS, key, 6)

    def on_device(ids):
        return EVERYTHING.examples(context, ids, key, 6, 'devices')

    parts = jax.jit(jax.vmap(on_device, axis_name='devices'))(IDS.reshape(4, 6))
    for part, expected in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(np.reshape(part, expected.shape), expected, atol=2e-5)


def test_density_is_that_of_the_whole_batch(scenes, key):
    """Images 0, 1, 2, 3 have as many objects (if all found room); one of image 3's is ignored."""
    context, ids = with_ignored(scenes, 3), np.arange(4, dtype=np.int32)
    counts = np.asarray(scenes['data']['valid'])[ids].sum(axis=1) - [0, 0, 0, 1]
    assert counts.sum() > 4
    got = examples_of(PLAIN, context, ids, key, 0)
    np.testing.assert_allclose(got.targets.density, [counts.mean()] * 4, rtol=1e-6)
    halves = jax.jit(
        jax.vmap(lambda ids: PLAIN.examples(context, ids, key, 0, 'devices').targets.density, axis_name='devices')
    )(ids.reshape(2, 2))
    np.testing.assert_allclose(halves, np.full((2, 2), counts.mean()), rtol=1e-6)
    empty = examples_of(PLAIN, context, np.zeros(4, np.int32), key, 0)
    assert np.all(np.asarray(empty.targets.density) == 1)  # Nothing is divided by nothing.


def test_in_evaluation_no_example_knows_of_another(scenes):
    clean = jax.jit(PLAIN.clean)
    together, crowded = clean(scenes, IDS), clean(scenes, np.full(24, 3, np.int32))
    assert together.targets.density[3] == crowded.targets.density[0]


def test_mean_probability():
    logits = np.random.default_rng(0).normal(0, 3, (3, 5)).astype(np.float32)
    expected = np.mean(1 / (1 + np.exp(-logits)), axis=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-mean_probability(list(logits)))), expected, rtol=1e-5)
    np.testing.assert_array_equal(mean_probability([logits[0]]), logits[0])
    extreme = mean_probability([jnp.array([200.0, -200.0]), jnp.array([200.0, -200.0])])
    np.testing.assert_allclose(extreme, [200.0, -200.0], rtol=1e-6)

"""Mosaics: their pixels and boxes move together, quadrants are filled, and every image is shown equally often."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxvision import augment

HEIGHT, WIDTH, SLOTS = 32, 48, 3
SEEDS = range(25)
CONSTANT = np.broadcast_to(np.float32([0.2, 0.4, 0.6, 0.8])[:, None, None, None], (4, HEIGHT, WIDTH, 1))
NOTHING = (np.zeros((4, SLOTS, 4), np.float32), np.zeros((4, SLOTS), np.int32), np.zeros((4, SLOTS), bool))

mosaic = jax.jit(functools.partial(augment.mosaic, keep=0.0, minimum=0.0))


def corner_of(image):
    """Where the four constant images meet: (row, column); and that they are what each quadrant shows."""
    levels = np.rint(np.asarray(image)[..., 0] * 5).astype(int)
    row, column = int((levels[:, 0] == 1).sum()), int((levels[0] == 1).sum())
    expected = np.empty((HEIGHT, WIDTH), int)
    expected[:row, :column], expected[:row, column:], expected[row:, :column], expected[row:, column:] = 1, 2, 3, 4
    np.testing.assert_array_equal(levels, expected)
    return row, column


def test_four_quadrants_are_filled_to_the_edge():
    for seed in SEEDS:
        image, *_ = mosaic(jax.random.key(seed), CONSTANT, *NOTHING)
        row, column = corner_of(image)
        assert 8 <= row <= 24 and 12 <= column <= 36
        # No black comes in between: each pixel is one of the four levels, to rounding.
        np.testing.assert_allclose(np.asarray(image) * 5, np.rint(np.asarray(image) * 5), atol=1e-5)


def test_corner_is_uniform_on_the_middle_half():
    keys = jax.random.split(jax.random.key(0), 1500)
    images = jax.jit(jax.vmap(lambda key: augment.mosaic(key, CONSTANT, *NOTHING)[0]))(keys)
    levels = np.rint(np.asarray(images)[..., 0] * 5)
    rows, columns = (levels[:, :, 0] == 1).sum(axis=1), (levels[:, 0] == 1).sum(axis=1)
    assert stats.chisquare(np.bincount(rows - 8, minlength=17)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(columns - 12, minlength=25)).pvalue > 1e-3
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 4 / np.sqrt(1500)


def scene(seed):
    """Four black images with one rectangle of whole pixels each; the last image has none."""
    draw = np.random.default_rng(seed)
    images, boxes = np.zeros((4, HEIGHT, WIDTH, 1), np.float32), np.zeros((4, SLOTS, 4), np.float32)
    for i in range(3):
        top, left = draw.integers(0, 18), draw.integers(0, 30)
        bottom, right = top + draw.integers(8, 15), left + draw.integers(8, 19)
        images[i, top:bottom, left:right] = 1
        boxes[i, i] = [top / HEIGHT, left / WIDTH, bottom / HEIGHT, right / WIDTH]
    valid = np.zeros((4, SLOTS), bool)
    valid[[0, 1, 2], [0, 1, 2]] = True
    return images, boxes, np.where(valid, 7, 0).astype(np.int32), valid


def test_pixels_and_boxes_move_together():
    seen = 0
    for seed in SEEDS:
        images, boxes, classes, valid = scene(seed)
        key = jax.random.key(seed)
        row, column = corner_of(mosaic(key, CONSTANT, *NOTHING)[0])
        image, boxes, classes, valid = map(np.asarray, mosaic(key, images, boxes, classes, valid))
        assert boxes.shape == (4 * SLOTS, 4) and classes.shape == valid.shape == (4 * SLOTS,)
        assert not valid[[i for i in range(12) if i not in (0, 4, 8)]].any()
        np.testing.assert_array_equal(classes, np.where(valid, 7, 0))
        np.testing.assert_array_equal(boxes[~valid], 0)
        quadrants = (
            (slice(0, row), slice(0, column)),
            (slice(0, row), slice(column, None)),
            (slice(row, None), slice(0, column)),
        )
        for i, (rows, columns) in enumerate(quadrants):
            box = boxes[i * SLOTS + i] * [HEIGHT, WIDTH, HEIGHT, WIDTH]
            bright = image[rows, columns, 0] > 0.5
            if not bright.any():
                assert (box[2:] - box[:2]).min() <= 1.001
                continue
            seen += 1
            assert valid[i * SLOTS + i]
            ys, xs = np.flatnonzero(bright.any(axis=1)) + rows.start, np.flatnonzero(bright.any(axis=0)) + columns.start
            np.testing.assert_allclose(box, [ys[0], xs[0], ys[-1] + 1, xs[-1] + 1], atol=1.001)
        # The image without objects adds no light.
        assert not (image[row:, column:] > 0.5).any()
    assert seen > len(SEEDS)


def test_objects_cut_too_much_are_dropped():
    """A box of the whole image is seen by the share of it that its quadrant shows."""
    boxes = np.broadcast_to(np.float32([0, 0, 1, 1]), (4, 1, 4))
    everything = (CONSTANT, boxes, np.ones((4, 1), np.int32), np.ones((4, 1), bool))
    draw = jax.jit(functools.partial(augment.mosaic, scale=0.0))
    kept = 0
    for seed in SEEDS:
        key = jax.random.key(seed)
        row, column = corner_of(mosaic(key, *everything)[0])
        assert mosaic(key, *everything)[3].all()
        for i, (height, width) in enumerate(
            [(row, column), (row, WIDTH - column), (HEIGHT - row, column), (HEIGHT - row, WIDTH - column)]
        ):
            factor = max(0.5, height / HEIGHT, width / WIDTH)
            share = height * width / (factor**2 * HEIGHT * WIDTH)
            if abs(share - 0.7) > 1e-4:
                left = draw(key, *everything, keep=0.7)[3][i]
                assert left == (share > 0.7)
                kept += int(left)
    assert 0 < kept < 4 * len(SEEDS)


def test_size_is_about_a_half():
    """At no jitter an image whose quadrant is at most a quarter of the whole is shown at exactly half its size."""
    ramp = np.broadcast_to(np.arange(WIDTH, dtype=np.float32)[None, None, :, None], (4, HEIGHT, WIDTH, 1))
    draw = jax.jit(functools.partial(augment.mosaic, scale=0.0))
    checked = 0
    for seed in SEEDS:
        row, column = corner_of(draw(jax.random.key(seed), CONSTANT, *NOTHING)[0])
        slopes = np.diff(np.asarray(draw(jax.random.key(seed), ramp, *NOTHING)[0])[0, :column, 0])
        factor = max(0.5, row / HEIGHT, column / WIDTH)
        np.testing.assert_allclose(slopes, 1 / factor, rtol=1e-4)
        checked += factor == 0.5
    assert checked


def test_is_pure_and_of_the_key_alone():
    traces = []

    @jax.jit
    def draw(key, scale):
        traces.append(1)
        return augment.mosaic(key, *map(jnp.asarray, scene(0)), scale=scale)

    first, again, other = draw(jax.random.key(3), 0.1), draw(jax.random.key(3), 0.1), draw(jax.random.key(4), 0.3)
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
    assert len(traces) == 1


def test_over_a_batch_each_by_its_own_key():
    keys = jax.random.split(jax.random.key(0), 3)
    batch = [np.stack(parts) for parts in zip(*map(scene, range(3)), strict=True)]
    together = jax.jit(jax.vmap(augment.mosaic))(keys, *batch)
    draw = jax.jit(augment.mosaic)
    for i in range(3):
        alone = draw(keys[i], *(part[i] for part in batch))
        for one, of_all in zip(alone, together, strict=True):
            np.testing.assert_allclose(of_all[i], one, atol=1e-5)


def test_every_image_is_shown_equally_often():
    quartets = np.asarray(augment.draw_quartets(jax.random.key(0), 16))
    assert quartets.shape == (16, 3)
    for column in quartets.T:
        np.testing.assert_array_equal(np.sort(column), np.arange(16))
    assert len({tuple(column) for column in quartets.T}) == 3

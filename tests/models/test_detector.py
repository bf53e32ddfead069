"""Encoders without a head, the pyramid, and the heads that say where."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models, rng
from jaxvision.models.detector import PRIOR, Detector, DetectorHead, Localizer, Pyramid, grid
from jaxvision.models.layers import Training

BATCH, CLASSES, FEATURES = 2, 5, 6
SHAPE = (BATCH, 16, 16, 3)
# Small, with the shapes of the levels that they give of an image of 16x16.
ENCODERS = {
    'linear': ({}, [(1, 1, 768)]),
    'mlp': ({'hidden': (12, 8)}, [(1, 1, 8)]),
    'convnet': ({'filters': (4, 8, 8), 'convs': 2, 'dense': (8,)}, [(8, 8, 4), (4, 4, 8), (2, 2, 8)]),
    'resnet': ({'depth': 20, 'width': 0.25}, [(16, 16, 4), (8, 8, 8), (4, 4, 16)]),
    'resnet, 7x7': (
        {'depth': 50, 'stem': '7x7', 'width': 1 / 16},
        [(4, 4, 16), (2, 2, 32), (1, 1, 64), (1, 1, 128)],
    ),
    'vit': ({'patch': 4, 'embedding': 8, 'layers': 2, 'heads': 2}, [(4, 4, 8)]),
}


def build(name, num_classes=0, **values):
    return models.build(name.split(',')[0], num_classes, **{**ENCODERS[name][0], **values})


def abstract(model, shape):
    """(outputs, variables) without computing them."""
    return jax.eval_shape(model.init_with_output, jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32))


def drawn(model, shape=SHAPE, biases=0.1):
    """Variables from NumPy, where Flax would compile its initialisers."""
    draw = np.random.default_rng(0)

    def leaf(path, of):
        name, normal = path[-1].key, draw.normal(size=of.shape)
        if name == 'kernel':
            values = normal / np.sqrt(of.size / of.shape[-1])
        else:
            values = 1 + 0 * normal if name in ('scale', 'var') else biases * normal
        return values.astype(np.float32)

    return jax.tree_util.tree_map_with_path(leaf, abstract(model, shape)[1])


def leaves(tree):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


# Encoders.


@pytest.mark.parametrize('name', ENCODERS)
def test_encoders_give_their_levels_finest_first(name):
    levels, _ = abstract(build(name), SHAPE)
    assert [level.shape for level in levels] == [(BATCH, *shape) for shape in ENCODERS[name][1]]


@pytest.mark.parametrize('norm', ['none', 'batch'])
@pytest.mark.parametrize('name', ENCODERS)
def test_a_classifier_is_its_encoder_and_a_head(name, norm):
    """So that the weights of the one serve the other: the same names, the same shapes."""
    encoder, classifier = (leaves(abstract(build(name, n, norm=norm), SHAPE)[1]) for n in (0, CLASSES))
    for path, leaf in encoder.items():
        assert classifier[path].shape == leaf.shape
    extra = {path.split("'")[3] for path in classifier.keys() - encoder.keys()}
    assert extra - ({'Dense_0', 'Norm_6'} if name == 'convnet' else set()) == {'ClassifierHead_0'}


# The pyramid.


@pytest.mark.parametrize(
    ('levels', 'sides'), [(1, [2]), (2, [4, 2]), (3, [8, 4, 2]), (4, [8, 4, 2, 1]), (5, [8, 4, 2, 1, 1])]
)
def test_pyramid_has_as_many_levels_as_asked(levels, sides):
    given = tuple(jnp.zeros((BATCH, side, side, 3)) for side in (8, 4, 2))
    pyramid = Pyramid(levels, FEATURES, 'batch', jnp.float32)
    maps = jax.eval_shape(lambda: pyramid.init_with_output(jax.random.key(0), given, None)[0])
    assert [each.shape for each in maps] == [(BATCH, side, side, FEATURES) for side in sides]


def test_pyramid_takes_odd_sizes():
    given = tuple(jnp.zeros((BATCH, side, side + 2, 3)) for side in (9, 5, 3))
    pyramid = Pyramid(4, FEATURES, 'none', jnp.float32)
    maps = jax.eval_shape(lambda: pyramid.init_with_output(jax.random.key(0), given, None)[0])
    assert [each.shape[1:3] for each in maps] == [(9, 11), (5, 7), (3, 5), (2, 3)]


def test_fine_maps_hear_of_the_coarse_ones_and_not_the_other_way_round():
    pyramid = Pyramid(2, FEATURES, 'none', jnp.float32)
    draw = np.random.default_rng(0)
    given = tuple(draw.normal(size=(1, side, side, 3)).astype(np.float32) for side in (4, 2))

    @jax.jit
    def run(fine, coarse):
        variables = pyramid.init(jax.random.key(0), given, None)
        return pyramid.apply(variables, (fine, coarse), None)

    maps, other_coarse, other_fine = run(*given), run(given[0], 2 * given[1]), run(2 * given[0], given[1])
    assert np.all(np.any(maps[0] != other_coarse[0], axis=-1))
    np.testing.assert_array_equal(maps[1], other_fine[1])


def test_grid():
    anchors = grid(2, 4)
    np.testing.assert_allclose(
        anchors.points,
        [
            [0.25, 0.125], [0.25, 0.375], [0.25, 0.625], [0.25, 0.875],
            [0.75, 0.125], [0.75, 0.375], [0.75, 0.625], [0.75, 0.875],
        ],
    )  # fmt: skip
    np.testing.assert_array_equal(anchors.sizes, [[0.5, 0.25]] * 8)


# The heads.


def of_head(place):
    """The cells of a head on a map of 3x5 whose box output is `place` everywhere, whatever it looks at."""
    head = DetectorHead(CLASSES, FEATURES, 1, 'none', jnp.float32)
    shape = (1, 3, 5, 4)
    variables = jax.eval_shape(lambda: head.init(jax.random.key(0), jnp.zeros(shape), None))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), variables['params'])
    params['box']['bias'][:] = place
    return jax.jit(lambda params, x: head.apply({'params': params}, x, None))(params, np.ones(shape, np.float32))


def cell(y, x):
    return [y / 3, x / 5, (y + 1) / 3, (x + 1) / 5]


def test_an_output_of_zero_is_the_cell_itself():
    got = of_head([0, 0, 0, 0])
    expected = [cell(y, x) for y in range(3) for x in range(5)]
    np.testing.assert_allclose(got.boxes[0], expected, atol=1e-6)
    np.testing.assert_array_equal(got.anchors.points, grid(3, 5).points)


def test_boxes_are_in_cells():
    """Half a cell down, one to the left, twice as high and half as wide."""
    got = of_head([0.5, -1.0, np.log(2.0), np.log(0.5)])
    for row, box in enumerate(got.boxes[0]):
        y, x = divmod(row, 5)
        expected = [y / 3, (x - 0.75) / 5, (y + 2) / 3, (x - 0.25) / 5]
        np.testing.assert_allclose(box, expected, atol=1e-6)


@pytest.mark.parametrize('value', [1e4, -1e4])
def test_no_output_makes_a_box_infinite_or_inverted(value):
    boxes = np.asarray(of_head([0, 0, value, value]).boxes)
    assert np.isfinite(boxes).all()
    assert np.all(boxes[..., :2] < boxes[..., 2:])


def test_a_fresh_detector_believes_in_little():
    def run(x):
        model = Detector(build('convnet'), CLASSES, levels=2, features=FEATURES, convs=1)
        return model.init_with_output(jax.random.key(0), x)[0]

    cells = jax.jit(run)(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32))
    for logits in (cells.objectness, cells.class_logits):
        np.testing.assert_allclose(jax.nn.sigmoid(logits), PRIOR, rtol=0.5)
    assert cells.boxes.shape == (BATCH, 4 * 4 + 2 * 2, 4)
    # Level by level, the finest first; cells of a fresh head are about themselves.
    np.testing.assert_array_equal(cells.anchors.points, [*grid(4, 4).points, *grid(2, 2).points])
    centres = (cells.boxes[..., :2] + cells.boxes[..., 2:]) / 2
    assert np.all(np.abs(centres - cells.anchors.points) < cells.anchors.sizes / 2)


def networks(name, dtype='float32', rate=0.0):
    encoder = build(name, norm='layer', dropout=rate, dtype=dtype)
    common = {'features': FEATURES, 'norm': 'batch', 'dtype': jnp.dtype(dtype)}
    return Localizer(encoder, CLASSES, levels=2, **common), Detector(encoder, CLASSES, levels=3, convs=1, **common)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('name', ENCODERS)
def test_every_encoder_serves_both(name, dtype):
    localizer, detector = networks(name, dtype)
    located, variables = abstract(localizer, SHAPE)
    assert [leaf.shape for leaf in located] == [(BATCH, CLASSES), (BATCH, 4), (BATCH,)]
    cells, others = abstract(detector, SHAPE)
    count = cells.anchors.points.shape[0]
    assert [leaf.shape for leaf in cells[:3]] == [(BATCH, count, CLASSES), (BATCH, count, 4), (BATCH, count)]
    maps = [shape[:2] for shape in ENCODERS[name][1]][-3:]
    while len(maps) < 3:
        maps.append(tuple(-(-side // 2) for side in maps[-1]))
    assert count == sum(height * width for height, width in maps)
    for tree in (located, cells, variables, others):
        assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {jnp.dtype('float32')}


@pytest.mark.parametrize('name', ['mlp', 'convnet'])
def test_half_precision_is_finite_in_training_and_evaluation(name):
    keys = rng.key(0, 'dropout', 0, jnp.arange(BATCH))
    pixels = 3 * np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)

    @jax.jit
    def run(each, pixels):
        found = []
        for model, variables in zip(networks(name, 'bfloat16', 0.5), each, strict=True):
            found += [model.apply(variables, pixels, Training(0.5, keys), mutable=['batch_stats'])]
            found += [model.apply(variables, pixels)]
        return found

    got = run([drawn(model) for model in networks(name, 'bfloat16', 0.5)], pixels)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(got))
    (trained, _), evaluated = got[:2]
    assert not np.allclose(trained.class_logits, evaluated.class_logits)  # Dropout and the batch's statistics.


@functools.cache
def localizer():
    """A compiled localiser without biases, to which nothing is nothing, and which looks sharply."""
    model = Localizer(models.build('convnet', 0, filters=(4, 8, 8)), CLASSES, features=FEATURES, norm='none')
    shape = (1, 64, 64, 1)
    variables = drawn(model, shape, biases=0.0)
    variables['params']['head']['attention']['kernel'] *= 1e4
    return functools.partial(jax.jit(model.apply), variables)


def scene(top, left):
    image = np.zeros((1, 64, 64, 1), np.float32)
    image[0, top : top + 6, left : left + 8] = np.random.default_rng(1).normal(1, 1, (6, 8, 1))
    return image


@pytest.mark.parametrize(('down', 'right'), [(8, 0), (0, -8), (-8, 16)])
def test_where_an_object_lies_moves_its_box_and_nothing_else(down, right):
    """By the coarsest stride, so that the encoder sees the same."""
    here, there = localizer()(scene(27, 26)), localizer()(scene(27 + down, 26 + right))
    moved = np.array([down, right, down, right]) / 64
    np.testing.assert_allclose(there.boxes - here.boxes, [moved], atol=1e-5)
    np.testing.assert_allclose(there.class_logits, here.class_logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(there.objectness, here.objectness, rtol=1e-4, atol=1e-5)
    assert np.ptp(here.class_logits) > 1e-3

"""Encoders: published sizes, shapes and dtypes, and what dropout, norms and pools do."""

import functools
import math
import zlib

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models, rng
from jaxvision.models import resnet
from jaxvision.models.layers import Dropout, Norm, Training, scaled

# Small, and with every kind of layer that the model has.
SMALL = {
    'linear': {},
    'mlp': {'hidden': (12, 8)},
    'convnet': {'filters': (4, 8), 'convs': 2, 'dense': (8,)},
    'resnet': {'depth': 20, 'width': 0.25},
    'vit': {'patch': 4, 'embedding': 8, 'layers': 2, 'heads': 2},
}
NORMS = ('none', 'batch', 'layer', 'group')
BATCH, CLASSES = 4, 7
SHAPE = (BATCH, 8, 8, 3)


def build(name, **values):
    return models.build(name, CLASSES, **{**SMALL[name], **values})


def images(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def training(rate=0.5, step=0, ids=tuple(range(BATCH))):
    return Training(rate, rng.key(0, 'dropout', step, jnp.asarray(ids)))


def count(variables):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params']))


def abstract(model, shape):
    return jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32))


def drawn(model, shape=SHAPE):
    """Variables from NumPy, where Flax would compile its initialisers; no scale is zero."""
    draw = np.random.default_rng(0)

    def leaf(path, of):
        if path[-1].key == 'kernel':
            values = draw.normal(size=of.shape) / np.sqrt(of.size / of.shape[-1])
        elif path[-1].key in ('scale', 'var'):
            values = draw.uniform(0.5, 1.5, of.shape)
        else:
            values = 0.1 * draw.normal(size=of.shape)
        return values.astype(np.float32)

    return jax.tree_util.tree_map_with_path(leaf, abstract(model, shape))


@functools.lru_cache
def compiled(name, norm, dtype):
    """variables, images, ids -> logits in training under dropout, changed statistics, logits in evaluation."""
    model = build(name, norm=norm, dropout=0.5, dtype=dtype)

    def run(variables, pixels, ids):
        trained, changed = model.apply(variables, pixels, training(ids=ids), mutable=['batch_stats'])
        return trained, changed, model.apply(variables, pixels)

    return functools.partial(jax.jit(run), drawn(model))


# Published sizes.


@pytest.mark.parametrize(
    ('name', 'values', 'classes', 'side', 'parameters'),
    [
        ('resnet', {'depth': 20}, 10, 32, 269_722),
        ('resnet', {'depth': 18, 'stem': '7x7'}, 1000, 224, 11_689_512),
        ('resnet', {'depth': 50, 'stem': '7x7'}, 1000, 224, 25_557_032),
        ('vit', {'variant': 'Ti', 'patch': 16}, 1000, 224, 5_717_416),
        ('vit', {'variant': 'S', 'patch': 16}, 1000, 224, 22_050_664),
        ('vit', {'variant': 'B', 'patch': 16}, 1000, 224, 86_567_656),
        ('linear', {}, 10, 28, 28 * 28 * 3 * 10 + 10),
    ],
)
def test_published_parameter_counts(name, values, classes, side, parameters):
    # He et al. 2016 and torchvision's ResNets; Touvron et al. 2021 and timm's ViTs.
    model = models.build(name, classes, norm='layer' if name == 'vit' else 'batch', **values)
    assert count(abstract(model, (1, side, side, 3))) == parameters


@pytest.mark.parametrize(('depth', 'convolutions'), [(20, 19), (32, 31), (56, 55), (18, 17), (34, 33)])
def test_depth_counts_the_layers_with_weights(depth, convolutions):
    variables = abstract(models.build('resnet', 10, depth=depth), (1, 32, 32, 3))
    kernels = [path for path, _ in jax.tree_util.tree_leaves_with_path(variables['params']) if path[-1].key == 'kernel']
    projections = [path for path in kernels if any(part.key == 'projection' for part in path)]
    assert len(kernels) - len(projections) == convolutions + 1  # And the head.


# What goes in and what comes out.


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('rate', [0.0, 0.5])
@pytest.mark.parametrize('norm', NORMS)
@pytest.mark.parametrize('name', SMALL)
def test_shapes_and_dtypes(name, norm, rate, dtype):
    model = build(name, norm=norm, dropout=rate, dtype=dtype)
    pixels = jax.ShapeDtypeStruct(SHAPE, jnp.float32)
    evaluated, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), pixels)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    assert ('batch_stats' in variables) == (norm == 'batch' and name != 'linear')
    trained, changed = jax.eval_shape(
        lambda *args: model.apply(*args, training(rate), mutable=['batch_stats']), variables, pixels
    )
    for logits in (evaluated, trained):
        assert logits.shape == (BATCH, CLASSES) and logits.dtype == jnp.float32
    assert jax.tree.structure(changed) == jax.tree.structure({k: v for k, v in variables.items() if k == 'batch_stats'})


@pytest.mark.parametrize(('norm', 'dtype'), [('batch', 'bfloat16'), ('layer', 'float32')])
@pytest.mark.parametrize('name', SMALL)
def test_finite_and_not_constant(name, norm, dtype):
    trained, changed, evaluated = compiled(name, norm, dtype)(images(), np.arange(BATCH))
    for logits in (trained, evaluated):
        assert np.isfinite(logits).all()
        assert (np.std(logits, axis=0) > 0).all()  # Other images, other logits.
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(changed))


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('name', ['mlp', 'convnet', 'resnet', 'vit'])
def test_every_product_but_the_heads_is_in_the_dtype(name, dtype):
    model = build(name, norm='layer', dtype=dtype)
    computation = jax.make_jaxpr(model.apply)(abstract(model, SHAPE), jax.ShapeDtypeStruct(SHAPE, jnp.float32))
    *products, head = list(operands(computation.jaxpr))
    assert len(products) >= 2
    assert set(products) == {jnp.dtype(dtype)}
    assert head == jnp.float32


def operands(jaxpr):
    """The dtype of the inputs of each convolution and matrix product, in order."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ('dot_general', 'conv_general_dilated'):
            (dtype,) = {variable.aval.dtype for variable in equation.invars}
            yield dtype
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from operands(inner)


@pytest.mark.parametrize('side', [5, 8, 9])
def test_resnet_takes_any_size(side):
    for stem in ('3x3', '7x7'):
        model = models.build('resnet', 3, depth=18, width=0.1, stem=stem)
        shape = (2, side, side + 1, 1)
        out = jax.eval_shape(model.apply, abstract(model, shape), jax.ShapeDtypeStruct(shape, jnp.float32))
        assert out.shape == (2, 3)


@pytest.mark.parametrize(
    ('name', 'width', 'neurons'),
    [
        ('mlp', 0.5, {'Dense_0': 6, 'Dense_1': 4}),
        ('mlp', 2.0, {'Dense_0': 24, 'Dense_1': 16}),
        ('convnet', 0.5, {'Conv_0': 2, 'Conv_1': 2, 'Conv_2': 4, 'Conv_3': 4, 'Dense_0': 4}),
        ('resnet', 0.5, {'stem': 8, 'stage1_block3/Conv_1': 8, 'stage2_block1/Conv_0': 16, 'stage3_block3/Conv_1': 32}),
        ('vit', 0.5, {'patches': 4, 'block2/attention/out': 4, 'block2/Dense_0': 16, 'block2/Dense_1': 4}),
    ],
)
def test_width_multiplies_the_neurons_of_every_layer(name, width, neurons):
    params = abstract(build(name, width=width), SHAPE)['params']
    for layer, count in neurons.items():
        found = functools.reduce(lambda tree, key: tree[key], layer.split('/'), params)
        assert found['kernel'].shape[-1] == count
    assert params['ClassifierHead_0']['logits']['kernel'].shape[-1] == CLASSES


def test_scaled_rounds_and_never_vanishes():
    assert [scaled(16, width) for width in (0.5, 1.0, 1.6, 0.001)] == [8, 16, 26, 1]
    assert [scaled(192, width, multiple=3) for width in (1.0, 0.5, 0.33, 0.001)] == [192, 96, 63, 3]


def test_hyperparameters_are_the_fields():
    assert models.hyperparameters('linear') == set()
    assert models.hyperparameters('mlp') == {'hidden', 'activation', 'width', 'norm', 'dropout', 'dtype'}
    # What a model does not have is left out.
    assert models.build('linear', 3, hidden=(5,), dropout=0.5) == models.build('linear', 3)


def test_zero_dropout_is_no_dropout():
    assert build('mlp', dropout=0.0).dropout is False
    assert build('mlp', dropout=0.1).dropout is True
    assert build('mlp', dtype='bfloat16').dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ('name', 'values', 'said'),
    [
        ('perceptron', {}, 'perceptron'),
        ('mlp', {'norm': 'instance'}, 'instance'),
        ('mlp', {'activation': 'relu7'}, 'relu7'),
        ('convnet', {'pool': 'median'}, 'median'),
        ('resnet', {'depth': 21}, '21'),
        ('resnet', {'stem': '5x5'}, '5x5'),
        ('vit', {'variant': 'XL'}, 'XL'),
    ],
)
def test_unknown_names_are_refused(name, values, said):
    with pytest.raises((KeyError, ValueError), match=said):
        abstract(models.build(name, CLASSES, **values), SHAPE)


def test_convnet_pooled_to_nothing_says_so():
    model = models.build('convnet', CLASSES, filters=(4, 4, 4, 4))
    with pytest.raises(ValueError, match='nothing left to pool.*1x1.*fewer stages'):
        abstract(model, SHAPE)


def test_patches_that_do_not_tile_are_refused():
    with pytest.raises(ValueError, match='patches of 3 do not tile an image of 8x8'):
        abstract(build('vit', patch=3), SHAPE)


# Dropout.


class Twice(nn.Module):
    """Two dropouts on ones: what is left shows their masks."""

    @nn.compact
    def __call__(self, x, training):
        return Dropout(True)(x, training), Dropout(True)(x, training)


def test_dropout_in_evaluation_or_off_is_the_identity():
    x = images()
    np.testing.assert_array_equal(Dropout(True).apply({}, x, None), x)
    np.testing.assert_array_equal(Dropout(False).apply({}, x, training()), x)


def test_dropout_drops_the_rate_and_keeps_the_mean():
    rate, units = 0.3, 20_000
    out = np.asarray(Dropout(True).apply({}, jnp.ones((BATCH, units)), training(rate)))
    dropped = out == 0
    np.testing.assert_allclose(out[~dropped], 1 / (1 - rate), rtol=1e-6)
    error = np.sqrt(rate * (1 - rate) / dropped.size)
    assert abs(dropped.mean() - rate) < 4 * error
    assert abs(out.mean() - 1) < 4 * error / (1 - rate)


def test_dropout_in_bfloat16_is_as_strong():
    """Found by a review: 0.9 rounded to bfloat16 made all that is kept 0.17 % too large."""
    x = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (BATCH, 20_000)), jnp.bfloat16)
    out = Dropout(True).apply({}, x, training(0.1))
    assert out.dtype == jnp.bfloat16
    times = np.asarray(out, np.float64) / np.asarray(x, np.float64)
    assert times[times > 0].mean() == pytest.approx(1 / 0.9, rel=2e-4)


def test_dropout_drops_each_unit_alone():
    """Not whole channels or rows: the masks of neighbours agree as often as those of strangers."""
    kept = np.asarray(Dropout(True).apply({}, jnp.ones((BATCH, 20, 20, 10)), training(0.5))) > 0
    for axis in (1, 2, 3):
        agree = np.mean(
            np.take(kept, range(1, kept.shape[axis]), axis) == np.take(kept, range(kept.shape[axis] - 1), axis)
        )
        assert abs(agree - 0.5) < 4 * 0.5 / np.sqrt(kept.size * 0.9)


def test_mask_differs_by_example_step_and_layer():
    x = jnp.ones((BATCH, 64))
    first, second = Twice().apply({}, x, training())
    later, _ = Twice().apply({}, x, training(step=1))
    masks = {tuple(row) for out in (first, second, later) for row in np.asarray(out).tolist()}
    assert len(masks) == 3 * BATCH
    np.testing.assert_array_equal(Twice().apply({}, x, training())[0], first)


def test_mask_is_what_a_draw_of_the_units_own_shape_would_be():
    """However it is drawn, it is the one under which what is recorded was trained."""
    shape, rate = (3, 5, 4), 0.3
    key = jax.random.fold_in(training().dropout_keys[1], zlib.crc32(b'') & 0x7FFFFFFF)
    expected = jax.random.bernoulli(key, 1 - rate, shape)
    kept = Dropout(True).apply({}, jnp.ones((BATCH, *shape)), training(rate))[1] > 0
    np.testing.assert_array_equal(kept, expected)


def test_mask_is_of_the_example_and_not_of_its_place():
    x = jnp.ones((BATCH, 64))
    mask = np.asarray(Dropout(True).apply({}, x, training(ids=[5, 6, 7, 8])))
    np.testing.assert_array_equal(Dropout(True).apply({}, x, training(ids=[7, 5, 8, 6])), mask[[2, 0, 3, 1]])
    np.testing.assert_array_equal(Dropout(True).apply({}, x[:1], training(ids=[6])), mask[1:2])


@pytest.mark.parametrize('name', ['mlp', 'convnet', 'resnet', 'vit'])
def test_network_under_dropout_does_not_depend_on_the_order_of_the_batch(name):
    run, pixels, order = compiled(name, 'layer', 'float32'), images(), np.array([2, 0, 3, 1])
    trained, _, evaluated = run(pixels, np.arange(BATCH))
    np.testing.assert_allclose(run(pixels[order], order)[0], trained[order], rtol=1e-5, atol=1e-6)
    other_masks, _, still = run(pixels, np.arange(BATCH) + 10)
    assert not np.allclose(other_masks, trained)
    np.testing.assert_array_equal(still, evaluated)
    assert not np.allclose(trained, evaluated)


@pytest.mark.parametrize('name', ['mlp', 'convnet', 'resnet', 'vit'])
def test_dropout_leaves_no_trace_in_evaluation(name):
    """The same parameters, and the same computation to the last operation."""

    def computation(rate):
        model = build(name, dropout=rate)
        variables = abstract(model, SHAPE)
        return variables, str(jax.make_jaxpr(model.apply)(variables, jax.ShapeDtypeStruct(SHAPE, jnp.float32)))

    assert computation(0.5) == computation(0.0)


def test_dropout_rate_is_traced():
    traces = []

    @jax.jit
    def drop(x, rate):
        traces.append(1)
        return Dropout(True).apply({}, x, training(rate))

    x = jnp.ones((BATCH, 2000))
    shares = [float(np.mean(np.asarray(drop(x, jnp.float32(rate))) == 0)) for rate in (0.0, 0.25, 0.9)]
    np.testing.assert_allclose(shares, [0.0, 0.25, 0.9], atol=0.03)
    assert len(traces) == 1


def test_dropout_without_keys_is_refused():
    with pytest.raises(ValueError, match='dropout_keys'):
        Dropout(True).apply({}, images(), Training(0.5))


# Norms.


def biased(shape=(16, 3, 3, 4)):
    """Channels of different means and deviations."""
    return images(1, shape) * np.float32([1, 2, 0.5, 3]) + np.float32([0, 2, -0.5, 1])


def test_batch_norm_trains_on_the_batch_and_remembers_a_tenth():
    x = biased()
    norm = Norm('batch')
    variables = norm.init(jax.random.key(0), x, None)
    y, changed = norm.apply(variables, x, Training(), mutable=['batch_stats'])
    mean, variance = np.mean(x, axis=(0, 1, 2)), np.var(x, axis=(0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-5), atol=2e-5)
    (running,) = changed['batch_stats'].values()
    np.testing.assert_allclose(running['mean'], 0.1 * mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(running['var'], 0.9 + 0.1 * variance, rtol=1e-5)


def test_batch_norm_evaluates_with_what_it_remembers():
    x = biased()
    norm = Norm('batch')
    variables = norm.init(jax.random.key(0), x, None)
    (name,) = variables['batch_stats']
    mean, variance = np.array([1.0, 4.0, -2.0, 0.5]), np.array([2.0, 3.0, 0.5, 1.0])
    variables = {**variables, 'batch_stats': {name: {'mean': jnp.float32(mean), 'var': jnp.float32(variance)}}}
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(norm.apply(variables, x, None), expected, rtol=1e-5, atol=1e-5)
    # Whatever else is in the batch.
    np.testing.assert_allclose(norm.apply(variables, x[3:4], None), expected[3:4], rtol=1e-5, atol=1e-5)


def test_batch_norm_takes_its_statistics_over_all_devices():
    x = biased()
    norm = Norm('batch')
    variables = norm.init(jax.random.key(0), x, None)
    whole, changed = norm.apply(variables, x, Training(), mutable=['batch_stats'])

    def on_device(x):
        return norm.apply(variables, x, Training(axis_name='devices'), mutable=['batch_stats'])

    parts, changed_parts = jax.vmap(on_device, axis_name='devices')(x.reshape(4, 4, *x.shape[1:]))
    np.testing.assert_allclose(parts.reshape(x.shape), whole, rtol=1e-5, atol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, np.stack([b] * 4), rtol=1e-5), changed_parts, changed)


@pytest.mark.parametrize(('kind', 'axes', 'epsilon'), [('layer', (3,), 1e-6), ('group', (1, 2), 1e-6)])
def test_layer_and_group_norm_look_at_one_example(kind, axes, epsilon):
    # Of 4 channels there are gcd(32, 4) = 4 groups: each channel by itself.
    x = biased()
    norm = Norm(kind)
    y = norm.apply(norm.init(jax.random.key(0), x, None), x, Training())
    mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + epsilon), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('channels', [6, 48])
def test_group_norm_fits_any_number_of_channels(channels):
    x = images(0, (2, 2, 2, channels))
    norm = Norm('group')
    y = np.asarray(norm.apply(norm.init(jax.random.key(0), x, None), x, None))
    groups = math.gcd(32, channels)
    np.testing.assert_allclose(y.reshape(2, 4, groups, -1).mean(axis=(1, 3)), 0, atol=1e-5)


@pytest.mark.parametrize('shape', [(3, 16), (3, 32), (3, 64), (3, 1, 1, 32), (3, 2, 2, 32), (3, 1, 7)])
def test_no_group_is_so_small_that_nothing_comes_through(shape):
    """Of one value a group, as dense layers of at most 32 units had, all outputs were constant."""
    x = images(0, shape)
    norm = Norm('group')
    params = norm.init(jax.random.key(0), x, None)
    y = np.asarray(norm.apply(params, x, None))
    assert y.std(axis=0).mean() > 0.3
    moved = jax.grad(lambda x: (norm.apply(params, x, None) * images(1, shape)).sum())(x)
    assert np.abs(moved).mean() > 0.1


def test_no_norm_is_the_identity():
    x = biased()
    variables = Norm('none').init(jax.random.key(0), x, None)
    assert not jax.tree.leaves(variables)
    np.testing.assert_array_equal(Norm('none').apply(variables, x, Training()), x)


@pytest.mark.parametrize('name', ['mlp', 'convnet', 'resnet'])
def test_layer_before_a_norm_has_no_bias(name):
    def leaves(norm):
        variables = abstract(build(name, norm=norm), SHAPE)
        return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(variables['params'])]

    biases = [leaf for leaf in leaves('layer') if 'bias' in leaf]
    assert all('Norm' in leaf or 'logits' in leaf for leaf in biases)
    kernels = [leaf for leaf in leaves('none') if 'kernel' in leaf]
    assert len([leaf for leaf in leaves('none') if 'bias' in leaf]) == len(kernels)


def initial(block, x):
    """What a block makes of x with the parameters that it starts with."""

    def run(x):
        return block.apply(block.init(jax.random.key(0), x, None), x, None)

    return jax.jit(run)(x)


@pytest.mark.parametrize('bottleneck', [False, True])
def test_residual_blocks_start_as_the_identity(bottleneck):
    """The last scale of each is zero, so only the shortcut is seen."""
    block = resnet.Block(8, 1, bottleneck, True, 'batch', False, jnp.float32)
    x = images(0, (2, 4, 4, 8))
    np.testing.assert_array_equal(initial(block, x), np.maximum(x, 0))


def test_shortcut_of_cifar_subsamples_and_adds_zero_channels():
    block = resnet.Block(8, 2, False, False, 'batch', False, jnp.float32)
    x = images(0, (2, 5, 4, 4))
    np.testing.assert_array_equal(
        initial(block, x), np.pad(np.maximum(x[:, ::2, ::2], 0), ((0, 0), (0, 0), (0, 0), (2, 2)))
    )


@pytest.mark.parametrize(('values', 'features'), [({}, 2 * 2 * 8), ({'pool': 'none', 'stride': 2}, 2 * 2 * 8)])
def test_convnet_flattens_what_its_stages_leave(values, features):
    variables = abstract(build('convnet', **values), SHAPE)
    assert variables['params']['Dense_0']['kernel'].shape == (features, 8)


# The vision transformer.


def test_vit_without_positions_does_not_know_the_order_of_its_patches():
    model = build('vit')
    variables = drawn(model)
    apply = jax.jit(model.apply)
    swapped = np.concatenate([images()[:, 4:], images()[:, :4]], axis=1)
    assert not np.allclose(apply(variables, swapped), apply(variables, images()), atol=1e-3)
    params = {**variables['params'], 'positions': jnp.zeros_like(variables['params']['positions'])}
    np.testing.assert_allclose(apply({'params': params}, swapped), apply({'params': params}, images()), atol=1e-5)


def test_vit_rounds_its_embedding_to_the_heads():
    variables = abstract(models.build('vit', CLASSES, patch=4, embedding=192, layers=1, heads=3, width=0.1), SHAPE)
    assert variables['params']['class_token'].shape == (1, 1, 18)
    assert variables['params']['positions'].shape == (1, 5, 18)

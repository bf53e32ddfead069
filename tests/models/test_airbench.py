"""The airbench network against a slow one, and the kernels that it starts from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal, special

from jaxvision import models, settings
from jaxvision.errors import UserError
from jaxvision.models.airbench import partial_identity
from jaxvision.models.layers import Training

SIDE, CHANNELS, CLASSES = 7, 2, 3
INPUTS = 2 * 2 * CHANNELS


def network():
    """A small one, with variables from NumPy."""
    model = models.build('airbench', CLASSES, filters=(4, 5), activation='gelu', width=2.0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, SIDE, SIDE, CHANNELS), jnp.float32))
    draw = np.random.default_rng(0)

    def leaf(path, of):
        values = draw.uniform(0.5, 1.5, of.shape) if path[-1].key == 'var' else draw.normal(size=of.shape)
        return (0.3 * values if path[-1].key == 'kernel' else values).astype(np.float32)

    variables = jax.tree_util.tree_map_with_path(leaf, shapes)
    return model, {**variables, 'constants': {'whitening': draw.normal(size=(INPUTS, INPUTS)).astype(np.float32)}}


def images(count=3):
    return np.random.default_rng(1).normal(size=(count, SIDE, SIDE, CHANNELS)).astype(np.float32)


def correlated(image, kernel, mode):
    """A convolution as deep learning has it, in float64."""
    maps = [
        sum(signal.correlate2d(image[..., c], kernel[..., c, f], mode) for c in range(image.shape[-1]))
        for f in range(kernel.shape[-1])
    ]
    return np.stack(maps, axis=-1)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def pooled(x):
    height, width = (side // 2 for side in x.shape[:2])
    return x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).max(axis=(1, 3))


def slow(variables, image):
    """The logits of one image in evaluation."""
    variables = jax.tree.map(np.float64, variables)
    params, stats = variables['params'], variables['batch_stats']
    kernels = variables['constants']['whitening']
    both = np.concatenate([kernels, -kernels], axis=1).reshape(2, 2, CHANNELS, -1)
    x = gelu(correlated(image, both, 'valid') + params['whitening_bias'])
    for group in range(2):
        for conv in range(2):
            layer = 2 * group + conv
            x = correlated(x, params[f'Conv_{layer}']['kernel'], 'same')
            x = x if conv else pooled(x)
            mean, var = (stats[f'BatchNorm_{layer}'][name] for name in ('mean', 'var'))
            x = gelu((x - mean) / np.sqrt(var) + params[f'BatchNorm_{layer}']['bias'])
    return x.max(axis=(0, 1)) @ params['ClassifierHead_0']['logits']['kernel']


def test_logits_are_those_of_a_slow_network():
    model, variables = network()
    expected = np.stack([slow(variables, image) for image in np.float64(images())])
    np.testing.assert_allclose(jax.jit(model.apply)(variables, images()), expected, rtol=1e-4, atol=1e-4)


def test_gelu_is_close_to_the_exact_one():
    x = np.linspace(-4, 4, 101)
    np.testing.assert_allclose(gelu(x), x * special.ndtr(x), atol=1e-3)


def test_size_is_that_of_the_published_script():
    model = models.build('airbench', 10, filters=(64, 256, 256), activation='gelu')
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes['params'])) == (
        convolutions + 24 + 2 * 64 + 4 * 256 + 256 * 10
    )
    assert 'constants' not in shapes


def test_statistics_keep_six_tenths():
    model, variables = network()
    zero = jax.tree.map(jnp.zeros_like, variables['batch_stats'])

    def after(stats):
        return model.apply({**variables, 'batch_stats': stats}, images(), Training(), mutable=['batch_stats'])[1]

    # What the batch adds is the same, wherever they come from.
    kept = jax.tree.map(lambda a, b: a - b, after(variables['batch_stats']), after(zero))
    expected = jax.tree.map(lambda old: 0.6 * old, variables['batch_stats'])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), kept['batch_stats'], expected)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(after(zero)))


@pytest.mark.parametrize(('inputs', 'outputs'), [(3, 5), (5, 5), (6, 4)])
def test_first_outputs_are_the_inputs(inputs, outputs):
    kernel = partial_identity(jax.random.key(0), (3, 3, inputs, outputs))
    image = np.random.default_rng(0).normal(size=(6, 6, inputs))
    got = correlated(image, np.asarray(kernel, np.float64), 'same')
    same = min(inputs, outputs)
    np.testing.assert_allclose(got[..., :same], image[..., :same], atol=1e-12)
    rest = np.asarray(kernel)[..., same:]
    assert np.all(np.abs(rest) <= (9 * inputs) ** -0.5) and (not rest.size or np.std(rest) > 0)


def test_it_can_only_classify():
    with pytest.raises(UserError, match='config.model.name is airbench, which can only classify, not detect'):
        settings.override(settings.Settings(), {'task': 'detect', 'model.name': 'airbench'})

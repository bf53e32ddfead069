"""Batch normalisation beside Flax's: values, what is remembered, gradients, and what the gradient writes down."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import plain
from jaxvision.models.batch_norm import EPSILON, MOMENTUM, BatchNorm
from jaxvision.models.layers import Norm, Training

from .xla import drawn

FLAX = {'momentum': MOMENTUM, 'epsilon': EPSILON}


def arguments(shape=(6, 5, 4, 3), dtype=np.float32):
    """Variables other than those begun with, and images whose channels differ by mean and deviation."""
    channels = shape[-1:]
    variables = {
        'params': {'scale': drawn(0, *channels), 'bias': drawn(1, *channels)},
        'batch_stats': {'mean': drawn(2, *channels), 'var': jnp.square(drawn(3, *channels))},
    }
    return variables, (drawn(4, *shape) * (1 + jnp.square(drawn(5, *channels))) + drawn(6, *channels)).astype(dtype)


@pytest.mark.parametrize('shape', [(6, 5, 4, 3), (7, 2)])
@pytest.mark.parametrize('evaluates', [False, True])
def test_values_gradients_and_what_is_remembered_are_those_of_flax(shape, evaluates):
    variables, x = arguments(shape)
    gradient = drawn(7, *shape)

    def of(module):
        def output(params, x):
            given = {**variables, 'params': params}
            return module(use_running_average=evaluates).apply(given, x, mutable=['batch_stats'])

        y, back, changed = jax.vjp(output, variables['params'], x, has_aux=True)
        return y, back(gradient), changed

    ours, flax = of(BatchNorm), of(lambda **given: nn.BatchNorm(**given, **FLAX))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5), ours, flax)
    assert not evaluates or jax.tree.all(
        jax.tree.map(lambda one, other: np.array_equal(one, other), ours[2]['batch_stats'], variables['batch_stats'])
    )


def test_it_begins_as_flax_does():
    _, x = arguments()
    key = jax.random.key(0)
    for average in (False, True):
        ours = BatchNorm(average, 'devices', scale_init=nn.initializers.zeros).init(key, x)
        flax = nn.BatchNorm(average, axis_name='devices', scale_init=nn.initializers.zeros).init(key, x)
        jax.tree.map(np.testing.assert_array_equal, ours, flax)


def test_half_precision_is_computed_in_single():
    variables, x = arguments(dtype=jnp.bfloat16)
    y, changed = BatchNorm(False, dtype=jnp.bfloat16).apply(variables, x, mutable=['batch_stats'])
    wanted, kept = BatchNorm(False).apply(variables, x.astype(jnp.float32), mutable=['batch_stats'])
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, wanted.astype(jnp.bfloat16))
    jax.tree.map(np.testing.assert_array_equal, changed, kept)


@pytest.mark.parametrize('mean', [10.0, 100.0])
def test_of_a_mean_far_from_zero_it_loses_no_more_than_flax(mean):
    variables, _ = arguments()
    x = drawn(8, 64, 8, 8, 3) + mean
    exact = np.float64(x)
    exact = (exact - exact.mean((0, 1, 2))) / np.sqrt(exact.var((0, 1, 2)) + EPSILON)
    exact = exact * variables['params']['scale'] + variables['params']['bias']

    def error(module) -> float:
        return float(np.abs(module.apply(variables, x, mutable=['batch_stats'])[0] - exact).max())

    assert error(BatchNorm(False)) <= 2 * error(nn.BatchNorm(False, **FLAX))


def test_statistics_and_gradients_are_over_all_devices():
    variables, x = arguments((8, 3, 3, 2))
    gradient = drawn(7, *x.shape)
    parts = (4, 2, *x.shape[1:])

    def output(x, axis=None):
        return BatchNorm(False, axis).apply(variables, x, mutable=['batch_stats'])

    def on_devices(x):
        return jax.vmap(lambda x: output(x, 'devices'), axis_name='devices')(x.reshape(parts))

    y, back, changed = jax.vjp(output, x, has_aux=True)
    found, ours, each = jax.vjp(on_devices, x, has_aux=True)
    np.testing.assert_allclose(found.reshape(x.shape), y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours(gradient.reshape(parts))[0], back(gradient)[0], rtol=1e-4, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, np.stack([b] * 4), rtol=1e-4, atol=1e-6), each, changed)


def test_where_it_was_not_measured_it_is_that_of_flax(monkeypatch):
    _, x = arguments()
    norm = Norm('batch')
    variables = norm.init(jax.random.key(0), x, None)

    def program() -> str:
        return str(jax.make_jaxpr(lambda x: norm.apply(variables, x, Training(), mutable=['batch_stats']))(x))

    ours = program()
    with plain.layers():
        flax = program()
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    assert program() == flax != ours


def test_its_gradient_moves_less_memory_than_that_of_flax():
    """Plain layers have Flax's own: with an activation, half as much again."""
    x = drawn(0, 64, 16, 16, 32)
    norm = Norm('batch')
    variables = norm.init(jax.random.key(0), x, None)

    def moved() -> float:
        def gradients(params, x, gradient):
            def output(params, x):
                return nn.relu(norm.apply({**variables, 'params': params}, x, Training(), mutable=['batch_stats'])[0])

            return jax.vjp(output, params, x)[1](gradient)

        return jax.jit(gradients).lower(variables['params'], x, x).compile().cost_analysis()['bytes accessed']

    ours = moved()
    with plain.layers():
        assert moved() > 1.2 * ours

"""Means over devices: of every array, however it travels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.training import parallel, reduction
from jaxvision.training.reduction import mean_over

SHAPES = {'small': (3, 2), 'scalar': (), 'large': (4, 5), 'also small': (7,)}


@pytest.mark.parametrize('kind', parallel.KINDS)
def test_one_device_is_not_asked_for_the_mean(kind):
    """XLA would copy every gradient for it."""

    def mean(state, context, ids, key, *, axis_name):
        return mean_over(state + ids.sum(), axis_name), context

    for count in (1, 2):
        mapped = parallel.Parallel(kind, jax.devices()[:count])
        arguments = mapped.replicate((np.zeros(3), np.zeros(2))), mapped.cut(np.arange(8)), mapped.replicate(np.ones(1))
        (state, context), ids, key = arguments
        program = mapped.train(mean)
        assert ('all_reduce' in program.lower(state, context, ids, key).as_text()) == (count > 1)
        np.testing.assert_allclose(program(state, context, ids, key)[0], [28 / count] * 3)


def trees(kinds, count):
    """One for each device, of whole numbers, so that sums are exact."""
    draw = np.random.default_rng(0)
    shapes = {name: shape for name, shape in SHAPES.items() if name in kinds}
    return {name: jnp.asarray(draw.integers(-9, 10, (count, *shape)), jnp.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize('kinds', [tuple(SHAPES), ('large',), ('small', 'scalar', 'also small')])
def test_every_array_is_its_mean(kinds, monkeypatch):
    monkeypatch.setattr(reduction, 'PACKED', 10)
    tree = trees(kinds, 4)
    found = jax.pmap(lambda tree: mean_over(tree, 'devices'), 'devices')(tree)
    jax.tree.map(lambda one, each: np.testing.assert_array_equal(one, np.stack([each.mean(0)] * 4)), found, tree)


def test_of_nothing_there_is_none():
    jax.pmap(lambda x: (mean_over({}, 'devices'), x), 'devices')(jnp.ones(2))
    assert mean_over({}, None) == {}


def test_other_types_are_not_packed():
    tree = {'counts': jnp.arange(8).reshape(4, 2), 'halves': jnp.ones((4, 3), jnp.bfloat16), 'own': jnp.ones((4, 3))}
    found = jax.pmap(lambda tree: mean_over(tree, 'devices'), 'devices')(tree)
    assert found['halves'].dtype == jnp.bfloat16
    np.testing.assert_array_equal(found['counts'], [[3, 4]] * 4)
    np.testing.assert_array_equal(found['own'], np.ones((4, 3)))


@pytest.mark.parametrize(('packed', 'count'), [(0, 4), (10, 2), (100, 1)])
def test_small_arrays_travel_together(packed, count, monkeypatch):
    monkeypatch.setattr(reduction, 'PACKED', packed)
    tree = trees(('small', 'scalar', 'also small', 'large'), 2)
    program = jax.pmap(lambda tree: mean_over(tree, 'devices'), 'devices').lower(tree)
    assert program.as_text().count('stablehlo.all_reduce') == count


def test_elsewhere_xla_combines_them_itself(monkeypatch):
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    traced = jax.make_jaxpr(lambda tree: mean_over(tree, 'devices'), axis_env=[('devices', 2)])
    assert 'concatenate' not in str(traced(trees(SHAPES, 1)))

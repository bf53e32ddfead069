"""The convolutional layer: Flax's, but for the bias's gradient."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models.conv import Conv
from jaxvision.models.convolution import convolve


@pytest.mark.parametrize('values', [{}, {'strides': 2, 'padding': ((1, 1), (1, 1))}, {'use_bias': False}])
def test_is_flax_in_its_parameters_and_outputs(values):
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))

    class Two(nn.Module):
        layer: type
        more: tuple = ()

        @nn.compact
        def __call__(self, x):
            for filters in (4, 5):
                x = self.layer(filters, (3, 3), **values, **dict(self.more))(x)
            return x

    ours, flax = Two(Conv), Two(nn.Conv, (('conv_general_dilated', convolve),))
    one, other = (model.init(jax.random.key(1), x) for model in (ours, flax))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)
    np.testing.assert_array_equal(ours.apply(one, x), flax.apply(other, x))


def test_gradient_of_the_bias_is_summed_in_float32():
    """In bfloat16, XLA's sum on CPU stood still: half of it was lost."""
    x = jax.random.normal(jax.random.key(0), (32, 16, 16, 3))
    weights = (0.5 + jax.random.normal(jax.random.key(1), (32, 16, 16, 4))).astype(jnp.bfloat16)
    layer = Conv(4, (3, 3), dtype=jnp.bfloat16)
    params = layer.init(jax.random.key(2), x)
    found = jax.jit(jax.grad(lambda params: (layer.apply(params, x) * weights).astype(jnp.float32).sum()))(params)
    expected = np.asarray(weights, np.float64).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(found['params']['bias'], expected, rtol=1e-3)

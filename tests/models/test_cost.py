"""What networks cost, beside closed forms."""

import jax
import jax.numpy as jnp
import pytest

from jaxvision import models
from jaxvision.models import cost


def test_flops_of_a_perceptron():
    model = models.build('mlp', 10, hidden=(32, 16))
    inits = cost.flops(cost.traced(model.init, jax.random.key(0), jnp.zeros((3, 4, 5, 2)))[0])
    assert inits == 2 * 3 * (40 * 32 + 32 * 16 + 16 * 10)


def test_flops_of_a_residual_network():
    """Two for each weight and each place, at each of its three sizes; through jit."""
    model = models.build('resnet', 10, depth=20)
    stages = ((32, 3 * 16 + 6 * 16 * 16), (16, 16 * 32 + 5 * 32 * 32), (8, 32 * 64 + 5 * 64 * 64))
    wanted = sum(2 * 9 * side**2 * pairs for side, pairs in stages) + 2 * 64 * 10
    assert cost.flops(cost.traced(jax.jit(model.init), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))[0]) == wanted


def test_flops_of_a_transformer():
    """Patches, then for each layer four square products, two of four times the width, and attention's two."""
    model = models.build('vit', 10, patch=4, embedding=12, layers=2, heads=3)
    tokens = 2 * 2 + 1
    layer = tokens * (4 * 12 * 12 + 2 * 12 * 48) + 2 * tokens * tokens * 12
    wanted = 2 * (4 * 48 * 12 + 2 * layer + 12 * 10)
    assert cost.flops(cost.traced(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))[0]) == wanted


def test_a_padded_convolution_counts_whole():
    """And by whatever layout."""
    x, kernel = jnp.zeros((2, 3, 8, 8)), jnp.zeros((5, 3, 3, 3))
    found = cost.flops(cost.traced(lambda x, kernel: jax.lax.conv(x, kernel, (1, 1), 'SAME'), x, kernel)[0])
    assert found == 2 * 2 * 64 * 27 * 5


@pytest.mark.parametrize('stride', [1, 2])
def test_a_gradient_counts_twice_what_it_is_of(stride):
    def convolved(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )

    def both(x, kernel):
        return jax.vjp(convolved, x, kernel)[1](jnp.ones((2, 8 // stride, 8 // stride, 5)))

    x, kernel = jnp.zeros((2, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))
    forward = cost.flops(cost.traced(convolved, x, kernel)[0])
    assert forward == 2 * 2 * (8 // stride) ** 2 * 27 * 5
    assert cost.flops(cost.traced(both, x, kernel)[0]) == 3 * forward


def test_convolutions_are_found_wherever_they_are():
    def scanned(x, kernel):
        def body(x, _):
            return jax.lax.conv_general_dilated(
                x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
            ), None

        return jax.jit(lambda x: jax.lax.scan(body, x, length=2))(x)

    assert cost.convolves(cost.traced(scanned, jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 2)))[0])
    assert not cost.convolves(cost.traced(lambda x: jax.jit(jnp.dot)(x, x), jnp.ones((4, 4)))[0])

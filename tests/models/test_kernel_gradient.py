"""The gradient by the kernel beside that which XLA derives: values, what it sums over, and where it is XLA's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import kernel_gradient
from jaxvision.models.kernel_gradient import AT_ONCE, CACHE, FEW_FILTERS, LARGE, MANY_CHANNELS, PART, PART_OF_SMALL

from . import xla
from .xla import drawn

# height, width, channels, kernel's sides, strides, padding of rows and columns.
CASES = [
    (8, 8, 3, (3, 3), (1, 1), ((1, 1), (1, 1))),
    (7, 5, 2, (3, 3), (1, 1), ((1, 1), (1, 1))),
    (8, 6, 3, (3, 3), (2, 2), ((0, 1), (0, 1))),
    (9, 7, 3, (3, 3), (2, 2), ((1, 1), (1, 1))),
    (8, 9, 2, (3, 3), (1, 2), ((1, 1), (1, 0))),
    (8, 8, 1, (5, 3), (1, 1), ((2, 2), (1, 1))),
    (8, 8, 3, (2, 2), (3, 3), ((0, 0), (0, 0))),  # Rows and columns are left over.
    (6, 6, 3, (3, 3), (1, 1), ((0, 0), (2, 0))),
    (6, 5, 4, (1, 1), (1, 1), ((0, 0), (0, 0))),
    (7, 6, 4, (1, 1), (2, 2), ((0, 0), (0, 0))),
    (7, 6, 4, (1, 1), (2, 1), ((0, 0), (0, 0))),
    (5, 5, 4, (1, 1), (2, 2), ((1, 0), (1, 1))),
]


def arguments(case, batch, filters):
    """x, the output's gradient, the kernel's shape, strides, padding, and what XLA derives."""
    height, width, channels, sides, strides, padding = case
    x, kernel = drawn(0, batch, height, width, channels), jnp.zeros((*sides, channels, filters))

    output, back = jax.vjp(lambda kernel: xla.convolve(x, kernel, strides, padding), kernel)
    gradient = drawn(1, *output.shape)
    return x, gradient, kernel.shape, strides, padding, back(gradient)[0]


def traced(x, gradient, *rest) -> str:
    return str(jax.make_jaxpr(lambda x, gradient: kernel_gradient.by_kernel(x, gradient, *rest))(x, gradient))


def loops(*args) -> bool:
    return 'scan[' in traced(*args)


@pytest.fixture
def two(monkeypatch):
    """Images at a time, whatever their size."""
    monkeypatch.setattr(kernel_gradient, 'AT_ONCE', 2)


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('filters', [FEW_FILTERS, FEW_FILTERS + 1])
def test_is_what_xla_derives(case, filters, two):
    *args, wanted = arguments(case, 5, filters)
    found = jax.jit(kernel_gradient.by_kernel, static_argnums=(2, 3, 4))(*args)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize('case', CASES)
def test_long_rows_are(case):
    *args, wanted = arguments(case, 3, 5)
    np.testing.assert_allclose(kernel_gradient.long_rows(*args), wanted, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize('batch', range(1, 8))
def test_every_image_counts_once(batch, two):
    """Whatever is left over when the batch is cut; in whole numbers, exactly."""
    *args, _ = arguments(CASES[0], batch, FEW_FILTERS + 1)
    x, gradient = (jnp.round(each) for each in args[:2])
    assert loops(x, gradient, *args[2:]) == (batch > 2)
    each = [kernel_gradient.long_rows(x[at : at + 1], gradient[at : at + 1], *args[2:]) for at in range(len(x))]
    np.testing.assert_array_equal(kernel_gradient.by_kernel(x, gradient, *args[2:]), functools.reduce(jnp.add, each))


def test_loops_where_it_is_quicker():
    def looped(case, filters):
        *args, _ = arguments(case, AT_ONCE + 1, filters)
        return loops(*args)

    assert looped(CASES[0], FEW_FILTERS + 1)
    assert not looped(CASES[0], FEW_FILTERS)
    wide = (4, 4, MANY_CHANNELS, *CASES[0][3:])
    assert not looped(wide, MANY_CHANNELS)
    assert looped(wide, MANY_CHANNELS - 1)


@pytest.mark.parametrize(
    ('numbers', 'count'),
    [(1, AT_ONCE), (CACHE // 4 // 2, 2), (CACHE // 4 // 2 + 1, 1), (CACHE, 1), (CACHE // 4 // 3, 2)],
)
def test_as_many_images_as_stay_in_the_cache(numbers, count):
    assert kernel_gradient._at_once(numbers) == count


def test_half_precision_is_xlas_own():
    x, gradient, *rest, _ = arguments(CASES[0], AT_ONCE + 1, FEW_FILTERS + 1)
    x, gradient = x.astype(jnp.bfloat16), gradient.astype(jnp.bfloat16)
    assert not loops(x, gradient, *rest)
    assert kernel_gradient.by_kernel(x, gradient, *rest).dtype == jnp.bfloat16


def test_strided_points_are_one_product():
    x, gradient, *rest, _ = arguments(CASES[9], 2, 3)
    program = traced(x, gradient, *rest)
    assert 'dot_general' in program and 'conv_general_dilated' not in program


def test_xlas_own_is_summed_over_parts_of_the_batch(monkeypatch):
    *args, wanted = arguments(CASES[1], 7, 2)
    monkeypatch.setattr(kernel_gradient, 'PART_OF_SMALL', 3)
    np.testing.assert_allclose(kernel_gradient.by_kernel(*args), wanted, rtol=1e-5, atol=3e-5)
    assert traced(*args).count('= conv_general_dilated[') == 3  # Of 3, 3 and 1.


@pytest.mark.parametrize(('side', 'count'), [(15, PART_OF_SMALL), (16, PART)])
def test_of_large_maps_parts_are_smaller(side, count):
    """Found on a machine with a smaller cache: ResNet-20 took 1.4 to 1.9 times as long."""
    assert (side**2 >= LARGE) == (count == PART)
    shape = (1, 1, 2, 1), (1, 1), ((0, 0), (0, 0))
    x, gradient = (jax.ShapeDtypeStruct((128, side, side, channels), jnp.float32) for channels in (2, 1))
    assert traced(x, gradient, *shape).count('= conv_general_dilated[') == 128 // count


def test_of_several_networks_at_once(two):
    """As the engine of stacked trials maps it."""
    scales = jnp.arange(1.0, 4.0)
    x, gradient, *rest, wanted = arguments(CASES[0], 5, FEW_FILTERS + 1)
    found = jax.vmap(lambda scale: kernel_gradient.by_kernel(x * scale, gradient, *rest))(scales)
    np.testing.assert_allclose(found, scales[:, None, None, None, None] * wanted, rtol=1e-4, atol=1e-4)


def test_has_derivatives(two):
    """Of the second order, as a Hessian needs them."""
    x, gradient, *rest, _ = arguments(CASES[2], 5, FEW_FILTERS + 1)

    def of(by_kernel):
        return jax.grad(lambda x, gradient: jnp.sum(by_kernel(x, gradient, *rest) ** 2), (0, 1))(x, gradient)

    for found, wanted in zip(of(kernel_gradient.by_kernel), of(kernel_gradient._as_xla), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-2)

"""The kernel's gradient by minimal filtering of rows, beside that which XLA derives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import convolution, kernel_gradient, paired, winograd, winograd_rows
from jaxvision.models.winograd_rows import CHANNELS, FEW_FILTERS, MANY, TILE, WORK

from . import xla
from .xla import drawn

# batch, height, width, channels, filters.
CASES = [(1, 4, 1, 1, 2), (3, 4, 5, 2, 3), (5, 8, 8, 3, 4), (4, 12, 3, 4, 1), (7, 16, 6, 2, 2)]
OWN = ('CHANNELS', 'FEW_FILTERS', 'WORK')
ONE, PAD = (1, 1), ((1, 1), (1, 1))


def arguments(case):
    """The output's gradient, x, and what XLA derives."""
    batch, height, width, channels, filters = case
    x, kernel = drawn(0, batch, height, width, channels), jnp.zeros((3, 3, channels, filters))
    output, back = jax.vjp(lambda kernel: xla.convolve(x, kernel, ONE, PAD), kernel)
    gradient = drawn(1, *output.shape)
    return gradient, x, back(gradient)[0]


@pytest.fixture(params=[1, 2, 8])
def at_once(request, monkeypatch):
    """Images at most at a time."""
    monkeypatch.setattr(kernel_gradient, 'AT_ONCE', request.param)


@pytest.fixture
def narrow(monkeypatch):
    """However few channels, filters and images, it suits; and Winograd's in both dimensions, which comes after it."""
    monkeypatch.setattr(paired, '_has_avx512', lambda: False)
    monkeypatch.setattr(winograd, 'KERNEL_CHANNELS', 0)
    for module, name in ((winograd, 'CHANNELS'), (winograd, 'WORK'), *((winograd_rows, name) for name in OWN)):
        monkeypatch.setattr(module, name, 0)
    xla.forget()
    yield
    xla.forget()


@pytest.mark.parametrize('case', CASES)
def test_is_what_xla_derives(case, at_once):
    gradient, x, wanted = arguments(case)
    found = jax.jit(winograd_rows.by_kernel)(gradient, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_rounding_stays_small_beside_the_largest_value():
    """With as many terms as a layer has: below 2.5e-6 of it, where XLA's own is at 0.3 to 0.7 (jax 0.10.2, 0.11.2)."""
    gradient, x = drawn(1, 32, 16, 16, 17), drawn(0, 32, 16, 16, 16)
    padded, outputs = np.pad(np.asarray(x, float), ((0, 0), (1, 1), (1, 1), (0, 0))), np.asarray(gradient, float)
    exact = np.array(
        [
            [np.einsum('bhwc,bhwf->cf', padded[:, i : i + 16, j : j + 16], outputs, optimize=True) for j in range(3)]
            for i in range(3)
        ]
    )
    error = np.abs(np.asarray(winograd_rows.by_kernel(gradient, x), float) - exact).max()
    assert error < 2.5e-6 * np.abs(exact).max()


def test_the_layer_is_differentiated_so(narrow):
    """For the kernel six convolutions of rows, and no others; and both gradients are XLA's."""
    x, kernel = drawn(0, 2, 8, 6, 3), drawn(1, 3, 3, 3, 5)
    output, ours = jax.vjp(lambda *args: convolution._convolve(*args, ONE, PAD), x, kernel)
    _, theirs = jax.vjp(lambda *args: xla.convolve(*args, ONE, PAD), x, kernel)
    gradient = drawn(2, *output.shape)
    assert str(jax.make_jaxpr(ours)(gradient)).count('= conv_general_dilated[') == TILE.side + 2
    for found, wanted in zip(ours(gradient), theirs(gradient), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ('change', 'suits'),
    [
        ({}, True),
        ({'x': (1, 6, 4096, CHANNELS)}, False),  # No whole tiles.
        ({'x': (1, 4, 4096, CHANNELS - 1), 'kernel': (3, 3, CHANNELS - 1, 64)}, False),
        ({'x': (1, 4, 1 << 16, CHANNELS), 'kernel': (3, 3, CHANNELS, FEW_FILTERS)}, False),
        ({'x': (1, 4, 2044, CHANNELS)}, False),  # Too little work.
        ({'x': (1, 4, 4096, MANY), 'kernel': (3, 3, MANY, MANY)}, False),
        ({'x': (1, 4, 4096, MANY), 'kernel': (3, 3, MANY, MANY - 1)}, True),
        ({'dtype': jnp.bfloat16}, False),
        ({'kernel': (3, 1, CHANNELS, 64)}, False),
        ({'strides': (2, 2)}, False),
        ({'padding': ((0, 0), (1, 1))}, False),
    ],
)
def test_takes_what_suits(change, suits):
    values = {'x': (1, 4, 4096, CHANNELS), 'kernel': (3, 3, CHANNELS, 64), 'dtype': jnp.float32} | change
    x, kernel = (jax.ShapeDtypeStruct(values[name], values['dtype']) for name in ('x', 'kernel'))
    assert (x.size * kernel.shape[3] >= WORK) == (x.shape[2] != 2044)
    assert winograd_rows.suits(x, kernel, values.get('strides', ONE), values.get('padding', PAD)) == suits


def test_of_several_networks_at_once(monkeypatch):
    """As the engine of stacked trials maps it."""
    monkeypatch.setattr(kernel_gradient, 'AT_ONCE', 2)
    scales = jnp.arange(1.0, 4.0)
    gradient, x, wanted = arguments(CASES[2])
    found = jax.vmap(lambda scale: winograd_rows.by_kernel(gradient, x * scale))(scales)
    np.testing.assert_allclose(found, scales[:, None, None, None, None] * wanted, rtol=1e-4, atol=1e-3)


def test_has_derivatives(monkeypatch):
    """Of the second order, as a Hessian needs them."""
    monkeypatch.setattr(kernel_gradient, 'AT_ONCE', 2)
    gradient, x, wanted = arguments(CASES[2])

    def of(by_kernel):
        return jax.grad(lambda gradient, x: jnp.sum(by_kernel(gradient, x) ** 2), (0, 1))(gradient, x)

    def of_xla(gradient, x):
        return kernel_gradient._as_xla(x, gradient, wanted.shape, ONE, PAD)

    for found, derived in zip(of(winograd_rows.by_kernel), of(of_xla), strict=True):
        np.testing.assert_allclose(found, derived, rtol=1e-4, atol=2e-2)


def test_where_no_whole_tiles_are_both_dimensions_are_filtered(narrow):
    """Found by reading: of two rows more, what was Winograd's before is so still."""
    for height, rows in ((8, True), (6, False)):
        x, kernel = drawn(0, 2, height, 6, 3), drawn(1, 3, 3, 3, 5)
        output, back = jax.vjp(lambda *args: convolution._convolve(*args, ONE, PAD), x, kernel)
        assert xla.is_used(back, output) == rows

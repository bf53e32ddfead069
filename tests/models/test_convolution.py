"""Convolution beside XLA's: values, both gradients, and that it stays where it does not suit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxvision import models
from jaxvision.errors import UserError
from jaxvision.models import convolution, kernel_gradient, paired, plain, winograd, winograd_rows
from jaxvision.models.detector import Detector

from . import xla
from .xla import LAYOUT, drawn

# height, width, channels, filters, kernel, stride, padding: Winograd's can compute the first three.
EVEN = [(8, 8, 3, 5, 3, 1, 'SAME'), (2, 6, 4, 4, 3, 1, 'SAME'), (4, 2, 1, 2, 3, 1, ((1, 1), (1, 1)))]
OTHERS = [
    (7, 8, 3, 5, 3, 1, 'SAME'),
    (8, 5, 3, 5, 3, 1, 'SAME'),
    (8, 8, 5, 4, 3, 2, 'SAME'),
    (8, 8, 3, 5, 3, 1, 'VALID'),
    (8, 8, 3, 5, 5, 1, 'SAME'),
    (9, 9, 5, 4, 3, 2, ((0, 1), (2, 1))),
    (8, 8, 5, 4, 2, 2, 'SAME'),
]
PRODUCTS = [(8, 8, 3, 5, 1, 1, 'SAME'), (8, 8, 3, 5, 2, 2, 'SAME')]  # The second by `strided`.


@pytest.fixture
def choose(monkeypatch):
    """choose(module, NAME=value): sets its constants, and has layers traced anew under them, and afterwards."""

    def chosen(module, **constants):
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)
        xla.forget()

    yield chosen
    xla.forget()


@pytest.fixture(autouse=True)
def narrow(choose):
    """However few channels and images, Winograd's suits; and what `paired` does is not done."""
    choose(winograd, CHANNELS=1, KERNEL_CHANNELS=1, WORK=0)
    choose(paired, _has_avx512=lambda: False)


def arguments(case, batch=3):
    height, width, channels, filters, side, stride, padding = case
    x, kernel = drawn(0, batch, height, width, channels), drawn(1, side, side, channels, filters)
    return x, kernel, (stride, stride), padding


def convolve(x, kernel, strides, padding, **more):
    return convolution.convolve(x, kernel, strides, padding, dimension_numbers=LAYOUT, **more)


@pytest.mark.parametrize('tile', [winograd.TILE, winograd_rows.TILE])
def test_minimal_filtering_is_a_correlation(tile):
    """In whole numbers, times what their fractions have as denominator: exactly."""
    draw, kernel = np.random.default_rng(0), np.rint(24 * tile.kernel)
    np.testing.assert_allclose(24 * tile.kernel, kernel, rtol=1e-15)
    for _ in range(20):
        taps, line = draw.integers(-9, 9, 3), draw.integers(-9, 9, tile.side + 2)
        found = tile.outputs @ (kernel @ taps * (tile.inputs @ line))
        np.testing.assert_array_equal(found, 24 * np.correlate(line, taps, 'valid'))


@pytest.mark.parametrize('case', EVEN + OTHERS + PRODUCTS)
def test_values_and_gradients_are_those_of_xla(case):
    x, kernel, strides, padding = arguments(case)
    wanted, back = jax.vjp(lambda x, kernel: xla.convolve(x, kernel, strides, padding), x, kernel)
    found, ours = jax.vjp(lambda x, kernel: convolve(x, kernel, strides, padding), x, kernel)
    gradient = drawn(2, *wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    for one, other in zip(ours(gradient), back(gradient), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize('case', EVEN[:1] + OTHERS[2:3])
def test_gradients_are_finite_differences(case):
    x, kernel, strides, padding = arguments(case, batch=1)
    check_grads(lambda x, kernel: convolve(x, kernel, strides, padding), (x, kernel), 1, ['rev'], rtol=2e-2)


@pytest.mark.parametrize('case', EVEN + PRODUCTS)
def test_winograd_and_products_take_what_suits(case):
    x, kernel, strides, padding = arguments(case)

    def gradients(x, kernel):
        return jax.grad(lambda *args: jnp.sum(convolve(*args, strides, padding)), (0, 1))(x, kernel)

    assert not xla.is_used(gradients, x, kernel)


@pytest.mark.parametrize('case', OTHERS)
def test_xla_takes_the_rest(case):
    x, kernel, strides, padding = arguments(case)
    assert xla.is_used(lambda x, kernel: convolve(x, kernel, strides, padding), x, kernel)


def test_few_channels_are_left_to_xla(choose):
    choose(winograd, CHANNELS=4)
    for channels, filters, used in ((4, 4, False), (3, 8, True), (8, 3, True)):
        x, kernel, *rest = arguments((4, 4, channels, filters, 3, 1, 'SAME'))
        assert xla.is_used(lambda x, kernel, rest=rest: convolve(x, kernel, *rest), x, kernel) == used


def test_few_images_are_left_to_xla(choose):
    choose(winograd, WORK=2 * 4 * 4 * 3 * 5)
    for batch, used in ((2, False), (1, True)):
        x, kernel, *rest = arguments((4, 4, 3, 5, 3, 1, 'SAME'), batch)
        assert xla.is_used(lambda x, kernel, rest=rest: convolve(x, kernel, *rest), x, kernel) == used


@pytest.mark.parametrize(('batch', 'parts'), [(1, 1), (3, 1), (5, 5), (6, 2), (8, 4)])
def test_winograds_is_computed_in_parts_of_the_batch(choose, batch, parts):
    """Of at most three images each, and all of as many."""
    x, kernel, strides, padding = arguments(EVEN[0], batch)
    choose(winograd, CACHE=3 * x[0].nbytes)
    program = str(jax.make_jaxpr(lambda *args: winograd.convolution(*args))(x, kernel))
    assert ('scan[' in program) == (parts > 1)
    assert f'length={parts}\n' in program or parts == 1
    wanted, back = jax.vjp(lambda x: xla.convolve(x, kernel, strides, padding), x)
    np.testing.assert_allclose(winograd.convolution(x, kernel), wanted, rtol=1e-5, atol=1e-5)
    gradient = drawn(2, *wanted.shape)
    np.testing.assert_allclose(winograd.by_input(gradient, kernel), back(gradient)[0], rtol=1e-5, atol=3e-5)


def test_the_gradient_by_the_kernel_wants_more_channels(choose):
    choose(winograd, KERNEL_CHANNELS=4)
    for channels, used in ((4, False), (3, True)):
        x, kernel, strides, padding = arguments((4, 4, channels, 4, 3, 1, 'SAME'))
        _, back = jax.vjp(lambda *args, rest=(strides, padding): convolve(*args, *rest), x, kernel)
        gradient = drawn(2, 3, 4, 4, 4)
        assert xla.is_used(back, gradient) == used
        _, wanted = jax.vjp(lambda *args, rest=(strides, padding): xla.convolve(*args, *rest), x, kernel)
        for one, other in zip(back(gradient), wanted(gradient), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=3e-5)


def test_the_gradient_by_the_kernel_is_summed_over_parts_of_the_batch(choose):
    x, kernel = drawn(0, 7, 5, 5, 3), drawn(1, 3, 3, 3, 2)

    def gradient():
        return jax.jit(
            jax.grad(lambda kernel: jnp.sum(jnp.sin(convolution._convolve(x, kernel, (1, 1), ((1, 1),) * 2))))
        )

    def convolutions() -> int:
        return str(jax.make_jaxpr(gradient())(kernel)).count('= conv_general_dilated[')

    whole, at_once = gradient()(kernel), convolutions()
    choose(kernel_gradient, PART_OF_SMALL=3)
    np.testing.assert_allclose(gradient()(kernel), whole, rtol=1e-5, atol=1e-5)
    assert convolutions() == at_once + 2  # Of 3, 3 and 1.


def test_half_precision_is_left_to_xla():
    x, kernel, strides, padding = arguments(EVEN[0])
    x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    found, wanted = convolve(x, kernel, strides, padding), xla.convolve(x, kernel, strides, padding)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found.astype(jnp.float32), wanted.astype(jnp.float32))


@pytest.mark.parametrize(
    'more',
    [{'feature_group_count': 2}, {'rhs_dilation': (2, 2)}, {'preferred_element_type': jnp.float32}],
    ids=lambda more: next(iter(more)),
)
def test_what_is_asked_for_besides_is_given(more):
    x = drawn(0, 2, 8, 8, 4)
    kernel = drawn(1, 3, 3, 4 // more.get('feature_group_count', 1), 6)
    wanted = xla.convolve(x, kernel, (1, 1), 'SAME', **more)
    found = convolve(x, kernel, (1, 1), 'SAME', **more)
    np.testing.assert_array_equal(found, wanted)


def test_a_stack_of_kernels():
    """As the engine of stacked trials maps it."""
    x, _, strides, padding = arguments(EVEN[0])
    kernels = drawn(3, 4, 3, 3, 3, 5)

    def gradients(conv):
        loss = jax.grad(lambda kernel: jnp.sum(jnp.square(conv(x, kernel, strides, padding))))
        return jax.vmap(loss)(kernels)

    np.testing.assert_allclose(gradients(convolve), gradients(xla.convolve), rtol=1e-4, atol=1e-3)


def test_the_switch_and_plain(monkeypatch):
    x, kernel, strides, padding = arguments(EVEN[0])

    def used():
        return xla.is_used(lambda x, kernel: convolve(x, kernel, strides, padding), x, kernel)

    assert convolution.algorithm() == 'winograd'
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(jax, 'default_backend', lambda: 'gpu')
        assert convolution.algorithm() == 'strided'
        with plain.layers():  # Another name, by which compiled programs are kept apart.
            assert convolution.algorithm() == 'xla'
    with plain.layers():
        assert convolution.algorithm() == 'xla' and used()
    assert not used()
    monkeypatch.setenv('JAXVISION_CONVOLUTION', 'xla')
    assert convolution.algorithm() == 'xla' and used()


@pytest.mark.parametrize(
    'name, values',
    [('resnet', {'depth': 20, 'width': 0.25}), ('convnet', {'filters': (4,)})],
    ids=['resnet', 'convnet'],
)
def test_networks_use_it(name, values):
    """Every convolution is of this kind."""
    model = models.build(name, 7, **values)
    images = drawn(0, 1, 8, 8, 3)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    program = str(jax.make_jaxpr(model.apply)(variables, images))
    kernels = [leaf.shape for leaf in jax.tree.leaves(variables['params']) if leaf.ndim == 4]
    assert program.count('name=_convolve') == len(kernels) > 0


def test_a_detector_uses_it():
    encoder = models.build('convnet', 0, filters=(4, 8), convs=1)
    model = Detector(encoder, 3, levels=2, features=8, convs=1)
    images = drawn(0, 1, 16, 16, 3)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    kernels = [leaf.shape for leaf in jax.tree.leaves(variables['params']) if leaf.ndim == 4 and leaf.shape[0] == 3]
    assert str(jax.make_jaxpr(model.apply)(variables, images)).count('name=_convolve') >= len(kernels) > 3


@pytest.mark.parametrize('batch', [1, 4])
def test_second_derivatives(batch, choose):
    """Reverse over reverse, and forward over reverse: a Hessian times a vector. Of several images in a loop."""
    x, kernel, strides, padding = arguments(EVEN[0], batch)
    choose(winograd, CACHE=x[0].nbytes)

    def product(conv, of):
        gradient = jax.grad(lambda x: jnp.sum(conv(x, kernel, strides, padding) ** 3))
        if of == 'reverse':
            return jax.grad(lambda x: jnp.vdot(gradient(x), drawn(4, *x.shape)))(x)
        return jax.jvp(gradient, (x,), (drawn(4, *x.shape),))[1]

    for of in ('reverse', 'forward'):
        np.testing.assert_allclose(product(convolve, of), product(xla.convolve, of), rtol=1e-3, atol=1e-2)


def test_another_value_of_the_switch_is_told(monkeypatch):
    monkeypatch.setenv('JAXVISION_CONVOLUTION', 'XLA')
    with pytest.raises(UserError, match="JAXVISION_CONVOLUTION is 'XLA'; known are winograd, xla"):
        convolution.algorithm()


def test_a_network_trains_the_same():
    model = models.build('convnet', 7, norm='batch', filters=(4,), convs=2)
    images, labels = drawn(0, 4, 8, 8, 3), jnp.arange(4)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    training = models.layers.Training(0.0, jax.random.split(jax.random.key(1), 4))

    def gradients(params):
        def loss(params):
            logits, _ = model.apply({**variables, 'params': params}, images, training, mutable=['batch_stats'])
            return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(4), labels])

        return jax.value_and_grad(loss)(params)

    ours, grads = jax.jit(lambda params: gradients(params))(variables['params'])
    with plain.layers():
        wanted, others = jax.jit(lambda params: gradients(params))(variables['params'])
    np.testing.assert_allclose(ours, wanted, rtol=1e-4)
    for one, other in zip(jax.tree.leaves(grads), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-4)


def test_layers_of_the_same_shapes_are_traced_once(monkeypatch):
    x, kernel, *rest = arguments((4, 4, 2, 2, 3, 1, 'SAME'))
    counted = []

    def counting(name):
        called = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *args: counted.append(name) or called(*args))

    names = ['by_input', 'by_kernel', 'convolution']
    for name in names:
        counting(name)

    def deep(x):
        for _ in range(3):
            x = convolve(x, kernel, *rest)
        return jnp.sum(x)

    jax.make_jaxpr(jax.grad(deep))(x)
    assert sorted(counted) == names

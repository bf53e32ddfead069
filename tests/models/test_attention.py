"""Self-attention beside Flax's, and where the one kernel takes it over, with a stand-in for that kernel."""

import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models import attention, plain


def drawn(seed, *shape, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


@pytest.fixture
def kernel(monkeypatch):
    """As on an NVIDIA GPU, but XLA computes what the kernel would: the calls so far, each as (tokens, lengths)."""
    calls = []

    def stand_in(query, key, value, query_seq_lengths, key_value_seq_lengths):
        assert query.shape[1] % 2 == 0 and query.dtype in attention.HALF  # Others the kernel refuses.
        lengths = None if key_value_seq_lengths is None else set(np.asarray(key_value_seq_lengths).tolist())
        calls.append((query.shape[1], lengths))
        return jax.nn.dot_product_attention(
            query,
            key,
            value,
            query_seq_lengths=query_seq_lengths,
            key_value_seq_lengths=key_value_seq_lengths,
            implementation='xla',
        )

    monkeypatch.setattr(attention, 'kernel', stand_in)
    monkeypatch.setattr(attention, '_there', lambda: True)
    return calls


def test_parameters_values_and_gradients_are_those_of_flax():
    x = drawn(0, 2, 5, 12)
    ours, theirs = attention.Attention(3), nn.MultiHeadDotProductAttention(3)
    variables = theirs.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, ours.init(jax.random.key(1), x, 5), variables)
    variables = jax.tree.map(lambda leaf: 0.3 * drawn(3, *leaf.shape), variables)  # Biases that are not 0, too.
    wanted, back = jax.vjp(lambda *args: theirs.apply(*args), variables, x)
    found, mine = jax.vjp(lambda *args: ours.apply(*args, 5), variables, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    gradient = drawn(2, *wanted.shape)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), mine(gradient), back(gradient))


def test_a_head_gathers_by_the_formula():
    query, key, value = (drawn(seed, 2, 4, 3, 8) for seed in range(3))
    scores = np.einsum('bqhd,bkhd->bhqk', query, key) / np.sqrt(8)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    wanted = np.einsum('bhqk,bkhd->bqhd', weights, value)
    np.testing.assert_allclose(attention.attend(query, key, value, 4), wanted, rtol=1e-5, atol=1e-5)


def test_tokens_beyond_are_not_attended_to():
    query, key, value = (drawn(seed, 2, 6, 3, 8) for seed in range(3))
    wanted = attention.attend(query[:, :5], key[:, :5], value[:, :5], 5)
    np.testing.assert_allclose(attention.attend(query, key, value, 5)[:, :5], wanted, rtol=1e-6, atol=1e-6)


def network(norm='layer', dtype='bfloat16', size=8):
    model = models.build('vit', 3, patch=4, embedding=24, layers=2, heads=3, norm=norm, dtype=dtype)
    images = drawn(1, 2, size, size, 3)
    variables = model.init(jax.random.key(0), images)

    def loss(params, images):
        return jnp.mean(model.apply({**variables, 'params': params}, images) ** 2)

    return jax.value_and_grad(loss), variables['params'], images


def test_the_kernel_takes_an_odd_number_of_tokens_with_one_more(kernel):
    """1 + 2 * 2 of them; equal within what bfloat16 rounds. A softmax is blind to the key's bias: no gradient there."""
    with plain.layers():
        function, params, images = network()
        value, slopes = function(params, images)
    assert not kernel
    found, ours = function(params, images)
    assert kernel == [(6, {5})] * 2
    np.testing.assert_allclose(found, value, rtol=0.02)
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        mine = next(leaf for other, leaf in jax.tree_util.tree_leaves_with_path(ours) if other == path)
        if [key.key for key in path][-2:] != ['key', 'bias']:
            assert np.linalg.norm(mine - slope) < 0.04 * np.linalg.norm(slope), path


def test_the_kernel_takes_an_even_number_as_it_is(kernel):
    attention.attend(*(drawn(seed, 2, 4, 3, 8, dtype=jnp.bfloat16) for seed in range(3)), 4)
    assert kernel == [(4, None)]


def test_each_of_stacked_networks_has_its_own_lengths(monkeypatch, kernel):
    """Else the kernel under jax 0.10.2 finds fewer lengths than images."""
    mapped = []
    spy = jax.custom_batching.custom_vmap(lambda query, lengths: query)

    @spy.def_vmap
    def _(unused_size, in_batched, query, unused_lengths):
        mapped.append(in_batched)
        return query, True

    monkeypatch.setattr(
        attention, 'kernel', lambda query, *_, key_value_seq_lengths, **__: spy(query, key_value_seq_lengths)
    )
    x = drawn(0, 3, 2, 6, 3, 8, dtype=jnp.bfloat16)
    jax.vmap(lambda x: attention.attend(x, x, x, 5))(x)
    assert mapped == [[True, True]]


@pytest.mark.parametrize('values', [{'dtype': 'float32'}, {'norm': 'batch'}, {'norm': 'group'}])
def test_the_kernel_is_left_alone(kernel, values):
    """By other precisions; and by norms that a token more would change, where the tokens are odd in number."""
    function, params, images = network(**values)
    function(params, images)
    assert not kernel


@pytest.mark.parametrize(
    ('dtype', 'features', 'fits'),
    [
        ('bfloat16', 64, True),
        ('float16', 8, True),
        ('float32', 64, False),
        ('bfloat16', 12, False),
        ('bfloat16', 136, False),
    ],
)
def test_what_the_kernel_takes(kernel, dtype, features, fits):
    assert attention.fused(jnp.dtype(dtype), features) == fits
    with plain.layers():
        assert not attention.fused(jnp.dtype(dtype), features)


def device(platform, version='', capability=''):
    client = types.SimpleNamespace(platform_version=version)
    return types.SimpleNamespace(platform=platform, client=client, compute_capability=capability)


@pytest.mark.parametrize(
    ('made', 'there'),
    [
        (device('cpu'), False),
        (device('gpu', 'rocm 60300', 'gfx942'), False),
        (device('gpu', 'cuda 13000', '7.5'), False),
        (device('gpu', 'cuda 13000', '8.0'), True),
        (device('gpu', 'cuda 13000', '10.3'), True),
    ],
)
def test_where_the_kernel_is(monkeypatch, made, there):
    monkeypatch.setattr(jax, 'devices', lambda: [made])
    assert attention.fused(jnp.dtype('bfloat16'), 64) == there


def test_an_encoder_gives_no_token_more(kernel):
    model = models.build('vit', 0, patch=4, embedding=24, layers=1, heads=3, norm='layer', dtype='bfloat16')
    x = drawn(1, 2, 8, 12, 3)
    (found,) = model.apply(model.init(jax.random.key(0), x), x)
    assert found.shape == (2, 2, 3, 24) and kernel[-1] == (8, {7})

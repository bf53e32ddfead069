"""Mixup: its weights against the Beta distribution, its partners, and what a mixture conserves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from jaxvision import augment

FIXED = settings(max_examples=60, deadline=None, derandomize=True)
BATCH, CLASSES = 6, 4
KEYS = 4000

WEIGHTS = hnp.arrays(np.float32, (BATCH,), elements=st.floats(0, 1, width=32))
LABELS = hnp.arrays(np.int32, (BATCH,), elements=st.integers(0, CLASSES - 1))
SEEDS = st.integers(0, 2**31 - 1)

weights_of = jax.jit(augment.mixing_weights)
partners_of = jax.jit(augment.draw_partners, static_argnames='partners')


@pytest.fixture(scope='module')
def keys():
    return jax.random.split(jax.random.key(0), KEYS)


@pytest.mark.parametrize('alpha', [0.2, 1.0, 4.0])
def test_weights_follow_the_beta_distribution(keys, alpha):
    weights = np.asarray(weights_of(keys, alpha))
    assert weights.dtype == np.float32 and weights.shape == (KEYS,)
    assert np.all((weights >= 0) & (weights <= 1))
    beta = stats.beta(alpha, alpha)
    # Four standard errors each, then the whole shape.
    assert abs(weights.mean() - 0.5) < 4 * beta.std() / np.sqrt(KEYS)
    error = np.sqrt((beta.stats(moments='k') + 2) / KEYS)
    assert abs(weights.var() / beta.var() - 1) < 4 * error
    assert stats.kstest(weights, beta.cdf).pvalue > 1e-3


def test_strength_of_the_mixture_is_traced(keys):
    traces = []

    @jax.jit
    def draw(keys, alpha):
        traces.append(1)
        return augment.mixing_weights(keys, alpha)

    spread = [np.std(draw(keys, jnp.float32(alpha))) for alpha in (0.1, 1.0, 10.0)]
    assert spread[0] > spread[1] > spread[2]
    assert len(traces) == 1


@pytest.mark.parametrize('alpha', [1e-3, 1e-2, 100.0])
def test_extreme_strengths_give_weights_all_the_same(keys, alpha):
    weights = np.asarray(weights_of(keys, alpha))
    assert np.all((weights >= 0) & (weights <= 1))
    if alpha < 1:
        assert 0.45 < np.mean(weights > 0.5) < 0.55


def test_weight_is_of_the_key_alone(keys):
    np.testing.assert_array_equal(weights_of(keys[::-1], 0.5), weights_of(keys, 0.5)[::-1])


def test_any_partners_are_a_permutation():
    labels = jnp.zeros(BATCH, jnp.int32)
    drawn = [np.asarray(partners_of(jax.random.key(seed), labels, 'any')) for seed in range(20)]
    for partners in drawn:
        np.testing.assert_array_equal(np.sort(partners), np.arange(BATCH))
    assert len({tuple(partners) for partners in drawn}) > 15


def test_any_partner_is_as_likely_as_another(keys):
    labels = jnp.zeros(BATCH, jnp.int32)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: augment.draw_partners(key, labels, 'any')))(keys))
    for column in drawn.T:
        assert stats.chisquare(np.bincount(column, minlength=BATCH)).pvalue > 1e-3


@given(LABELS, SEEDS)
@FIXED
def test_other_class_is_of_another_class_where_there_is_one(labels, seed):
    partners = np.asarray(partners_of(jax.random.key(seed), labels, 'other_class'))
    assert partners.shape == (BATCH,)
    for position, partner in enumerate(partners):
        if np.all(labels == labels[position]):
            assert partner == position
        else:
            assert labels[partner] != labels[position]


def test_other_class_is_uniform_among_the_others(keys):
    labels = jnp.array([0, 0, 0, 1, 1, 2])
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: augment.draw_partners(key, labels, 'other_class')))(keys))
    for position, column in enumerate(drawn.T):
        others = np.flatnonzero(np.asarray(labels) != labels[position])
        counts = np.bincount(column, minlength=BATCH)
        assert counts.sum() == counts[others].sum()
        assert stats.chisquare(counts[others]).pvalue > 1e-3
    # Each example draws for itself.
    assert abs(np.mean(drawn[:, 0] == drawn[:, 1]) - 1 / 3) < 4 * np.sqrt(2 / 9 / KEYS)


def test_unknown_partners_are_named():
    with pytest.raises(ValueError, match="unknown partners 'same'.*any, other_class"):
        augment.draw_partners(jax.random.key(0), jnp.zeros(2, jnp.int32), 'same')


@given(WEIGHTS, LABELS, LABELS)
@FIXED
def test_mixture_of_targets_is_a_distribution(weights, own, partner):
    eye = np.eye(CLASSES, dtype=np.float32)
    got = np.asarray(augment.mix(jnp.asarray(eye[own]), jnp.asarray(eye[partner]), jnp.asarray(weights)))
    np.testing.assert_allclose(got.sum(axis=1), 1, rtol=2e-7)
    assert np.all(got >= 0)


@given(WEIGHTS, st.integers(0, 2**31))
@FIXED
def test_mixture_is_the_closed_form_and_lies_between(weights, seed):
    draw = np.random.default_rng(seed)
    own, partner = (draw.random((BATCH, 3, 2, 1)).astype(np.float32) for _ in range(2))
    got = np.asarray(augment.mix(jnp.asarray(own), jnp.asarray(partner), jnp.asarray(weights)))
    w = weights.astype(np.float64)[:, None, None, None]
    np.testing.assert_allclose(got, w * own + (1 - w) * partner, rtol=3e-7, atol=1e-7)
    assert np.all(got <= np.maximum(own, partner) + 2e-7) and np.all(got >= np.minimum(own, partner) - 2e-7)


def test_permuting_conserves_the_mass_of_the_batch():
    """With one weight for all and partners that are a permutation, pixels and targets keep their sums."""
    own = jax.random.uniform(jax.random.key(0), (BATCH, 4, 4, 1))
    partners = augment.draw_partners(jax.random.key(1), jnp.zeros(BATCH, jnp.int32), 'any')
    mixed = augment.mix(own, own[partners], jnp.full(BATCH, 0.3))
    np.testing.assert_allclose(mixed.sum(axis=0), own.sum(axis=0), rtol=1e-6)


def test_ends_are_exactly_own_and_partner():
    own, partner = jnp.full((2, 3), 0.1), jnp.full((2, 3), 0.7)
    got = augment.mix(own, partner, jnp.array([1.0, 0.0]))
    np.testing.assert_array_equal(got, [own[0], partner[1]])


def test_dtype_stays():
    half = jnp.ones((2, 3), jnp.bfloat16)
    assert augment.mix(half, half, jnp.array([0.3, 0.6], jnp.float32)).dtype == jnp.bfloat16


def objects_of(seed, slots):
    draw = np.random.default_rng(seed)
    return (
        draw.random((BATCH, slots, 4)).astype(np.float32),
        draw.integers(0, CLASSES, (BATCH, slots)).astype(np.int32),
        draw.random((BATCH, slots)) < 0.5,
    )


@pytest.mark.parametrize(('own_slots', 'partner_slots'), [(1, 1), (3, 3), (2, 5)])
def test_objects_of_a_mixture_are_the_union_weighted_by_image(own_slots, partner_slots):
    weights = np.float32([0.0, 1.0, 0.5, 0.3, 0.9, 0.1])
    own, partner = objects_of(0, own_slots), objects_of(1, partner_slots)
    mixed, got = augment.mix_objects(own, partner, jnp.asarray(weights))
    assert got.shape == (BATCH, own_slots + partner_slots)
    for example in range(BATCH):
        for of_both, of_own, of_partner in zip(mixed, own, partner, strict=True):
            np.testing.assert_array_equal(of_both[example], [*of_own[example], *of_partner[example]])
            assert of_both.dtype == of_own.dtype
        expected = [weights[example]] * own_slots + [1 - weights[example]] * partner_slots
        np.testing.assert_array_equal(got[example], expected)


def test_objects_may_come_by_name():
    own = dict(zip(('boxes', 'classes', 'valid'), objects_of(0, 2), strict=True))
    mixed, _ = augment.mix_objects(own, own, jnp.full(BATCH, 0.5))
    assert set(mixed) == set(own) and mixed['boxes'].shape == (BATCH, 4, 4)

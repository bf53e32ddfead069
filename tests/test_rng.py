"""Keys are pure functions of (seed, stream, step, example id), and of nothing else."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision import rng

FIXED = settings(max_examples=50, deadline=None, derandomize=True)


def words(keys):
    """A key's raw words, to compare keys by."""
    return np.asarray(jax.random.key_data(keys))


def as_tuple(key):
    return tuple(words(key).ravel().tolist())


def test_same_numbers_give_the_same_key():
    ids = np.array([4, 0, 7])
    np.testing.assert_array_equal(words(rng.key(3, 'dropout', 5, ids)), words(rng.key(3, 'dropout', 5, ids)))


@pytest.mark.parametrize('changed', [(4, 'augment', 5, 6), (3, 'dropout', 5, 6), (3, 'augment', 6, 6)])
def test_key_depends_on_seed_stream_and_step(changed):
    *numbers, example = (3, 'augment', 5, 6)
    *others, other_example = changed
    a = rng.key(*numbers, np.array([example]))
    b = rng.key(*others, np.array([other_example]))
    assert as_tuple(a) != as_tuple(b)


def test_every_example_and_step_has_a_key_of_its_own():
    ids = np.arange(200)
    keys = np.concatenate([words(rng.key(0, 'augment', step, ids)) for step in range(5)])
    assert len(np.unique(keys, axis=0)) == 5 * 200


def test_every_stream_has_a_key_of_its_own():
    assert len({as_tuple(rng.key(0, stream)) for stream in rng.STREAMS}) == len(rng.STREAMS)


def test_order_and_company_in_the_batch_do_not_matter():
    ids = np.array([11, 2, 5, 8])
    keys = words(rng.key(1, 'mixup', 9, ids))
    order = np.array([2, 0, 3, 1])
    np.testing.assert_array_equal(words(rng.key(1, 'mixup', 9, ids[order])), keys[order])
    np.testing.assert_array_equal(words(rng.key(1, 'mixup', 9, ids[2:3])), keys[2:3])


def test_a_key_serves_as_the_seed_it_came_from():
    assert as_tuple(rng.base(rng.base(7))) == as_tuple(rng.base(7))
    np.testing.assert_array_equal(
        words(rng.key(rng.base(7), 'augment', 2, np.arange(3))), words(rng.key(7, 'augment', 2, np.arange(3)))
    )


def test_traced_numbers_give_the_same_keys():
    def traced(seed, step, ids):
        return jax.random.key_data(rng.key(seed, 'dropout', step, ids))

    ids = jnp.array([3, 1], jnp.int32)
    got = jax.jit(traced)(jnp.int32(2), jnp.int32(6), ids)
    np.testing.assert_array_equal(got, words(rng.key(2, 'dropout', 6, ids)))


def test_no_two_requests_share_a_key():
    """Once a run, once a step, an example of a run, an example of a step: all are different draws."""
    keys = {}
    for step, example in itertools.product((None, 0, 1, 2), repeat=2):
        ids = None if example is None else np.array([example])
        keys[step, example] = as_tuple(rng.key(0, 'mixup', step, ids))
    shared = [(a, b) for a, b in itertools.combinations(keys, 2) if keys[a] == keys[b]]
    assert not shared


def test_what_a_step_draws_shares_nothing_with_what_its_examples_draw():
    """jax.random splits the key that it is given: the parts must not be the keys of examples 0, 1, ..."""
    parts = words(jax.random.split(rng.key(0, 'mixup', 3), 4)).tolist()
    examples = words(rng.key(0, 'mixup', 3, np.arange(4))).tolist()
    assert not [part for part in parts if part in examples]


def test_draws_of_neighbours_are_uncorrelated():
    def draws(stream, step):
        return np.asarray(jax.vmap(jax.random.normal)(rng.key(0, stream, step, np.arange(4000))))

    here, next_step, other_stream = draws('augment', 0), draws('augment', 1), draws('dropout', 0)
    limit = 4 / np.sqrt(len(here))  # Four standard errors of a correlation of zero.
    for a, b in ((here, next_step), (here, other_stream), (here[1:], here[:-1])):
        assert abs(np.corrcoef(a, b)[0, 1]) < limit


@pytest.mark.parametrize('make', [rng.key, rng.generator])
def test_unknown_stream_is_named(make):
    with pytest.raises(ValueError, match="unknown stream 'agument'.*augment"):
        make(0, 'agument')


def test_seed_that_does_not_fit_is_refused():
    """JAX keeps 32 bits of a seed: 2**32 would silently be the run of seed 0."""
    assert as_tuple(rng.key(2**32 - 1, 'init')) != as_tuple(rng.key(0, 'init'))
    with pytest.raises(ValueError, match='seed'):
        rng.key(2**32, 'init')


def test_generator_repeats_itself():
    a, b = rng.generator(3, 'order', 7), rng.generator(3, 'order', 7)
    np.testing.assert_array_equal(a.integers(0, 2**62, 5), b.integers(0, 2**62, 5))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(rng.STREAMS[1:]),
    st.lists(st.integers(0, 2**31), max_size=3).map(tuple),
)
@FIXED
def test_generator_depends_on_seed_stream_and_all_numbers(seed, stream, numbers):
    others = [
        (seed ^ 1, stream, *numbers),
        (seed ^ 2**31, stream, *numbers),
        (seed, 'init', *numbers),
        (seed, stream, *numbers, 1),
        (seed, stream, 0, *numbers, 1),
    ]
    others += [(seed, stream, *numbers[:i], numbers[i] + 1, *numbers[i + 1 :]) for i in range(len(numbers))]
    draws = {tuple(rng.generator(*request).integers(0, 2**62, 2)) for request in [(seed, stream, *numbers), *others]}
    assert len(draws) == 1 + len(others)


def test_generator_tells_a_zero_from_nothing():
    assert rng.generator(0, 'split').integers(2**62) != rng.generator(0, 'split', 0).integers(2**62)

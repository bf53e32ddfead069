"""The order of training is a pure function of (seed, step), and visits every example once an epoch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.data import order

FIXED = settings(max_examples=60, deadline=None, derandomize=True)


def epochs(ids, seed, batch_size, count):
    """The first `count` epochs' worth of ids, in the order that training sees them."""
    steps = -(-count * len(ids) // batch_size)
    stream = np.concatenate([order.batch_ids(ids, seed, step, batch_size) for step in range(steps)])
    return stream[: count * len(ids)].reshape(count, len(ids))


@given(st.integers(1, 30), st.data())
@FIXED
def test_every_epoch_is_a_permutation(count, data):
    batch_size = data.draw(st.integers(1, count))
    ids = np.arange(count) * 3 + 5
    for epoch in epochs(ids, 0, batch_size, 3):
        np.testing.assert_array_equal(np.sort(epoch), ids)


def test_last_batch_is_filled_from_the_next_epoch():
    ids = np.arange(10)
    first, second = epochs(ids, 1, 4, 2)
    wrapped = order.batch_ids(ids, 1, 2, 4)
    np.testing.assert_array_equal(wrapped, [*first[8:], *second[:2]])
    assert wrapped.dtype == np.int32 and wrapped.shape == (4,)


def test_batch_size_cuts_one_and_the_same_order():
    ids = np.arange(12)
    np.testing.assert_array_equal(epochs(ids, 2, 3, 4), epochs(ids, 2, 5, 4))


def test_pure_function_of_seed_and_step():
    ids = np.arange(50)
    wanted = [order.batch_ids(ids, 3, step, 8) for step in range(20)]
    for step in (13, 0, 19, 6):  # In another order, and after other seeds have filled the memory.
        order.batch_ids(ids, 100 + step, step, 8)
        np.testing.assert_array_equal(order.batch_ids(ids, 3, step, 8), wanted[step])
    order._permutation.cache_clear()
    np.testing.assert_array_equal(order.batch_ids(ids, 3, 13, 8), wanted[13])


@pytest.mark.parametrize(('step', 'batch_size', 'count'), [(0, 3, 1), (2, 3, 9), (5, 10, 4), (1, 7, 25)])
def test_batches_are_those_of_the_steps_one_by_one(step, batch_size, count):
    ids = np.arange(100, 110)
    one_by_one = [order.batch_ids(ids, 1, step + later, batch_size) for later in range(count)]
    found = order.batches(ids, 1, step, batch_size, count)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, one_by_one)
    # And each is the same slice of one epoch after another.
    epochs = -(-(step + count) * batch_size // len(ids))
    whole = np.concatenate([order.batch_ids(ids, 1, epoch, len(ids)) for epoch in range(epochs)])
    np.testing.assert_array_equal(found.ravel(), whole[step * batch_size : (step + count) * batch_size])


def test_seed_and_epoch_move_the_order():
    ids = np.arange(50)
    epoch, following = epochs(ids, 0, 50, 2)
    assert not np.array_equal(epoch, following)
    assert not np.array_equal(epoch, epochs(ids, 1, 50, 1)[0])
    assert not np.array_equal(epoch, ids)


def test_a_batch_is_the_callers_own():
    ids = np.arange(6)
    first = order.batch_ids(ids, 0, 0, 6)
    first[:] = -1
    assert sorted(order.batch_ids(ids, 0, 0, 6)) == list(range(6))


def test_full_batch_sees_every_example_at_every_step():
    ids = np.array([4, 8, 15, 16, 23])
    for step in range(4):
        np.testing.assert_array_equal(np.sort(order.batch_ids(ids, 0, step, 5)), ids)


@given(st.integers(1, 20), st.integers(1, 25))
@FIXED
def test_padded_batches_hold_every_id_once_and_in_order(count, batch_size):
    ids = np.arange(count)[::-1] * 2
    batches = list(order.padded_batches(ids, batch_size))
    assert all(batch.shape == (batch_size,) and batch.dtype == np.int32 for batch, _ in batches)
    np.testing.assert_array_equal(np.concatenate([batch[:real] for batch, real in batches]), ids)
    assert all(real == batch_size for _, real in batches[:-1])
    assert batches[-1][1] >= 1


@pytest.mark.parametrize('batch_size', [4, 7])
def test_padding_repeats_the_last_id(batch_size):
    *_, (batch, real) = order.padded_batches(np.array([9, 8, 7, 6, 5]), batch_size)
    assert np.all(batch[real:] == 5)

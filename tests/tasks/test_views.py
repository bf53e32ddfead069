"""Which images are mirrored when."""

import functools

import jax
import numpy as np
import pytest

from jaxvision import rng
from jaxvision.data import order
from jaxvision.tasks.views import Views

COUNT, BATCH = 15, 6  # An epoch ends within a batch.
STRENGTHS = {}


@functools.lru_cache
def compiled(views):
    return jax.jit(lambda ids, key, step: views.maps(ids, (4, 6, 1), STRENGTHS, key, step, None))


def mirrored(views, steps, seed=0):
    """{example: whether it was mirrored, epoch after epoch}."""
    seen = {example: [] for example in range(COUNT)}
    for step in range(steps):
        ids = order.batch_ids(np.arange(COUNT), seed, step, BATCH)
        maps = compiled(views)(ids, rng.base(seed), step)
        for example, flip in zip(ids, np.linalg.det(maps[:, :, :2]) < 0, strict=True):
            seen[int(example)].append(bool(flip))
    return seen


@pytest.mark.parametrize('crop', [0, 1])
def test_alternating_mirrors_show_both_sides_in_any_two_epochs(crop):
    seen = mirrored(Views(mirror=True, alternate=COUNT, crop=crop), 10)
    for flips in seen.values():
        assert len(flips) == 4
        assert all(first != second for first, second in zip(flips, flips[1:], strict=False))
    starts = [flips[0] for flips in seen.values()]
    assert True in starts and False in starts
    others = mirrored(Views(mirror=True, alternate=COUNT, crop=crop), 5, seed=1)
    assert starts != [flips[0] for flips in others.values()]


def test_mirrors_are_drawn_anew_without():
    flips = np.array(list(mirrored(Views(mirror=True), 20).values()))
    assert np.any(flips[:, 1:] == flips[:, :-1]) and np.any(flips[:, 1:] != flips[:, :-1])


def test_alternating_draws_no_other_shift():
    ids = np.arange(COUNT)
    shifts = [
        np.abs(compiled(Views(crop=2, **mirror))(ids, rng.base(0), 3)[:, 0, 2])
        for mirror in ({}, {'mirror': True}, {'mirror': True, 'alternate': COUNT})
    ]
    np.testing.assert_array_equal(shifts[0], shifts[1])
    np.testing.assert_array_equal(shifts[0], shifts[2])

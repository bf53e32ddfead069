"""Splits: disjoint, stratified, and moved by nothing but their own seed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from jaxvision.data.splits import assign_folds, make_splits, take
from jaxvision.errors import UserError

FIXED = settings(max_examples=80, deadline=None, derandomize=True)
FRACTIONS = {'validation_fraction': 0.1, 'test_fraction': 0.2}

COUNTS = st.lists(st.integers(5, 40), min_size=2, max_size=6)
SEEDS = st.integers(0, 1000)
SHARES = st.floats(0.15, 0.5)  # Of 10 examples or more: no part is empty.


def labelled(counts):
    """That many examples a class, in some order."""
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    return np.random.default_rng(len(labels)).permutation(labels)


def cut(labels, official=None, **kwargs):
    if official is None:
        official = {'train': np.arange(len(labels))}
    return make_splits(labels, official, **{**FRACTIONS, **kwargs})


def assert_stratified(part, whole, labels):
    """Each class has its exact share, up to less than one example."""
    classes = labels.max() + 1
    shares = np.bincount(labels[whole], minlength=classes) * len(part) / len(whole)
    assert np.all(np.abs(np.bincount(labels[part], minlength=classes) - shares) < 1)


def same(a, b):
    return all(np.array_equal(mine, other) for (_, mine), (_, other) in zip(a.items(), b.items(), strict=True))


@given(COUNTS, SHARES, SHARES, SEEDS)
@FIXED
def test_parts_are_disjoint_covering_and_stratified(counts, validation, test, seed):
    labels = labelled(counts)
    splits = cut(labels, validation_fraction=validation, test_fraction=test, split_seed=seed)
    together = np.concatenate([ids for _, ids in splits.items()])
    np.testing.assert_array_equal(np.sort(together), np.arange(len(labels)))
    assert len(splits.test) == round(test * len(labels))
    rest = np.setdiff1d(np.arange(len(labels)), splits.test)
    assert len(splits.validation) == round(validation * len(rest))
    assert_stratified(splits.test, np.arange(len(labels)), labels)
    assert_stratified(splits.validation, rest, labels)


def test_ids_are_ascending_int32():
    for _, ids in cut(labelled([20, 30])).items():
        assert ids.dtype == np.int32
        assert np.all(np.diff(ids) > 0)


def test_fixed_by_the_split_seed_and_moved_by_it():
    labels = labelled([30, 40, 50])
    once, again, other = cut(labels, split_seed=3), cut(labels, split_seed=3), cut(labels, split_seed=4)
    assert same(once, again)
    for name in ('train', 'validation', 'test'):
        assert not np.array_equal(getattr(once, name), getattr(other, name))


def test_every_example_can_be_drawn():
    """A split seed moves the examples of every class, the first and the last alike."""
    labels = labelled([6, 6])
    seen = np.zeros(len(labels), int)
    for seed in range(60):
        seen[cut(labels, test_fraction=0.5, split_seed=seed).test] += 1
    # Each is in the test half with probability 1/2: 30 of 60, with a standard deviation of 3.9.
    assert seen.min() > 10 and seen.max() < 50


@given(COUNTS, st.lists(st.floats(0.2, 1.0), min_size=2, max_size=2), SEEDS)
@FIXED
def test_smaller_train_fraction_lies_within_the_larger(counts, fractions, seed):
    labels = labelled(counts)
    smaller, larger = (cut(labels, train_fraction=fraction, split_seed=seed) for fraction in sorted(fractions))
    assert set(smaller.train) <= set(larger.train)
    np.testing.assert_array_equal(smaller.validation, larger.validation)
    np.testing.assert_array_equal(smaller.test, larger.test)


def test_every_train_fraction_lies_within_the_next():
    """Largest remainders take a seat away as the house grows (the Alabama paradox), e.g. at 6, 6, 2: 10 -> 11."""
    labels = np.repeat([0, 1, 2, 0], [6, 6, 2, 2])
    official = {'train': np.arange(14), 'validation': np.array([14]), 'test': np.array([15])}
    parts = [set(cut(labels, official, train_fraction=size / 14).train.tolist()) for size in range(1, 15)]
    assert [len(part) for part in parts] == list(range(1, 15))
    losing = [len(part) for part, larger in itertools.pairwise(parts) if not part < larger]
    assert not losing


@given(COUNTS, st.floats(0.2, 1.0), SEEDS)
@FIXED
def test_train_fraction_is_stratified(counts, fraction, seed):
    labels = labelled(counts)
    whole, part = cut(labels, split_seed=seed), cut(labels, train_fraction=fraction, split_seed=seed)
    assert len(part.train) == round(fraction * len(whole.train))
    assert_stratified(part.train, whole.train, labels)


def test_official_test_split_is_kept():
    labels = labelled([30, 30])
    official = {'train': np.arange(40), 'test': np.arange(40, 60)}
    splits = cut(labels, official, test_fraction=0.9)
    np.testing.assert_array_equal(splits.test, official['test'])
    np.testing.assert_array_equal(np.union1d(splits.train, splits.validation), official['train'])
    assert len(splits.validation) == 4


def test_official_validation_and_test_splits_are_kept():
    labels = labelled([30, 30])
    official = {'train': np.arange(10, 60), 'validation': np.arange(4), 'test': np.arange(4, 10)}
    splits = cut(labels, official, split_seed=5)
    for name, ids in splits.items():
        np.testing.assert_array_equal(ids, official[name])


def test_official_validation_alone_is_kept():
    labels = labelled([30, 30])
    official = {'train': np.arange(50), 'validation': np.arange(50, 60)}
    splits = cut(labels, official)
    np.testing.assert_array_equal(splits.validation, official['validation'])
    assert len(splits.test) == 10
    np.testing.assert_array_equal(np.union1d(splits.train, splits.test), official['train'])


@given(st.lists(st.integers(5, 23), min_size=2, max_size=6), st.integers(2, 5), SEEDS)
@FIXED
def test_folds_are_as_even_as_those_of_scikit_learn(counts, folds, seed):
    labels = labelled(counts)
    assigned = assign_folds(labels, folds, seed)
    sizes = np.bincount(assigned, minlength=folds)
    theirs = [len(test) for _, test in StratifiedKFold(folds).split(labels, labels)]
    np.testing.assert_array_equal(sizes, theirs)
    for label in range(len(counts)):
        of_class = np.bincount(assigned[labels == label], minlength=folds)
        assert of_class.max() - of_class.min() <= 1


@pytest.mark.parametrize('official', [None, {'train': np.arange(20), 'test': np.arange(20, 33)}])
def test_every_example_is_tested_in_one_fold(official):
    labels = labelled([12, 10, 11])
    splits = [cut(labels, official, folds=4, fold=fold) for fold in range(4)]
    np.testing.assert_array_equal(np.sort(np.concatenate([s.test for s in splits])), np.arange(33))
    for s in splits:
        together = np.concatenate([ids for _, ids in s.items()])
        np.testing.assert_array_equal(np.sort(together), np.arange(33))
        rest = np.union1d(s.train, s.validation)
        assert len(s.validation) == round(0.1 * len(rest))
        assert_stratified(s.validation, rest, labels)


def test_folds_are_moved_by_the_split_seed_alone():
    labels = labelled([20, 20])
    once = cut(labels, folds=4, fold=1)
    assert same(once, cut(labels, folds=4, fold=1, test_fraction=0.5))
    smaller = cut(labels, folds=4, fold=1, train_fraction=0.5)
    np.testing.assert_array_equal(smaller.test, once.test)
    assert set(smaller.train) < set(once.train)
    assert not np.array_equal(cut(labels, folds=4, fold=1, split_seed=1).test, once.test)


def test_more_folds_than_examples_of_a_class_are_refused():
    with pytest.raises(UserError, match=r'data\.folds=6.*5 examples of the smallest class'):
        cut(labelled([5, 20]), folds=6)
    assert len(cut(labelled([5, 20]), folds=5).test) == 5


def test_class_number_without_examples_is_no_smallest_class():
    labels = labelled([8, 0, 8])
    assert len(cut(labels, folds=4).test) == 4


@pytest.mark.parametrize(
    ('kwargs', 'empty'),
    [
        ({'test_fraction': 0.01}, 'test'),
        ({'validation_fraction': 0.01}, 'validation'),
        ({'train_fraction': 0.01}, 'train'),
        ({'validation_fraction': 0.99}, 'train'),
    ],
)
def test_empty_part_is_refused_by_name(kwargs, empty):
    with pytest.raises(UserError, match=f'the {empty} split is empty: 12 examples are too few'):
        cut(labelled([6, 6]), **{'test_fraction': 0.3, **kwargs})


def test_test_fraction_that_leaves_nothing_is_refused():
    with pytest.raises(UserError, match='split is empty: 12 examples are too few'):
        cut(labelled([6, 6]), test_fraction=0.99)


def test_held_out_tells_splits_apart():
    labels = labelled([30, 30])
    base = cut(labels)
    assert base.held_out == cut(labels, train_fraction=0.5).held_out  # What training may see does not count.
    others = [cut(labels, split_seed=1), cut(labels, test_fraction=0.3), cut(labels, validation_fraction=0.2)]
    others += [cut(labels, folds=5, fold=fold) for fold in range(2)]
    assert len({s.held_out for s in (base, *others)}) == len(others) + 1


def test_held_out_tells_validation_from_test():
    labels = labelled([6, 6])
    parts = {'train': np.arange(6), 'validation': np.array([6, 7]), 'test': np.array([8, 9])}
    swapped = {'train': np.arange(6), 'validation': parts['test'], 'test': parts['validation']}
    shifted = {'train': np.arange(6), 'validation': np.array([6]), 'test': np.array([7, 8, 9])}
    assert len({cut(labels, official).held_out for official in (parts, swapped, shifted)}) == 3


def test_take_keeps_the_ids_it_is_given():
    labels = labelled([10, 10])
    ids = np.array([19, 3, 7, 12, 0, 5])
    part, rest = take(ids, labels, 0.5, np.random.default_rng(0))
    assert sorted([*part, *rest]) == sorted(ids)
    assert len(part) == 3

"""From rows to conclusions: what is paired with what, and by which interval."""

import numpy as np
import pytest

from jaxvision.sweeps import designs, findings, statistics


def row(variant: str, seed: int, accuracy: float, fold: int | None = None, sizes=(900, 100), status='done') -> dict:
    """A line of the table."""
    values = {f'{split}_error': 1 - accuracy for split in findings.SPLITS}
    return {
        'variant': variant,
        'seed': seed,
        **({} if fold is None else {'fold': fold}),
        'status': status,
        **(values if status == 'done' else {}),
        'test_accuracy': accuracy if status == 'done' else None,
        'train_n': sizes[0],
        'test_n': sizes[1],
        'gap': 0.01,
        'parameters': 10,
    }


def test_only_pairs_that_are_done_are_compared():
    sweep = designs.seeds({'a': {}, 'b': {'optim.lr': 0.2}}, seeds=4)
    rows = [row('a', seed, 0.5 + 0.1 * seed) for seed in range(4)]
    rows += [row('b', seed, 0.6 + 0.1 * seed, status='failed' if seed == 3 else 'done') for seed in range(4)]
    found = findings.conclude(rows, sweep, 'accuracy')['variants']['b']
    assert found['n'] == found['difference']['n'] == 3
    assert found['difference']['mean'] == pytest.approx(0.1)
    assert found['difference']['better'] == 3


def test_folds_are_paired_by_seed_within_them():
    """Found by a review: with a trial missing, means over different seeds were compared."""
    sweep = designs.folds(3, {'a': {}, 'b': {'optim.lr': 0.2}}, seeds=2)
    rows = [
        row(
            name,
            seed,
            0.6 + 0.1 * fold + 0.2 * seed,
            fold,
            status='failed' if (name, fold, seed) == ('b', 1, 1) else 'done',
        )
        for name in 'ab'
        for fold in range(3)
        for seed in range(2)
    ]
    found = findings.conclude(rows, sweep, 'accuracy')['variants']
    assert found['b']['difference']['mean'] == pytest.approx(0.0)
    assert found['a']['mean'] == pytest.approx(0.8)


def test_each_variant_has_its_own_ratio_of_test_to_train():
    """Found by a review: one ratio served all. For a difference the larger one counts."""
    sweep = designs.folds(4, {'full': {}, 'tenth': {'data.train_fraction': 0.1}})
    values = {'full': [0.8, 0.82, 0.78, 0.81], 'tenth': [0.7, 0.75, 0.72, 0.71]}
    sizes = {'full': (750, 250), 'tenth': (75, 250)}
    rows = [row(name, 0, value, fold, sizes[name]) for name in values for fold, value in enumerate(values[name])]
    found = findings.conclude(rows, sweep, 'accuracy')['variants']
    for name, (train, test) in sizes.items():
        expected = statistics.over_folds(values[name], test / train)['ci95']
        np.testing.assert_allclose(found[name]['ci95'], np.clip(expected, 0, 1))
    expected = statistics.difference_over_folds(values['tenth'], values['full'], 250 / 75)
    np.testing.assert_allclose(found['tenth']['difference']['ci95'], expected['ci95'])


def test_references_have_one_value_a_fold():
    sweep = designs.folds(3, {'a': {}}, references=('SVC',), seeds=2)
    rows = [row('a', seed, 0.7 + 0.1 * fold + 0.02 * seed, fold) for fold in range(3) for seed in range(2)]
    rows += [row('SVC', 0, 0.75 + 0.1 * fold, fold) for fold in range(3)]
    found = findings.conclude(rows, sweep, 'accuracy')['variants']['SVC']
    assert found['difference']['mean'] == pytest.approx(0.04)
    assert found['n'] == 3


def test_one_seed_is_told_as_such():
    sweep = designs.seeds({'a': {}, 'b': {'optim.lr': 0.2}}, seeds=1)
    found = findings.conclude([row('a', 0, 0.5), row('b', 0, 0.6)], sweep, 'accuracy')
    assert 'makes no difference that one seed can tell: +10.00 points' in found['variants']['b']['verdict']
    assert 'one says nothing of the spread' in found['variants']['b']['verdict']
    assert '10.00' in findings.text(found)


def test_an_interval_that_excludes_zero_without_significance_is_explained():
    sweep = designs.seeds(
        {'a': {}, **{name: {'optim.lr': 0.1 * place} for place, name in enumerate('bcdefghij', 2)}}, seeds=6
    )
    draw = np.random.default_rng(0)
    rows = [row('a', seed, 0.5) for seed in range(6)]
    rows += [row(name, seed, 0.55 + draw.uniform(0, 0.02)) for name in 'bcdefghij' for seed in range(6)]
    found = findings.conclude(rows, sweep, 'accuracy')['variants']['b']
    assert found['difference']['ci95'][0] > 0 and found['difference']['p_holm'] > 0.05
    assert 'the interval is of this comparison alone' in found['verdict']
    assert found['difference']['seeds_needed'] > 6


def test_intervals_of_shares_end_at_their_ends():
    sweep = designs.seeds({'a': {}}, seeds=2)
    found = findings.conclude([row('a', 0, 0.9), row('a', 1, 1.0)], sweep, 'accuracy')['variants']['a']
    assert found['ci95'][1] == 1.0
    assert found['errors']['test']['ci95'][0] == 0.0


def test_nothing_is_done():
    sweep = designs.seeds({'a': {}, 'b': {'optim.lr': 0.2}}, seeds=1)
    found = findings.conclude([row(name, 0, 0.5, status='missing') for name in 'ab'], sweep, 'accuracy')
    assert found['trials'] == {'done': 0, 'failed': 0, 'missing': 2}
    assert found['variants']['b']['verdict'] == 'b: no trial is done.'
    assert '2 were not run' in findings.text(found)

"""Designs: what a ladder, a grid, a sample and a cross-validation consist of, and mistakes in them, one line each."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from jaxvision import assembly, settings
from jaxvision.errors import UserError
from jaxvision.sweeps import designs, trials

RUNGS = {'drop': {'model.dropout': 0.1}, 'decay': {'optim.weight_decay': 0.1}, 'mirror': {'augment.mirror': True}}


def base(**changes) -> settings.Settings:
    config = settings.defaults()
    config.data.update({'name': 'generated', 'generated_examples': 100, 'batch_size': 10})
    return settings.override(settings.resolve(config), changes)


def expand(sweep, **changes):
    return trials.expand(base(**changes), sweep, pathlib.Path('/nowhere'))


def test_ladder():
    sweep = designs.ladder(RUNGS)
    assert {name: set(changes) for name, changes in sweep.variants.items()} == {
        'baseline': set(),
        '+ drop': {'model.dropout'},
        '+ decay': {'optim.weight_decay'},
        '+ mirror': {'augment.mirror'},
        'up to decay': {'model.dropout', 'optim.weight_decay'},
        'all': {'model.dropout', 'optim.weight_decay', 'augment.mirror'},
        'all but drop': {'optim.weight_decay', 'augment.mirror'},
        'all but decay': {'model.dropout', 'augment.mirror'},
    }
    assert sweep.rungs == (
        ('drop', '+ drop', '+ drop', 'all but drop'),
        ('decay', '+ decay', 'up to decay', 'all but decay'),
        ('mirror', '+ mirror', 'all', 'up to decay'),
    )
    assert sweep.baseline == 'baseline'
    assert sweep.seeds == 12


def test_short_ladders():
    one = designs.ladder({'drop': RUNGS['drop']})
    assert list(one.variants) == ['baseline', '+ drop']
    assert one.rungs == (('drop', '+ drop', '+ drop', ''),)
    two = designs.ladder({name: RUNGS[name] for name in ('drop', 'decay')})
    assert list(two.variants) == ['baseline', '+ drop', '+ decay', 'all']
    assert two.rungs[0].without == '+ decay'


def test_a_rung_may_set_several_keys():
    sweep = designs.ladder({'mixup': {'augment.mixup': 1.0, 'augment.partners': 'other_class'}, **RUNGS})
    assert expand(sweep)[12].settings.augment.partners == 'other_class'


def test_grid():
    sweep = designs.grid({'model.width': (0.5, 1.0), 'teacher.model.width': (1.0, 2.0)}, baseline={'model.width': 2.0})
    assert list(sweep.variants) == [
        'baseline',
        'model.width=0.5, teacher.model.width=1',
        'model.width=0.5, teacher.model.width=2',
        'model.width=1, teacher.model.width=1',
        'model.width=1, teacher.model.width=2',
    ]
    cell = designs.grid(
        {'model.width': (0.5, 1.0), 'optim.lr': [0.1, 0.2]}, baseline={'model.width': 1.0, 'optim.lr': 0.1}
    )
    assert cell.baseline == 'width=1, lr=0.1'
    assert len(cell.variants) == 4
    assert cell.axes == cell.keys == ('model.width', 'optim.lr')


def test_sample_is_the_same_again_and_another_under_another_seed():
    axes = {
        'optim.lr': designs.LogUniform(1e-3, 1e-1),
        'model.dropout': designs.Uniform(0.0, 0.5),
        'model.norm': designs.Choice(('none', 'batch')),
    }
    one, same, other = (designs.sample(50, axes, draw_seed=seed) for seed in (0, 0, 1))
    assert one == same != other
    assert list(one.variants)[:3] == ['baseline', 'draw 01', 'draw 02']
    drawn = list(one.variants.values())[1:]
    rates = np.array([changes['optim.lr'] for changes in drawn])
    assert (rates >= 1e-3).all() and (rates <= 1e-1).all()
    assert 10 < (rates < 1e-2).sum() < 40
    assert {changes['model.norm'] for changes in drawn} == {'none', 'batch'}
    assert len(expand(one)) == 51 * 12


def test_folds_cover_every_example_once():
    """Every example is in exactly one test fold; sizes are those of scikit-learn's StratifiedKFold."""
    sweep = designs.folds(7, {'plain': {}}, references=('k-NN',))
    some = [trial for trial in expand(sweep, **{'data.name': 'uci_digits'}) if not trial.reference]
    assert [trial.fold for trial in some] == list(range(7))
    splits = [assembly.load_data(trial.settings.data) for trial in some]
    tested = np.concatenate([one.test for _, one in splits])
    labels = splits[0][0].labels
    np.testing.assert_array_equal(np.sort(tested), np.arange(1797))
    theirs = [len(test) for _, test in StratifiedKFold(7).split(np.zeros(1797), labels)]
    assert sorted(len(one.test) for _, one in splits) == sorted(theirs)
    for _, one in splits:
        assert len(set(one.train) | set(one.validation) | set(one.test)) == 1797
        ours = np.bincount(labels[one.test], minlength=10)
        shares = np.bincount(labels) / 7
        assert (np.abs(ours - shares) < 1).all()
    of_reference = [trial for trial in expand(sweep, **{'data.name': 'uci_digits'}) if trial.reference]
    assert [trial.settings.data for trial in of_reference] == [trial.settings.data for trial in some]


def test_trials_are_paired():
    """A variant and the baseline share seed, splits and order; and initial weights wherever shapes allow."""
    import jax

    sweep = designs.ladder({'narrow': {'model.dense': (64,)}, 'norm': {'model.norm': 'batch'}, **RUNGS}, seeds=2)
    by_name = {(trial.variant, trial.seed): trial for trial in trials.check(expand(sweep, devices=1))}
    before = assembly.assemble(by_name['baseline', 1].settings)
    theirs = jax.device_get(before.initial().params)
    for variant in ('+ drop', '+ narrow', '+ norm', '+ mirror'):
        run = assembly.assemble(by_name[variant, 1].settings)
        assert run.plan == before.plan
        np.testing.assert_array_equal(run.splits.train, before.splits.train)
        ours = jax.device_get(run.initial().params)
        shared = 0
        for path, leaf in jax.tree_util.tree_leaves_with_path(ours):
            other = dict(jax.tree_util.tree_leaves_with_path(theirs)).get(path)
            if other is not None and other.shape == leaf.shape and path[-1].key == 'kernel':
                np.testing.assert_array_equal(leaf, other)
                shared += 1
        assert shared == (2 if variant == '+ narrow' else 4)


def test_programs_are_shared_by_what_differs_in_traced_values_alone():
    sweep = designs.seeds(
        {
            'plain': {},
            'slower': {'optim.lr': 0.01},
            'dropout': {'model.dropout': 0.1},
            'more dropout': {'model.dropout': 0.2},
            'narrow': {'model.width': 0.5},
            'longer': {'train.epochs': 20.0},
        },
        seeds=2,
    )
    found = {trial.variant: trial.program for trial in trials.check(expand(sweep))}
    assert found == {'plain': 0, 'slower': 0, 'dropout': 1, 'more dropout': 1, 'narrow': 2, 'longer': 3}


def test_folders_are_told_apart(tmp_path):
    """Found by a review: numbered in order, they swapped their results when a sweep went on in another order."""
    names = ['a b', 'a/b', 'A b', 'plain', 'x' * 300]
    found = designs.folders(names)
    assert found == designs.folders(reversed(names))
    assert len({folder.lower() for folder in found.values()}) == len(names)
    assert found['plain'] == 'plain'
    assert max(map(len, found.values())) < 120
    sweep = designs.seeds({'a b': {}, 'a/b': {'optim.lr': 0.2}}, seeds=1)
    places = [pathlib.Path(trial.path).parent.name for trial in trials.expand(base(), sweep, tmp_path)]
    assert places == [found['a b'], found['a/b']]


def test_a_trial_goes_through_json():
    sweep = designs.ladder(RUNGS, seeds=1)
    for trial in trials.check(expand(sweep)):
        assert trials.Trial.from_json(trial.as_json()) == trial


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda: designs.grid({}), 'the grid is empty'),
        (lambda: designs.grid({'optim.lr': ()}), 'the grid is empty: optim.lr has no values'),
        (lambda: designs.grid({'model.norm': 'batch'}), "the grid gives model.norm the value 'batch'"),
        (lambda: designs.grid({'optim.lr': (0.1, 0.1)}), 'duplicate variants: lr=0.1'),
        (lambda: designs.ladder({}), 'the ladder is empty'),
        (lambda: designs.ladder({'a': {'optim.lr': 1.0}, 'b': {'optim.lr': 2.0}}), "'a' and 'b' of the ladder both"),
        (lambda: designs.sample(0, {'optim.lr': designs.Uniform(0, 1)}), 'the sample is empty'),
        (lambda: designs.folds(1, {'a': {}}), 'at least 2 folds'),
        (lambda: designs.folds(3, {'SVC': {}}, references=('SVC',)), 'duplicate variants: SVC'),
        (lambda: designs.seeds({}), 'the sweep is empty'),
        (lambda: designs.seeds({'a': {}}, baseline='b'), "the baseline 'b' is no variant; there are a"),
        (lambda: designs.seeds({'a': 3}), "variant 'a' is 3, but must be a dict"),
        (lambda: designs.seeds({1: {}}), 'variant 1 must have a name that is a string'),
        (lambda: designs.seeds({'a': {3: 0.1}}), "variant 'a' is .* but must override keys that are strings"),
        (lambda: designs.seeds({'a': {}}, seeds=0), 'seeds=0'),
        (lambda: designs.seeds({'a': {}}, seeds=2.5), 'seeds=2.5'),
    ],
)
def test_mistakes_of_a_design(make, words):
    with pytest.raises(UserError, match=words) as told:
        make()
    assert '\n' not in str(told.value)


@pytest.mark.parametrize(
    ('sweep', 'words'),
    [
        (designs.seeds({'a': {'model.dropuot': 0.1}}), "variant 'a': config.model.dropuot is unknown; there are name"),
        (designs.seeds({'a': {'modle.dropout': 0.1}}), "variant 'a': config.modle.dropout is unknown"),
        (designs.seeds({'a': {'model': 'mlp'}}), "variant 'a': config.model is a tree; set one of model.name"),
        (designs.seeds({'a': {'model.dropout': 'much'}}), "variant 'a': config.model.dropout is 'much'.*type float"),
        (designs.seeds({'a': {'model.dropout': 1.5}}), "variant 'a': config.model.dropout is 1.5, but must be"),
        (designs.seeds({'a': {'optim.factor': 0.5}}), "variant 'a': config.optim.factor is set, but nothing reads it"),
        (designs.seeds({'a': {}, 'b': {'optim.lr': 0.1}}), "variants 'a' and 'b' are the same"),
        (designs.seeds({'a': {'seed': 3}}), "variant 'a' sets seed, but a sweep trains seeds"),
        (designs.seeds({'a': {'distill.compare_alone': True}}), 'the student alone is a variant like any other'),
        (designs.seeds({'a': {}, 'b': {'data.split_seed': 1}}), "variant 'b' has other validation or test examples"),
        (
            designs.seeds({'a': {}, 'b': {'task': 'detect', 'data.name': 'generated_objects'}}),
            "variant 'b' is of task detect, others are not",
        ),
        (designs.folds(3, {'a': {'data.fold': 1}}), "variant 'a' sets data.fold, but a cross-validation"),
        (designs.folds(3, {'a': {}}, references=('forest',)), "reference 'forest' is unknown; there are logistic"),
        (designs.folds(60, {'a': {}}), 'data.folds=60 is more than the [0-9]+ examples of the smallest class'),
        (designs.seeds({'a': {'data.batch_size': 99}}), "variant 'a': data.batch_size is 99, but the train split has"),
        (designs.seeds({'a': {'model.filters': (4, 4, 4, 4, 4)}}), "variant 'a': model convnet cannot take images"),
    ],
)
def test_mistakes_are_told_before_any_trial(sweep, words):
    with pytest.raises(UserError, match=words) as told:
        trials.check(expand(sweep))
    assert '\n' not in str(told.value)


@pytest.mark.parametrize(
    ('overridden', 'words'),
    [
        ('seed', 'config.seed is set, but a sweep trains seeds'),
        ('optim.lr', 'config.optim.lr is set, but every variant of the sweep sets it, too'),
        ('distill.temperature', 'config.distill.temperature is set, but nothing reads it in this sweep'),
    ],
)
def test_overrides_that_have_no_effect(overridden, words):
    sweep = designs.grid({'optim.lr': (0.1, 0.2)})
    with pytest.raises(UserError, match=words):
        trials.check_overrides(base(), sweep, [overridden])


def test_overrides_that_some_variant_reads():
    trials.check_overrides(base(), designs.seeds({'a': {}, 'b': {'model.norm': 'batch'}}), ['optim.momentum'])


def test_configs_import_nothing_heavy():
    code = 'import sys, jaxvision.sweeps.designs; print(*sys.modules)'
    loaded = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()
    assert not {'jax', 'numpy', 'scipy', 'flax'} & set(loaded)

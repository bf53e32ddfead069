"""The page of a sweep and the comparison: what they must say, of whole sweeps, of broken ones and of other tasks."""

import base64
import dataclasses
import functools
import json
import pathlib
import re
import subprocess
import sys
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest

from jaxvision.errors import UserError
from jaxvision.sweeps import designs, findings, statistics, table
from jaxvision.sweeps.reports import comparison, page, reading
from jaxvision.sweeps.reports.plots.curves import top
from jaxvision.sweeps.reports.plots.fit import ceiling
from jaxvision.sweeps.reports.plots.forest import Estimate, is_cut, limits
from jaxvision.training.records import Workdir

from ..outline import Outline

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECTIONS = ['Effects', 'Verdicts', 'Over- and underfitting', 'Learning curves', 'Seed by seed', 'The record']
ENVIRONMENT = {
    'versions': {'python': '3.11.7', 'jax': '0.10.2'},
    'devices': ['cpu:0'],
    'git': {'commit': 'abc123', 'dirty': False},
    'code': 'c0de',
    'dataset': {'name': 'animals', 'fingerprint': 'f00d', 'held_out': 'beef', 'shape': [8, 8, 1], 'class_names': ['a']}
    | {'splits': {'train': 100, 'validation': 50, 'test': 50}, 'problems': []},
}
LADDER = {'dropout': {'model.dropout': 0.3}, 'crop': {'augment.crop': 1}, 'mixup & <more>': {'augment.mixup': 1.0}}


def trial(variant: str, seed: int, effect: float, metric: str) -> dict:
    """The numbers of one trial: the better the effect, the less test error; the same each time."""
    noise = np.random.default_rng([zlib.crc32(variant.encode()), seed]).normal(0, 0.004, 3)
    errors = {'train': 0.02, 'validation': 0.12 - effect, 'test': 0.11 - effect}
    row = {}
    for (split, error), shift in zip(errors.items(), noise, strict=True):
        row |= {f'{split}_n': 100 if split == 'train' else 50, f'{split}_{metric}': 1 - error - shift}
        row[f'{split}_error'] = error + shift
    row |= {'gap': row['test_error'] - row['train_error'], 'best_step': 60, 'steps': 100, 'parameters': 1234}
    return row | {'hash': 'abc', 'seconds': 1.5, 'examples_per_second': 900.0}


def store(
    path: pathlib.Path,
    sweep: designs.Sweep,
    effects: dict[str, float] | None = None,
    metric: str = 'accuracy',
    task: str = 'classify',
    undone: dict[tuple[str, int], str] | None = None,
    teachers: dict[str, str] | None = None,
    environment: dict | None = None,
) -> pathlib.Path:
    """A sweep's workdir; `undone` are failed trials by variant and seed, with their error, '' for one not run."""
    rows = []
    folders = designs.folders((*sweep.variants, *sweep.references))
    for name in (*sweep.variants, *sweep.references):
        reference = name in sweep.references
        for fold in range(sweep.folds) if sweep.folds else [None]:
            for seed in range(1 if reference else sweep.seeds):
                row = {'variant': name, 'seed': seed} | ({} if fold is None else {'fold': fold})
                row |= {'status': 'done', **{key: None for key in sweep.keys}}
                if (name, seed) in (undone or {}):
                    failure = (undone or {})[name, seed]
                    rows.append(row | {'status': 'failed' if failure else 'missing', 'failure': failure or None})
                    continue
                row |= trial(name, seed + 100 * (fold or 0), (effects or {}).get(name, 0.0), metric)
                rows.append(row)
                if not reference:
                    folder = path / 'trials' / folders[name] / designs.place(seed, fold)
                    folder.mkdir(parents=True)
                    # Seeds may have been measured at different steps.
                    steps = range(20, 101, 20) if seed != 1 else range(40, 101, 20)
                    lines = [
                        {'step': step, f'train_{metric}': 0.98 - 1 / step, f'validation_{metric}': 0.9 - 2 / step}
                        for step in steps
                    ]
                    (folder / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    columns = dict.fromkeys(column for row in rows for column in row)
    rows = [{column: row.get(column) for column in columns} for row in rows]
    path.mkdir(exist_ok=True)
    table.write(path / 'results.csv', rows)
    workdir = Workdir(path)
    plan = dataclasses.asdict(sweep)
    plan.pop('seeds')
    settings = {'seed': 0, 'task': task, 'data': {'name': 'animals'}, 'model': {'name': 'mlp', 'dropout': 0.0}}
    workdir.write('config.json', {'settings': settings, 'sweep': json.loads(json.dumps(plan))})
    there = (environment or ENVIRONMENT) | {'teachers': teachers or {}, 'seeds': sweep.seeds}
    workdir.write('environment.json', there)
    summary = findings.conclude(rows, sweep, metric)
    workdir.write('summary.json', summary | {key: there[key] for key in ('teachers', 'versions', 'git')})
    return path


def store_run(
    path: pathlib.Path, accuracy: float = 0.9, task: str = 'classify', metric: str = 'accuracy', **environment
):
    """The workdir of a finished run."""
    path.mkdir()
    workdir = Workdir(path)

    def measured(value: float) -> dict:
        return {'value': value, 'ci95': [value - 0.02, value + 0.02]}

    splits = {
        split: {'n': 50, metric: measured(value), 'error': measured(1 - value)}
        for split, value in {'train': 0.97, 'validation': accuracy, 'test': accuracy}.items()
    }
    result = {'task': task, 'steps': 100, 'seconds': 2.0, 'parameters': 99, 'splits': splits, 'gap': measured(0.07)}
    workdir.write('result.json', result | {'best': {'step': 100, 'splits': splits}, 'verdict': 'Fine.'})
    config = {'seed': 3, 'task': task, 'data': {'name': 'animals'}, 'model': {'name': 'mlp', 'dropout': 0.5}}
    workdir.write('config.json', config)
    workdir.write('environment.json', ENVIRONMENT | environment)
    workdir.append({'step': 100, f'train_{metric}': 0.97, f'validation_{metric}': accuracy})
    return path


def drawn(path: pathlib.Path) -> Outline:
    written = page.write(path)
    assert written == path / 'report.html'
    return Outline(written.read_text(encoding='utf-8'))


def test_ladder_says_what_helps_and_what_harms(tmp_path):
    sweep = designs.ladder(LADDER, seeds=12)
    effects = {'+ dropout': 0.04, '+ crop': -0.05, 'all': 0.02, 'all but dropout': -0.02}
    path = store(tmp_path / 'ladder', sweep, effects, teachers={'/cache/teachers/1': '27b0370141c71ea4'})
    summary = json.loads((path / 'summary.json').read_text())
    found = drawn(path)
    assert found.headings == SECTIONS
    assert 'Left out' not in found.text
    # Effects, alone and in company, train against test twice, curves, seeds.
    assert len(found.images) == 7
    outcomes = [reading.outcome(one['difference']) for one in summary['variants'].values() if one['difference']]
    helped, harmed = outcomes.count(reading.HELPS), outcomes.count(reading.HARMS)
    assert helped >= 2 and harmed >= 2
    assert f'Of {len(outcomes)} variants beside the baseline {helped} help, {harmed} harm and' in found.text
    assert 'Best on validation is “+ dropout”: test accuracy' in found.text
    for name, verb in (('+ dropout', 'helps:'), ('+ crop', 'harms:')):
        difference = summary['variants'][name]['difference']
        low, high = (f'{100 * end:+.2f}'.replace('-', '−') for end in difference['ci95'])
        value = f'{100 * difference["mean"]:+.2f}'.replace('-', '−')
        assert f'Alone, it {verb} {value} points (95% interval {low} to {high})' in found.text
    assert found.text.count('In company, it') == 3
    assert 'mixup & <more>' in found.text
    assert 'One teacher serves every distilled trial: the intervals exclude the teacher’s own variance' in found.text
    assert '27b0370141c71ea4' in found.text
    assert 'The split is one and the same for all seeds' in found.text
    assert 'cannot tell: with' not in found.text


@pytest.mark.parametrize('seeds', [1, 2])
def test_too_few_seeds_are_told_and_how_many_would_do(tmp_path, seeds):
    found = drawn(store(tmp_path / 'few', designs.ladder(LADDER, seeds=seeds), {'+ dropout': 0.04}))
    least = statistics.fewest_seeds(7)
    assert least == 9  # 2 / 2**8 is above 0.05 / 7.
    assert f'cannot tell: with 7 comparisons no p-value can pass below {least} seeds' in found.text
    told = {1: 'one seed', 2: '2 seeds'}[seeds]
    assert f'makes no difference that {told} can tell' in found.text
    assert ('seeds would tell' in found.text) == (seeds > 1)


def test_grid_has_a_heat_map(tmp_path):
    sweep = designs.grid({'model.dropout': [0.0, 0.5], 'augment.crop': [0, 1, 2]}, seeds=9)
    effects = {'dropout=0.5, crop=2': 0.05, 'dropout=0, crop=2': -0.05}
    found = drawn(store(tmp_path / 'grid', sweep, effects))
    assert found.headings[:3] == ['Heat maps', 'Effects', 'Verdicts']
    image, gap = (image for image in found.images if 'each pair of model.dropout and augment.crop' in image['alt'])
    assert 'clean train error' in gap['alt']
    svg = base64.b64decode(image['src'].partition('base64,')[2]).decode()
    assert svg.count('▲') == 1 and svg.count('▼') == 1
    assert 'The baseline is framed' in found.text


def test_grid_with_a_baseline_beside_it_and_one_axis(tmp_path):
    axes = {'model.dropout': [0.1, 0.5], 'augment.crop': [0, 1]}
    beside = designs.grid(axes, baseline={'distill.weight': 0.0}, seeds=2)
    assert 'The baseline is beside the grid, at' in drawn(store(tmp_path / 'beside', beside)).text
    one = designs.grid({'model.dropout': [0.1, 0.5]}, seeds=2)
    assert 'Heat maps' not in drawn(store(tmp_path / 'one', one)).headings


def test_sample(tmp_path):
    sweep = designs.sample(4, {'model.dropout': designs.Uniform(0, 1)}, seeds=2)
    found = drawn(store(tmp_path / 'sample', sweep))
    assert found.headings == SECTIONS
    assert len(re.findall(r'would tell\. model\.dropout = 0\.\d+', found.text)) == 4
    assert 'random search · animals · mlp · 5 variants · 2 seeds · 10 trials' in found.text


def test_folds_with_references(tmp_path):
    variants = {'mlp': {}, 'dropout': {'model.dropout': 0.5}}
    sweep = designs.folds(4, variants, references=('k-NN', 'SVC'))
    found = drawn(store(tmp_path / 'folds', sweep, {'dropout': 0.05, 'k-NN': -0.2}))
    assert 'Fold by fold' in found.headings
    assert 'scikit-learn, for reference' in found.text
    assert 'Nadeau and Bengio' in found.text
    assert 'cannot tell: with' not in found.text
    assert 'Best on validation is “dropout”' in found.text  # And no reference, however good.
    (strip,) = [image for image in found.images if 'of every fold' in image['alt']]
    assert 'SVC (scikit-learn) from' in strip['alt']


def test_partial_sweep_says_what_failed_and_what_is_missing(tmp_path):
    sweep = designs.seeds({'plain': {}, 'wild': {'optim.lr': 1e9}, 'late': {'optim.lr': 0.1}}, seeds=3)
    undone = {('wild', seed): 'FloatingPointError: loss is <not> finite & so on' for seed in range(3)}
    undone |= {('late', 0): '', ('late', 2): ''}
    path = store(tmp_path / 'partial', sweep, undone=undone)
    found = drawn(path)
    assert 'Failed or missing trials' in found.headings
    assert 'Not complete: of 9 trials 3 failed and 2 are not run yet' in found.text
    assert found.text.count('FloatingPointError: loss is <not> finite & so on') == 3
    assert '<not>' not in (path / 'report.html').read_text()
    assert 'late : 2 trials' in found.text.replace('late:', 'late :')
    assert 'No trial is done.' in found.text


@pytest.mark.parametrize('of', ['baseline', 'everything', 'others'])
def test_little_done_still_has_a_page(tmp_path, of):
    sweep = designs.ladder(LADDER, seeds=2)
    names = {'baseline': ['baseline'], 'everything': list(sweep.variants), 'others': list(sweep.variants)[1:]}[of]
    found = drawn(store(tmp_path / 'little', sweep, undone={(name, seed): '' for name in names for seed in (0, 1)}))
    assert found.headings[-2:] == ['Failed or missing trials', 'The record']
    if of != 'others':
        assert 'No trial of the baseline, baseline, is done' in found.text


def test_single_variant(tmp_path):
    found = drawn(store(tmp_path / 'one', designs.seeds({'plain': {}}, seeds=3)))
    assert 'Verdicts' not in found.headings
    assert 'plain: test accuracy' in found.text


def test_detection(tmp_path):
    sweep = designs.seeds({'plain': {}, 'mosaic': {'augment.mosaic': 0.5}}, seeds=8)
    found = drawn(store(tmp_path / 'boxes', sweep, {'mosaic': 0.05}, 'mAP', 'detect'))
    assert 'Best on validation is “mosaic”: test mAP' in found.text
    assert 'error (1 − mAP) against step' in found.text
    assert '1 helps' not in found.text  # One other variant is not counted.


def test_without_curves_and_environment_only_their_parts_are_left_out(tmp_path):
    path = store(tmp_path / 'bare', designs.ladder(LADDER, seeds=2))
    for file in [path / 'environment.json', *path.glob('trials/*/*/metrics.jsonl')]:
        file.unlink()
    found = drawn(path)
    assert found.headings == SECTIONS
    assert 'Left out: there are no trials/*/metrics.jsonl with curves.' in found.text
    assert 'there is no readable environment.json' in found.text


@pytest.mark.parametrize('file', ['summary.json', 'results.csv', 'config.json'])
@pytest.mark.parametrize('text', [None, '{"cut o'])
def test_without_its_records_it_is_one_line(tmp_path, file, text):
    path = store(tmp_path / 'broken', designs.ladder(LADDER, seeds=1))
    (path / file).unlink()
    if text and file != 'results.csv':
        (path / file).write_text(text)
    with pytest.raises(UserError, match=rf'^.*{file}.*$'):
        page.write(path)
    assert not (path / 'report.html').exists()


@pytest.mark.parametrize('make', [designs.ladder, designs.seeds])
def test_names_may_be_long_and_odd(make, tmp_path):
    """Of long ones the axes had no room left, or less than none: the sweep died at its end; an escape was no XML."""
    names = ('heavy augmentation (crop and rotation together)', 'x' * 400, 'escape \x1b[31m')
    keys = ('augment.crop', 'model.dropout', 'optim.ema')
    sweep = make({name: {key: 0.1} for name, key in zip(names, keys, strict=True)}, seeds=3)
    found = drawn(store(tmp_path / 'odd', sweep))
    assert 'Left out' not in found.text
    pictures = [one['src'] for one in found.images if one['src'].startswith('data:image/svg')]
    assert len(pictures) >= 4
    for picture in pictures:
        ElementTree.fromstring(base64.b64decode(picture.partition('base64,')[2]))


def test_same_records_same_bytes(tmp_path):
    path = store(tmp_path / 'twice', designs.seeds({'plain': {}, 'other': {'optim.lr': 0.1}}, seeds=2))
    assert page.write(path).read_bytes() == page.write(path).read_bytes()


def test_one_wide_interval_does_not_squeeze_the_others():
    def row(value, half):
        return Estimate('', value, value - half, value + half, 'black', False, '')

    rows = [row(1.0, 0.5), row(2.0, 0.5), row(1.5, 500.0)]
    low, high = limits(rows, 0.0)
    assert -2 < low < 0 < 2 < high < 4
    assert is_cut(rows) and not is_cut(rows[:2])
    assert ceiling(np.array([0.05] * 9 + [0.9])) < 0.1
    assert ceiling(np.array([0.05, 0.9])) > 0.9


def test_bands_take_steps_that_all_have():
    band = reading.band([{10: 0.5, 20: 0.2}, {20: 0.4, 30: 0.1}])
    assert band is not None
    np.testing.assert_allclose([band.steps[0], band.mean[0], band.low[0], band.high[0]], [20, 0.3, 0.2, 0.4])
    assert reading.band([{10: 0.5}, {20: 0.5}]) is None and reading.band([]) is None
    assert top([reading.Band(np.arange(4), np.zeros(4), np.zeros(4), np.zeros(4))]) > 0


def compared(tmp_path, *paths) -> Outline:
    out = tmp_path / 'pages' / 'c.html'
    assert comparison.report([str(path) for path in paths], str(out)) == out
    return Outline(out.read_text(encoding='utf-8'))


def test_comparison_of_runs_and_a_sweep(tmp_path):
    runs = [store_run(tmp_path / name, accuracy) for name, accuracy in (('first', 0.9), ('second', 0.95))]
    sweep = store(tmp_path / 'ladder', designs.ladder(LADDER, seeds=8))
    found = compared(tmp_path, *runs, sweep)
    assert found.headings == [
        'Results',
        'Over- and underfitting',
        'Learning curves',
        'What differs in the settings',
        'Where they ran',
    ]
    assert '3 workdirs with 10 results side by side. Best on validation is “second”, with test accuracy 95.00 %' in (
        found.text
    )
    assert 'do not compare' not in found.text
    assert 'second 1 run 95.00 [93.00, 97.00]' in found.text
    assert '8 seeds' in found.text
    assert 'model.dropout 0.5 0.5 varies' in found.text
    assert 'seed 3 3 0 to 7' in found.text
    assert 'the 8 with the best validation' in found.text


def test_curves_of_more_workdirs_than_colours_are_the_best(tmp_path):
    """Found by a review: the first eight were drawn, and said to be one of each workdir."""
    paths = [store_run(tmp_path / f'run{place}', 0.9 + 0.005 * place) for place in range(10)]
    found = compared(tmp_path, *paths)
    assert 'Of 10 results, the 8 with the best validation.' in found.text
    key = found.text[: found.text.index('Of 10 results')].rpartition('Learning curves')[2]
    assert all((f'run{place}' in key) == (place > 1) for place in range(10))


def test_comparison_names_first_what_forbids_it(tmp_path):
    other = {'dataset': ENVIRONMENT['dataset'] | {'held_out': 'b0b'}, 'versions': {'python': '3.12.1', 'jax': '0.10.2'}}
    a, b = store_run(tmp_path / 'a'), store_run(tmp_path / 'b', **other)
    found = compared(tmp_path, a, b)
    assert 'Not the same test examples: do not compare (the splits differ): a | b.' in found.text
    assert 'Not the same python: 3.11.7 in a; 3.12.1 in b.' in found.text
    assert found.text.index('Not the same test examples') < found.text.index('Results')
    assert 'Best on validation' not in found.text
    assert 'All settings are the same.' in found.text
    folds = store(tmp_path / 'folds', designs.folds(3, {'mlp': {}}))
    assert 'the splits differ' in compared(tmp_path, a, folds).text


def test_comparison_knows_a_fold_from_all_of_them(tmp_path):
    """A run of one was taken for the whole cross-validation, and a sweep on that fold for other data than the run."""
    one = store_run(tmp_path / 'one')
    seeds = store(tmp_path / 'seeds', designs.seeds({'mlp': {}}, seeds=2))
    for path, place in ((one, ()), (seeds, ('settings',))):
        config = json.loads((path / 'config.json').read_text())
        functools.reduce(dict.__getitem__, place, config)['data']['folds'] = 3
        (path / 'config.json').write_text(json.dumps(config))
    folds = store(tmp_path / 'folds', designs.folds(3, {'mlp': {}}))
    assert 'the splits differ' in compared(tmp_path, one, folds).text
    assert 'do not compare' not in compared(tmp_path, one, seeds).text


def test_comparison_groups_by_task(tmp_path):
    boxes = store_run(tmp_path / 'boxes', task='detect', metric='mAP')
    found = compared(tmp_path, store_run(tmp_path / 'classes'), boxes)
    assert {'Results · classify', 'Results · detect'} <= set(found.headings)
    assert 'Different tasks, each by itself below: classify and detect.' in found.text


def test_folders_of_the_same_name_are_told_apart(tmp_path):
    for place in ('x', 'y'):
        (tmp_path / place).mkdir()
    found = compared(tmp_path, store_run(tmp_path / 'x' / 'run'), store_run(tmp_path / 'y' / 'run'))
    assert 'x/run' in found.text and 'y/run' in found.text


def launch(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, str(ROOT / 'launch' / 'report.py'), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_one_workdir_alone_has_its_own_page_drawn_again(tmp_path):
    run, sweep = store_run(tmp_path / 'run'), store(tmp_path / 'sweep', designs.seeds({'plain': {}}, seeds=2))
    for path in (run, sweep):
        assert comparison.report([str(path)]) == path / 'report.html'
        assert (path / 'report.html').exists()


def test_command(tmp_path):
    sweep, run = store(tmp_path / 'sweep', designs.seeds({'plain': {}}, seeds=2)), store_run(tmp_path / 'run')
    out = tmp_path / 'both.html'
    assert launch(str(sweep), str(run), f'--out={out}') == (0, f'open {out}\n', '')
    assert out.exists()
    assert launch() == (2, '', 'error: no workdirs; name finished runs or sweeps\n')


def test_mistakes_are_one_line(tmp_path):
    run = store_run(tmp_path / 'run')
    empty = tmp_path / 'empty'
    empty.mkdir()
    unfinished = store_run(tmp_path / 'unfinished')
    (unfinished / 'result.json').unlink()
    for arguments, expected in (
        ([], 'no workdirs'),
        ([tmp_path / 'nowhere'], 'is not a workdir: there is no such folder'),
        ([run, empty], 'is not a workdir: it has no config.json'),
        ([run, unfinished], 'is not a finished run: it has no result.json'),
        ([run, run], 'is given twice'),
    ):
        with pytest.raises(UserError, match=expected) as caught:
            comparison.report([str(argument) for argument in arguments])
        assert '\n' not in str(caught.value)
    with pytest.raises(UserError, match='--out is for a comparison'):
        comparison.report([str(run)], 'x.html')

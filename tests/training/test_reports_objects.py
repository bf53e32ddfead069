"""The pages of localisation and detection: every section from full records, a line where one cannot be, the numbers."""

import html
import json
import re
from typing import Any

import numpy as np
import pytest

from jaxvision import metrics
from jaxvision.errors import UserError
from jaxvision.training.records import Workdir
from jaxvision.training.reports import detection, localization, page, plots, reading

NAMES = ('cat', 'dog', 'cow & <calf>')
HEADINGS = {
    'localize': (
        *('Results', 'Learning curves', 'What goes wrong', 'Whether and where', 'Class by class'),
        *('What the network saw', 'Test images', 'Worst mistakes', 'The record'),
    ),
    'detect': (
        *('Results', 'Learning curves', 'Class by class', 'What goes wrong', 'What the network saw'),
        *('Test images', 'The record'),
    ),
}
HEADLINE = {'localize': 'detection_accuracy', 'detect': 'mAP'}
SHARES = {
    'localize': ('detection_accuracy', 'class_accuracy', 'objectness_accuracy', 'empty_accuracy', 'mean_iou'),
    'detect': (*metrics.COCO_FIGURES, 'voc_AP50', 'voc_AP50_11_point'),
}


def measured(value: float) -> dict:
    return {'value': value, 'ci95': [value - 0.01, value + 0.01]}


def trained(task: str, value: float) -> dict:
    def split(value: float) -> dict:
        figures = {name: measured(value - 0.01 * index) for index, name in enumerate(SHARES[task])}
        if task == 'detect':
            figures['mAP_large'] = {'value': -1.0}
            figures['per_class'] = {
                name: {'AP': 0.123, 'AP50': -1.0, 'voc_AP50': 0.456, 'voc_AP50_11_point': 0.07} for name in NAMES
            }
            figures['errors'] = {'correct': 1}
        return {'n': 40, 'loss': 0.3, 'error': measured(1 - value), **figures}

    splits = {'train': split(0.95), 'validation': split(value), 'test': split(value)}
    return {'task': task, 'steps': 1200, 'seconds': 61.5, 'examples_per_second': 900.0, 'parameters': 12345} | {
        'splits': splits,
        'best': {'step': 800, 'splits': splits | {'test': split(0.444)}},
        'gap': measured(0.2),
        'verdict': 'Overfitting <a little> & no more.',
    }


def scenes(count: int, side: int = 32) -> dict[str, np.ndarray]:
    """Bright rectangles on dark noise, 0 to 2 an image, wider than high images letterboxed every other time."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 60, (count, side, side, 3), dtype=np.uint8)
    boxes, classes = np.zeros((count, 3, 4), np.float32), np.zeros((count, 3), np.int32)
    valid = np.arange(3) < (np.arange(count) % 3)[:, None]
    for image, slot in zip(*np.nonzero(valid), strict=True):
        top, left = draw.uniform(0.1, 0.3), 0.05 + 0.45 * slot
        boxes[image, slot] = (top, left, top + draw.uniform(0.3, 0.6), left + draw.uniform(0.2, 0.4))
        classes[image, slot] = draw.integers(0, 3)
        corners = np.rint(boxes[image, slot] * side).astype(int)
        images[image, corners[0] : corners[2], corners[1] : corners[3], classes[image, slot]] = 220
    return {'images': images, 'boxes': boxes, 'classes': classes, 'valid': valid}


def kept(scene) -> dict[str, np.ndarray]:
    rows = np.array([*range(20), *range(25, 35)])
    return {'test_shown': rows, 'test_images': scene['images'][rows]}


def localized(count: int = 40) -> dict[str, np.ndarray]:
    """Arrays of the test split with every kind of mistake."""
    scene, draw = scenes(count), np.random.default_rng(1)
    present, labels, truth = scene['valid'][:, 0], scene['classes'][:, 0], scene['boxes'][:, 0]
    boxes = truth + draw.normal(0, 0.03, truth.shape)
    boxes[1:20:6] += 0.3
    objectness = np.where(present, 0.9, 0.1)
    objectness[::7] = 1 - objectness[::7]
    logits = 4 * np.eye(3)[labels] + draw.normal(0, 1.5, (count, 3))
    arrays = {'class_logits': logits, 'boxes': boxes, 'objectness': objectness, 'loss': np.ones(count)}
    arrays |= {'labels': labels, 'true_boxes': truth, 'present': present, 'ids': np.arange(count)}
    return {f'test_{name}': value for name, value in arrays.items()} | kept(scene)


def detected(count: int = 40) -> dict[str, np.ndarray]:
    scene, draw = scenes(count), np.random.default_rng(1)
    truth = scene['boxes'] * scene['valid'][..., None]
    boxes = np.concatenate([truth, truth], axis=1) + draw.normal(0, 0.04, (count, 6, 4))
    classes = np.concatenate([scene['classes']] * 2, axis=1)
    classes[::5] = (classes[::5] + 1) % 3
    scores = np.sort(draw.uniform(0.01, 1, (count, 6)))[:, ::-1]
    valid = np.concatenate([scene['valid'], draw.random((count, 3)) < 0.4], axis=1)
    sizes = np.where(np.arange(count)[:, None] % 2, (32, 32), (300, 400))
    said = {'boxes': np.clip(boxes, 0, 1), 'scores': scores, 'classes': classes, 'valid': valid}
    true = {'true_boxes': truth, 'true_classes': scene['classes'], 'true_valid': scene['valid']}
    true |= {
        'true_ignored': np.zeros_like(scene['valid']),
        'true_sizes': sizes,
        'true_areas': np.zeros(scene['valid'].shape),
        'ids': np.arange(count),
    }
    return {f'test_{name}': value for name, value in (said | true).items()} | kept(scene)


def records(task: str, distilled: bool = False) -> dict[str, Any]:
    """The files of a workdir: name -> JSON value, lines or arrays."""
    scene = scenes(16)
    samples = {'originals': scene['images'], 'seen': scene['images'][:, ::-1], 'density': np.ones(())}
    samples |= {name: scene[name] for name in ('boxes', 'classes', 'valid')}
    samples |= {'ignored': scene['valid'] & (np.arange(3) == 1), 'weights': np.full((16, 3), 0.7)}
    watched = SHARES[task] if task == 'localize' else ('mAP', 'mAP50')
    lines = [
        {'step': step, 'loss': 3.0, 'learning_rate': 1e-3, 'class_loss': 1.0, 'box_loss': 1.0, 'objectness_loss': 1.0}
        | {f'{split}_{name}': 0.9 - 1 / step for name in watched for split in ('train', 'validation')}
        for step in range(100, 1201, 100)
    ]
    result = trained(task, 0.777)
    if distilled:
        result |= {'teacher': trained(task, 0.888) | {'members': 3, 'workdir': '/t'}, 'alone': trained(task, 0.666)}
    dataset = {'name': 'animals', 'fingerprint': 'f00d', 'shape': [32, 32, 3], 'held_out': 'beef'}
    dataset |= {'splits': {'train': 90}, 'class_names': list(NAMES)}
    dataset['problems'] = [['box inverted', f'{index}.xml', '<bad>'] for index in range(25)]
    return {
        'config.json': {'seed': 7, 'data': {'name': 'animals'}, 'model': {'name': 'convnet'}},
        'environment.json': {'versions': {'jax': '0.10.2'}, 'git': {'commit': 'abc123'}, 'dataset': dataset},
        'metrics.jsonl': lines,
        'result.json': result,
        'predictions.npz': localized() if task == 'localize' else detected(),
        'samples.npz': samples,
    }


def store(folder, files: dict) -> None:
    folder.mkdir(exist_ok=True)
    for name, value in files.items():
        if name.endswith('.npz'):
            np.savez(folder / name, **value)
        elif name.endswith('.jsonl'):
            (folder / name).write_text(''.join(json.dumps(line) + '\n' for line in value))
        else:
            (folder / name).write_text(json.dumps(value))


def drawn(folder) -> tuple[str, list[str]]:
    """The page's text in one line, and its headings."""
    source = page.write(folder).read_text(encoding='utf-8')
    source = re.sub(r'<style>.*?</style>', '', source, flags=re.DOTALL)
    headings = [html.unescape(title) for title in re.findall('<h2>(.*?)</h2>', source)]
    return ' '.join(html.unescape(re.sub('<[^>]*>', ' ', source)).split()), headings


def read(folder, files: dict) -> reading.Records:
    store(folder, files)
    return reading.read(Workdir(folder))


@pytest.mark.parametrize('task', HEADINGS)
@pytest.mark.parametrize('distilled', [False, True])
def test_page_holds_every_section(tmp_path, task, distilled):
    store(tmp_path / 'run', records(task, distilled))
    text, headings = drawn(tmp_path / 'run')
    assert headings == list(HEADINGS[task])
    assert 'eft out' not in text
    assert ('Teacher and student' in text) == distilled
    if distilled:
        for value in ('88.8', '66.6', '77.7'):
            assert f'{value} [' in text
    assert (tmp_path / 'run' / 'report.html').stat().st_size < 3_000_000


@pytest.mark.parametrize('task', HEADINGS)
def test_numbers_and_problems_are_there(tmp_path, task):
    store(tmp_path / 'run', records(task))
    text, _ = drawn(tmp_path / 'run')
    name = HEADLINE[task].replace('_', ' ')
    for expected in (
        'Overfitting <a little> & no more.',
        f'Test {name} 77.7 % [76.7, 78.7]',
        f'Test {name}, best on validation 44.4 %',
        '+20.0 points [+19.0, +21.0]',
        'The annotations had 25 problems. box inverted: 25.',
        '19.xml box inverted: <bad>',
    ):
        assert expected in text
    assert '20.xml' not in text  # Only the first 20 are named.


def test_what_no_object_counts_for_is_a_dash(tmp_path):
    store(tmp_path / 'run', records('detect'))
    text, _ = drawn(tmp_path / 'run')
    assert 'large objects, above 96 × 96 pixels – – – –' in text
    assert '-1' not in text and '−100' not in text
    objects = int((detected()['test_true_valid'] & (detected()['test_true_classes'] == 1)).sum())
    assert f'dog {objects} 12.3 – 45.6 7.0' in text


def test_of_many_classes_the_extremes_are_named(tmp_path):
    files = records('detect')
    names = [f'kind {index}' for index in range(25)]
    files['environment.json']['dataset']['class_names'] = names
    per_class = {name: {'AP': 0.5, 'AP50': index / 100} for index, name in enumerate(names)}
    per_class['kind 3'] = {'AP': -1.0, 'AP50': -1.0}
    files['result.json']['splits']['test']['per_class'] = per_class
    store(tmp_path / 'run', files)
    text, _ = drawn(tmp_path / 'run')
    assert 'Hardest, by AP50 kind 0: 0% kind 1: 1% kind 2: 2% kind 4: 4%' in text
    assert 'Easiest kind 24: 24% kind 23: 23%' in text
    assert 'All 25 classes' in text


def test_kinds_of_a_localiser_follow_its_metrics(tmp_path):
    """Written out image by image, with an IoU of its own."""
    arrays = localized()
    judged = localization.judge(read(tmp_path / 'run', records('localize')))
    expected = []
    for row in range(40):
        box, truth = arrays['test_boxes'][row], arrays['test_true_boxes'][row]
        height = max(0.0, min(box[2], truth[2]) - max(box[0], truth[0]))
        width = max(0.0, min(box[3], truth[3]) - max(box[1], truth[1]))
        areas = [max(0, b[2] - b[0]) * max(0, b[3] - b[1]) for b in (box, truth)]
        said = arrays['test_objectness'][row] >= 0.5
        if not arrays['test_present'][row]:
            expected.append('invented' if said else 'rightly empty')
        elif not said:
            expected.append('missed')
        elif arrays['test_class_logits'][row].argmax() != arrays['test_labels'][row]:
            expected.append('wrong class')
        else:
            expected.append('correct' if height * width / (sum(areas) - height * width) >= 0.5 else 'poor box')
    assert judged.kinds.tolist() == expected
    assert set(expected) == set(localization.KINDS)  # The example has them all.


def test_the_worst_mistakes_come_first(tmp_path):
    files = records('localize')
    arrays = files['predictions.npz']
    arrays['test_boxes'] = arrays['test_true_boxes']
    arrays['test_objectness'][0] = 0.999  # Image 0 is empty.
    store(tmp_path / 'run', files)
    text, _ = drawn(tmp_path / 'run')
    after = text.rpartition('Worst mistakes')[2]
    assert re.findall('(invented|missed|wrong class|poor box): ', after)[0] == 'invented'
    assert '(>0.99)' in after.partition('missed:')[0]


def test_no_mistakes(tmp_path):
    files = records('localize')
    arrays = files['predictions.npz']
    arrays |= {'test_boxes': arrays['test_true_boxes'], 'test_class_logits': np.eye(3)[arrays['test_labels']]}
    arrays['test_objectness'] = arrays['test_present'].astype(float)
    store(tmp_path / 'run', files)
    assert 'No image of the test split was judged wrongly.' in drawn(tmp_path / 'run')[0]


@pytest.mark.parametrize('task', HEADINGS)
@pytest.mark.parametrize('file', ['predictions.npz', 'samples.npz', 'environment.json'])
def test_a_missing_file_costs_its_sections_only(tmp_path, monkeypatch, task, file):
    monkeypatch.setattr(plots, 'svg', lambda figure: '<svg/>')
    store(tmp_path / 'run', records(task))
    (tmp_path / 'run' / file).unlink()
    text, headings = drawn(tmp_path / 'run')
    assert headings == list(HEADINGS[task])
    lost = {'predictions.npz': {'localize': 5, 'detect': 3}[task]}.get(file, 1)
    assert len(re.findall('[Ll]eft out: ', text)) == lost


@pytest.mark.parametrize('task', HEADINGS)
@pytest.mark.parametrize('file', ['result.json', 'predictions.npz', 'samples.npz'])
def test_every_key_may_be_missing(tmp_path, monkeypatch, task, file):
    monkeypatch.setattr(plots, 'svg', lambda figure: '<svg/>')
    monkeypatch.setattr(page.TASKS[task].pieces, 'boxed', lambda *_, **__: '<img>')
    full = records(task)
    for key in full[file]:
        if key == 'task':
            continue  # What has none is a classifier's.
        partial = {name: value for name, value in full[file].items() if name != key}
        store(tmp_path / 'run', full | {file: partial})
        assert drawn(tmp_path / 'run')[1] == list(HEADINGS[task]), key


def test_a_task_without_a_page_is_one_line(tmp_path):
    store(tmp_path / 'run', records('detect') | {'result.json': {'task': 'segment'}})
    with pytest.raises(UserError, match=r"^result\.json of run has task 'segment'; .* classify, localize, detect$"):
        page.write(tmp_path / 'run')


@pytest.mark.parametrize('task', HEADINGS)
def test_nothing_in_any_image(tmp_path, task):
    files = records(task)
    arrays = files['predictions.npz']
    for name in ('test_valid', 'test_true_valid', 'test_present'):
        if name in arrays:
            arrays[name] = np.zeros_like(arrays[name])
    files['samples.npz']['valid'] = np.zeros_like(files['samples.npz']['valid'])
    store(tmp_path / 'run', files)
    text, headings = drawn(tmp_path / 'run')
    assert headings == list(HEADINGS[task])
    assert 'rightly empty' in text


@pytest.mark.parametrize(('size', 'shape'), [((300, 400), (24, 32)), ((400, 100), (32, 8)), ((7, 7), (32, 32))])
def test_grey_around_an_image_is_cut_away(size, shape):
    canvas = np.full((32, 32, 3), 114, np.uint8)
    top, left = (32 - shape[0]) // 2, (32 - shape[1]) // 2
    canvas[top : top + shape[0], left : left + shape[1]] = 7
    cut = detection.own_pixels(canvas, np.array(size))
    assert cut.shape == (*shape, 3) and (cut == 7).all()


def test_curves_pass_through_recall_and_precision():
    hits = np.array([[True, False, True, True]])
    found = metrics.Matches(np.array([0.9, 0.8, 0.6, 0.2]), np.arange(4), hits, ~hits & False, np.array([2, 3]))
    figure: Any = plots.precision_recall([found], ['cat'], score=0.5)
    curve, dot = figure.axes[0].lines
    np.testing.assert_allclose(curve.get_xdata(), [0, 1 / 5, 2 / 5, 3 / 5])
    np.testing.assert_allclose(curve.get_ydata(), [1, 1, 2 / 3, 3 / 4])
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (2 / 5, 2 / 3)  # Three detections score 0.5 or more.


@pytest.mark.parametrize(('classes', 'panels'), [(1, 1), (7, 7), (21, 1)])
def test_many_classes_share_a_panel(classes, panels):
    none = np.zeros(0)
    empty = metrics.Matches(none, none, np.zeros((1, 0), bool), np.zeros((1, 0), bool), np.zeros(3, int))
    figure = plots.precision_recall([empty] * classes, [str(index) for index in range(classes)])
    assert len(figure.axes) == panels
    assert plots.svg(figure)


def test_histograms_count_everything():
    ious = np.array([0.0, 0.2, 0.5, 0.77, 1.0])
    axes: Any = plots.overlaps(ious).axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == 5
    good = [bar.get_height() for bar in axes.patches if bar.get_x() > 0.5]
    assert sum(good) == 3
    present = np.array([True, True, False, True, False])
    axes = plots.objectness(ious, present).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert (sum(h for h in heights if h > 0), sum(h for h in heights if h < 0)) == (3, -2)


def test_error_counts_are_told_with_their_shares():
    counts = {'correct': 30, 'missed': 10, 'poor box': 0}
    texts = re.findall(r'<text[^>]*>([^<]*)</text>', plots.svg(plots.error_counts(counts, 'Kinds')))
    assert {'30 (75.0%)', '10 (25.0%)', '0 (0.0%)', 'missed'} <= set(texts)


def test_errors_by_score_keep_their_numbers():
    scores = np.array([0.2, 0.5, 0.8])
    axes: Any = plots.errors_by_score(scores, {'correct': np.array([9, 6, 2]), 'missed': np.array([0, 3, 7])}).axes[0]
    shown = {line.get_label(): list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 3}
    assert shown == {'correct': [9, 6, 2], 'missed': [0, 3, 7]}

"""The report: every section from a full record, a line in place of each that has none, figures with the numbers."""

import base64
import html
import io
import json
import re
import subprocess
import sys
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import colors
from PIL import Image

from jaxvision import metrics
from jaxvision.errors import UserError
from jaxvision.training.reports import document, page, pieces, plots
from jaxvision.training.reports.classes import most_confused
from jaxvision.training.reports.seen import soft_label

from ..outline import Outline

NAMES = ('cat', 'dog', 'cow & <calf>')
SECTIONS = (
    'Results',
    'Learning curves',
    'Class by class',
    'Calibration',
    'Softmax and temperature',
    'What the network saw',
    'Most confident mistakes',
    'Teacher and student, example by example',
    'The record',
)


def measured(value: float) -> dict:
    return {'value': value, 'ci95': [value - 0.01, value + 0.01]}


def split(n: int, accuracy: float) -> dict:
    shares = {'accuracy': measured(accuracy), 'error': measured(1 - accuracy), 'top5_accuracy': measured(1.0)}
    return {'n': n, 'loss': 0.3, **shares, 'nll': measured(0.321), 'ece': measured(0.045)}


def trained(accuracy: float) -> dict:
    splits = {'train': split(90, 0.99), 'validation': split(30, accuracy), 'test': split(60, accuracy)}
    return {'task': 'classify', 'steps': 1200, 'seconds': 61.5, 'examples_per_second': 9000.0, 'parameters': 12345} | {
        'splits': splits,
        'best': {'step': 800, 'splits': splits | {'test': split(60, 0.875)}},
        'gap': measured(0.99 - accuracy),
        'verdict': 'Overfitting <a little> & no more.',
        'temperature': {'fitted': 1.5, 'test_ece_before': 0.06, 'test_ece_after': 0.02}
        | {'test_nll_before': 0.4, 'test_nll_after': 0.3},
    }


def logits_of(labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(len(labels), classes))
    return (2 * np.eye(classes)[labels] + noise).astype(np.float32)


def records(classes: int = 3, channels: int = 1, distilled: bool = True) -> dict[str, Any]:
    """The files of a workdir: name -> JSON value, lines or arrays."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, classes, 60).astype(np.int32)
    logits = logits_of(labels, classes, 1)
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)[:5]
    assert len(wrong)

    def pictures(count: int) -> np.ndarray:
        return draw.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)

    predictions = {'test_logits': logits, 'test_labels': labels, 'test_ids': np.arange(1000, 1060, dtype=np.int32)}
    predictions |= {'mistake_index': wrong, 'mistake_images': pictures(len(wrong))}
    result = trained(0.9)
    lines = [
        {'step': step, 'epoch': step / 10, 'loss': 3.0 / step, 'learning_rate': 1e-3 * (1 - step / 1300)}
        | {'train_accuracy': 0.99 - 1 / step, 'validation_accuracy': 0.9 - 1 / step}
        | {'train_nll': 30 / step, 'validation_nll': 50 / step}
        for step in range(100, 1201, 100)
    ]
    if distilled:
        result |= {'teacher': trained(0.95) | {'members': 3, 'workdir': '/runs/teacher'}, 'alone': trained(0.85)}
        predictions |= {f'{name}_test_logits': logits_of(labels, classes, 2) for name in ('teacher', 'alone')}
        lines = [line | {'student_loss': line['loss'] / 2, 'distillation_loss': 1.0} for line in lines]
    targets = np.zeros((16, classes), np.float32)
    targets[:, 0], targets[:, 1] = 0.71, 0.29
    dataset = {'name': 'animals', 'fingerprint': 'f00d', 'shape': [8, 8, channels], 'held_out': 'beef'}
    dataset |= {'splits': {'train': 90}, 'class_names': list(NAMES) if classes == 3 else []}
    return {
        'config.json': {'seed': 7, 'data': {'name': 'animals'}, 'model': {'name': 'mlp', 'hidden': [32, 16]}},
        'environment.json': {
            'versions': {'jax': '0.10.2'},
            'devices': ['cpu:0'],
            'git': {'commit': 'abc123', 'dirty': True},
            'dataset': dataset,
        },
        'metrics.jsonl': lines,
        'result.json': result,
        'predictions.npz': predictions,
        'samples.npz': {'originals': pictures(16), 'seen': pictures(16), 'targets': targets},
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


def drawn(path) -> Outline:
    return Outline(page.write(path).read_text(encoding='utf-8'))


def svg_text(figure) -> list[str]:
    return [html.unescape(text) for text in re.findall(r'<text[^>]*>([^<]*)</text>', plots.svg(figure))]


@pytest.mark.parametrize(('classes', 'channels', 'distilled'), [(3, 1, True), (100, 3, True), (3, 3, False)])
def test_page_holds_every_section(tmp_path, classes, channels, distilled):
    store(tmp_path / 'run', records(classes, channels, distilled))
    path = page.write(str(tmp_path / 'run'))
    assert path == tmp_path / 'run' / 'report.html'
    assert path.stat().st_size < 2_000_000
    found = Outline(path.read_text(encoding='utf-8'))
    assert found.headings == [name for name in SECTIONS if distilled or not name.startswith('Teacher')]
    assert 'Left out' not in found.text
    assert all(image['alt'] for image in found.images)
    vectors = [image for image in found.images if image['src'].startswith('data:image/svg+xml')]
    # 5 curves, 2 by class, 2 of calibration, 1 softmax, and 2 of agreement.
    assert len(vectors) == (12 if distilled else 10)
    # 16 pairs of samples and 5 mistakes, one of which may be shown again beside the softmax.
    assert len(found.images) - len(vectors) in (37, 38)


def test_numbers_and_names_are_there(tmp_path):
    store(tmp_path / 'run', records())
    found = drawn(tmp_path / 'run')
    text = ' '.join(found.text.split())
    for expected in (
        'Overfitting <a little> & no more.',
        'Test accuracy 90.0 % [89.0, 91.0]',
        'Gap, test − train error +9.0 points [+8.0, +10.0]',
        'Parameters 12,345',
        'Training time 61.5 s',
        'Last step (1,200)',
        'Best on validation (step 800)',
        'Teacher, 3 members',
        'Student alone 12,345 99.0 [98.0, 100.0] 85.0 [84.0, 86.0]',
        'ECE 0.060 → 0.020, NLL 0.400 → 0.300',
        'abc123, with uncommitted changes',
        'model.hidden = [32, 16]',
        'f00d; held out beef',
        'cat .71 / dog .29',
    ):
        assert expected in text


def test_page_asks_for_nothing_else(tmp_path):
    store(tmp_path / 'run', records())
    found = drawn(tmp_path / 'run')
    assert len(found.addresses) > 40
    assert all(address.startswith(('data:', '#')) for address in found.addresses)
    assert 'url(' not in document.STYLE and '@import' not in document.STYLE


def test_same_records_same_bytes_and_rc_untouched(tmp_path):
    store(tmp_path / 'run', records())
    before = dict(matplotlib.rcParams)
    first = page.write(tmp_path / 'run').read_bytes()
    assert page.write(tmp_path / 'run').read_bytes() == first
    assert dict(matplotlib.rcParams) == before


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    store(tmp_path / 'run', records(distilled=False))
    (tmp_path / 'run' / 'report.html').write_text('old')

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.replace', full)
    with pytest.raises(UserError, match=r'^cannot write .*report\.html: No space left on device$'):
        page.write(tmp_path / 'run')
    assert (tmp_path / 'run' / 'report.html').read_text() == 'old'
    assert {file.name for file in (tmp_path / 'run').iterdir()} == set(records()) | {'report.html'}


@pytest.mark.parametrize('text', [None, '{"steps": 12'])
def test_unfinished_run_is_one_line(tmp_path, text):
    store(tmp_path / 'run', records())
    (tmp_path / 'run' / 'result.json').unlink()
    if text:
        (tmp_path / 'run' / 'result.json').write_text(text)
    with pytest.raises(UserError, match=r'^.*result\.json.*$') as caught:
        page.write(tmp_path / 'run')
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'run' / 'report.html').exists()


@pytest.mark.parametrize(
    ('file', 'lines'),
    [
        ('predictions.npz', 5),
        ('samples.npz', 1),
        ('metrics.jsonl', 1),
        ('config.json', 1),
        ('environment.json', 1),
    ],
)
@pytest.mark.parametrize('broken', [False, True])
def test_a_missing_file_costs_its_sections_only(tmp_path, file, lines, broken):
    store(tmp_path / 'run', records())
    (tmp_path / 'run' / file).unlink()
    if broken:
        (tmp_path / 'run' / file).write_text('{"cut o')
    found = drawn(tmp_path / 'run')
    assert found.headings == list(SECTIONS)
    assert len(re.findall(r'[Ll]eft out: ', found.text)) == lines
    assert f'left out: there is no readable {file}.' in found.text.lower() or file == 'metrics.jsonl'


@pytest.mark.parametrize('file', sorted(records()))
def test_every_key_may_be_missing(tmp_path, monkeypatch, file):
    """Partial records never crash the page, whichever key of whichever file is gone."""
    monkeypatch.setattr(plots, 'svg', lambda figure: '<svg/>')
    full = records()
    entry = full[file][0] if file == 'metrics.jsonl' else full[file]
    for key in entry:
        if file == 'metrics.jsonl':
            partial = [{name: value for name, value in line.items() if name != key} for line in full[file]]
        else:
            partial = {name: value for name, value in entry.items() if name != key}
        store(tmp_path / 'run', full | {file: partial})
        found = drawn(tmp_path / 'run')
        assert found.headings[0] == 'Results' and found.headings[-1] == 'The record', key
        if file == 'samples.npz' or key in ('test_logits', 'test_labels', 'mistake_index'):
            assert f'Left out: {file} has no {key}.' in found.text


def test_no_mistakes(tmp_path):
    files = records()
    predictions = files['predictions.npz']
    predictions['test_logits'] = 5 * np.eye(3, dtype=np.float32)[predictions['test_labels']]
    predictions['mistake_index'] = np.zeros(0, np.int64)
    predictions['mistake_images'] = np.zeros((0, 8, 8, 1), np.uint8)
    store(tmp_path / 'run', files)
    assert 'No example of the test split was classified wrongly.' in drawn(tmp_path / 'run').text


@pytest.mark.parametrize('channels', [1, 3])
def test_small_images_keep_their_pixels(channels):
    image = np.random.default_rng(0).integers(0, 256, (8, 8, channels), dtype=np.uint8)
    tag = Outline(pieces.image(image, 'a "digit"')).images[0]
    assert (tag['width'], tag['height'], tag['class'], tag['alt']) == ('112', '112', 'pixels', 'a "digit"')
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(tag['src'].partition('base64,')[2]))))
    np.testing.assert_array_equal(pixels.reshape(image.shape), image)
    assert 'pixels { image-rendering: pixelated' in document.STYLE


def test_photographs_shrink():
    image = np.random.default_rng(0).integers(0, 256, (224, 448, 3), dtype=np.uint8)
    tag = Outline(pieces.image(image, 'noise')).images[0]
    assert (tag['width'], tag['height'], tag['class']) == ('112', '56', 'photograph')
    assert len(tag['src']) < 30_000


@pytest.mark.parametrize(
    ('target', 'label'),
    [
        ([0.0, 1.0, 0.0, 0.0], 'b'),
        ([0.71, 0.0, 0.29, 0.0], 'a .71 / c .29'),
        ([0.03, 0.91, 0.03, 0.03], 'b .91'),
        ([0.25, 0.25, 0.25, 0.25], 'a .25 / b .25 / c .25'),
    ],
)
def test_soft_labels(target, label):
    assert soft_label(np.array(target, np.float32), 'abcd').replace('\xa0', ' ') == label


def test_many_classes_get_no_empty_label():
    assert soft_label(np.full(100, 0.01), [str(index) for index in range(100)]).replace('\xa0', ' ') == '0 .01'


def test_most_confused():
    matrix = np.array([[9, 1, 0], [4, 5, 0], [0, 1, 3]])
    assert most_confused(matrix, 2) == [(1, 0, 4), (0, 1, 1)]
    assert most_confused(matrix, 10) == [(1, 0, 4), (0, 1, 1), (2, 1, 1)]
    assert most_confused(np.diag([3, 2]), 10) == []


def test_confusion_shows_counts_only_where_they_fit():
    texts = svg_text(plots.confusion(np.array([[31, 2], [0, 47]]), ['a', 'b']))
    assert {'31', '2', '47'} <= set(texts) and '0' not in texts
    many = np.full((21, 21), 77)
    assert '77' not in svg_text(plots.confusion(many, [str(index) for index in range(21)]))


@pytest.mark.parametrize(
    ('seconds', 'words'),
    [(1.234, '1.23 s'), (7199.0, '2 h 0 min'), (7140.0, '119 min'), (9900.0, '2 h 45 min'), (86399.0, '24 h 0 min')],
)
def test_hours_are_whole_and_minutes_the_rest(seconds, words):
    """Half of them were an hour too many."""
    assert pieces.duration(seconds) == words


def test_class_accuracy_of_an_absent_class_is_a_dash():
    texts = svg_text(plots.class_accuracy(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 4]]), NAMES))
    assert [text for text in texts if text in ('75.0%', '–', '100.0%')] == ['75.0%', '–', '100.0%']


@pytest.mark.parametrize('names', [['$a{$', 'b$_$', '猫'], ['<b>', '&amp;', 'x' * 80]])
def test_any_class_name_can_be_drawn(names):
    logits = np.array([1.0, 0.5, 0.0])
    for figure in (
        plots.confusion(np.ones((3, 3), int), names),
        plots.class_accuracy(np.ones((3, 3), int), names),
        plots.temperature_ladder(logits, 1, names),
    ):
        texts = svg_text(figure)
        assert {name for name in names if len(name) < 15} <= set(texts)
        assert all(len(text) < 60 for text in texts)


def test_reliability_counts_every_example():
    labels = np.random.default_rng(0).integers(0, 3, 200)
    logits = logits_of(labels, 3, 1)
    figure = plots.reliability(logits, labels, 'Here', temperature=2.0)
    assert sum(int(text.get_text()) for text in figure.axes[1].texts) == 200
    stated = metrics.probabilities(logits, 2.0)
    error = metrics.calibration_error(stated.max(axis=1), stated.argmax(axis=1) == labels)
    assert figure.axes[0].get_title(loc='left') == f'Here: ECE {error:.3f}'


def test_instructive_example_hesitates():
    logits = np.log([[0.98, 0.01, 0.01], [0.5, 0.49, 0.01], [0.62, 0.36, 0.02]])
    assert plots.instructive_example(logits) == 2


@pytest.mark.parametrize(('classes', 'label'), [(3, 2), (50, 0), (50, 49)])
def test_ladder_rows_are_distributions(classes, label):
    logits = np.linspace(3, 0, classes)
    figure: Any = plots.temperature_ladder(logits, label, [f'c{index}' for index in range(classes)])
    bars = np.array([bar.get_height() for bar in figure.axes[0].patches]).reshape(len(plots.TEMPERATURES), -1)
    np.testing.assert_allclose(bars.sum(axis=1) / bars[0, 0] * metrics.probabilities(logits, 0.25)[0], 1, rtol=1e-6)
    dark = [bar.get_facecolor() for bar in figure.axes[0].patches[: bars.shape[1]]].count(colors.to_rgba(plots.INK))
    assert dark == 1
    assert f'c{label}' in svg_text(figure)


def test_curves_mark_the_best_step_and_take_a_log_scale():
    steps = np.array([10, 20, 30])
    series = {'train': (steps, np.array([1.0, 0.1, 0.001])), 'validation': (steps, np.array([1.0, 0.4, 0.5]))}
    axes: Any = plots.curves(series, 'NLL', best_step=20, log=True).axes[0]
    assert axes.get_yscale() == 'log'
    dot = next(line for line in axes.lines if len(line.get_xdata()) == 1)
    assert (list(dot.get_xdata()), list(dot.get_ydata())) == ([20], [0.4])
    zero = {'train': (steps, np.array([1.0, 0.1, 0.0]))}
    assert plots.curves(zero, 'NLL', log=True).axes[0].get_yscale() == 'linear'


def test_one_record_is_enough_for_curves():
    one = (np.array([10]), np.array([0.5]))
    final = {'test': plots.Measured(10, 0.5, 0.4, 0.6)}
    figure = plots.curves({'train': one, 'validation': one}, 'Accuracy', best_step=10, final=final, percent=True)
    assert {'10', '50%', 'best', 'train', 'validation', 'test'} <= set(svg_text(figure))
    assert '0' in svg_text(plots.gap(one[0], one[1], one[1], best_step=10))


def test_gap_is_in_points():
    line: Any = plots.gap(np.array([1, 2]), np.array([0.9, 1.0]), np.array([0.8, 0.85])).axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [10, 15])


def test_agreement_sorts_examples_by_who_is_right():
    teacher_right, student_right = np.array([True, True, False, False]), np.array([True, False, True, False])
    probability = np.array([0.9, 0.8, 0.2, 0.1])
    figure: Any = plots.agreement(probability, 1 - probability, teacher_right, student_right, 'Student')
    found = {line.get_label(): list(line.get_xdata()) for line in figure.axes[0].lines}
    expected = {'both right': [0.9], 'only teacher': [0.8], 'only student': [0.2], 'both wrong': [0.1]}
    assert expected.items() <= found.items()


def test_matplotlib_is_loaded_late_and_pyplot_never(tmp_path):
    store(tmp_path / 'run', records())
    code = (
        'import sys\n'
        'from jaxvision.training.reports import page\n'
        'assert not {"matplotlib", "PIL", "jax"} & set(sys.modules)\n'
        f'page.write({str(tmp_path / "run")!r})\n'
        'assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules\n'
    )
    done = subprocess.run([sys.executable, '-W', 'error', '-c', code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')

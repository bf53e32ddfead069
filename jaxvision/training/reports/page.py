"""The page: a finished workdir's records -> report.html, one file that needs no other and no network.

A record that is not there costs its section, which says so in a line; only result.json has to be there.
"""

import base64
import html
import io
import json
import math
import pathlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvision import metrics
from jaxvision.errors import UserError
from jaxvision.training.records import Workdir, flatten
from jaxvision.training.reports import plots

SPLITS = ('train', 'validation', 'test')
MODELS = {'teacher': 'Teacher', 'alone': 'Student alone', 'student': 'Student, distilled'}
THUMBNAIL = 112  # Pixels a side, on the page.
PHOTOGRAPH = 160  # Larger images are stored at this size, as JPEG; smaller ones as they are.
MISTAKES = 24


class Absent(Exception):
    """What a section needs is not in the records; the text says what."""


class Record(dict):
    """A dict that knows its file, so that what is missing can be named."""

    def __init__(self, values: Mapping[str, Any], file: str, problem: str = ''):
        super().__init__(values)
        self.file, self.problem = file, problem

    def __missing__(self, key: str):
        raise Absent(self.problem or f'{self.file} has no {key}')


@dataclass(frozen=True)
class Records:
    """What a workdir holds. `rows` are the lines of metrics.jsonl."""

    name: str
    config: Record
    environment: Record
    rows: Sequence[Record]
    result: Record
    predictions: Record
    samples: Record

    def class_names(self, classes: int) -> list[str]:
        """One name a class; the number where the records have none."""
        names = (self.environment.get('dataset') or {}).get('class_names') or ()
        return [str(names[index]) if index < len(names) else str(index) for index in range(classes)]

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The steps and the values of one metric where it was recorded, or None."""
        pairs = [(row['step'], row[key]) for row in self.rows if _number(row.get(key)) is not None]
        return (np.array([step for step, _ in pairs]), np.array([value for _, value in pairs])) if pairs else None

    def test(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The test split: logits float [n, num_classes], labels int [n], ids int [n]; n is at least 1."""
        logits, labels, ids = (self.predictions[f'test_{key}'] for key in ('logits', 'labels', 'ids'))
        if not len(logits):
            raise Absent('predictions.npz has no test examples')
        return logits, labels, ids

    @property
    def distilled(self) -> bool:
        return 'teacher' in self.result or 'teacher_test_logits' in self.predictions


def write(path: pathlib.Path | str) -> pathlib.Path:
    """Draws report.html from the records in the workdir at `path`, replacing an older page at once.

    Returns:
      The path of the page.

    Raises:
      UserError: there is no readable result.json, or the page cannot be written.
    """
    workdir = Workdir(path)
    page = render(read(workdir))
    workdir.replace('report.html', lambda scratch: scratch.write_text(page, encoding='utf-8'))
    return workdir / 'report.html'


def read(workdir: Workdir) -> Records:
    """The records of a finished workdir; what is missing is left empty and says so when it is asked for."""
    rows = [_named(row, 'metrics.jsonl') for row in workdir.metrics()]
    return Records(
        name=workdir.path.name,
        config=_json(workdir, 'config.json'),
        environment=_json(workdir, 'environment.json'),
        rows=[row for row in rows if isinstance(row, Record) and _number(row.get('step')) is not None],
        result=_named(workdir.read('result.json'), 'result.json'),
        predictions=_arrays(workdir / 'predictions.npz'),
        samples=_arrays(workdir / 'samples.npz'),
    )


def _named(value: Any, file: str) -> Any:
    """`value` with every dict in it a Record of this file."""
    if isinstance(value, Mapping):
        return Record({key: _named(inner, file) for key, inner in value.items()}, file)
    return value


def _json(workdir: Workdir, name: str) -> Record:
    try:
        return _named(workdir.read(name), name)
    except UserError:
        return Record({}, name, f'there is no readable {name}')


def _arrays(path: pathlib.Path) -> Record:
    try:
        with np.load(path) as arrays:
            return Record(dict(arrays), path.name)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return Record({}, path.name, f'there is no readable {path.name}')


# Numbers as text.


def _number(entry: Any) -> float | None:
    """The value of a metric, given as {"value": ...} or as a bare number; None where there is none."""
    value = entry.get('value') if isinstance(entry, Mapping) else entry
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _interval(entry: Any) -> tuple[float, float] | None:
    pair = entry.get('ci95') if isinstance(entry, Mapping) else None
    return (pair[0], pair[1]) if pair and all(_number(end) is not None for end in pair) else None


Form = Callable[[float], str]


def _percent(records: Records) -> Form:
    """Shares as percentages, on the whole page with the digits that the test examples can tell apart."""
    n = _number(records.result.get('splits', {}).get('test', {}).get('n')) or 0
    digits = 2 if n >= 2000 else 1
    return lambda value: f'{100 * value:.{digits}f}'


def _points(value: float) -> str:
    return f'{100 * value:+.1f}'.replace('-', '−')


def _plain(value: float) -> str:
    return f'{value:.3f}'


def _count(value: float) -> str:
    return f'{value:,.0f}'


def _cell(entry: Any, form: Form, unit: str = '') -> str:
    """'value unit [low, high]', or a dash."""
    value, interval = _number(entry), _interval(entry)
    if value is None:
        return '–'
    text = form(value) + unit
    return f'{text} <small>[{form(interval[0])}, {form(interval[1])}]</small>' if interval else text


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f'{seconds:.3g} s'
    minutes, hours = seconds / 60, seconds / 3600
    return f'{minutes:.0f} min' if minutes < 120 else f'{hours:.0f} h {minutes % 60:.0f} min'


def _probability(value: float) -> str:
    return '>0.99' if value > 0.99 else f'{value:.2f}'


def _label(distribution: np.ndarray, names: Sequence[str]) -> str:
    """A soft label in a few letters: its one class, or its heaviest three with their shares, '3 .71 / 8 .29'."""
    first, *others = np.argsort(-distribution, kind='stable')[:3]
    if distribution[first] > 0.995:
        return str(names[first])
    heaviest = [first, *(index for index in others if distribution[index] >= 0.05)]
    return ' / '.join(
        f'{names[index]}\N{NO-BREAK SPACE}{distribution[index]:.2f}'.replace('\xa00.', '\xa0.') for index in heaviest
    )


# Pieces of HTML.


def _image(image: np.ndarray, alt: str) -> str:
    """A picture, uint8 [height, width, channel], of about `THUMBNAIL` pixels; enlarged without smoothing."""
    from PIL import Image

    height, width, channels = image.shape
    picture = Image.fromarray(image[..., :3] if channels >= 3 else image[..., 0])
    buffer = io.BytesIO()
    small = max(height, width) <= THUMBNAIL
    if not small:
        picture.thumbnail((PHOTOGRAPH, PHOTOGRAPH))
    picture.save(buffer, 'PNG' if small else 'JPEG', **({'optimize': True} if small else {'quality': 85}))
    scale = THUMBNAIL / max(height, width)
    scale = math.floor(scale) if scale >= 1 else scale  # Whole, so that all pixels come out equal.
    return (
        f'<img class="{"pixels" if small else "photograph"}" width="{round(width * scale)}" '
        f'height="{round(height * scale)}" alt="{html.escape(alt)}" '
        f'src="data:image/{"png" if small else "jpeg"};base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    )


def _figure(figure, alt: str, caption: str) -> str:
    """A figure in its caption. As an image, not inline: it has its alt text, its own ids, and can be saved."""
    width, height = figure.get_size_inches() * 96
    source = base64.b64encode(plots.svg(figure).encode()).decode()
    return (
        f'<figure><img width="{width:.0f}" height="{height:.0f}" alt="{html.escape(alt)}" '
        f'src="data:image/svg+xml;base64,{source}"><figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def _table(head: Sequence[str], groups: Mapping[str, Sequence[tuple[str, str, Sequence[str]]]], kind: str = '') -> str:
    """A table in groups: title of the group -> rows of (colour, name, cells); the cells are HTML."""
    columns = ''.join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    body = ''
    for title, rows in groups.items():
        body += f'<tbody><tr><th class="group" colspan="{len(head)}" scope="colgroup">{html.escape(title)}</th></tr>'
        for color, name, cells in rows:
            body += f'<tr><th scope="row">{_dot(color)}{html.escape(name)}</th>'
            body += ''.join(f'<td>{cell}</td>' for cell in cells) + '</tr>'
        body += '</tbody>'
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{columns}</tr></thead>{body}</table></div>'


def _dot(color: str) -> str:
    return f'<span class="dot" style="background:{color}"></span>' if color else ''


def _group(name: str, pieces: Sequence[str]) -> str:
    return f'<div class="{name}">{"".join(pieces)}</div>'


# Sections: records -> HTML, or Absent.


def _summary(records: Records) -> str:
    result = records.result
    test = result.get('splits', {}).get('test', {})
    best = _choices(result).get('best', {}).get('test', {})
    cells = [
        ('Test accuracy', _cell(test.get('accuracy'), _percent(records), ' %')),
        ('Gap, test − train error', _cell(result.get('gap'), _points, ' points')),
        ('Test NLL, nats', _cell(test.get('nll'), _plain)),
        ('Test ECE', _cell(test.get('ece'), _plain)),
        ('Parameters', _cell(result.get('parameters'), _count)),
        ('Steps', _cell(result.get('steps'), _count)),
        ('Training time', _cell(result.get('seconds'), _duration)),
        ('Test accuracy, best on validation', _cell(best.get('accuracy'), _percent(records), ' %')),
    ]
    what = [
        records.config.get('data', {}).get('name'),
        records.config.get('model', {}).get('name'),
        'distilled' if records.distilled else None,
        f'seed {records.config["seed"]}' if 'seed' in records.config else None,
    ]
    parts = [f'<p class="kind">{html.escape(" · ".join(str(part) for part in what if part))}</p>']
    parts.append(f'<h1>{html.escape(records.name)}</h1>')
    if result.get('verdict'):
        parts.append(f'<p class="verdict">{html.escape(str(result["verdict"]))}</p>')
    if _number(test.get('accuracy')) is None:
        parts.append('<p class="absent">result.json has no test accuracy.</p>')
    parts.append(
        _group('numbers', [f'<div><span>{html.escape(name)}</span><b>{cell}</b></div>' for name, cell in cells])
    )
    parts.append('<p class="note">At the last step, unless it says best; in brackets, 95% intervals.</p>')
    return '<header>' + ''.join(parts) + '</header>'


def _choices(entry: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The two models that a run reports: what it is called -> its splits."""
    best = entry.get('best') or {}
    found = {'last': entry.get('splits'), 'best': best.get('splits')}
    return {choice: splits for choice, splits in found.items() if splits}


def _titles(records: Records) -> dict[str, str]:
    steps, best = records.result.get('steps'), (records.result.get('best') or {}).get('step')
    return {
        'last': 'Last step' + (f' ({steps:,})' if _number(steps) is not None else ''),
        'best': 'Best on validation' + (f' (step {best:,})' if _number(best) is not None else ''),
    }


def _results(records: Records) -> str:
    titles = _titles(records)
    groups = {}
    for choice, splits in _choices(records.result).items():
        rows = []
        for name in (name for name in SPLITS if name in splits):
            split = splits[name]
            percent = _percent(records)
            cells = [_cell(split.get('n'), _count), _cell(split.get('accuracy'), percent)]
            cells += [_cell(split.get('nll'), _plain), _cell(split.get('ece'), _plain)]
            rows.append((plots.COLORS[name], name, [*cells, _cell(split.get('top5_accuracy'), percent)]))
        groups[titles[choice]] = rows
    if not groups:
        raise Absent('result.json has no splits')
    parts = [_table(('split', 'n', 'accuracy, %', 'NLL, nats', 'ECE', 'top-5, %'), groups)]
    parts.append(
        '<p class="note">Every split is measured clean: no augmentation, no dropout, each example once. Best was '
        'chosen on validation, so of its rows only the test one is an honest estimate.</p>'
    )
    if records.distilled:
        parts.append(_distilled_table(records, titles))
    return ''.join(parts)


def _gap(entry: Mapping[str, Any], choice: str, splits: Mapping[str, Any]) -> Any:
    if choice == 'last' and 'gap' in entry:
        return entry['gap']
    train, test = (_number(splits.get(split, {}).get('accuracy')) for split in ('train', 'test'))
    return None if train is None or test is None else train - test


def _distilled_table(records: Records, titles: Mapping[str, str]) -> str:
    groups: dict[str, list] = {}
    for key, name in MODELS.items():
        entry = records.result if key == 'student' else records.result.get(key) or {}
        for choice, splits in _choices(entry).items():
            test = splits.get('test', {})
            cells = [_cell(entry.get('parameters'), _count)]
            for split in SPLITS:
                cells.append(_cell(splits.get(split, {}).get('accuracy'), _percent(records)))
            cells += [_cell(test.get('nll'), _plain), _cell(test.get('ece'), _plain)]
            cells.append(_cell(_gap(entry, choice, splits), _points))
            title = titles[choice].partition(' (')[0]
            members = entry.get('members') or 1
            called = f'{name}, {members} members' if members > 1 else name
            groups.setdefault(title, []).append((plots.COLORS[key], called, cells))
    head = ('model', 'parameters', 'train', 'validation', 'test accuracy, %', 'test NLL', 'test ECE', 'gap, points')
    return (
        '<h3>Teacher and student</h3>'
        + _table(head, groups, 'stacked')
        + '<p class="note">What distillation is worth is the difference between the two students: same network, same '
        'data, with and without the teacher. Where their intervals overlap widely, one run cannot tell.</p>'
    )


def _learning(records: Records) -> str:
    best = _number((records.result.get('best') or {}).get('step'))
    best = None if best is None else int(best)
    test = records.result.get('splits', {}).get('test', {})

    def together(**keys: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        found = {name: records.series(key) for name, key in keys.items()}
        return {name: series for name, series in found.items() if series is not None}

    def last(metric: str) -> dict[str, plots.Measured]:
        value, interval = _number(test.get(metric)), _interval(test.get(metric))
        step = _number(records.result.get('steps'))
        if value is None or step is None:
            return {}
        return {'test': plots.Measured(step, value, *(interval or (value, value)))}

    def ends(series: Mapping[str, tuple[np.ndarray, np.ndarray]], form: Form) -> str:
        return '; '.join(f'{name} ends at {form(values[-1])}' for name, (_, values) in series.items())

    pair, trio = [], []
    accuracy = together(train='train_accuracy', validation='validation_accuracy')
    if accuracy:
        figure = plots.curves(accuracy, 'Accuracy, clean', best_step=best, final=last('accuracy'), percent=True)
        caption = 'Where validation stops rising while train goes on, the network begins to memorise.'
        pair.append(_figure(figure, f'Accuracy against step: {ends(accuracy, "{:.1%}".format)}.', caption))
    nll = together(train='train_nll', validation='validation_nll')
    if nll:
        figure = plots.curves(nll, 'NLL, clean, nats', best_step=best, final=last('nll'), log=True)
        caption = (
            'Validation NLL usually turns up before accuracy falls: the network grows too sure before it grows wrong.'
        )
        pair.append(_figure(figure, f'NLL against step: {ends(nll, _plain)}.', caption))
    if len(accuracy) == 2:
        # Only where both were measured.
        common, at, beside = np.intersect1d(accuracy['train'][0], accuracy['validation'][0], return_indices=True)
        if len(common):
            train, validation = accuracy['train'][1][at], accuracy['validation'][1][beside]
            alt = (
                f'Train minus validation accuracy against step, ending at {100 * (train - validation)[-1]:.1f} points.'
            )
            caption = 'The generalisation gap as it opens; every regulariser is an attempt to keep this area small.'
            trio.append(_figure(plots.gap(common, train, validation, best_step=best), alt, caption))
    loss = together(total='loss', student='student_loss', distillation='distillation_loss')
    if loss:
        caption = 'What was minimised, on augmented batches: compare it with itself over time, not with the clean NLL.'
        if 'distillation' in loss:
            caption = "The total and its two parts: at best, distillation ends at the teacher's entropy, not at zero."
        figure = plots.curves(loss, 'Loss' if len(loss) > 1 else 'Training loss', log=True, width=305, height=220)
        trio.append(_figure(figure, f'Training loss against step: {ends(loss, _plain)}.', caption))
    rate = together(rate='learning_rate')
    if rate:
        figure = plots.curves(rate, 'Learning rate', width=305, height=220)
        caption = 'Kinks in the curves above often sit where this one bends.'
        peak = rate['rate'][1].max()
        trio.append(_figure(figure, f'Learning rate against step, at most {peak:.3g}.', caption))
    if not pair and not trio:
        raise Absent('metrics.jsonl has no curves')
    return _group('pair', pair) + _group('trio', trio)


def most_confused(matrix: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """The `count` largest off-diagonal cells of a confusion matrix, empty ones aside: (true, predicted, examples)."""
    errors = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-errors, axis=None, kind='stable')[:count]
    pairs = [divmod(int(cell), len(matrix)) for cell in order]
    return [(true, said, int(errors[true, said])) for true, said in pairs if errors[true, said]]


def _by_class(records: Records) -> str:
    logits, labels, _ = records.test()
    classes = logits.shape[1]
    names = records.class_names(classes)
    matrix = metrics.confusion_matrix(logits.argmax(axis=1), labels, classes)
    pairs = most_confused(matrix, 10)
    said = ', '.join(f'{names[true]} as {names[guess]} {count} times' for true, guess, count in pairs[:3])
    figures = [
        _figure(
            plots.confusion(matrix, names),
            f'Confusion matrix of {classes} classes; most often confused: {said or "none"}.',
            'Blue is right, red is wrong, the darker the larger its share of the row: look for two red cells that face '
            'each other across the diagonal, two classes taken for one another.',
        ),
        _figure(
            plots.class_accuracy(matrix, names),
            f'Accuracy of each class, {np.nanmin(metrics.per_class_accuracy(matrix)):.0%} at worst.',
            'A class far below the dashed line, the overall accuracy, is where more data, or a closer look at its '
            'labels, would pay most.',
        ),
    ]
    if classes <= plots.ANNOTATED_CLASSES:
        return _group('pair', figures)
    # With so many classes, names stand in lists beside the matrix.
    totals = matrix.sum(axis=1)
    accuracy = metrics.per_class_accuracy(matrix)
    worst = [int(index) for index in np.argsort(accuracy, kind='stable')[:10] if totals[index]]
    confused = [f'{names[true]} → {names[guess]}: {count} of {totals[true]}' for true, guess, count in pairs]
    hardest = [f'{names[index]}: {accuracy[index]:.0%} of {totals[index]}' for index in worst]
    lists = [_list('Most confused', confused), _list('Hardest classes', hardest)]
    return _group('pair', [figures[0], f'<div>{figures[1]}{_group("lists", lists)}</div>'])


def _list(title: str, items: Sequence[str]) -> str:
    return (
        f'<div><h3>{html.escape(title)}</h3><ol>{"".join(f"<li>{html.escape(item)}</li>" for item in items)}</ol></div>'
    )


def _calibration(records: Records) -> str:
    logits, labels, _ = records.test()
    fit = records.result.get('temperature') or {}
    fitted = _number(fit.get('fitted'))
    alt = 'Reliability diagram of the test split {}: accuracy against confidence, with the examples in each bin below.'
    figures = [
        _figure(
            plots.reliability(logits, labels, 'As trained (T = 1)'),
            alt.format('as trained'),
            'Points under the diagonal are overconfident, points above it underconfident; tall bands (95% intervals) '
            'rest on few examples.',
        )
    ]
    text = ''
    if fitted is not None and fitted > 0:
        figures.append(
            _figure(
                plots.reliability(logits, labels, f'After temperature fitting (T = {fitted:.2f})', temperature=fitted),
                alt.format(f'after dividing the logits by {fitted:.2f}'),
                'One number, fitted on validation, moves every confidence and no decision: the points should come '
                'closer to the diagonal.',
            )
        )
        changes = []
        for metric, name in (('ece', 'ECE'), ('nll', 'NLL')):
            before, after = _number(fit.get(f'test_{metric}_before')), _number(fit.get(f'test_{metric}_after'))
            if before is not None and after is not None:
                changes.append(f'{name} {before:.3f} → {after:.3f}')
        mood = (
            'too sure of itself'
            if fitted > 1.05
            else 'not sure enough'
            if fitted < 0.95
            else 'about as sure as it may be'
        )
        text = f'<p>The temperature fitted on validation is {fitted:.2f}: there, the network was {mood}. '
        text += (f'On test: {", ".join(changes)}.' if changes else '') + '</p>'
    return text + _group('pair', figures)


def _instructive(records: Records, logits: np.ndarray) -> tuple[int, np.ndarray | None]:
    """An example on which the network hesitates, rather one with an image: position and image."""
    index, images = (records.predictions.get(f'mistake_{key}') for key in ('index', 'images'))
    if index is not None and images is not None and len(index):
        at = plots.instructive_example(logits[index])
        if 0.4 < metrics.probabilities(logits[index])[at].max() < 0.8:
            return int(index[at]), images[at]
    return plots.instructive_example(logits), None


def _softmax(records: Records) -> str:
    logits, labels, ids = records.test()
    names = records.class_names(logits.shape[1])
    index, image = _instructive(records, logits)
    truth = names[int(labels[index])]
    p = metrics.probabilities(logits[index : index + 1])[0]
    first, second = (int(choice) for choice in np.argsort(-p, kind='stable')[:2])
    figure = plots.temperature_ladder(logits[index], int(labels[index]), names)
    caption = (
        'The order of the classes never changes: a low temperature makes the softmax a hard maximum, a high one shows '
        'which wrong classes look alike, and that is what a student learns from a teacher.'
    )
    alt = f'Class probabilities of one test example at temperatures {", ".join(f"{t:g}" for t in plots.TEMPERATURES)}.'
    side = (
        f'<p>Test example {int(ids[index])}, on which the network hesitates: at T = 1 it says '
        f'{html.escape(names[first])} ({p[first]:.2f}) or {html.escape(names[second])} ({p[second]:.2f}). The truth, '
        f'the dark bar, is {html.escape(truth)}. H is the entropy in nats; uniform would be log {len(p)} = '
        f'{math.log(len(p)):.2f}.</p>'
    )
    if image is not None:
        side += _image(image, f'the example: {truth}')
    return _group('pair', [_figure(figure, alt, caption), f'<div>{side}</div>'])


def _seen(records: Records) -> str:
    originals, seen, targets = (records.samples[key] for key in ('originals', 'seen', 'targets'))
    names = records.class_names(targets.shape[1])
    pieces = []
    for original, image, target in zip(originals, seen, targets, strict=True):
        label = _label(target, names)
        pieces.append(
            f'<figure>{_image(original, "original")}{_image(image, f"as the network saw it, labelled {label}")}'
            f'<figcaption>{html.escape(label)}</figcaption></figure>'
        )
    return _group('thumbnails', pieces) + (
        '<p class="caption">Above the original, below what the network was given, and its label: could you still name '
        'it? Augmentation that nobody can see through teaches noise.</p>'
    )


def _mistakes(records: Records) -> str:
    logits, labels, ids = records.test()
    wrong = int((logits.argmax(axis=1) != labels).sum())
    if not wrong:
        return '<p>No example of the test split was classified wrongly.</p>'
    images, index = records.predictions['mistake_images'], records.predictions['mistake_index']
    if not len(index):
        raise Absent('predictions.npz has no images of mistakes')
    names = records.class_names(logits.shape[1])
    p = metrics.probabilities(logits[index])
    pieces = []
    for row, (image, at) in enumerate(zip(images[:MISTAKES], index[:MISTAKES], strict=True)):
        said = int(p[row].argmax())
        text = f'{names[int(labels[at])]} → {names[said]} ({_probability(p[row, said])})'
        alt = f'test example {int(ids[at])}, a {names[int(labels[at])]} taken for {names[said]}'
        pieces.append(f'<figure>{_image(image, alt)}<figcaption>{html.escape(text)}</figcaption></figure>')
    return _group('thumbnails', pieces) + (
        f'<p class="caption">True → said, with the probability stated: {len(pieces)} of {wrong} mistakes on the test '
        'split. Some may be wrong labels, some you would get wrong as well; the others say what the network does not '
        'see.</p>'
    )


AGREEMENT = {
    'student': 'Dots near the diagonal are beliefs that both share; at the lower right is what the teacher knows and '
    'the student does not.',
    'alone': 'The same without a teacher: where dots lie nearer to the diagonal in the other panel, something was '
    'handed on.',
}


def _agreement(records: Records) -> str:
    logits, labels, _ = records.test()
    teacher = records.predictions['teacher_test_logits']
    students = {'student': logits, 'alone': records.predictions.get('alone_test_logits')}
    rows, figures = [], []
    everyone = np.arange(len(labels))
    says = teacher.argmax(axis=1)
    known, right = metrics.probabilities(teacher)[everyone, labels], says == labels
    for key, logits in students.items():
        if logits is None:
            continue
        too = logits.argmax(axis=1) == labels
        kinds = (says == logits.argmax(axis=1), right & too, right & ~too, too & ~right, ~right & ~too)
        cells = [f'{100 * kind.mean():.1f} <small>({kind.sum():,})</small>' for kind in kinds]
        rows.append((plots.COLORS[key], MODELS[key], cells))
        own = metrics.probabilities(logits)[everyone, labels]
        figure = plots.agreement(known, own, right, too, MODELS[key], color=plots.COLORS[key])
        same = f'{kinds[0].mean():.1%}'
        alt = f'Probability of the true class: teacher against {MODELS[key].lower()}; same answer on {same}.'
        figures.append(_figure(figure, alt, AGREEMENT[key]))
    head = ('with the teacher', 'same answer, %', 'both right', 'only teacher', 'only student', 'both wrong')
    return _table(head, {f'Share of {len(labels):,} test examples': rows}) + _group('pair', figures)


def _record(records: Records) -> str:
    environment = records.environment
    dataset, git = environment.get('dataset') or {}, environment.get('git') or {}
    facts = {}
    if dataset:
        sizes = ', '.join(f'{name} {n:,}' for name, n in (dataset.get('splits') or {}).items())
        shape = ' × '.join(str(size) for size in dataset.get('shape') or ())
        facts['Dataset'] = (
            f'{dataset.get("name", "–")}: {len(dataset.get("class_names") or ())} classes, {shape}; {sizes}'
        )
        facts['Fingerprint'] = f'{dataset.get("fingerprint", "–")}; held out {dataset.get("held_out", "–")}'
    if environment:
        dirty = ', with uncommitted changes' if git.get('dirty') else ''
        facts['Commit'] = git.get('commit', 'unknown, not run from a git checkout') + dirty
    if environment.get('versions'):
        installed = {name: version for name, version in environment['versions'].items() if version}
        facts['Versions'] = ', '.join(f'{name} {version}' for name, version in installed.items())
    if environment.get('devices'):
        facts['Devices'] = ', '.join(str(device) for device in environment['devices'])
        more = [environment.get('device_kind'), f'{environment["cores"]} cores' if 'cores' in environment else None]
        facts['Devices'] += f' ({", ".join(str(word) for word in more if word)})' if any(more) else ''
        if environment.get('xla_flags'):
            facts['XLA_FLAGS'] = str(environment['xla_flags'])
    teacher = records.result.get('teacher') or {}
    if teacher.get('workdir'):
        facts['Teacher'] = f'{teacher["workdir"]}, hash {teacher.get("hash", "–")}'
    speed = _number(records.result.get('examples_per_second'))
    if speed is not None:
        facts['Speed'] = f'{speed:,.0f} examples a second'
    rows = ''.join(f'<dt>{name}</dt><dd>{html.escape(text)}</dd>' for name, text in facts.items())
    parts = [f'<dl>{rows}</dl>'] if rows else []
    if not environment:
        parts.append(
            f'<p class="absent">Versions, devices and dataset left out: {html.escape(environment.problem)}.</p>'
        )
    if not records.config:
        parts.append(f'<p class="absent">Settings left out: {html.escape(records.config.problem)}.</p>')
        return ''.join(parts)
    lines = flatten(records.config)
    settings = ''.join(
        f'<li><span>{html.escape(key)}</span> = {html.escape(json.dumps(value, ensure_ascii=False))}</li>'
        for key, value in lines.items()
    )
    parts.append(
        '<p>To repeat the run, train with these settings (config.json) at this commit, with these versions, on the '
        'same kind of machine with as many devices and threads: the numbers come out the same, bit by bit. Elsewhere, '
        'compare within the intervals.</p>'
        f'<details><summary>All {len(lines)} settings</summary><ul class="settings">{settings}</ul></details>'
    )
    return ''.join(parts)


SECTIONS = {
    'Results': _results,
    'Learning curves': _learning,
    'Class by class': _by_class,
    'Calibration': _calibration,
    'Softmax and temperature': _softmax,
    'What the network saw': _seen,
    'Most confident mistakes': _mistakes,
    'Teacher and student, example by example': _agreement,
    'The record': _record,
}

STYLE = """
:root { --ink: #23272e; --muted: #6c727a; --rule: #deded8; --paper: #fdfdfb; color-scheme: light; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0 auto; padding: 3.5rem 1.25rem 5rem; max-width: 1000px; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 Charter, 'Bitstream Charter', 'Iowan Old Style', Georgia, serif; }
h1, h2, h3 { font-weight: 600; line-height: 1.2; }
h1 { margin: 0 0 1rem; font-size: 2.4rem; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { margin: 3.75rem 0 1.25rem; padding-top: 1rem; border-top: 1px solid var(--rule); font-size: 1.45rem; }
h3 { margin: 2rem 0 0.5rem; font-size: 1.05rem; }
p { margin: 0 0 1rem; max-width: 44rem; }
a { color: inherit; text-decoration-color: var(--rule); text-underline-offset: 0.2em; }
nav, table, figcaption, .numbers, .kind, .note, .caption, .absent, dl, .settings, summary, ol {
  font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif; }
small { color: var(--muted); font-size: 0.86em; font-weight: 400; }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1.1rem; margin-top: 1.75rem; color: var(--muted);
  font-size: 0.85rem; }
.kind { margin: 0 0 0.4rem; color: var(--muted); font-size: 0.85rem; }
.verdict { max-width: 46rem; margin-bottom: 2rem; font-size: 1.3rem; line-height: 1.45; }
.note, .caption, .absent, figcaption { color: var(--muted); font-size: 0.85rem; line-height: 1.5; }
.absent { font-style: italic; }
.numbers { display: grid; grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); gap: 1.25rem 1.5rem;
  margin-bottom: 1rem; }
.numbers div { border-top: 2px solid var(--ink); padding-top: 0.4rem; }
.numbers span { display: block; color: var(--muted); font-size: 0.8rem; }
.numbers b { display: block; font-size: 1.35rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
.numbers small { display: block; font-size: 0.82rem; line-height: 1.3; }
.stacked small { display: block; }
.lists { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.5rem; }
.scroll { overflow-x: auto; margin-bottom: 0.75rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; }
th, td { padding: 0.38rem 0 0.38rem 1.1rem; text-align: right; font-weight: 400; white-space: nowrap; }
th:first-child { padding-left: 0; text-align: left; }
thead th { border-bottom: 1px solid var(--ink); color: var(--muted); font-size: 0.8rem; vertical-align: bottom; }
tbody tr + tr { border-top: 1px solid var(--rule); }
tbody:last-child { border-bottom: 1px solid var(--ink); }
th.group { padding-top: 0.9rem; font-weight: 600; }
.dot { display: inline-block; width: 0.6em; height: 0.6em; margin-right: 0.55em; border-radius: 50%; }
.pair, .trio { display: grid; gap: 1.75rem 1.25rem; margin-top: 1.25rem; align-items: start; }
.pair { grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr)); }
.trio { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17.5rem), 1fr)); }
figure { margin: 0; min-width: 0; }
img { display: block; max-width: 100%; height: auto; }
figcaption { margin-top: 0.35rem; max-width: 29rem; }
.thumbnails { display: flex; flex-wrap: wrap; gap: 1.1rem 0.55rem; margin-bottom: 1rem; }
.thumbnails figure { width: 112px; }
.thumbnails img + img { margin-top: 4px; }
.thumbnails figcaption { font-size: 0.78rem; line-height: 1.35; color: var(--ink); overflow-wrap: anywhere; }
.pixels { image-rendering: pixelated; }
ol { margin: 0; padding-left: 1.6rem; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.35rem 1.5rem; margin: 0 0 1.25rem;
  font-size: 0.88rem; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; font-size: 0.9rem; }
.settings { columns: 18rem; column-gap: 2rem; margin: 0.75rem 0 0; padding: 0; list-style: none;
  font: 0.78rem/1.65 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.settings li { break-inside: avoid; overflow-wrap: anywhere; }
.settings span { color: var(--muted); }
@media (max-width: 640px) {
  body { padding: 2rem 1rem 4rem; }
  h1 { font-size: 1.9rem; }
  .verdict { font-size: 1.15rem; }
  .numbers { grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
  .thumbnails { column-gap: 0.3rem; }
  td small { display: block; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 0.6rem; }
}
@media print { nav { display: none; } figure, tr { break-inside: avoid; } body { max-width: none; } }
"""


def render(records: Records) -> str:
    """The page of these records."""
    links, body = [], []
    for number, (title, draw) in enumerate(SECTIONS.items()):
        if draw is _agreement and not records.distilled:
            continue
        try:
            content = draw(records)
        except Absent as reason:
            content = f'<p class="absent">Left out: {html.escape(str(reason))}.</p>'
        links.append(f'<a href="#s{number}">{title}</a>')
        body.append(f'<section id="s{number}"><h2>{title}</h2>{content}</section>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{html.escape(records.name)}</title><style>{STYLE}</style></head>\n'
        f'<body>{_summary(records)}<nav aria-label="Sections">{"".join(links)}</nav>\n'
        + '\n'.join(body)
        + '\n</body></html>\n'
    )

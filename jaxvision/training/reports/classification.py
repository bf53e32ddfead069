"""The page of a classifier."""

import html
import math
from collections.abc import Callable

import numpy as np

from jaxvision import metrics
from jaxvision.training.reports import pieces, plots, results
from jaxvision.training.reports.classes import by_class
from jaxvision.training.reports.learning import Panel, learning
from jaxvision.training.reports.reading import Absent, Records, number
from jaxvision.training.reports.record import record
from jaxvision.training.reports.results import Column
from jaxvision.training.reports.seen import labelled

MISTAKES = 24
ACCURACY, TOP_5 = Column('accuracy, %', 'accuracy'), Column('top-5, %', 'top5_accuracy')
NLL, ECE = Column('NLL', 'nll', share=False), Column('ECE', 'ece', share=False)
NLL_IN_NATS = NLL._replace(head='NLL, nats')


def header(records: Records) -> str:
    others = [(f'Test {column.head}', column.cell(records.test, records)) for column in (NLL_IN_NATS, ECE)]
    return results.header(records, Column('accuracy', 'accuracy'), others)


def sections(records: Records) -> dict[str, Callable[[Records], str]]:
    """Title -> what draws the section, or raises Absent."""
    found = {
        'Results': _results,
        'Learning curves': _learning,
        'Class by class': _by_class,
        'Calibration': _calibration,
        'Softmax and temperature': _softmax,
        'What the network saw': labelled,
        'Most confident mistakes': _mistakes,
        'Teacher and student, example by example': _agreement,
        'The record': record,
    }
    if not records.distilled:
        del found['Teacher and student, example by example']
    return found


def _test(records: Records) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The test split: logits float [n, num_classes], labels int [n], ids int [n]; n is at least 1."""
    logits, labels, ids = (records.predictions[f'test_{key}'] for key in ('logits', 'labels', 'ids'))
    if not len(logits):
        raise Absent('predictions.npz has no test examples')
    return logits, labels, ids


def _results(records: Records) -> str:
    columns = (ACCURACY, NLL_IN_NATS, ECE, TOP_5)
    return results.by_split(records, columns) + results.teacher_and_student(records, ACCURACY, (NLL, ECE))


def _learning(records: Records) -> str:
    accuracy = Panel(
        'accuracy',
        'Accuracy, clean',
        'Where validation stops rising while train goes on, the network begins to memorise.',
    )
    nll = Panel(
        'nll',
        'NLL, clean, nats',
        'Validation NLL usually turns up before accuracy falls: the network grows too sure before it grows wrong.',
        share=False,
        log=True,
    )
    loss = 'What was minimised, on augmented batches: compare it with itself over time, not with the clean NLL.'
    return learning(records, (accuracy, nll), loss_caption=loss)


def _by_class(records: Records) -> str:
    logits, labels, _ = _test(records)
    classes = logits.shape[1]
    return by_class(metrics.confusion_matrix(logits.argmax(axis=1), labels, classes), records.class_names(classes))


def _calibration(records: Records) -> str:
    logits, labels, _ = _test(records)
    fit = records.result.get('temperature') or {}
    fitted = number(fit.get('fitted'))
    alt = 'Reliability diagram of the test split {}: accuracy against confidence, with the examples in each bin below.'
    figures = [
        pieces.figure(
            plots.reliability(logits, labels, 'As trained (T = 1)'),
            alt.format('as trained'),
            'Points under the diagonal are overconfident, points above it underconfident; tall bands (95% intervals) '
            'rest on few examples.',
        )
    ]
    text = ''
    if fitted is not None and fitted > 0:
        figures.append(
            pieces.figure(
                plots.reliability(logits, labels, f'After temperature fitting (T = {fitted:.2f})', temperature=fitted),
                alt.format(f'after dividing the logits by {fitted:.2f}'),
                'One number, fitted on validation, moves every confidence and no decision: the points should come '
                'closer to the diagonal.',
            )
        )
        changes = []
        for metric, name in (('ece', 'ECE'), ('nll', 'NLL')):
            before, after = number(fit.get(f'test_{metric}_before')), number(fit.get(f'test_{metric}_after'))
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
    return text + pieces.group('pair', figures)


def _instructive(records: Records, logits: np.ndarray) -> tuple[int, np.ndarray | None]:
    """An example on which the network hesitates, rather one with an image: position and image."""
    index, images = (records.predictions.get(f'mistake_{key}') for key in ('index', 'images'))
    if index is not None and images is not None and len(index):
        at = plots.instructive_example(logits[index])
        if 0.4 < metrics.probabilities(logits[index])[at].max() < 0.8:
            return int(index[at]), images[at]
    return plots.instructive_example(logits), None


def _softmax(records: Records) -> str:
    logits, labels, ids = _test(records)
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
        side += pieces.image(image, f'the example: {truth}')
    return pieces.group('pair', [pieces.figure(figure, alt, caption), f'<div>{side}</div>'])


def _mistakes(records: Records) -> str:
    logits, labels, ids = _test(records)
    wrong = int((logits.argmax(axis=1) != labels).sum())
    if not wrong:
        return '<p>No example of the test split was classified wrongly.</p>'
    images, index = records.predictions['mistake_images'], records.predictions['mistake_index']
    if not len(index):
        raise Absent('predictions.npz has no images of mistakes')
    names = records.class_names(logits.shape[1])
    p = metrics.probabilities(logits[index])
    figures = []
    for row, (image, at) in enumerate(zip(images[:MISTAKES], index[:MISTAKES], strict=True)):
        said = int(p[row].argmax())
        text = f'{names[int(labels[at])]} → {names[said]} ({pieces.probability(p[row, said])})'
        alt = f'test example {int(ids[at])}, a {names[int(labels[at])]} taken for {names[said]}'
        figures.append(f'<figure>{pieces.image(image, alt)}<figcaption>{html.escape(text)}</figcaption></figure>')
    return pieces.group('thumbnails', figures) + (
        f'<p class="caption">True → said, with the probability stated: {len(figures)} of {wrong} mistakes on the test '
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
    logits, labels, _ = _test(records)
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
        rows.append((plots.COLORS[key], results.MODELS[key], cells))
        own = metrics.probabilities(logits)[everyone, labels]
        figure = plots.agreement(known, own, right, too, results.MODELS[key], color=plots.COLORS[key])
        same = f'{kinds[0].mean():.1%}'
        alt = f'Probability of the true class: teacher against {results.MODELS[key].lower()}; same answer on {same}.'
        figures.append(pieces.figure(figure, alt, AGREEMENT[key]))
    head = ('with the teacher', 'same answer, %', 'both right', 'only teacher', 'only student', 'both wrong')
    return pieces.table(head, {f'Share of {len(labels):,} test examples': rows}) + pieces.group('pair', figures)

"""What is measured of localisers and detectors, on outputs made by hand."""

import json

import numpy as np
import pytest

from jaxvision import metrics, rng
from jaxvision.data.objects import Annotated, pad
from jaxvision.data.source import finish_objects
from jaxvision.data.splits import Splits
from jaxvision.errors import UserError
from jaxvision.tasks.detect import Detected
from jaxvision.tasks.localize import Localized
from jaxvision.training import evaluation
from jaxvision.training.evaluators.detection import RESAMPLES, Detection
from jaxvision.training.evaluators.evaluator import FIRST, WORST, shown
from jaxvision.training.evaluators.localization import Localization

NAMES = ('cat', 'dog', 'bird')  # Of which the last is nowhere.
BOX, OTHER = (0.1, 0.2, 0.6, 0.7), (0.5, 0.75, 0.9, 0.95)


def source(*images):
    """Each image is (size, boxes, classes), or with what is ignored, shown on a canvas of 32x32."""
    annotated = [
        Annotated(f'{index}.png', size, boxes, classes, *(ignored or [[False] * len(boxes)]))
        for index, (size, boxes, classes, *ignored) in enumerate(images)
    ]
    pixels = np.zeros((len(images), 32, 32, 3), np.uint8)
    return finish_objects('by hand', pixels, pad(annotated), NAMES, {})


def everything(source):
    return np.arange(len(source.images), dtype=np.int32)


def assert_in_order(found: dict) -> None:
    """Fit for result.json, and each value within its interval."""
    json.dumps(found, allow_nan=False)
    for value in found.values():
        if isinstance(value, dict) and 'ci95' in value:
            low, high = value['ci95']
            assert low <= high


# Localisation.


ONE_OR_NONE = source(
    ((40, 80), [BOX], [0]),  # Not square: letterboxed.
    ((64, 64), [BOX], [1]),
    ((64, 64), [], []),
    ((50, 20), [OTHER], [1]),
)


def located(source, **changes):
    """What a perfect localiser says."""
    objects = source.objects
    present, n = objects.valid[:, 0] & ~objects.ignored[:, 0], len(objects.valid)
    right = {
        'class_logits': np.eye(len(NAMES))[objects.classes[:, 0]],
        'boxes': objects.boxes[:, 0].copy(),
        'objectness': np.where(present, 0.9, 0.1),
        'loss': np.arange(n) / n,
    }
    return Localized(**{**right, **changes})


def test_a_perfect_localiser():
    evaluator, ids = Localization(ONE_OR_NONE), everything(ONE_OR_NONE)
    summary = evaluator.summarize(located(ONE_OR_NONE), ids)
    names = {'detection_accuracy', 'class_accuracy', 'objectness_accuracy', 'empty_accuracy', 'mean_iou'}
    assert summary.keys() == {'n', 'loss', 'error'} | names
    for name in names:
        assert summary[name]['value'] == pytest.approx(1, abs=1e-6)
    assert summary['n'] == 4 and summary['loss'] == pytest.approx(0.375)
    assert summary['error']['value'] == 0
    assert_in_order(summary)
    watched = evaluator.watch(located(ONE_OR_NONE), ids)
    assert watched == pytest.approx({name: 1 for name in names})
    assert evaluator.rank({**watched, 'mean_iou': 0.5}) < evaluator.rank(watched)
    assert evaluator.headline in watched


def test_each_fault_of_a_localiser_is_counted_where_it_belongs():
    """A wrong class; a box half as wide; something where nothing is; nothing said of an object."""
    right = located(ONE_OR_NONE)
    boxes, logits, objectness = right.boxes, right.class_logits, right.objectness
    logits[0] = [0, 5, 0]
    boxes[1, 3] = (boxes[1, 1] + boxes[1, 3]) / 2 - 0.01
    objectness[2:] = [0.5, 0.49]
    said = located(ONE_OR_NONE, boxes=boxes, class_logits=logits, objectness=objectness)
    evaluator, ids = Localization(ONE_OR_NONE), everything(ONE_OR_NONE)
    summary = evaluator.summarize(said, ids)
    values = {name: value['value'] for name, value in summary.items() if isinstance(value, dict)}
    assert values == pytest.approx(
        {
            'detection_accuracy': 0.0,
            'class_accuracy': 2 / 3,
            'objectness_accuracy': 2 / 4,
            'empty_accuracy': 0.0,
            'mean_iou': (1 + 0.24 / 0.5 + 1) / 3,
            'error': 1.0,
        },
        abs=1e-6,
    )
    examined = evaluator.examine(said, ids, 1.0)
    per_class = {
        name: (of['class_accuracy']['value'], of['mean_iou']['value']) for name, of in examined['per_class'].items()
    }
    assert per_class['cat'] == pytest.approx((0.0, 1.0)) and per_class['dog'] == pytest.approx((1.0, 0.74), abs=1e-6)
    assert 'bird' in per_class
    assert_in_order(examined)
    assert any('class accuracy' in line and '66.7 %' in line for line in evaluator.tell(examined))


def test_an_ignored_object_alone_is_neither_hit_nor_miss():
    of = source(((64, 64), [BOX], [0]), ((64, 64), [BOX], [1], [True]), ((64, 64), [], []))
    for objectness in ([0.9, 0.9, 0.1], [0.9, 0.1, 0.1]):
        summary = Localization(of).summarize(located(of, objectness=np.array(objectness)), everything(of))
        for name in ('detection_accuracy', 'class_accuracy', 'objectness_accuracy', 'empty_accuracy'):
            assert summary[name]['value'] == 1
    assert summary['objectness_accuracy'] == evaluation.share_of(2, 2)
    assert summary['empty_accuracy'] == evaluation.share_of(1, 1)


@pytest.mark.parametrize('images', [[((64, 64), [], [])] * 3, [((64, 64), [BOX], [1])] * 3])
def test_all_empty_or_none_empty(images):
    of = source(*images)
    evaluator, ids = Localization(of), everything(of)
    summary = evaluator.summarize(located(of), ids)
    assert summary['detection_accuracy']['value'] == 1
    assert_in_order(summary)
    watched = evaluator.watch(located(of), ids)
    assert all(np.isfinite(value) for value in watched.values())
    json.dumps(evaluator.examine(located(of), ids, 1.0), allow_nan=False)
    result = {'splits': dict.fromkeys(('train', 'validation', 'test'), summary), 'gap': summary['error']}
    columns = evaluator.columns(result)
    missing = {'empty'} if of.objects.valid.any() else {'class', 'IoU'}  # Once told as 0.0.
    assert {name for name, text in columns.items() if text == '-'} == missing


# Detection.


SCENES = source(
    ((40, 80), [BOX, OTHER], [0, 1]),  # Not square: letterboxed.
    ((100, 100), [BOX], [1]),
    ((64, 64), [], []),
    ((90, 30), [BOX, OTHER], [1, 1]),
)


def detected(source, *images, k=4):
    """Each image is a list of (score, class, box on the canvas)."""
    n = len(images)
    boxes, scores = np.zeros((n, k, 4), np.float32), np.zeros((n, k), np.float32)
    classes, valid = np.zeros((n, k), np.int32), np.zeros((n, k), bool)
    for index, found in enumerate(images):
        for slot, (score, label, box) in enumerate(found):
            boxes[index, slot], scores[index, slot], classes[index, slot], valid[index, slot] = box, score, label, True
    assert n == len(source.images)
    return Detected(boxes, scores, classes, valid, np.arange(n, dtype=np.float32))


def truths(source):
    """What a perfect detector says: all that counts, on the canvas."""
    objects = source.objects
    counted = objects.valid & ~objects.ignored
    return [
        [(0.9, objects.classes[i, j], objects.boxes[i, j]) for j in np.flatnonzero(counted[i])]
        for i in range(len(counted))
    ]


def test_a_perfect_detector_whatever_the_shape_of_the_images():
    evaluator, ids = Detection(SCENES), everything(SCENES)
    said = detected(SCENES, *truths(SCENES))
    summary = evaluator.summarize(said, ids)
    for name in ('mAP', 'mAP50', 'mAP75', 'AR100', 'voc_AP50', 'voc_AP50_11_point'):
        assert summary[name]['value'] == pytest.approx(1, abs=1e-6), name
    assert set(metrics.COCO_FIGURES) <= summary.keys()
    assert summary['error']['value'] == pytest.approx(0, abs=1e-6)
    assert summary['errors']['correct'] == 5 and sum(summary['errors'].values()) == 5
    by_class = ('AP', 'AP50', 'voc_AP50', 'voc_AP50_11_point')
    assert summary['per_class']['dog'] == pytest.approx(dict.fromkeys(by_class, 1))
    assert summary['per_class']['bird'] == dict.fromkeys(by_class, -1.0)
    assert summary['n'] == 4 and summary['loss'] == 1.5
    assert_in_order(summary)
    watched = evaluator.watch(said, ids)
    assert watched == pytest.approx({'mAP': 1, 'mAP50': 1})
    assert evaluator.rank({**watched, 'mAP50': 0.5}) < evaluator.rank(watched)
    assert evaluator.headline in watched


def test_the_area_of_the_outline_decides_what_is_small():
    images = [Annotated('a', (100, 100), [BOX], [1], [False], [area]) for area in (0, 5)]
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    for image, name in zip(images, ('medium', 'small'), strict=True):  # The box alone is of 50 x 50 pixels.
        of = finish_objects('by hand', pixels, pad([image]), NAMES, {})
        summary = Detection(of).summarize(detected(of, *truths(of)), everything(of))
        assert {size: summary[f'mAP_{size}']['value'] >= 0 for size in ('small', 'medium', 'large')} == {
            size: size == name for size in ('small', 'medium', 'large')
        }


def test_intervals_are_the_percentiles_reflected():
    evaluator, ids = Detection(SCENES), everything(SCENES)
    said = detected(SCENES, *[found[:1] for found in truths(SCENES)])  # One object of two is missed.
    summary = evaluator.summarize(said, ids)
    table = metrics.matches(*evaluator.sides(said, ids), len(NAMES))
    percentiles = metrics.bootstrap(table, rng.generator(0, 'bootstrap', len(ids)), RESAMPLES)
    for name, (low, high) in percentiles.items():
        value = summary[name]['value']
        assert summary[name]['ci95'] == pytest.approx(np.clip([2 * value - high, 2 * value - low], 0, 1).tolist())
        assert low < high


def test_boxes_are_measured_in_the_pixels_of_the_image_itself():
    """An object of 20x40 pixels is of small area, one of 50x50 of medium; on the canvas the first is as wide."""
    said, truth = Detection(SCENES).sides(detected(SCENES, *truths(SCENES)), everything(SCENES))
    np.testing.assert_allclose(truth.boxes[0], [BOX, OTHER], atol=1e-6)
    np.testing.assert_allclose(said.boxes[3, :2], [BOX, OTHER], atol=1e-6)
    summary = Detection(SCENES).summarize(detected(SCENES, *truths(SCENES)), everything(SCENES))
    assert summary['mAP_small']['value'] == summary['mAP_medium']['value'] == pytest.approx(1)
    assert summary['mAP_large'] == {'value': -1.0}  # None of them is.


def test_what_lies_on_the_padding_is_cut_off():
    whole = detected(SCENES, [(0.9, 0, (0.0, 0.0, 1.0, 1.0))], [], [], [])
    said, _ = Detection(SCENES).sides(whole, everything(SCENES))
    np.testing.assert_allclose(said.boxes[0, 0], [0, 0, 1, 1])


def test_a_box_on_the_padding_alone_is_not_said():
    """It counted as one on the background, though no user would ever get it: mAP was half of what it is."""
    perfect = truths(SCENES)
    more = [[*perfect[0], (0.95, 0, (0.0, 0.1, 0.1, 0.9))], *perfect[1:]]  # Left of the image, twice as high as wide.
    evaluator, ids = Detection(SCENES), everything(SCENES)
    summary = evaluator.summarize(detected(SCENES, *more), ids)
    assert summary['errors']['correct'] == 5 and sum(summary['errors'].values()) == 5
    assert summary['mAP']['value'] == pytest.approx(1, abs=1e-6)


def test_half_of_the_objects_found():
    """One hit of two, then one on the background: by COCO's 101 recalls, VOC's area and VOC's 11 recalls."""
    of = source(((64, 64), [BOX], [0]), ((64, 64), [BOX], [0]))
    said = detected(of, [(0.9, 0, BOX), (0.8, 0, (0.8, 0.8, 0.9, 0.9))], [])
    evaluator, ids = Detection(of), everything(of)
    summary = evaluator.summarize(said, ids)
    values = {name: summary[name]['value'] for name in ('mAP', 'mAP50', 'voc_AP50', 'voc_AP50_11_point', 'AR100')}
    expected = {'mAP': 51 / 101, 'mAP50': 51 / 101, 'voc_AP50': 0.5, 'voc_AP50_11_point': 6 / 11, 'AR100': 0.5}
    assert values == pytest.approx(expected)
    errors = summary['errors']
    assert (errors['correct'], errors['background'], errors['missed'], sum(errors.values())) == (1, 1, 1, 3)
    told = evaluator.tell(evaluator.examine(said, ids, 1.0))
    assert any('mAP50' in line and '0.505' in line for line in told)
    assert any('background 1' in line and 'missed 1' in line for line in told)


def test_ignored_objects_are_neither_hits_nor_misses():
    of = source(((64, 64), [BOX, (0.7, 0.1, 0.9, 0.3)], [0, 0], [False, True]), ((64, 64), [OTHER], [1]))
    for extra in ([], [(0.95, 0, (0.7, 0.1, 0.9, 0.3))]):
        said = detected(of, [(0.9, 0, BOX), *extra], [(0.9, 1, OTHER)])
        summary = Detection(of).summarize(said, everything(of))
        assert summary['mAP']['value'] == summary['voc_AP50']['value'] == pytest.approx(1)
        assert summary['errors']['correct'] == 2 and sum(summary['errors'].values()) == 2


@pytest.mark.parametrize('boxes', [[], [BOX]])
@pytest.mark.parametrize('says', [False, True])
def test_no_objects_or_no_detections(boxes, says):
    of = source(*[((64, 64), boxes, [0] * len(boxes))] * 3)
    said = detected(of, *[[(0.9, 1, BOX)] if says else []] * 3)
    evaluator, ids = Detection(of), everything(of)
    summary = evaluator.summarize(said, ids)
    assert summary['mAP']['value'] == (0.0 if boxes else -1.0)
    assert_in_order(summary)
    json.dumps(evaluator.watch(said, ids), allow_nan=False)
    json.dumps(evaluation.gap(summary, summary), allow_nan=False)
    assert evaluator.tell(evaluator.examine(said, ids, 1.0))


# Both.


@pytest.mark.parametrize(
    ('evaluator', 'said'),
    [
        (Localization(ONE_OR_NONE), located(ONE_OR_NONE)),
        (Detection(SCENES), detected(SCENES, *truths(SCENES))),
    ],
    ids=['localization', 'detection'],
)
def test_a_row_of_the_table_the_records_and_no_temperature(evaluator, said):
    ids = everything(evaluator.source)
    summary = evaluator.summarize(said, ids)
    splits = dict.fromkeys(('train', 'validation', 'test'), summary)
    columns = evaluator.columns({'splits': splits, 'gap': evaluation.gap(summary, summary)})
    assert all(isinstance(cell, str) for cell in columns.values())
    assert any(cell.startswith('100.0 [') for cell in columns.values())
    records = evaluator.records({'validation': said, 'test': said}, Splits(ids, ids, ids))
    assert all(isinstance(array, np.ndarray) and array.dtype != object for array in records.values())
    assert len(records['test_ids']) == len(ids)
    np.testing.assert_array_equal(records['test_images'], evaluator.source.images[ids[records['test_shown']]])
    with pytest.raises(UserError, match='--temperature is 2.0'):
        evaluator.examine(said, ids, 2.0)


def test_the_first_and_the_worst_images_are_shown():
    badness = np.zeros(200)
    badness[[3, 50, 199]] = [1, 2, 3]
    assert shown(badness).tolist() == [*range(FIRST), 50, 199]
    badness[100:180] = np.arange(80) + 4
    assert shown(badness).tolist() == [*range(FIRST), *range(180 - WORST, 180)]
    assert shown(np.array([0, 1])).tolist() == [0, 1]
    assert shown(np.zeros(0)).tolist() == []

"""Error kinds, one of each by hand, and what holds of all."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision import metrics
from jaxvision.metrics import KINDS, Detections, GroundTruth

FIXED = settings(max_examples=100, deadline=None, derandomize=True)
# In pixels of 100 x 100: objects far from each other.
BOXES = {name: [y, x, y + 20, x + 20] for name, y, x in (('a', 0, 0), ('b', 0, 50), ('c', 50, 0), ('d', 50, 50))}


def shifted(name: str, by: float) -> list[float]:
    """IoU (20 - by) / (20 + by) with the object."""
    y0, x0, y1, x1 = BOXES[name]
    return [y0, x0 + by, y1, x1 + by]


def scene(objects, boxes):
    """One image; objects of (box, class, ignored), boxes of (box, class, score)."""
    truth = GroundTruth(
        boxes=np.array([[box for box, _, _ in objects]], float).reshape(1, -1, 4) / 100,
        classes=np.array([[label for _, label, _ in objects]], int),
        valid=np.ones((1, len(objects)), bool),
        ignored=np.array([[aside for _, _, aside in objects]], bool),
        areas=np.zeros((1, len(objects))),
        sizes=np.array([[100, 100]]),
    )
    detections = Detections(
        boxes=np.array([[box for box, _, _ in boxes]], float).reshape(1, -1, 4) / 100,
        scores=np.array([[score for _, _, score in boxes]], float),
        classes=np.array([[label for _, label, _ in boxes]], int),
        valid=np.ones((1, len(boxes)), bool),
    )
    return detections, truth


def names(errors) -> list[str]:
    return [KINDS[code] for code in errors.kinds[0]]


def test_one_of_each():
    objects = [(BOXES['a'], 0, False), (BOXES['b'], 0, False), (BOXES['c'], 1, False), (BOXES['d'], 1, True)]
    boxes = [
        (shifted('a', 2), 0, 0.9),
        (shifted('a', 4), 0, 0.8),
        (shifted('b', 2), 1, 0.7),
        (shifted('c', 10), 1, 0.7),
        ([80, 80, 99, 99], 0, 0.7),
        (shifted('c', 10), 0, 0.7),  # Neither the class nor the box.
        (BOXES['d'], 1, 0.6),
        (BOXES['b'], 0, 0.4),
    ]
    errors = metrics.error_kinds(*scene(objects, boxes))
    assert names(errors) == [
        *('correct', 'duplicate', 'wrong class', 'poor box', 'background', 'background'),
        *('not judged', 'not judged'),
    ]
    # The objects b and c have their error already, d is ignored.
    assert not errors.missed.any()
    assert errors.counts == {
        **{'correct': 1, 'duplicate': 1, 'wrong class': 1, 'poor box': 1, 'background': 2, 'missed': 0}
    }


def test_missed_is_what_nothing_is_about():
    objects = [(BOXES['a'], 0, False), (BOXES['b'], 0, False)]
    errors = metrics.error_kinds(*scene(objects, [(shifted('a', 18), 0, 0.9)]))
    assert names(errors) == ['background']  # IoU 2 / 38.
    assert errors.missed.tolist() == [[True, True]] and errors.counts['missed'] == 2


def test_the_overlap_decides_between_class_and_box():
    # The box lies well on an object of class 1 and badly on one of its own class: it is that object, misnamed.
    objects = [(BOXES['a'], 1, False), (shifted('a', 12), 0, False)]
    errors = metrics.error_kinds(*scene(objects, [(BOXES['a'], 0, 0.9)]))
    assert names(errors) == ['wrong class'] and errors.missed.tolist() == [[False, True]]


def test_the_better_score_is_the_hit():
    boxes = [(shifted('a', 5), 0, 0.9), (BOXES['a'], 0, 0.8)]
    for order in (boxes, boxes[::-1]):
        errors = metrics.error_kinds(*scene([(BOXES['a'], 0, False)], order))
        assert sorted(zip([score for _, _, score in order], names(errors), strict=True)) == [
            *((0.8, 'duplicate'), (0.9, 'correct'))
        ]


def test_without_objects_all_is_background_and_without_boxes_all_is_missed():
    assert names(metrics.error_kinds(*scene([], [(BOXES['a'], 0, 0.9)]))) == ['background']
    errors = metrics.error_kinds(*scene([(BOXES['a'], 0, False)], []))
    assert errors.missed.tolist() == [[True]] and errors.kinds.shape == (1, 0)
    assert errors.counts == dict.fromkeys(KINDS[1:], 0) | {'missed': 1}


@given(st.integers(0, 10**6))
@FIXED
def test_every_box_and_object_counts_once(seed):
    draw = np.random.default_rng(seed)
    n, k, slots = 3, 6, 4

    def boxes(count):
        low = draw.integers(0, 3, (n, count, 2))
        return np.concatenate([low, low + draw.integers(0, 4, (n, count, 2))], axis=-1) / 8

    valid = draw.random((n, slots)) < 0.7
    truth = GroundTruth(
        boxes(slots),
        draw.integers(0, 2, (n, slots)),
        valid,
        valid & (draw.random((n, slots)) < 0.2),
        np.zeros((n, slots)),
        np.full((n, 2), 80),
    )
    detections = Detections(boxes(k), draw.random((n, k)), draw.integers(0, 2, (n, k)), draw.random((n, k)) < 0.8)
    errors = metrics.error_kinds(detections, truth)
    shown = detections.valid & (detections.scores >= 0.5)
    table = metrics.matches(detections._replace(valid=shown), truth, 2, [0.5])
    assert errors.counts['correct'] == sum(found.hits.sum() for found in table)
    np.testing.assert_array_equal(errors.kinds[~shown], 0)
    wrong = sum(count for kind, count in errors.counts.items() if kind != 'correct')
    assert errors.by_image.shape == (n,) and errors.by_image.sum() == wrong
    assert (errors.kinds == 0).sum() == (~shown).sum() + sum(found.ignored.sum() for found in table)
    counted = truth.valid & ~truth.ignored
    assert not errors.missed[~counted].any()
    assert sum(errors.counts[name] for name in KINDS[1:]) == (errors.kinds > 0).sum()
    # Each object was found, or is missed, or an error stands for it.
    left = counted.sum() - errors.counts['correct'] - errors.counts['missed']
    assert 0 <= left <= errors.counts['wrong class'] + errors.counts['poor box']

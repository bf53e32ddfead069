"""Average precision against pycocotools, against slow and obvious loops, and by hand."""

import contextlib
import io
import tracemalloc

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxvision import metrics, rng
from jaxvision.metrics import Detections, GroundTruth, Matches

CLASSES = 3


def random_case(seed: int, images: int = 3, k: int = 8, slots: int = 4) -> tuple[Detections, GroundTruth]:
    """Whole pixels and few score levels, so that ties and thresholds that are met exactly are common."""
    draw = np.random.default_rng(seed)
    sizes = draw.choice([32, 100, 256, 1000], (images, 2))

    def boxes(count):
        corners = draw.integers(0, 9, (images, count, 2))
        extents = draw.integers(-1 if seed % 5 == 0 else 0, 9, (images, count, 2))  # Inverted, flat and sound ones.
        return np.concatenate([corners, corners + extents], axis=-1)

    valid = np.arange(slots) < draw.integers(0, slots + 1, images)[:, None]
    truth_boxes = boxes(slots) * valid[..., None]
    near = truth_boxes[np.arange(images)[:, None], draw.integers(0, slots, (images, k))] + draw.integers(
        -1, 2, (images, k, 4)
    )
    found = np.where(draw.random((images, k, 1)) < 0.7, near, boxes(k))
    # The last class has objects in every other case only.
    labels = draw.integers(0, CLASSES - seed % 2, (images, slots)) * valid
    levels = 3 if seed % 3 == 0 else 1000
    detections = Detections(
        boxes=(found / 16).astype(np.float32),
        scores=(draw.integers(1, levels + 1, (images, k)) / (levels + 1)).astype(np.float32),
        classes=draw.integers(0, CLASSES, (images, k)),
        valid=draw.random((images, k)) < draw.choice([0.0, 0.5, 1.0]),
    )
    ignored = valid & (draw.random((images, slots)) < draw.choice([0.0, 0.3]))
    # Areas of outlines, on and about COCO's bounds of small and large; of some objects none is known.
    areas = draw.choice([0, 0, 1, 1023.5, 1024, 5000, 9216, 9217], (images, slots))
    return detections, GroundTruth((truth_boxes / 16).astype(np.float32), labels, valid, ignored, areas, sizes)


def pycocotools(detections: Detections, truth: GroundTruth, num_classes: int) -> COCOeval:
    """pycocotools after accumulation, fed box after box."""
    annotations, found = [], []
    for image, (height, width) in enumerate(truth.sizes.tolist()):

        def bbox(box, height=height, width=width):
            y0, x0, y1, x1 = (float(v) * side for v, side in zip(box, (height, width, height, width), strict=True))
            return [x0, y0, max(x1 - x0, 0.0), max(y1 - y0, 0.0)]

        for slot in range(truth.classes.shape[1]):
            if truth.valid[image, slot]:
                box = bbox(truth.boxes[image, slot])
                label, crowd = int(truth.classes[image, slot]), int(truth.ignored[image, slot])
                area = float(truth.areas[image, slot]) or box[2] * box[3]
                record = {'image_id': image, 'category_id': label, 'bbox': box, 'area': area}
                annotations.append({**record, 'id': len(annotations) + 1, 'iscrowd': crowd})
        for place in range(detections.classes.shape[1]):
            if detections.valid[image, place]:
                box, score = bbox(detections.boxes[image, place]), float(detections.scores[image, place])
                label = int(detections.classes[image, place])
                found.append({'image_id': image, 'category_id': label, 'bbox': box, 'score': score})
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            'info': {},
            'images': [{'id': image} for image in range(len(truth.sizes))],
            'categories': [{'id': label} for label in range(num_classes)],
            'annotations': annotations,
        }
        known.createIndex()
        if found:
            results = known.loadRes(found)
        else:  # loadRes fails on an empty list.
            results = COCO()
            results.dataset = {**known.dataset, 'annotations': []}
            results.createIndex()
        run = COCOeval(known, results, 'bbox')
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


def assert_equal_to_pycocotools(detections, truth, num_classes):
    got = metrics.coco(detections, truth, num_classes)
    run = pycocotools(detections, truth, num_classes)
    expected = np.where(run.stats < 0, np.nan, run.stats)
    np.testing.assert_allclose([got[name] for name in metrics.COCO_FIGURES], expected, atol=1e-6)
    # Our own table says the same, of each class and at each threshold.
    own = metrics.coco_average_precision(metrics.matches(detections, truth, num_classes))
    precision = run.eval['precision'][..., 0, -1].mean(axis=1).T
    precision = np.where(precision < 0, np.nan, precision)
    np.testing.assert_allclose(own, precision, atol=1e-6)
    np.testing.assert_allclose(got['per_class']['AP'], precision.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(got['per_class']['AP50'], precision[:, 0], atol=1e-6)
    for name, value in metrics.coco_means(own).items():
        np.testing.assert_allclose(value, got[name], atol=1e-6)
    return expected


def test_coco_is_pycocotools_on_a_thousand_random_cases(capfd):
    figures = np.array([assert_equal_to_pycocotools(*random_case(seed), CLASSES) for seed in range(1000)])
    assert capfd.readouterr() == ('', '')
    # The cases are worth their time: all figures are defined in most, undefined in some, neither 0 nor 1 in many.
    defined = ~np.isnan(figures)
    assert (defined.any(axis=0) & ~defined.all(axis=0)).all()
    assert ((figures > 0) & (figures < 1)).sum(axis=0).min() > 30


def test_only_the_best_hundred_of_an_image_and_class_count():
    draw = np.random.default_rng(0)
    detections, truth = random_case(1, images=2, k=320, slots=12)
    # The worst scores lie on the objects: without the limit they would raise the precision's tail.
    boxes = np.concatenate([detections.boxes[:, :308], truth.boxes], axis=1)
    scores = np.sort(draw.random((2, 320)), axis=1)[:, ::-1].astype(np.float32)
    classes = np.concatenate([np.zeros((2, 308), int), truth.classes], axis=1)
    detections = Detections(boxes, scores, classes, np.ones((2, 320), bool))
    assert_equal_to_pycocotools(detections, truth, CLASSES)
    limited, all_of_them = (metrics.matches(detections, truth, 1 + CLASSES, max_detections=m)[0] for m in (100, None))
    assert len(limited.scores) == 200 and len(all_of_them.scores) == 2 * 308 + (truth.classes == 0).sum()


def test_coco_holds_the_records_of_one_class_at_a_time():
    detections, truth = random_case(0, images=50, k=100, slots=5)
    detections = detections._replace(valid=np.ones_like(detections.valid))

    def peak(classes: np.ndarray) -> int:
        metrics.coco(detections._replace(classes=classes), truth, 10)
        tracemalloc.start()
        metrics.coco(detections._replace(classes=classes), truth, 10)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(np.arange(5000).reshape(50, 100) % 10) < 0.5 * peak(np.zeros((50, 100), int))


def padded(boxes, classes, ignored=None) -> GroundTruth:
    """Ground truth from lists: a list an image, of boxes in pixels of 100 x 100."""
    boxes = np.asarray(boxes, np.float64) / 100
    ignored = np.zeros(boxes.shape[:2], bool) if ignored is None else np.asarray(ignored)
    sizes = np.full((len(boxes), 2), 100)
    return GroundTruth(boxes, np.asarray(classes), np.ones(ignored.shape, bool), ignored, 0 * ignored, sizes)


def found(boxes, scores, classes) -> Detections:
    boxes = np.asarray(boxes, np.float64) / 100
    return Detections(boxes, np.asarray(scores, np.float64), np.asarray(classes), np.ones(boxes.shape[:2], bool))


LEFT, RIGHT, NOWHERE = [10, 10, 30, 30], [10, 60, 30, 80], [70, 70, 90, 90]


def test_by_hand():
    # One image, two objects; hit, miss, hit: precision 1 up to recall 1/2, then 2/3.
    truth = padded([[LEFT, RIGHT]], [[0, 0]])
    detections = found([[LEFT, NOWHERE, RIGHT]], [[0.9, 0.8, 0.7]], [[0, 0, 0]])
    coco = metrics.coco(detections, truth, 2)
    assert coco['mAP50'] == pytest.approx((51 + 50 * 2 / 3) / 101)  # 51 of the 101 recalls are at most 1/2.
    np.testing.assert_allclose(coco['per_class']['AP50'], [coco['mAP50'], np.nan])
    assert coco['AR1'] == 0.5 and coco['AR100'] == 1
    assert coco['mAP_small'] == coco['mAP'] and np.isnan(coco['mAP_large'])  # 20 x 20 pixels.
    area = metrics.voc_average_precision(detections, truth, 2)
    np.testing.assert_allclose(area, [1 / 2 + 1 / 2 * 2 / 3, np.nan])
    eleven = metrics.voc_average_precision(detections, truth, 2, kind='11_point')
    np.testing.assert_allclose(eleven, [(6 + 5 * 2 / 3) / 11, np.nan])
    curve = metrics.precision_recall(metrics.matches(detections, truth, 2)[0])
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 2, 1 / 2, 1])
    np.testing.assert_allclose(curve.scores, [0.9, 0.8, 0.7])


def test_what_is_ignored_is_neither_a_hit_nor_a_miss():
    truth = padded([[LEFT, RIGHT]], [[0, 0]], ignored=[[False, True]])
    detections = found([[RIGHT, RIGHT, LEFT]], [[0.9, 0.8, 0.7]], [[0, 0, 0]])
    table = metrics.matches(detections, truth, 1)
    assert table[0].ignored[:, :2].all() and table[0].hits[:, 2].all() and table[0].truths.tolist() == [1]
    assert metrics.coco(detections, truth, 1)['mAP'] == pytest.approx(1)
    for kind in ('area', '11_point'):
        assert metrics.voc_average_precision(detections, truth, 1, kind=kind) == pytest.approx([1])
    assert len(metrics.precision_recall(table[0]).scores) == 1


def test_coco_takes_the_next_object_where_voc_sees_a_duplicate():
    # Both boxes overlap the first object most; the second object is free, and overlaps the second box by 0.6.
    truth = padded([[[0, 0, 10, 10], [0, 4, 10, 14]]], [[0, 0]])
    detections = found([[[0, 0, 10, 10], [0, 1.5, 10, 11.5]]], [[0.9, 0.8]], [[0, 0]])
    for rule, expected in (('coco', [True, True]), ('voc', [True, False])):
        assert metrics.matches(detections, truth, 1, [0.5], rule=rule)[0].hits[0].tolist() == expected


@pytest.mark.parametrize(('images', 'k', 'slots'), [(0, 4, 2), (2, 0, 2), (2, 4, 0)])
def test_nothing_there(images, k, slots):
    detections, truth = random_case(7, images=max(images, 1), k=max(k, 1), slots=max(slots, 1))
    detections = Detections(*(a[:images, :k] for a in detections))
    truth = GroundTruth(*(a[:images, :slots] for a in truth[:-1]), truth.sizes[:images])
    got = metrics.coco(detections, truth, CLASSES)
    table = metrics.matches(detections, truth, CLASSES)
    means = metrics.coco_means(metrics.coco_average_precision(table))
    intervals = metrics.bootstrap(table, np.random.default_rng(0), 10)
    voc = metrics.voc_average_precision(detections, truth, CLASSES)
    if k == 0 and truth.valid.any():
        assert (got['mAP'], means['mAP'], intervals['mAP'], np.nanmax(voc)) == (0, 0, [0, 0], 0)
    else:
        assert np.isnan([got['mAP'], means['mAP'], *intervals['mAP'], *voc]).all()


def slow_voc(detections, truth, label, iou, kind):
    """The devkit's rules, one detection after the other."""
    entries = []
    for image in range(len(detections.scores)):
        for place in range(detections.scores.shape[1]):
            if detections.valid[image, place] and detections.classes[image, place] == label:
                entries.append((-float(detections.scores[image, place]), image, place))
    total, seen = 0, set()
    for image in range(len(truth.valid)):
        for slot in range(truth.valid.shape[1]):
            if truth.valid[image, slot] and truth.classes[image, slot] == label and not truth.ignored[image, slot]:
                total += 1
    if not total:
        return np.nan
    hits = misses = 0
    points = []
    for _, image, place in sorted(entries):
        scale = [float(v) for v in truth.sizes[image]] * 2
        y0, x0, y1, x1 = (float(v) * s for v, s in zip(detections.boxes[image, place], scale, strict=True))
        best, chosen = -1.0, None
        for slot in range(truth.valid.shape[1]):
            if not truth.valid[image, slot] or truth.classes[image, slot] != label:
                continue
            v0, u0, v1, u1 = (float(v) * s for v, s in zip(truth.boxes[image, slot], scale, strict=True))
            height, width = min(y1, v1) - max(y0, v0), min(x1, u1) - max(x0, u0)
            if min(height, width, y1 - y0, x1 - x0, v1 - v0, u1 - u0) <= 0:
                share = 0.0
            else:
                share = height * width / ((y1 - y0) * (x1 - x0) + (v1 - v0) * (u1 - u0) - height * width)
            if share > best:
                best, chosen = share, slot
        if best >= iou:
            if truth.ignored[image, chosen]:
                continue
            if (image, chosen) in seen:
                misses += 1
            else:
                seen.add((image, chosen))
                hits += 1
        else:
            misses += 1
        points.append((hits, hits / (hits + misses)))
    if kind == '11_point':
        # Recall hits / total of at least tenths / 10, in whole numbers.
        best = [max([p for h, p in points if 10 * h >= tenths * total], default=0.0) for tenths in range(11)]
        return sum(best) / 11
    area, before = 0.0, 0
    for place, (reached, _) in enumerate(points):
        area += (reached - before) / total * max(p for _, p in points[place:])
        before = reached
    return area


@pytest.mark.parametrize('kind', ['area', '11_point'])
def test_voc_is_the_devkits_rules(kind):
    values = []
    for seed in range(150):
        detections, truth = random_case(seed, images=4, k=10)
        iou = (0.5, 0.3)[seed % 2]
        got = metrics.voc_average_precision(detections, truth, CLASSES, iou=iou, kind=kind)
        expected = [slow_voc(detections, truth, label, iou, kind) for label in range(CLASSES)]
        np.testing.assert_allclose(got, expected, rtol=1e-12)
        values += expected
    assert np.mean((np.array(values) > 0) & (np.array(values) < 1)) > 0.2


def test_recall_of_three_tenths_is_reached_by_three_of_ten():
    # In floating point 3 / 10 < 3 * 0.1, and 7 / 10 < 7 * 0.1.
    for hits in range(11):
        table_of_ten = padded([[LEFT]] * 10, [[0]] * 10)
        detections = found(
            [[LEFT if image < hits else NOWHERE] for image in range(10)], np.linspace(0.9, 0.1, 10)[:, None], [[0]] * 10
        )
        got = metrics.voc_average_precision(detections, table_of_ten, 1, kind='11_point')
        np.testing.assert_allclose(got, (hits + 1) / 11 if hits else 0)


def test_weights_are_images_that_come_again():
    draw = np.random.default_rng(3)
    for seed in range(40):
        detections, truth = random_case(seed, images=6)
        # Without ties: among equal scores the order of an image's two copies is not that of its boxes.
        scores = draw.permutation(detections.scores.size).reshape(detections.scores.shape) / detections.scores.size
        detections = detections._replace(scores=scores.astype(np.float32))
        weights = np.bincount(draw.integers(0, 6, 6), minlength=6)
        rows = np.repeat(np.arange(6), weights)
        again = Detections(*(a[rows] for a in detections)), GroundTruth(*(a[rows] for a in truth))
        got = metrics.coco_average_precision(
            metrics.matches(detections, truth, CLASSES), np.stack([weights, 2 * weights])
        )
        expected = metrics.coco_average_precision(metrics.matches(*again, CLASSES))
        np.testing.assert_allclose(got[0], expected, rtol=1e-12)
        np.testing.assert_allclose(got[1], expected, rtol=1e-12)
        # The library itself agrees.
        figures, means = metrics.coco(*again, CLASSES), metrics.coco_means(got[0])
        np.testing.assert_allclose([means[name] for name in means], [figures[name] for name in means], atol=1e-6)


def coin_table(draw, images: int, chance: float) -> list[Matches]:
    """An object an image, always with one detection of the same score order: a hit by chance, at every threshold."""
    hits = np.tile(draw.random(images) < chance, (10, 1))
    scores = np.linspace(1, 0, images)
    return [Matches(scores, np.arange(images), hits, np.zeros_like(hits), np.ones(images, int))]


def test_bootstrap_is_the_percentiles_of_slow_resamples():
    table = coin_table(np.random.default_rng(0), 30, 0.7)
    got = metrics.bootstrap(table, rng.generator(0, 'bootstrap', 30), 200)
    assert got == metrics.bootstrap(table, rng.generator(0, 'bootstrap', 30), 200)
    draw, values = rng.generator(0, 'bootstrap', 30), []
    for _ in range(200):
        weights = np.zeros((1, 30), int)
        for image in draw.integers(0, 30, 30):
            weights[0, image] += 1
        values.append(metrics.coco_average_precision(table, weights)[0, 0, 0])
    for name in ('mAP', 'mAP50', 'mAP75'):
        np.testing.assert_allclose(got[name], np.percentile(values, [2.5, 97.5]), rtol=1e-12)


def test_bootstrap_covers():
    # An easy case: where scores say nothing the figure has little bias. (With many images it is the population's.)
    draw = np.random.default_rng(1)
    goal = metrics.coco_means(metrics.coco_average_precision(coin_table(draw, 10_000, 0.7)))['mAP']
    covered, widths = 0, []
    for trial in range(100):
        low, high = metrics.bootstrap(coin_table(draw, 100, 0.7), np.random.default_rng(trial), 200)['mAP']
        covered += low <= goal <= high
        widths.append(high - low)
    assert covered >= 85
    assert max(widths) < 0.4


def test_bad_input_is_an_error():
    detections, truth = random_case(1)
    detections = detections._replace(valid=np.ones_like(detections.valid))
    with pytest.raises(ValueError, match='detections of 3 images, but the truth of 2'):
        metrics.coco(detections, GroundTruth(*(a[:2] for a in truth)), CLASSES)
    with pytest.raises(ValueError, match=r'detections: a class that is not in 0 \.\.\. 0'):
        metrics.matches(detections, truth, 1)
    with pytest.raises(ValueError, match='score that is not finite'):
        metrics.matches(detections._replace(scores=np.full_like(detections.scores, np.nan)), truth, CLASSES)
    with pytest.raises(ValueError, match='detections: a box that is not finite'):
        metrics.coco(detections._replace(boxes=np.full_like(detections.boxes, np.inf)), truth, CLASSES)
    with pytest.raises(ValueError, match="'area' or '11_point'"):
        metrics.voc_average_precision(detections, truth, CLASSES, kind='12_point')
    with pytest.raises(ValueError, match="'coco' or 'voc'"):
        metrics.matches(detections, truth, CLASSES, rule='lvis')

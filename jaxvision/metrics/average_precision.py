"""Average precision: how well a detector ranks its boxes, by the rules of COCO and of Pascal VOC.

The COCO figures come from faster-coco-eval (`coco`). Ours is what it lacks: VOC's two definitions, the table of hits
and misses behind the curves (`matches`), and intervals by a bootstrap over images, of the very figure that the library
reports.

Boxes are [ymin, xmin, ymax, xmax] as shares in [0, 1] of the image's own height and width; overlaps are measured in its
pixels, in float64, in the order of operations of pycocotools, so that a tie at a threshold falls the same way.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# As pycocotools writes them: multiples of 0.05 and 0.01 are off by a rounding here and there.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100  # Of an image and class.
COCO_FIGURES = (
    *('mAP', 'mAP50', 'mAP75', 'mAP_small', 'mAP_medium', 'mAP_large'),
    *('AR1', 'AR10', 'AR100', 'AR_small', 'AR_medium', 'AR_large'),
)


class Detections(NamedTuple):
    """What a detector says of n images, each padded to k boxes.

    boxes float [n, k, 4]; scores float [n, k] in [0, 1]; classes int [n, k]; valid bool [n, k], False is padding.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    valid: np.ndarray


class GroundTruth(NamedTuple):
    """The objects of n images, each padded to a number of slots.

    boxes float [n, slots, 4]; classes int [n, slots]; valid bool [n, slots], False is padding; ignored bool [n, slots]
    (VOC's "difficult", COCO's "crowd": neither a hit nor a miss); areas float [n, slots], the objects' own in pixels,
    as of their outlines, by which COCO calls them small, medium or large: where it is 0, the box's; sizes int [n, 2],
    (height, width) in pixels.
    """

    boxes: np.ndarray
    classes: np.ndarray
    valid: np.ndarray
    ignored: np.ndarray
    areas: np.ndarray
    sizes: np.ndarray


class Matches(NamedTuple):
    """The detections of one class in all images, best first, and what became of them at each IoU threshold.

    scores float [d]; images int [d]; hits and ignored bool [thresholds, d] (a miss is neither); truths int [n], the
    objects of the class in each image, without the ignored ones.
    """

    scores: np.ndarray
    images: np.ndarray
    hits: np.ndarray
    ignored: np.ndarray
    truths: np.ndarray


class Curve(NamedTuple):
    """Precision and recall among the detections down to each score, all [d], best first."""

    recall: np.ndarray
    precision: np.ndarray
    scores: np.ndarray


class Assignment(NamedTuple):
    """Which detections found an object, and which objects were found, at each IoU threshold.

    hits and ignored bool [thresholds, n, k]; found bool [thresholds, n, slots].
    """

    hits: np.ndarray
    ignored: np.ndarray
    found: np.ndarray


def coco(detections: Detections, truth: GroundTruth, num_classes: int) -> dict:
    """The twelve COCO figures, from faster-coco-eval; ignored objects are COCO's crowds.

    Source: Lin et al., Microsoft COCO, 2014, and https://cocodataset.org/#detection-eval.

    Args:
      detections: of n images; finite where valid.
      truth: of the same images.
      num_classes: number of classes.

    Returns:
      `COCO_FIGURES`, each a float in [0, 1], or NaN where no object counts; and 'per_class':
      {'AP': float [num_classes], 'AP50': float [num_classes]}, NaN for a class without objects.

    Raises:
      ValueError: shapes that do not agree, a NaN, or a class that is not one of num_classes.
    """
    _check(detections, truth, num_classes)
    found = np.stack([_coco_class(detections, truth, label) for label in range(num_classes)])
    means = dict(zip(COCO_FIGURES, _mean_of_defined(found).tolist(), strict=True))
    of_classes = dict(zip(COCO_FIGURES, found.T, strict=True))
    return {**means, 'per_class': {'AP': of_classes['mAP'], 'AP50': of_classes['mAP50']}}


def matches(
    detections: Detections,
    truth: GroundTruth,
    num_classes: int,
    thresholds: Sequence[float] | np.ndarray = THRESHOLDS,
    *,
    rule: str = 'coco',
    max_detections: int | None = MAX_DETECTIONS,
) -> list[Matches]:
    """The table behind every curve: each class's detections, best first, with their hits and misses.

    Among equal scores the earlier image comes first, then the earlier slot.

    Args:
      detections, truth, num_classes: as in `coco`.
      thresholds: the IoUs from which a box is a hit.
      rule: 'coco' or 'voc', see `assign`.
      max_detections: how many of an image and class count, the best ones; None for all.

    Returns:
      One `Matches` a class.

    Raises:
      ValueError: as in `coco`.
    """
    _check(detections, truth, num_classes)
    assigned = assign(detections, truth, thresholds, rule=rule)
    table = []
    for label in range(num_classes):
        own = detections.valid & (detections.classes == label)
        if max_detections is not None and detections.scores.shape[1] > max_detections:
            best = np.argsort(np.where(own, -detections.scores, np.inf), axis=1, kind='stable')[:, :max_detections]
            listed = np.zeros_like(own)
            np.put_along_axis(listed, best, True, axis=1)
            own = own & listed
        images, slots = np.nonzero(own)
        best = np.argsort(-detections.scores[images, slots], kind='stable')
        images, slots = images[best], slots[best]
        table.append(
            Matches(
                scores=detections.scores[images, slots],
                images=images,
                hits=assigned.hits[:, images, slots],
                ignored=assigned.ignored[:, images, slots],
                truths=np.sum(truth.valid & ~truth.ignored & (truth.classes == label), axis=1),
            )
        )
    return table


def precision_recall(found: Matches, at: int = 0) -> Curve:
    """The precision-recall curve of one class, uninterpolated; ignored detections are left out.

    Args:
      found: one entry of `matches`.
      at: the position of the IoU threshold; 0 is 0.5 in a table of `THRESHOLDS`.

    Returns:
      A curve; its recall is NaN for a class without objects.
    """
    counted = ~found.ignored[at]
    hits = np.cumsum(found.hits[at][counted])
    total = found.truths.sum()
    recall = hits / total if total else np.full(len(hits), np.nan)
    return Curve(recall, hits / np.arange(1, len(hits) + 1), found.scores[counted])


def voc_average_precision(
    detections: Detections, truth: GroundTruth, num_classes: int, *, iou: float = 0.5, kind: str = 'area'
) -> np.ndarray:
    """Pascal VOC's average precision of each class.

    Source: Everingham et al., The Pascal Visual Object Classes Challenge: A Retrospective, 2015, and its devkit. 'area'
    (since 2010) is the area under the precision made monotone, '11_point' (2007) its mean at recalls 0, 0.1, ..., 1.

    Args:
      detections, truth, num_classes: as in `coco`.
      iou: the overlap from which a box is a hit.
      kind: 'area' or '11_point'.

    Returns:
      float [num_classes], NaN for a class without objects.

    Raises:
      ValueError: as in `coco`, or another kind.
    """
    if kind not in ('area', '11_point'):
        raise ValueError(f"unknown kind {kind!r} of VOC average precision; it is 'area' or '11_point'")
    result = np.full(num_classes, np.nan)
    for label, found in enumerate(matches(detections, truth, num_classes, [iou], rule='voc', max_detections=None)):
        total = found.truths.sum()
        if total:
            hit = found.hits[0][~found.ignored[0]]
            highest = _envelope(precision_recall(found).precision)
            if kind == 'area':
                result[label] = highest[hit].sum() / total  # Recall rises by 1 / total at each hit, and nowhere else.
            else:
                # In whole numbers: 3 / 10 < 0.1 * 3 in floating point.
                first = np.searchsorted(10 * np.cumsum(hit), np.arange(11) * total)
                result[label] = np.append(highest, 0.0)[first].mean()
    return result


def coco_average_precision(table: list[Matches], weights: np.ndarray | None = None) -> np.ndarray:
    """COCO's average precision from the table: the mean of the precision, made monotone, at 101 recalls.

    Args:
      table: from `matches`.
      weights: int [resamples, n], how often each image counts; None for once each.

    Returns:
      float [num_classes, thresholds], or [resamples, num_classes, thresholds]; NaN for a class without objects.
    """
    if weights is None:
        return coco_average_precision(table, np.ones((1, len(table[0].truths)), np.int64))[0]
    result = np.zeros((len(weights), len(table), len(table[0].hits)))
    for label, found in enumerate(table):
        total = weights @ found.truths
        seen = np.cumsum(weights[:, found.images], axis=1)
        for at, (hit, ignored) in enumerate(zip(found.hits, found.ignored, strict=True)):
            # Precision rises at hits alone, so they are all that its envelope needs.
            places, aside = np.flatnonzero(hit), np.flatnonzero(ignored)
            hits = np.cumsum(weights[:, found.images[places]], axis=1)
            counted = seen[:, places]
            if len(aside):
                left_out = np.cumsum(weights[:, found.images[aside]], axis=1)
                counted = counted - np.pad(left_out, ((0, 0), (1, 0)))[:, np.searchsorted(aside, places)]
            precision = _envelope(hits / np.maximum(counted, 1))
            reached = np.searchsorted(RECALLS, hits / np.maximum(total, 1)[:, None], side='right')
            # Each hit stands for the recalls that it is the first to reach; recall 0 is reached from the start.
            result[:, label, at] = np.sum(np.diff(reached, axis=1, prepend=0) * precision, axis=1) / len(RECALLS)
        result[total == 0, label] = np.nan
    return result


def coco_means(precision: np.ndarray) -> dict[str, np.ndarray]:
    """mAP, mAP50 and mAP75 from average precisions [..., num_classes, thresholds] at `THRESHOLDS`.

    Returns:
      {'mAP', 'mAP50', 'mAP75'}, each [...]: means over the classes that have objects, NaN where none has.
    """
    means = _mean_of_defined(precision)
    return {'mAP': means.mean(axis=-1), 'mAP50': means[..., 0], 'mAP75': means[..., 5]}


def bootstrap(table: list[Matches], draw: np.random.Generator, resamples: int = 1000) -> dict[str, list[float]]:
    """95% percentile intervals of mAP, mAP50 and mAP75, by drawing the images anew with replacement.

    Take them as rough, and as lying too high: average precision is biased upwards in small samples, and its resamples
    once more. On made-up detections of 5 classes (80 trials, 200 resamples) they held the population's mAP of 0.73 in
    65% of trials of 150 images and 60% of 600, always missing it from above; reflected at the value v, [2v - high,
    2v - low], in 85% and 89%.

    Args:
      table: from `matches` at `THRESHOLDS` by the COCO rule.
      draw: from `rng.generator`.
      resamples: how many.

    Returns:
      {'mAP': [low, high], 'mAP50': ..., 'mAP75': ...}; NaN where no object counts.
    """
    n = len(table[0].truths)
    detections = max(len(found.scores) for found in table)
    chunk = max(1, min(resamples, 500_000 // max(n, detections, 1)))  # Bounds the memory, not the result.
    precision = []
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        rows = np.repeat(np.arange(count), n) * n + draw.integers(0, max(n, 1), count * n)
        precision.append(coco_average_precision(table, np.bincount(rows, minlength=count * n).reshape(count, n)))
    figures = coco_means(np.concatenate(precision))
    return {name: _percentiles(values[~np.isnan(values)]) for name, values in figures.items()}


def assign(
    detections: Detections, truth: GroundTruth, thresholds: Sequence[float] | np.ndarray, *, rule: str = 'coco'
) -> Assignment:
    """Which detections are hits: greedily, the best score first, each object found at most once.

    'coco': a detection takes the object of its class, of those not yet found, that it overlaps most (the last of equal
    ones); failing that, it is ignored if a large enough share of *its own* area lies in an ignored object.
    'voc': a detection stands for the object of its class, found or not, that it overlaps most (the first of equals): a
    miss if that one is found already, ignored if that one is.

    Args:
      detections, truth: of n images.
      thresholds: the IoUs from which a box is a hit.
      rule: 'coco' or 'voc'.

    Raises:
      ValueError: another rule.
    """
    if rule not in ('coco', 'voc'):
        raise ValueError(f"unknown rule {rule!r} of assignment; it is 'coco' or 'voc'")
    step = _coco_step if rule == 'coco' else _voc_step
    (n, k), slots = detections.scores.shape, truth.classes.shape[1]
    bars = np.minimum(thresholds, 1 - 1e-10)[:, None]  # [thresholds, 1]; the IoU of equal boxes may be rounded down.
    hits, ignored, found = (np.zeros((len(bars), n, size), bool) for size in (k, k, slots))
    order = np.argsort(np.where(detections.valid, -detections.scores, np.inf), axis=1, kind='stable')
    at_once = max(1, 250_000 // max(k * slots, 1))  # Images; it bounds the memory that their overlaps take.
    for start in range(0, n, at_once):
        chunk = slice(start, start + at_once)
        overlaps = _candidates(_take(detections, chunk), _take(truth, chunk), by_share=rule == 'coco')
        # Most detections of a low score lie on nothing, and need no step.
        near = overlaps.max(axis=2, initial=-1.0) >= bars.min()
        for place in order[chunk].T:  # [images]: the best detection of every image at once, then the second, ...
            rows = np.flatnonzero(near[np.arange(len(place)), place])
            if not len(rows):
                continue
            columns, images = place[rows], start + rows
            hit, aside, best = step(overlaps[rows, columns], truth.ignored[images], found[:, images], bars)
            hits[:, images, columns] = hit
            ignored[:, images, columns] = aside
            at, which = np.nonzero(hit)
            found[at, images[which], best[at, which]] = True
    return Assignment(hits, ignored, found)


def overlap(a: np.ndarray, b: np.ndarray, of_a: np.ndarray | bool = False) -> np.ndarray:
    """IoU in float64; 0 for boxes without area, also inverted ones.

    Args:
      a, b: [..., 4] of `extents`; they broadcast.
      of_a: bool [...], where the intersection is divided by the area of `a` alone (COCO's rule for crowds).

    Returns:
      float64 [...].
    """
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    area_a, area_b = np.prod(a[..., 2:], axis=-1), np.prod(b[..., 2:], axis=-1)
    whole = np.where(of_a, area_a, area_a + area_b - both)
    return np.divide(both, whole, out=np.zeros_like(both), where=both > 0)


def extents(boxes: np.ndarray) -> np.ndarray:
    """Boxes [..., 4], [ymin, xmin, ymax, xmax], as float64 [y, x, height, width]; inverted ones have no extent."""
    boxes = np.asarray(boxes, np.float64)
    return np.concatenate([boxes[..., :2], np.maximum(boxes[..., 2:] - boxes[..., :2], 0)], axis=-1)


def in_pixels(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The `extents`, in pixels, of boxes [n, k, 4] that are shares of images of `sizes` [n, 2]."""
    return extents(np.asarray(boxes, np.float64) * np.tile(sizes, 2)[:, None])


def _coco_step(overlaps: np.ndarray, ignored: np.ndarray, found: np.ndarray, bars: np.ndarray) -> tuple:
    """One detection in each of m images: [m, slots] x 2, [t, m, slots], [t, 1] -> hit, ignored, best, each [t, m]."""
    free = np.where(found | ignored, -1.0, overlaps)
    best = free.shape[-1] - 1 - np.argmax(free[..., ::-1], axis=-1)
    hit = free.max(axis=-1) >= bars
    return hit, ~hit & (np.where(ignored, overlaps, -1.0).max(axis=-1) >= bars), best


def _voc_step(overlaps: np.ndarray, ignored: np.ndarray, found: np.ndarray, bars: np.ndarray) -> tuple:
    """As `_coco_step`."""
    rows, best = np.arange(len(overlaps)), np.argmax(overlaps, axis=-1)
    near, aside = overlaps[rows, best] >= bars, ignored[rows, best]
    return near & ~aside & ~found[:, rows, best], near & aside, np.broadcast_to(best, near.shape)


def _candidates(detections: Detections, truth: GroundTruth, by_share: bool) -> np.ndarray:
    """Overlaps [n, k, slots]; -1 where the classes differ or one side is padding."""
    boxes, objects = (in_pixels(side.boxes, truth.sizes) for side in (detections, truth))
    overlaps = overlap(boxes[:, :, None], objects[:, None], by_share & truth.ignored[:, None])
    valid = detections.valid[:, :, None] & truth.valid[:, None]
    return np.where(valid & (detections.classes[:, :, None] == truth.classes[:, None]), overlaps, -1.0)


def _take(padded, images):
    return type(padded)(*(values[images] for values in padded))


def _envelope(precision: np.ndarray) -> np.ndarray:
    """The highest precision from each place on, along the last axis."""
    return np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]


def _mean_of_defined(precision: np.ndarray) -> np.ndarray:
    """Mean over the second last axis of what is not NaN: NaN, without a warning, where all is."""
    defined = ~np.isnan(precision)
    count = defined.sum(axis=-2)
    return np.where(count > 0, np.where(defined, precision, 0.0).sum(axis=-2) / np.maximum(count, 1), np.nan)


def _percentiles(values: np.ndarray) -> list[float]:
    return [float(v) for v in np.percentile(values, [2.5, 97.5])] if len(values) else [np.nan, np.nan]


def _coco_class(detections: Detections, truth: GroundTruth, label: int) -> np.ndarray:
    """`COCO_FIGURES` of one class alone, NaN where no object counts: their means over classes are those of all.

    The tools take several hundred bytes a detection: of all classes at once, they took more than training had.
    """
    from faster_coco_eval import COCO, COCOeval_faster  # It brings OpenCV along, which metrics do not need otherwise.

    annotations = _coco_records(truth, truth.sizes, label, ignored=truth.ignored, area=truth.areas)
    for index, record in enumerate(annotations):
        # From 1: the tools take an id of 0 for "not matched".
        record |= {'id': index + 1, 'iscrowd': int(record.pop('ignored'))}
        record['area'] = record['area'] or record['bbox'][2] * record['bbox'][3]
    dataset = {
        'images': [{'id': image} for image in range(len(truth.sizes))],
        'categories': [{'id': label}],
        'annotations': annotations,
    }
    known = COCO(dataset, print_function=_quiet)
    said = known.loadRes(_coco_records(detections, truth.sizes, label, score=detections.scores))
    run = COCOeval_faster(known, said, 'bbox', print_function=_quiet)
    run.run()
    stats = np.array(run.stats, float)
    return np.where(stats < 0, np.nan, stats)  # Where nothing counts, the tools say -1.


def _coco_records(padded: Detections | GroundTruth, sizes: np.ndarray, label: int, **more: np.ndarray) -> list[dict]:
    """COCO's form of a class's valid boxes, and more [n, k] about each; a bbox is [x, y, width, height] in pixels."""
    images, slots = np.nonzero(padded.valid & (padded.classes == label))
    boxes = in_pixels(padded.boxes[images, slots, None], sizes[images])[:, 0, [1, 0, 3, 2]]
    columns = {'image_id': images, 'bbox': boxes, **{name: values[images, slots] for name, values in more.items()}}
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [{'category_id': label, **dict(zip(columns, row, strict=True))} for row in rows]


def _quiet(*_) -> None:
    pass


def _check(detections: Detections, truth: GroundTruth, num_classes: int) -> None:
    if len(detections.boxes) != len(truth.boxes):
        raise ValueError(f'detections of {len(detections.boxes)} images, but the truth of {len(truth.boxes)}')
    for padded, name in ((detections, 'detections'), (truth, 'truth')):
        labels = padded.classes[padded.valid]
        if ((labels < 0) | (labels >= num_classes)).any():
            raise ValueError(f'{name}: a class that is not in 0 ... {num_classes - 1}')
        if not np.isfinite(padded.boxes[padded.valid]).all():
            raise ValueError(f'{name}: a box that is not finite')
    if not np.isfinite(detections.scores[detections.valid]).all():
        raise ValueError('detections: a score that is not finite')

"""What is measured of a detector: average precision, COCO's and VOC's, and what kinds of errors it makes."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvision import metrics, rng
from jaxvision.data import pixels
from jaxvision.data.source import Source
from jaxvision.data.splits import Splits
from jaxvision.training import evaluation
from jaxvision.training.evaluators.evaluator import shown
from jaxvision.training.evaluators.localization import refuse_temperature

RESAMPLES = 500


@dataclass(frozen=True)
class Detection:
    """Evaluates `tasks.detect.Detected` in the pixels of the original images; see `Evaluator`. The error is 1 - mAP."""

    source: Source

    headline = 'mAP'
    note = (
        "mAP: COCO's, over IoU 0.5 to 0.95, in % with 95% intervals over images, of the last step; gap: what is lost "
        'from clean train to test.'
    )

    def watch(self, outputs: Any, ids: np.ndarray) -> dict[str, float]:
        figures = metrics.coco(*self.sides(outputs, ids), self.source.num_classes)
        return {name: _number(figures[name]) for name in ('mAP', 'mAP50')}

    def rank(self, watched: dict[str, float]) -> tuple[float, ...]:
        """The highest mAP, and among equals the highest mAP50."""
        return (watched['mAP'], watched['mAP50'])

    def sides(self, outputs: Any, ids: np.ndarray) -> tuple[metrics.Detections, metrics.GroundTruth]:
        """What was said and what is true, as shares of the images as they were before any letterboxing.

        A box that lies on the grey alone has no extent there: it is not said, as `predictions` does not say it.
        """
        objects = self.source.objects
        assert objects is not None
        sizes = objects.sizes[ids]

        boxes = pixels.unletterbox_boxes(outputs.boxes, sizes)
        there = outputs.valid & (boxes[..., :2] < boxes[..., 2:]).all(axis=-1)
        said = metrics.Detections(boxes, outputs.scores, outputs.classes, there)
        truth = metrics.GroundTruth(
            pixels.unletterbox_boxes(objects.boxes[ids], sizes),
            objects.classes[ids],
            objects.valid[ids],
            objects.ignored[ids],
            objects.areas[ids],
            sizes,
        )
        return said, truth

    def summarize(self, outputs: Any, ids: np.ndarray) -> dict[str, Any]:
        said, truth = self.sides(outputs, ids)
        classes = self.source.num_classes
        figures = metrics.coco(said, truth, classes)
        table = metrics.matches(said, truth, classes)
        intervals = metrics.bootstrap(table, rng.generator(0, 'bootstrap', len(ids)), RESAMPLES)
        summary: dict[str, Any] = {'n': len(ids), 'loss': float(outputs.loss.mean())}
        for name in metrics.COCO_FIGURES:
            summary[name] = {'value': _number(figures[name])}
            if name in intervals:
                summary[name]['ci95'] = _reflected(figures[name], intervals[name])
        low, high = summary['mAP']['ci95']
        # A split without objects has an mAP of -1: then nothing was found.
        value = max(summary['mAP']['value'], 0.0)
        summary['error'] = {'value': 1 - value, 'ci95': [1 - max(high, 0.0), 1 - max(low, 0.0)]}
        per_class = dict(figures['per_class'])
        for kind, name in (('area', 'voc_AP50'), ('11_point', 'voc_AP50_11_point')):
            per_class[name] = metrics.voc_average_precision(said, truth, classes, kind=kind)
            summary[name] = {'value': _number(_mean_of_defined(per_class[name]))}
        summary['per_class'] = {
            label: {name: _number(values[index]) for name, values in per_class.items()}
            for index, label in enumerate(self.source.class_names)
        }
        summary['errors'] = metrics.error_kinds(said, truth).counts
        return summary

    def conclude(self, outputs: dict[str, Any], splits: Splits) -> dict[str, Any]:
        return {}

    def records(self, outputs: dict[str, Any], splits: Splits) -> dict[str, np.ndarray]:
        """Detections and truth of test, as shares of the images as they were.

        And some images on their canvas: `test_shown` says which.
        """
        ids = splits.test
        said, truth = self.sides(outputs['test'], ids)
        arrays = {f'test_{name}': value for name, value in said._asdict().items()}
        arrays |= {f'test_true_{name}': value for name, value in truth._asdict().items()}
        rows = shown(metrics.error_kinds(said, truth).by_image)
        return {**arrays, 'test_ids': ids, 'test_shown': rows, 'test_images': self.source.images[ids[rows]]}

    def examine(self, outputs: Any, ids: np.ndarray, temperature: float) -> dict[str, Any]:
        refuse_temperature(temperature)
        return {'metrics': self.summarize(outputs, ids)}

    @staticmethod
    def tell(found: dict[str, Any]) -> list[str]:
        measured = found['metrics']
        lines = []
        for name in (*metrics.COCO_FIGURES, 'voc_AP50', 'voc_AP50_11_point'):
            value = measured[name]
            text = evaluation.told(value) if 'ci95' in value else _told(value['value'])
            lines.append(f'  {name:<18}{text}')
        lines.append('per class: AP, AP50, and AP50 of VOC by area and by 11 points')
        width = max(map(len, measured['per_class']))
        for name, figures in measured['per_class'].items():
            lines.append(f'  {name:<{width}}  {"  ".join(map(_told, figures.values()))}')
        counts = ', '.join(f'{kind} {count:,}' for kind, count in measured['errors'].items())
        return [*lines, f'detections of at least 0.5, at IoU 0.5: {counts}']

    @staticmethod
    def columns(result: dict[str, Any]) -> dict[str, str]:
        splits = result['splits']
        heads = {'train': 'train mAP (clean)', 'validation': 'validation', 'test': 'test mAP'}
        cells = {
            head: evaluation.percent(splits[split]['mAP']) if splits[split]['mAP']['value'] >= 0 else '-'
            for split, head in heads.items()
        }
        for name in ('mAP50', 'mAP75'):
            value = splits['test'][name]['value']
            cells[name] = f'{value * 100:.1f}' if value >= 0 else '-'
        return cells | {'gap (points)': evaluation.percent(result['gap'])}


def _reflected(value: float, percentiles: list[float]) -> list[float]:
    """The basic bootstrap interval: percentiles mirrored about the value, within [0, 1].

    A resample's mAP is biased upwards, as the sample's own is: mirrored, the bias is taken off instead of put on. Still
    it is a rough one: `metrics.bootstrap` says how often each held the truth.
    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 5.2.
    """
    if math.isnan(value):
        return [-1.0, -1.0]
    low, high = percentiles
    return [float(np.clip(2 * value - high, 0, 1)), float(np.clip(2 * value - low, 0, 1))]


def _told(figure: float) -> str:
    return '-    ' if figure < 0 else f'{figure:.3f}'


def _mean_of_defined(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan


def _number(value: float) -> float:
    """A figure that no object counts for is written as -1, as COCO's tools do: JSON has no NaN."""
    return -1.0 if math.isnan(value) else float(value)

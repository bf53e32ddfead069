"""What is measured of a localiser: is something there, what, and where."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvision import metrics
from jaxvision.data.source import Source
from jaxvision.data.splits import Splits
from jaxvision.errors import UserError
from jaxvision.training import evaluation
from jaxvision.training.evaluators.evaluator import shown

SHARES = ('detection_accuracy', 'class_accuracy', 'objectness_accuracy', 'empty_accuracy')


@dataclass(frozen=True)
class Localization:
    """Evaluates `tasks.localize.Localized`; see `Evaluator`. What counts as right: `metrics.localization_scores`."""

    source: Source

    headline = 'detection_accuracy'
    note = (
        'In % with 95% intervals, of the last step. Detected: object, class and IoU of 0.5 right, or rightly nothing; '
        'class, IoU: of images with an object; gap: test minus clean train error of detected.'
    )

    def watch(self, outputs: Any, ids: np.ndarray) -> dict[str, float]:
        return {name: _mean(values) for name, values in self.found(outputs, ids).items()}

    def rank(self, watched: dict[str, float]) -> tuple[float, ...]:
        """The highest detection accuracy, and among equals the highest mean IoU."""
        return (watched['detection_accuracy'], watched['mean_iou'])

    def summarize(self, outputs: Any, ids: np.ndarray) -> dict[str, Any]:
        found = self.found(outputs, ids)
        shares = {name: evaluation.share(found[name]) for name in SHARES}
        ious = found['mean_iou']
        value = shares['detection_accuracy']
        low, high = value['ci95']
        outputs, ids = self.judged(outputs, ids)
        return {
            'n': len(ids),
            'loss': _mean(outputs.loss),
            **shares,
            'error': {'value': 1 - value['value'], 'ci95': [1 - high, 1 - low]},
            'mean_iou': evaluation.mean(ious),
        }

    def found(self, outputs: Any, ids: np.ndarray) -> dict[str, np.ndarray]:
        """The figures' values image by image, as `metrics.localization_scores` returns them."""
        outputs, ids = self.judged(outputs, ids)
        labels, boxes, present = self.truth(ids)
        return metrics.localization_scores(
            outputs.objectness,
            outputs.class_logits.argmax(axis=1),
            outputs.boxes,
            present=present,
            labels=labels,
            target_boxes=boxes,
        )

    def judged(self, outputs: Any, ids: np.ndarray) -> tuple[Any, np.ndarray]:
        """Leaves out the images where all that is there is ignored: nothing is right or wrong there."""
        assert self.source.objects is not None
        objects = self.source.objects
        kept = (objects.valid & ~objects.ignored)[ids].any(axis=1) | ~objects.ignored[ids].any(axis=1)
        return type(outputs)(*(values[kept] for values in outputs)), ids[kept]

    def truth(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each image the class int [n] and box [n, 4] of its object, and whether it has one."""
        assert self.source.objects is not None
        objects = self.source.objects
        counted = (objects.valid & ~objects.ignored)[ids]
        first, rows = counted.argmax(axis=1), np.arange(len(ids))
        return objects.classes[ids][rows, first], objects.boxes[ids][rows, first], np.any(counted, axis=1)

    def conclude(self, outputs: dict[str, Any], splits: Splits) -> dict[str, Any]:
        return {}

    def records(self, outputs: dict[str, Any], splits: Splits) -> dict[str, np.ndarray]:
        """Outputs and truth of validation and test; and some test images: `test_shown` says which."""
        arrays = {}
        for name in ('validation', 'test'):
            said, ids = self.judged(outputs[name], getattr(splits, name))
            labels, boxes, present = self.truth(ids)
            arrays |= {f'{name}_{key}': value for key, value in said._asdict().items()}
            truth = {'labels': labels, 'true_boxes': boxes, 'present': present, 'ids': ids}
            arrays |= {f'{name}_{key}': value for key, value in truth.items()}
        right = self.found(outputs['test'], splits.test)['detection_accuracy']
        rows = shown(np.where(right, 0.0, 1 + arrays['test_loss']))
        return {**arrays, 'test_shown': rows, 'test_images': self.source.images[arrays['test_ids'][rows]]}

    def examine(self, outputs: Any, ids: np.ndarray, temperature: float) -> dict[str, Any]:
        """Its metrics, and the class accuracy and mean IoU of each class."""
        refuse_temperature(temperature)
        found, (labels, _, present) = self.found(outputs, ids), self.truth(ids)
        labels = labels[present]
        return {
            'metrics': self.summarize(outputs, ids),
            'per_class': {
                name: {
                    'class_accuracy': evaluation.share(found['class_accuracy'][labels == index]),
                    'mean_iou': evaluation.mean(found['mean_iou'][labels == index]),
                }
                for index, name in enumerate(self.source.class_names)
            },
        }

    @staticmethod
    def tell(found: dict[str, Any]) -> list[str]:
        lines = [f'  {name.replace("_", " "):<22}{evaluation.told(found["metrics"][name], 100)}' for name in SHARES]
        lines.append(f'  {"mean IoU":<22}{evaluation.told(found["metrics"]["mean_iou"])}')
        lines.append('per class: accuracy, mean IoU')
        width = max(map(len, found['per_class']))
        lines += [
            f'  {name:<{width}}  {evaluation.told(value["class_accuracy"], 100)}, {evaluation.told(value["mean_iou"])}'
            for name, value in found['per_class'].items()
        ]
        return lines

    @staticmethod
    def columns(result: dict[str, Any]) -> dict[str, str]:
        splits = result['splits']
        heads = {'train': 'train (clean)', 'validation': 'validation', 'test': 'test, detected'}
        cells = {head: evaluation.percent(splits[split]['detection_accuracy']) for split, head in heads.items()}
        names = {
            'class_accuracy': 'class',
            'mean_iou': 'IoU',
            'objectness_accuracy': 'object?',
            'empty_accuracy': 'empty',
        }
        for name, head in names.items():
            found = splits['test'][name]
            nothing = found['ci95'] == [0.0, 1.0]  # Of no image: there are none with an object, or none without.
            cells[head] = '-' if nothing else f'{found["value"] * 100:.1f}'
        return cells | {'gap (points)': evaluation.percent(result['gap'])}


def refuse_temperature(temperature: float) -> None:
    """Raises UserError unless it is 1."""
    if temperature != 1.0:
        raise UserError(f'--temperature is {temperature}, but only a classifier has a softmax to put it in')


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0

"""What is measured of a classifier: accuracy, likelihood, calibration."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvision import metrics
from jaxvision.data.source import Source
from jaxvision.data.splits import Splits
from jaxvision.training import evaluation

MISTAKES = 24  # Images of them that are kept for the report.


@dataclass(frozen=True)
class Classification:
    """Evaluates logits, float32 [n, num_classes]; see `Evaluator`."""

    source: Source

    headline = 'accuracy'
    note = 'Accuracies in % with 95% intervals, of the last step; NLL, ECE on test; gap: test minus clean train error.'

    def watch(self, outputs: np.ndarray, ids: np.ndarray) -> dict[str, float]:
        return scores(outputs, self.source.labels[ids])

    def rank(self, watched: dict[str, float]) -> tuple[float, ...]:
        """The highest accuracy, and among equals the lowest NLL."""
        return (watched['accuracy'], -watched['nll'])

    def summarize(self, outputs: np.ndarray, ids: np.ndarray) -> dict[str, Any]:
        return summarize(outputs, self.source.labels[ids])

    def conclude(self, outputs: dict[str, np.ndarray], splits: Splits) -> dict[str, Any]:
        held_out = [(outputs[name], self.source.labels[getattr(splits, name)]) for name in ('validation', 'test')]
        return {'temperature': calibrate(*held_out)}

    def records(self, outputs: dict[str, np.ndarray], splits: Splits) -> dict[str, np.ndarray]:
        """Logits, labels and ids of validation and test, and the images of the most confident mistakes on test."""
        arrays = {}
        for name in ('validation', 'test'):
            ids = getattr(splits, name)
            arrays |= {f'{name}_logits': outputs[name], f'{name}_labels': self.source.labels[ids], f'{name}_ids': ids}
        wrong = np.flatnonzero(arrays['test_logits'].argmax(axis=1) != arrays['test_labels'])
        confidence = metrics.probabilities(arrays['test_logits'][wrong]).max(axis=1, initial=0)
        arrays['mistake_index'] = wrong[np.argsort(-confidence, kind='stable')[:MISTAKES]]
        arrays['mistake_images'] = self.source.images[arrays['test_ids'][arrays['mistake_index']]]
        return arrays

    def examine(self, outputs: np.ndarray, ids: np.ndarray, temperature: float) -> dict[str, Any]:
        """Its metrics under another temperature, the accuracy of each class, and confusion[true][predicted]."""
        labels = self.source.labels[ids]
        confusion = metrics.confusion_matrix(outputs.argmax(axis=1), labels, self.source.num_classes)
        return {
            'metrics': summarize(outputs, labels, temperature),
            'softmax_temperature': temperature,
            'per_class': {
                name: evaluation.share_of(int(row[index]), int(row.sum()))
                for index, (name, row) in enumerate(zip(self.source.class_names, confusion, strict=True))
            },
            'confusion': confusion.tolist(),
            'class_names': list(self.source.class_names),
        }

    @staticmethod
    def tell(found: dict[str, Any]) -> list[str]:
        lines = [f'softmax at T = {found["softmax_temperature"]:g}']
        for name, key, unit in (
            ('accuracy', 'accuracy', 100),
            ('error', 'error', 100),
            ('top-5 accuracy', 'top5_accuracy', 100),
            ('NLL', 'nll', 1),
            ('ECE', 'ece', 1),
        ):
            lines.append(f'  {name:<16}{evaluation.told(found["metrics"][key], unit)}')
        lines.append('per class accuracy')
        width = max(map(len, found['per_class']))
        lines += [f'  {name:<{width}}  {evaluation.told(value, 100)}' for name, value in found['per_class'].items()]
        lines.append('confusion: rows are true classes, columns predicted ones')
        cell = max(len(str(count)) for row in found['confusion'] for count in row) + 1
        lines += [
            f'  {name:<{width}} ' + ''.join(f'{count:>{cell}}' for count in row)
            for name, row in zip(found['class_names'], found['confusion'], strict=True)
        ]
        fitted = found['temperature']
        lines.append(
            f'temperature fitted on validation: {fitted["fitted"]:.2f}; on test it takes ECE from '
            f'{fitted["test_ece_before"]:.3f} to {fitted["test_ece_after"]:.3f} and NLL from '
            f'{fitted["test_nll_before"]:.3f} to {fitted["test_nll_after"]:.3f}'
        )
        return lines

    @staticmethod
    def columns(result: dict[str, Any]) -> dict[str, str]:
        splits = result['splits']
        heads = {'train': 'train (clean)', 'validation': 'validation', 'test': 'test'}
        cells = {head: evaluation.percent(splits[split]['accuracy']) for split, head in heads.items()}
        cells |= {name.upper(): f'{splits["test"][name]["value"]:.3f}' for name in ('nll', 'ece')}
        return cells | {'gap (points)': evaluation.percent(result['gap'])}


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and NLL alone: what is looked at during training."""
    return {
        'accuracy': float(metrics.in_top_k(logits, labels).mean()),
        'nll': float(metrics.negative_log_likelihood(logits, labels).mean()),
    }


def summarize(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> dict[str, Any]:
    """The metrics of a split, each with a 95% interval.

    Shares have Wilson's interval, NLL and ECE a percentile bootstrap over examples (an ECE is biased upwards in small
    samples, and its resamples more so: take its interval as a rough one).

    Args:
      logits: float [n, num_classes].
      labels: int [n].
      temperature: of the softmax; it moves NLL and ECE only.

    Returns:
      {'n', 'loss', 'accuracy', 'error', 'top5_accuracy', 'nll', 'ece'}; all but the first two are
      {'value', 'ci95': [low, high]}. The loss is the NLL's value.
    """
    correct = metrics.in_top_k(logits, labels)
    nll = metrics.negative_log_likelihood(logits, labels, temperature)
    confidence = metrics.probabilities(logits, temperature).max(axis=1)
    accuracy = evaluation.share(correct)
    low, high = accuracy['ci95']
    return {
        'n': len(labels),
        'loss': float(nll.mean()),
        'accuracy': accuracy,
        'error': {'value': 1 - accuracy['value'], 'ci95': [1 - high, 1 - low]},
        'top5_accuracy': evaluation.share(metrics.in_top_k(logits, labels, 5)),
        'nll': {
            'value': float(nll.mean()),
            'ci95': evaluation.interval(evaluation.bootstrap_means(nll[:, None])[:, 0]),
        },
        'ece': {
            'value': metrics.calibration_error(confidence, correct),
            'ci95': evaluation.interval(bootstrap_calibration_errors(confidence, correct)),
        },
    }


def bootstrap_calibration_errors(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> np.ndarray:
    """The ECE of resamples, [RESAMPLES]: an ECE is the sum over bins of |mean of (correct - confidence) in the bin|."""
    table = np.zeros((len(confidence), bins))
    table[np.arange(len(confidence)), metrics.bin_of(confidence, bins)] = correct - confidence
    return np.abs(evaluation.bootstrap_means(table)).sum(axis=1)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The softmax temperature of least NLL, between 0.05 and 20. Fit it on validation, never on test.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017.

    Args:
      logits: float [n, num_classes].
      labels: int [n].
    """
    from scipy import optimize  # Half a second to import, and only wanted at the end of a run.

    def loss(log_temperature: float) -> float:
        return float(metrics.negative_log_likelihood(logits, labels, float(np.exp(log_temperature))).mean())

    found = optimize.minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method='bounded', options={'xatol': 1e-3})
    return float(np.exp(found.x))


def calibrate(validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Temperature fitted on validation, and what it does to NLL and ECE on test.

    Args:
      validation, test: (logits [n, num_classes], labels [n]).
    """
    fitted = fit_temperature(*validation)
    logits, labels = test
    correct = metrics.in_top_k(logits, labels)
    result = {'fitted': fitted}
    for name, temperature in (('before', 1.0), ('after', fitted)):
        confidence = metrics.probabilities(logits, temperature).max(axis=1)
        result[f'test_nll_{name}'] = float(metrics.negative_log_likelihood(logits, labels, temperature).mean())
        result[f'test_ece_{name}'] = metrics.calibration_error(confidence, correct)
    return result

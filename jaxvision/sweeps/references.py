"""scikit-learn's classifiers on the very same splits: what a network has to beat."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxvision import assembly
from jaxvision.errors import UserError
from jaxvision.settings import Settings
from jaxvision.training import environment, evaluation
from jaxvision.training.records import Workdir


def _logistic_regression():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=5000)


def _nearest_neighbours():
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier()


def _support_vectors():
    from sklearn.svm import SVC

    return SVC()


# By name, with scikit-learn's defaults.
MODELS: dict[str, Callable[[], Any]] = {
    'logistic regression': _logistic_regression,
    'k-NN': _nearest_neighbours,
    'SVC': _support_vectors,
}


def check(settings: Settings) -> None:
    """Makes sure that there are labels to fit.

    Raises:
      UserError: the data has objects instead.
    """
    source, _ = assembly.load_data(settings.data)
    if source.objects is not None:
        raise UserError(f'{source.name} has objects, not one label an image; references classify')


def run(name: str, settings: Settings, workdir: Workdir) -> None:
    """Fits a model on the pixels of the training split, divided by 255, and writes its records.

    The splits are those of a network with these settings; validation is not used. In result.json the loss is the error,
    and there are no other metrics than accuracy and error.

    Args:
      name: a key of `MODELS`.
      settings: their data is used.
      workdir: where.
    """
    source, splits = assembly.load_data(settings.data)
    workdir.claim({'reference': name, 'data': {'folds': settings.data.folds, 'fold': settings.data.fold}})
    workdir.write('environment.json', environment.describe(jax.local_devices(), source, splits))
    pixels = source.images.reshape(len(source.images), -1).astype(np.float64) / 255
    started = time.perf_counter()
    model = MODELS[name]().fit(pixels[splits.train], source.labels[splits.train])
    seconds = time.perf_counter() - started
    found = {split: _split(model.predict(pixels[ids]), source.labels[ids]) for split, ids in splits.items()}
    workdir.write(
        'result.json',
        {
            'task': 'classify',
            'reference': name,
            'steps': 0,
            'seconds': seconds,
            'examples_per_second': len(splits.train) / seconds,
            'parameters': 0,
            'splits': found,
            'best': {'step': 0, 'splits': found},
            'gap': evaluation.gap(found['train'], found['test']),
            'verdict': evaluation.verdict(found['train'], found['test']),
        },
    )


def _split(predicted: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    accuracy = evaluation.share(predicted == labels)
    low, high = accuracy['ci95']
    error = {'value': 1 - accuracy['value'], 'ci95': [1 - high, 1 - low]}
    return {'n': len(labels), 'loss': error['value'], 'accuracy': accuracy, 'error': error}

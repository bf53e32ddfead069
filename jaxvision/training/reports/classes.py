"""Class by class: which classes are recognised, and which are taken for one another."""

from collections.abc import Sequence

import numpy as np

from jaxvision import metrics
from jaxvision.training.reports import pieces, plots


def most_confused(matrix: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """The `count` largest off-diagonal cells of a confusion matrix, empty ones aside: (true, predicted, examples)."""
    errors = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-errors, axis=None, kind='stable')[:count]
    pairs = [divmod(int(cell), len(matrix)) for cell in order]
    return [(true, said, int(errors[true, said])) for true, said in pairs if errors[true, said]]


def by_class(matrix: np.ndarray, names: Sequence[str], what: str = 'test examples') -> str:
    """What is taken for what, and how well each class is recognised.

    Args:
      matrix: int [num_classes, num_classes] from `metrics.confusion_matrix`.
      names: one a class.
      what: is counted.
    """
    classes = len(matrix)
    pairs = most_confused(matrix, 10)
    said = ', '.join(f'{names[true]} as {names[guess]} {count} times' for true, guess, count in pairs[:3])
    figures = [
        pieces.figure(
            plots.confusion(matrix, names, what=what),
            f'Confusion matrix of {classes} classes; most often confused: {said or "none"}.',
            'Blue is right, red is wrong, the darker the larger its share of the row: look for two red cells that face '
            'each other across the diagonal, two classes taken for one another.',
        ),
        pieces.figure(
            plots.class_accuracy(matrix, names),
            f'Accuracy of each class, {np.nanmin(metrics.per_class_accuracy(matrix)):.0%} at worst.',
            'A class far below the dashed line, the overall accuracy, is where more data, or a closer look at its '
            'labels, would pay most.',
        ),
    ]
    if classes <= plots.ANNOTATED_CLASSES:
        return pieces.group('pair', figures)
    # With so many classes, names stand in lists beside the matrix.
    totals = matrix.sum(axis=1)
    accuracy = metrics.per_class_accuracy(matrix)
    worst = [int(index) for index in np.argsort(accuracy, kind='stable')[:10] if totals[index]]
    confused = [f'{names[true]} → {names[guess]}: {count} of {totals[true]}' for true, guess, count in pairs]
    hardest = [f'{names[index]}: {accuracy[index]:.0%} of {totals[index]}' for index in worst]
    lists = [pieces.ranking('Most confused', confused), pieces.ranking('Hardest classes', hardest)]
    return pieces.group('pair', [figures[0], f'<div>{figures[1]}{pieces.group("lists", lists)}</div>'])

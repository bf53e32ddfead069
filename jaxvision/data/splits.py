"""Train, validation and test: disjoint, stratified, and fixed by one seed of their own.

Every stratified cut works the same way: the examples are put in a random order of which every beginning is stratified,
and a part is such a beginning.
"""

import hashlib
import heapq
from dataclasses import dataclass

import numpy as np

from jaxvision import rng
from jaxvision.errors import UserError


@dataclass(frozen=True)
class Splits:
    """Ids of each part, int32, ascending."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def items(self):
        return (('train', self.train), ('validation', self.validation), ('test', self.test))

    @property
    def held_out(self) -> str:
        """Fingerprint of what no training may see: the validation and test ids."""
        digest = hashlib.sha256()
        for ids in (self.validation, self.test):
            digest.update(np.asarray(ids, '<i4').tobytes() + b'|')
        return digest.hexdigest()[:16]


def make_splits(
    labels: np.ndarray,
    official: dict[str, np.ndarray],
    *,
    validation_fraction: float,
    test_fraction: float,
    train_fraction: float = 1.0,
    split_seed: int = 0,
    folds: int = 0,
    fold: int = 0,
) -> Splits:
    """Cuts a dataset.

    Args:
      labels: int [n] of the whole dataset, what it is stratified by: classes, or `objects.strata`.
      official: ids of the splits that the dataset defines; `train` at least.
      validation_fraction: share of the train part that becomes validation, where the set has none of its own.
      test_fraction: share of the train part that becomes test, where the set has none of its own.
      train_fraction: share of what is then left for training that is used; the rest stays unseen.
      split_seed: the only randomness here.
      folds: 0, or k for k-fold cross-validation over the whole set: test is then fold `fold`, and validation is cut
        from the rest.
      fold: which one, 0 <= fold < folds.

    Raises:
      UserError: a part would be empty, or there are more folds than examples of some label.
    """
    parts = {split: np.asarray(ids) for split, ids in official.items()}
    if folds:
        everything = np.sort(np.concatenate(list(parts.values())))
        smallest = int(np.bincount(labels[everything])[np.unique(labels[everything])].min())
        if folds > smallest:
            raise UserError(f'data.folds={folds} is more than the {smallest} examples of the smallest class')
        assigned = assign_folds(labels[everything], folds, split_seed)
        parts = {'train': everything[assigned != fold], 'test': everything[assigned == fold]}
    train = parts['train']
    if 'test' in parts:
        test = parts['test']
    else:
        test, train = take(train, labels, test_fraction, rng.generator(split_seed, 'split', 0))
    if 'validation' in parts:
        validation = parts['validation']
    else:
        validation, train = take(train, labels, validation_fraction, rng.generator(split_seed, 'split', 1))
    if train_fraction < 1:
        train, _ = take(train, labels, train_fraction, rng.generator(split_seed, 'split', 2))
    splits = Splits(*(np.sort(ids).astype(np.int32) for ids in (train, validation, test)))
    for name, ids in splits.items():
        if not len(ids):
            raise UserError(f'the {name} split is empty: {len(labels)} examples are too few for these fractions')
    return splits


def take(ids: np.ndarray, labels: np.ndarray, fraction: float, draw: np.random.Generator):
    """A stratified part of round(fraction * n) of the ids, and the rest; a larger fraction contains a smaller one."""
    order = queue(labels[ids], draw)
    wanted = round(fraction * len(ids))
    return ids[order[:wanted]], ids[order[wanted:]]


def assign_folds(labels: np.ndarray, folds: int, split_seed: int) -> np.ndarray:
    """The fold of each example, int [n]: sizes differ by at most one, overall and within every class.

    Args:
      labels: int [n].
      folds: number of folds.
      split_seed: moves which examples go where.
    """
    draw = rng.generator(split_seed, 'split', 3, folds)
    # Deal the shuffled examples out like cards, class after class, without starting anew at each class.
    shuffled = draw.permutation(len(labels))
    dealt = shuffled[np.argsort(labels[shuffled], kind='stable')]
    assigned = np.empty(len(labels), int)
    assigned[dealt] = np.arange(len(labels)) % folds
    return assigned


def queue(labels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """An order, int [n], every beginning of which is stratified: no class is ever a whole example off its share.

    Member r of a class of c among n has to come after place r * n / c and by place (r + 1) * n / c; taking the most
    urgent of those that may come always succeeds. Source: Steiner and Yeomans, Level Schedules for Mixed-Model,
    Just-in-Time Processes, 1993.
    """
    n = len(labels)
    shuffled = draw.permutation(n)
    jobs = []
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        c = len(members)
        jobs += [(r * n // c, -(-(r + 1) * n // c), int(member)) for r, member in enumerate(members)]
    jobs.sort()
    ready, order, coming = [], [], 0
    for place in range(n):
        while coming < n and jobs[coming][0] <= place:
            heapq.heappush(ready, jobs[coming][1:])
            coming += 1
        order.append(heapq.heappop(ready)[1])
    return np.array(order, int)

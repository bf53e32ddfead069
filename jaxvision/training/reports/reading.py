"""A finished workdir's records, read for its page; what is missing is left empty and says so when it is asked for."""

import math
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvision.errors import UserError
from jaxvision.training.records import Workdir


class Absent(Exception):
    """What a section needs is not in the records; the text says what."""


class Record(dict):
    """A dict that knows its file, so that what is missing can be named."""

    def __init__(self, values: Mapping[str, Any], file: str, problem: str = ''):
        super().__init__(values)
        self.file, self.problem = file, problem

    def __missing__(self, key: str):
        raise Absent(self.problem or f'{self.file} has no {key}')


@dataclass(frozen=True)
class Records:
    """What a workdir holds. `rows` are the lines of metrics.jsonl."""

    name: str
    config: Record
    environment: Record
    rows: Sequence[Record]
    result: Record
    predictions: Record
    samples: Record

    def class_names(self, classes: int) -> list[str]:
        """One name a class; the number where the records have none."""
        names = (self.environment.get('dataset') or {}).get('class_names') or ()
        return [str(names[index]) if index < len(names) else str(index) for index in range(classes)]

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The steps and the values of one metric where it was recorded, or None."""
        pairs = [(row['step'], row[key]) for row in self.rows if number(row.get(key)) is not None]
        return (np.array([step for step, _ in pairs]), np.array([value for _, value in pairs])) if pairs else None

    @property
    def images(self) -> dict[int, np.ndarray]:
        """The test images that were kept: row of the split -> pixels, in order."""
        return dict(zip(self.predictions['test_shown'].tolist(), self.predictions['test_images'], strict=True))

    @property
    def test(self) -> Mapping[str, Any]:
        """What result.json says of the test split, at the last step."""
        return self.result.get('splits', {}).get('test', {})

    @property
    def distilled(self) -> bool:
        return 'teacher' in self.result or 'teacher_test_logits' in self.predictions


def read(workdir: Workdir) -> Records:
    """The records of a finished workdir; what is missing is left empty and says so when it is asked for."""
    rows = [_named(row, 'metrics.jsonl') for row in workdir.metrics()]
    return Records(
        name=workdir.path.name,
        config=read_json(workdir, 'config.json'),
        environment=read_json(workdir, 'environment.json'),
        rows=[row for row in rows if isinstance(row, Record) and number(row.get('step')) is not None],
        result=_named(workdir.read('result.json'), 'result.json'),
        predictions=_arrays(workdir / 'predictions.npz'),
        samples=_arrays(workdir / 'samples.npz'),
    )


def _named(value: Any, file: str) -> Any:
    """`value` with every dict in it a Record of this file."""
    if isinstance(value, Mapping):
        return Record({key: _named(inner, file) for key, inner in value.items()}, file)
    return value


def read_json(workdir: Workdir, name: str) -> Record:
    try:
        return _named(workdir.read(name), name)
    except UserError:
        return Record({}, name, f'there is no readable {name}')


def _arrays(path: pathlib.Path) -> Record:
    try:
        with np.load(path) as arrays:
            return Record(dict(arrays), path.name)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return Record({}, path.name, f'there is no readable {path.name}')


def number(entry: Any) -> float | None:
    """The value of a metric, given as {"value": ...} or as a bare number; None where there is none."""
    value = entry.get('value') if isinstance(entry, Mapping) else entry
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def interval(entry: Any) -> tuple[float, float] | None:
    pair = entry.get('ci95') if isinstance(entry, Mapping) else None
    return (pair[0], pair[1]) if pair and all(number(end) is not None for end in pair) else None

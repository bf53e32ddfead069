"""Teachers: trained once and kept, or restored from a workdir that the user names.

A teacher that the settings describe is kept in the user's cache, under a hash of all that it depends on: its settings,
the data, the versions and the kind of machine. So a student can be trained again and again under the very same one.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import pathlib
import shutil
from typing import Any

import jax
import numpy as np

from jaxvision import runs
from jaxvision.data import sources
from jaxvision.errors import UserError
from jaxvision.runs import Run, Teacher
from jaxvision.settings import Settings, from_dict
from jaxvision.training import environment
from jaxvision.training.records import Workdir, writing
from jaxvision.training.reports import page


def provide(settings: Settings, *, stream=None) -> Teacher:
    """The teacher of a distillation: restored if there is one, else trained and kept.

    Raises:
      UserError: `teacher.workdir` holds none, an unfinished one, or one that does not fit this student.
    """
    if settings.teacher.workdir:
        return restore(pathlib.Path(settings.teacher.workdir).expanduser().absolute(), settings)
    folder = place(settings)
    with _alone_in(folder):
        for member in range(settings.teacher.members):
            run = runs.assemble(settings.teacher_member(member))
            label = 'teacher' if settings.teacher.members == 1 else f'teacher {member + 1}/{settings.teacher.members}'
            _train(run, Workdir(folder / str(member)), label, stream)
        return restore(folder, settings)


def found(settings: Settings) -> str:
    """One line on whether the teacher is there already, without training it."""
    if settings.teacher.workdir:
        return f'given: {settings.teacher.workdir}'
    folder = place(settings)
    ready = sum(Workdir(folder / str(member)).complete for member in range(settings.teacher.members))
    return f'{ready} of {settings.teacher.members} members trained, in {folder}'


def place(settings: Settings) -> pathlib.Path:
    """Where the teacher that the settings describe is kept."""
    source, splits = runs.load_data(settings.data)
    depends = [
        [dataclasses.asdict(settings.teacher_member(member)) for member in range(settings.teacher.members)],
        source.fingerprint,
        splits.held_out,
        environment.versions(),
        jax.devices()[0].device_kind,
    ]
    return sources.cache_dir() / 'teachers' / hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:16]


def restore(folder: pathlib.Path, settings: Settings) -> Teacher:
    """Reads a trained teacher: a finished workdir, or a folder of such, as an ensemble.

    Raises:
      UserError: see `provide`.
    """
    if not folder.is_dir():
        raise UserError(f'teacher.workdir {folder} does not exist')
    workdirs = [folder]
    if not (folder / 'config.json').exists():
        workdirs = sorted(config.parent for config in folder.glob('*/config.json'))
    if not workdirs:
        raise UserError(f'teacher.workdir {folder} holds no run: it has no config.json')
    members = [_member(Workdir(workdir), settings) for workdir in workdirs]
    record = {'workdir': str(folder), 'members': len(members)}
    outputs = _outputs([run for run, _ in members], [variables for _, variables in members])
    run = members[0][0]
    if len(members) == 1:
        record |= Workdir(workdirs[0]).read('result.json')
    else:
        results = [Workdir(workdir).read('result.json') for workdir in workdirs]
        record |= {
            'task': settings.task,
            'steps': results[0]['steps'],
            'seconds': sum(result['seconds'] for result in results),
            'examples_per_second': float(np.median([result['examples_per_second'] for result in results])),
            'parameters': sum(result['parameters'] for result in results),
            **runs.conclude(outputs, run.source.labels, run.splits),
        }
        # An ensemble is of the members' last steps: there is no other to choose from.
        record['best'] = {'step': record['steps'], 'splits': record['splits']}
    record['hash'] = _hash([variables for _, variables in members])
    return Teacher(
        tasks=tuple(run.task for run, _ in members),
        variables=tuple(variables for _, variables in members),
        record=record,
        test_logits=outputs['test'],
    )


def _train(run: Run, workdir: Workdir, label: str, stream) -> None:
    if workdir.path.exists() and not workdir.complete and not (workdir / 'config.json').exists():
        shutil.rmtree(workdir.path)  # Killed before it wrote its first record.
    runs.train(run, workdir, label=label, stream=stream)
    if not (workdir / 'report.html').exists():
        page.write(workdir.path)


def _member(workdir: Workdir, settings: Settings) -> tuple[Run, Any]:
    """One network with its variables, checked against the student's data."""
    if not workdir.complete:
        raise UserError(f'teacher.workdir {workdir} is unfinished: it has no result.json; train it to its end first')
    theirs = workdir.read('environment.json')['dataset']
    source, splits = runs.load_data(settings.data)
    if len(theirs['class_names']) != source.num_classes:
        raise UserError(
            f'teacher {workdir} knows {len(theirs["class_names"])} classes, but {source.name} has {source.num_classes}'
        )
    if tuple(theirs['shape']) != source.shape:
        raise UserError(
            f'teacher {workdir} takes images of {tuple(theirs["shape"])}, but {source.name} has {source.shape}'
        )
    if theirs['fingerprint'] != source.fingerprint or theirs['held_out'] != splits.held_out:
        raise UserError(
            f'teacher {workdir} was trained on other data or other splits, so it may have seen validation or test '
            'examples of this run; use the same data, data.split_seed, fractions and folds'
        )
    run = runs.assemble(from_dict(workdir.read('config.json')).alone())
    return run, runs.restore(run, workdir).variables


def _outputs(members: list[Run], variables: list[Any]) -> dict[str, np.ndarray]:
    """The ensemble's logits on each split; train is what the teacher itself was trained on."""
    each = [runs.outputs(run, run.parallel.replicate(values)) for run, values in zip(members, variables, strict=True)]
    return {name: np.asarray(members[0].task.ensemble([one[name] for one in each])) for name in each[0]}


def _hash(variables: list[Any]) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(variables):
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _alone_in(folder: pathlib.Path):
    """Keeps two processes from training the same teacher at once: the second waits, and then finds it."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / 'lock').open('w')
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

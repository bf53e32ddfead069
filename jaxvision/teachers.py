"""Teachers: trained once and kept, or restored from a workdir that the user names.

A teacher that the settings describe is kept in the user's cache, under a hash of all that it depends on: its settings,
the data, the versions and the kind of machine. So a student can be trained again and again under the very same one.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
from typing import Any

import jax
import numpy as np

from jaxvision import assembly, runs
from jaxvision.assembly import Run, Teacher
from jaxvision.data import sources
from jaxvision.data.sources import Source
from jaxvision.errors import UserError
from jaxvision.settings import Settings
from jaxvision.tasks.task import Variables
from jaxvision.training import environment
from jaxvision.training.clock import typical_rate
from jaxvision.training.records import Workdir
from jaxvision.training.reports import page


def provide(settings: Settings, *, stream=None) -> Teacher:
    """The teacher of a distillation: restored if there is one, else trained and kept.

    Raises:
      UserError: `teacher.workdir` holds none, an unfinished one, or one that does not fit this student.
    """
    if settings.teacher.workdir:
        return restore(_given(settings), settings)
    folder = place(settings)
    with Workdir(folder).alone(waiting=f'waiting for another process that trains this teacher in {folder}'):
        for member in range(settings.teacher.members):
            run = to_train(settings, member)
            label = 'teacher' if settings.teacher.members == 1 else f'teacher {member + 1}/{settings.teacher.members}'
            _train(run, Workdir(folder / str(member)), label, stream)
        return restore(folder, settings)


def found(settings: Settings) -> str:
    """One line on whether the teacher is there already, without training it."""
    if settings.teacher.workdir:
        members = _workdirs(_given(settings))
        for member in members:
            _finished(member)
        return f'given: {len(members)} member(s) in {settings.teacher.workdir}'
    to_train(settings, 0)  # Told now if it cannot be trained.
    folder = place(settings)
    ready = sum(Workdir(folder / str(member)).complete for member in range(settings.teacher.members))
    return f'{ready} of {settings.teacher.members} members trained, in {folder}'


def to_train(settings: Settings, member: int, source: Source | None = None) -> Run:
    """A member of the teacher that the settings describe, before it is trained; what is wrong with it is called its."""
    try:
        return assembly.assemble(settings.teacher_member(member), source=source)
    except UserError as error:
        raise UserError(f'the teacher cannot be trained: {error}') from error


def given(settings: Settings) -> list[Run]:
    """The members of the teacher that `teacher.workdir` names, checked, and not restored."""
    return [_run(workdir, settings) for workdir in _workdirs(_given(settings))]


def place(settings: Settings) -> pathlib.Path:
    """Where the teacher that the settings describe is kept."""
    source, splits = assembly.load_data(settings.data)
    depends = [
        [dataclasses.asdict(settings.teacher_member(member)) for member in range(settings.teacher.members)],
        source.fingerprint,
        splits.held_out,
        environment.versions(),
        environment.machine(jax.local_devices()),
        environment.code(),
    ]
    return sources.cache_dir() / 'teachers' / hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:16]


def restore(folder: pathlib.Path, settings: Settings) -> Teacher:
    """Reads a trained teacher: a finished workdir, or a folder of such, as an ensemble.

    Raises:
      UserError: see `provide`.
    """
    workdirs = _workdirs(folder)
    members = [_member(workdir, settings) for workdir in workdirs]
    record = {'workdir': str(folder), 'members': len(members)}
    outputs, run = _outputs(members), members[0][0]
    if len(members) == 1:
        record |= workdirs[0].read('result.json')
    else:
        results = [workdir.read('result.json') for workdir in workdirs]
        record |= {
            'task': settings.task,
            'steps': results[0]['steps'],
            'seconds': sum(result['seconds'] for result in results),
            'examples_per_second': typical_rate(results),
            'parameters': sum(result['parameters'] for result in results),
            **runs.conclude(run, outputs),
        }
        # An ensemble is of the members' last steps: there is no other to choose from.
        record['best'] = {'step': record['steps'], 'splits': record['splits']}
    record['hash'] = runs.fingerprint([variables for _, variables in members])
    return Teacher(
        tasks=tuple(run.task for run, _ in members),
        variables=tuple(variables for _, variables in members),
        record=record,
        test_outputs=outputs['test'],
    )


def _given(settings: Settings) -> pathlib.Path:
    return Workdir(settings.teacher.workdir).path


def _workdirs(folder: pathlib.Path) -> list[Workdir]:
    """The members of a teacher: the folder itself, or those in it."""
    if not folder.is_dir():
        raise UserError(f'teacher.workdir {folder} does not exist')
    if (folder / 'config.json').exists():
        return [Workdir(folder)]
    members = sorted(config.parent for config in folder.glob('*/config.json'))
    if not members:
        raise UserError(f'teacher.workdir {folder} holds no run: it has no config.json')
    return [Workdir(member) for member in members]


def _finished(workdir: Workdir) -> None:
    if 'sweep' in workdir.read('config.json'):
        raise UserError(f'teacher.workdir {workdir} is a sweep; name the workdir of a run of launch/train.py')
    if not workdir.complete:
        raise UserError(f'teacher.workdir {workdir} is unfinished: it has no result.json; train it to its end first')


def _train(run: Run, workdir: Workdir, label: str, stream) -> None:
    if workdir.path.exists() and not workdir.complete and not (workdir / 'config.json').exists():
        shutil.rmtree(workdir.path)  # Killed before it wrote its first record.
    runs.train(run, workdir, label=label, stream=stream)
    if not (workdir / 'report.html').exists():
        page.write(workdir.path)


def _member(workdir: Workdir, settings: Settings) -> tuple[Run, Any]:
    """One network with its variables."""
    run = _run(workdir, settings)
    return run, runs.restore(run, workdir).variables


def _run(workdir: Workdir, settings: Settings) -> Run:
    """One network, checked against the student's data."""
    _finished(workdir)
    theirs = workdir.read('environment.json').get('dataset', {})
    source, splits = assembly.load_data(settings.data)
    if len(theirs.get('class_names', ())) != source.num_classes:
        raise UserError(
            f'teacher {workdir} knows {len(theirs.get("class_names", ()))} classes, but {source.name} has '
            f'{source.num_classes}'
        )
    if tuple(theirs['shape']) != source.shape:
        raise UserError(
            f'teacher {workdir} takes images of {tuple(theirs["shape"])}, but {source.name} has {source.shape}'
        )
    runs.same_data(workdir, source, splits)
    trained = runs.settings_of(workdir).alone()
    # The same data, wherever it lies now.
    places = {field: getattr(settings.data, field) for field in ('name', 'data_dir', 'path')}
    trained = dataclasses.replace(trained, data=dataclasses.replace(trained.data, **places))
    return assembly.assemble(trained, devices=jax.local_devices())


def _outputs(members: list[tuple[Run, Variables]]) -> dict[str, Any]:
    """The ensemble's outputs on each split; train is what the teacher itself was trained on."""
    first = members[0][0]
    if any(not np.array_equal(run.splits.train, first.splits.train) for run, _ in members):
        raise UserError(
            'the members of the teacher were trained on different images; one teacher wants the same for all'
        )
    return runs.outputs(first, *((run.task, run.parallel.replicate(variables)) for run, variables in members))

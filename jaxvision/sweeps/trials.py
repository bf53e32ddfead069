"""One trial of a sweep: a variant under a seed, perhaps on a fold. Every engine runs the same function, `perform`."""

import dataclasses
import functools
import io
import itertools
import json
import pathlib
import traceback
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from jaxvision import assembly, runs, settings, teachers
from jaxvision.errors import Stopped, UserError
from jaxvision.settings import Settings
from jaxvision.sweeps import designs, references
from jaxvision.sweeps.designs import Sweep
from jaxvision.training.records import Workdir

LONGEST = 2000  # Letters of what a trial failed of: a table's cell has a limit.
OWN = {
    'seed': 'a sweep trains seeds 0, 1, ... of each variant (--seeds says how many)',
    'distill.compare_alone': 'in a sweep the student alone is a variant like any other: distill.weight 0',
}
OF_FOLDS = {f'data.{key}': 'a cross-validation goes through the folds by itself' for key in ('folds', 'fold')}


@dataclass(frozen=True)
class Trial:
    """What one trial is.

    Attributes:
      variant, seed, fold: which one; fold is None outside of a cross-validation.
      settings: the whole experiment; it trains no student alone.
      path: of its workdir.
      teacher: the folder of the trained teacher; '' without distillation.
      reference: scikit-learn's model that stands in for ours, or ''.
      program: trials with the same number share compiled programs, and may run stacked.
    """

    variant: str
    seed: int
    fold: int | None
    settings: Settings
    path: str = ''
    teacher: str = ''
    reference: str = ''
    program: int = 0

    @property
    def workdir(self) -> Workdir:
        return Workdir(self.path)

    @property
    def label(self) -> str:
        fold = '' if self.fold is None else f', fold {self.fold}'
        return f'{self.variant}, seed {self.seed}{fold}'

    def as_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> 'Trial':
        fields = json.loads(text)
        return cls(**fields | {'settings': settings.from_dict(fields['settings'])})


def expand(base: Settings, sweep: Sweep, root: pathlib.Path) -> list[Trial]:
    """All trials of a sweep, in the order of its tables; nothing is computed.

    Args:
      base: the config, as the command line left it.
      sweep: its variants.
      root: of the sweep's workdir.

    Raises:
      UserError: a variant overrides what is not there, with a wrong type, or what it cannot; two are the same.
    """
    same: dict[Settings, str] = {}
    places = designs.folders((*sweep.variants, *sweep.references))
    trials = []
    for name, changes in sweep.variants.items():
        changed = _variant(base, sweep, name, changes)
        if changed in same:
            raise UserError(f'variants {same[changed]!r} and {name!r} are the same: every setting is equal')
        if changed.task != next(iter(same), changed).task:
            raise UserError(f'variant {name!r} is of task {changed.task}, others are not: they have no common metric')
        same[changed] = name
        trials += _of(sweep, name, changed, root / 'trials' / places[name])
    for name in sweep.references:
        if name not in references.MODELS:
            raise UserError(f'reference {name!r} is unknown; there are {", ".join(references.MODELS)}')
        plain = dataclasses.replace(_with_folds(base, sweep).alone(), seed=0)
        some = _of(dataclasses.replace(sweep, seeds=1), name, plain, root / 'trials' / places[name])
        trials += [dataclasses.replace(trial, reference=name) for trial in some]
    return trials


def _variant(base: Settings, sweep: Sweep, name: str, changes) -> Settings:
    taken = OWN | (OF_FOLDS if sweep.folds else {})
    for key in changes:
        if key in taken:
            raise UserError(f'variant {name!r} sets {key}, but {taken[key]}')
    try:
        changed = settings.override(_with_folds(base, sweep), changes)
    except UserError as error:
        raise UserError(f'variant {name!r}: {error}') from error
    if not changed.distills:
        return changed
    # The student alone is a variant like any other.
    return dataclasses.replace(changed, distill=dataclasses.replace(changed.distill, compare_alone=False))


def _with_folds(base: Settings, sweep: Sweep) -> Settings:
    return settings.override(base, {'data.folds': sweep.folds}) if sweep.folds else base


def check_overrides(base: Settings, sweep: Sweep, overridden: Collection[str]) -> None:
    """Makes sure that what the user set by hand has an effect on some variant, and what a variant sets on that.

    Raises:
      UserError: one that no variant reads, or that every variant sets again.
    """
    taken = OWN | (OF_FOLDS if sweep.folds else {})
    variants = [_variant(base, sweep, name, changes) for name, changes in sweep.variants.items()]
    for name, variant in zip(sweep.variants, variants, strict=True):
        for key in sweep.variants[name]:
            why = assembly.unread(variant, key)
            if why:
                raise UserError(f'variant {name!r} sets {key}, but {why}')
    for key in overridden:
        if key in taken:
            raise UserError(f'config.{key} is set, but {taken[key]}')
        if all(key in changes for changes in sweep.variants.values()):
            raise UserError(f'config.{key} is set, but every variant of the sweep sets it, too')
        reasons = [settings.unread(variant, key) or assembly.unread(variant, key) for variant in variants]
        if all(reasons):
            raise UserError(f'config.{key} is set, but nothing reads it in this sweep: {reasons[0]}')


def _of(sweep: Sweep, name: str, changed: Settings, folder: pathlib.Path) -> list[Trial]:
    trials = []
    for fold, seed in itertools.product(range(sweep.folds) if sweep.folds else [None], range(sweep.seeds)):
        one = dataclasses.replace(changed, seed=seed)
        if fold is not None:
            one = dataclasses.replace(one, data=dataclasses.replace(one.data, fold=fold))
        trials.append(Trial(name, seed, fold, one, str(folder / designs.place(seed, fold))))
    return trials


def check(trials: Iterable[Trial], devices=None) -> list[Trial]:
    """Assembles every trial without computing anything, so that a mistake is told before any of them starts.

    Args:
      trials: of a sweep.
      devices: to compute on, whatever the settings ask for; None for those.

    Returns:
      The trials with their program numbers.

    Raises:
      UserError: the data is not to be had, or the batch does not fit the split, the devices or the model.
    """
    numbers: dict[Any, int] = {}
    known: dict[Settings, Any] = {}
    tested: dict[int | None, str] = {}
    checked = []
    for trial in trials:
        plain = dataclasses.replace(trial.settings, seed=0)
        held_out = assembly.load_data(trial.settings.data)[1].held_out
        if tested.setdefault(trial.fold, held_out) != held_out:
            raise UserError(
                f'variant {trial.variant!r} has other validation or test examples than those before it, so they cannot '
                'be compared'
            )
        if trial.reference:
            references.check(trial.settings)
            checked.append(dataclasses.replace(trial, program=-1))
            continue
        if plain not in known:
            try:
                run = assembly.assemble(plain.alone(), devices=devices)
                if plain.distills:
                    teachers.found(plain)
            except UserError as error:
                raise UserError(f'variant {trial.variant!r}: {error}') from error
            # Whether there is a teacher is static, and which; how much it counts is traced.
            whose = (plain.teacher, plain.data) if plain.distills else None
            shapes = (run.source.fingerprint, len(run.splits.train), len(run.splits.validation), len(run.splits.test))
            known[plain] = (run.task, run.optimizer, run.plan, run.parallel, shapes, whose)
        checked.append(dataclasses.replace(trial, program=numbers.setdefault(known[plain], len(numbers))))
    return checked


def perform(trial: Trial) -> None:
    """Runs one trial to its end, in its workdir: there is then a result.json, or an error.json with what went wrong.

    Raises:
      Stopped: the process was asked to stop.
    """
    workdir = trial.workdir
    with workdir.alone(waiting=f'waiting for another process that is at {workdir}'):
        (workdir / 'error.json').unlink(missing_ok=True)
        if workdir.complete:
            return
        try:
            if trial.reference:
                references.run(trial.reference, trial.settings, workdir)
                return
            teacher = restored(trial)
            run = assembly.assemble(trial.settings, teacher)
            runs.train(run, workdir, teacher=teacher, stream=io.StringIO(), trial=True)
        except Stopped:
            raise
        except Exception as error:  # Whatever it is, the other trials go on.
            fail(trial, error)


def waiting(some: Iterable[Trial]) -> list[Trial]:
    """Those that have no result that can be read."""
    return [trial for trial in some if not finished(trial)]


def finished(trial: Trial) -> bool:
    """Whether a trial has a result; one that cannot be read is thrown away."""
    if not trial.workdir.complete:
        return False
    try:
        trial.workdir.read('result.json')
    except UserError:
        (trial.workdir / 'result.json').unlink()
        return False
    return True


def by_program(some: Iterable[Trial]) -> dict[int, list[Trial]]:
    """The trials that share compiled programs, by their number."""
    found: dict[int, list[Trial]] = {}
    for trial in some:
        found.setdefault(trial.program, []).append(trial)
    return found


def want_one_device(some: Iterable[Trial], where: str) -> None:
    """Raises UserError where a trial asks for several devices; `where` is what has one."""
    for trial in some:
        if trial.settings.devices > 1:
            raise UserError(
                f'variant {trial.variant!r}: config.devices is {trial.settings.devices}, but {where}; leave it at 0'
            )


def parts(some: Iterable[Trial], most: int) -> list[list[Trial]]:
    """Trials that share compiled programs, so many together at most; whatever has a result already."""
    return [alike[at : at + most] for alike in by_program(some).values() for at in range(0, len(alike), most)]


def fail(trial: Trial, error: Exception | str) -> None:
    """Records why a trial has no result."""
    words, trace = str(error), ''
    if isinstance(error, Exception):
        trace = ''.join(traceback.format_exception(error))
        words = words if isinstance(error, UserError) else f'{type(error).__name__}: {error}'
    trial.workdir.path.mkdir(parents=True, exist_ok=True)
    trial.workdir.write('error.json', {'error': ' '.join(words.split())[:LONGEST], 'traceback': trace})


def restored(trial: Trial) -> assembly.Teacher | None:
    """The trial's teacher, or None; of the student, only task and data matter to it."""
    if not trial.teacher:
        return None
    return _teacher(trial.teacher, trial.settings.task, trial.settings.data)


@functools.lru_cache(maxsize=2)
def _teacher(folder: str, task: str, data) -> assembly.Teacher:
    return teachers.restore(pathlib.Path(folder), dataclasses.replace(Settings(), task=task, data=data))

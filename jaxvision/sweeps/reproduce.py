"""Running a stored sweep, trial or run again from its record, and saying what came back."""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from jaxvision import assembly, experiment, runs, teachers
from jaxvision.errors import UserError
from jaxvision.settings import Settings
from jaxvision.sweeps import runner, table, trials
from jaxvision.sweeps.engines import processes
from jaxvision.sweeps.trials import Trial
from jaxvision.training import environment
from jaxvision.training.records import Workdir, flatten

MARK = 'reproduces.json'  # In the workdir of a reproduced sweep: what it reproduces.
TIMES = ('seconds', 'examples_per_second')
# What a record depends on besides its settings, by what it is called; see training.environment.
SAME = {
    'versions': ('versions',),
    'code': ('code',),
    'data fingerprint': ('dataset', 'fingerprint'),
    'held-out examples': ('dataset', 'held_out'),
    'devices': ('devices',),
    'kind of device': ('device_kind',),
    'cores': ('cores',),
    'convolution': ('convolution',),
    'XLA_FLAGS': ('xla_flags',),
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One run against its record.

    Attributes:
      name: of the run within its sweep.
      bits: whether the weights, the curves and every metric are the same, bit by bit.
      outside: the metrics that lie outside of the recorded 95% interval, told.
    """

    name: str
    bits: bool
    outside: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What came back.

    Attributes:
      changed: what is not as it was when the record was made, told.
      compared: one a trial.
      missing: trials that have a result on one side alone, named.
      workdir: of the new run.
    """

    changed: tuple[str, ...]
    compared: tuple[Comparison, ...]
    missing: tuple[str, ...]
    workdir: str

    @property
    def held(self) -> bool:
        """Whether every metric of every trial came back within its interval."""
        return bool(self.compared) and not self.missing and not any(one.outside for one in self.compared)


def run(
    path: str, into: str, engine: str = 'auto', options: Mapping[str, Mapping[str, Any]] | None = None, *, stream=None
) -> Reproduction:
    """Does again what a workdir records: a sweep, one trial of it, or a run of launch/train.py.

    What is known to have changed since is told before anything is trained.

    Args:
      path: of the finished workdir.
      into: the workdir of the new run; '' for one beside it.
      engine: of a sweep; auto for the one that it was run with.
      options: by engine, see `runner.run`.
      stream: where progress and changes are told; stdout if None.

    Raises:
      UserError: the record is incomplete, there are results in `into`, or data or teacher are not to be had.
    """
    stream = stream or sys.stdout
    before = Workdir(path)
    now = Workdir(into or f'{before}-again')
    if now.complete or now.path.resolve() == before.path.resolve() or _has_results(now, before):
        raise UserError(f'{now} has results already, which a reproduction must not see; name another --workdir')
    if _is_sweep(before):
        if not (now / 'config.json').exists():
            now.path.mkdir(parents=True, exist_ok=True)
            now.write(MARK, _whose(before))
        base, sweep = runner.stored(before)
        print(_told_first(before), file=stream, flush=True)
        if engine == 'auto':
            engine = before.read('environment.json').get('engine', 'auto')
        runner.run(base, sweep, str(now), engine, options, stream=stream)
        pairs = list(_trials(before, now))
    else:
        before.read('result.json')
        if 'reference' in before.read('config.json'):
            raise UserError(f'{before} is a model of scikit-learn in a cross-validation; reproduce its sweep')
        if engine != 'auto' or options:
            raise UserError(f'{before} is one run, not a sweep: leave out --engine and what is of engines')
        print(_told_first(before), file=stream, flush=True)
        _again(before, now, stream)
        pairs = [(before.path.name, before, now)]
    done = [(name, one, other) for name, one, other in pairs if one.complete and other.complete]
    both = [(before, now), *((one, other) for _, one, other in done)]
    changed = [
        line for one, other in both for line in changes(*(side.read('environment.json') for side in (one, other)))
    ]
    return Reproduction(
        changed=tuple(dict.fromkeys(changed)),
        compared=tuple(compare(name, one, other) for name, one, other in done),
        missing=tuple(name for name, one, other in pairs if one.complete != other.complete),
        workdir=str(now),
    )


def _trials(before: Workdir, now: Workdir) -> Iterator[tuple[str, Workdir, Workdir]]:
    base, sweep = runner.stored(before)
    there = trials.expand(base, sweep, before.path)
    for one, other in zip(there, trials.expand(base, sweep, now.path), strict=True):
        yield one.label, one.workdir, other.workdir


def _has_results(now: Workdir, before: Workdir) -> bool:
    """Whether there is a sweep's summary, but for that of this reproduction itself where it was stopped."""
    if not (now / 'summary.json').exists():
        return False
    counts = now.read('summary.json')['trials']
    whole = counts[table.DONE] == sum(counts.values())
    return whole or not (now / MARK).exists() or now.read(MARK) != _whose(before)


def _whose(before: Workdir) -> dict[str, str]:
    return {'workdir': str(before.path.resolve())}


def _is_sweep(workdir: Workdir) -> bool:
    return (workdir / 'config.json').exists() and 'sweep' in workdir.read('config.json')


def _is_trial(workdir: Workdir) -> bool:
    return workdir.complete and not (workdir / 'predictions.npz').exists()


def known(before: Workdir) -> Iterator[str]:
    """What can be told to have changed before anything is trained: all but the teacher, and the machine of a trial."""
    if _is_sweep(before):
        base, sweep = runner.stored(before)
        whose = trials.expand(base, sweep, before.path)[0].settings
        now = environment.describe(jax.local_devices(), *assembly.load_data(whose.data))
    elif _is_trial(before):  # Its devices are those of a process of its own, and are left to it.
        now = environment.software(*assembly.load_data(runs.settings_of(before).data))
    else:
        run = assembly.assemble(runs.settings_of(before).alone())
        now = environment.describe(run.parallel.devices, run.source, run.splits)
    yield from changes(before.read('environment.json'), now)


def _told_first(before: Workdir) -> str:
    found = tuple(known(before))
    if not found and _is_trial(before):
        return 'Versions, code and data are those of the record; the machine is told with what comes back.'
    return tell_changes(found)


def _again(before: Workdir, now: Workdir, stream) -> None:
    settings = runs.settings_of(before)
    if not _is_trial(before):
        experiment.run(settings, str(now), stream=stream)
        return
    # A trial: in a process of its own on one core, as it was.
    for _ in processes.run([_trial(settings, now.path, stream)], now.path, lambda: False, count=1):
        if not now.complete:
            raise UserError(f'the trial failed: {now.read("error.json")["error"]}')


def _trial(settings: Settings, path: pathlib.Path, stream) -> Trial:
    teacher = teachers.provide(settings, stream=stream).record['workdir'] if settings.distills else ''
    path.mkdir(parents=True, exist_ok=True)
    return Trial('the trial', settings.seed, None, settings, str(path), teacher)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two environment.json, told; `now` may know less."""
    before = {'convolution': 'xla', **before}  # As it was before it was recorded.
    for name, place in SAME.items():
        if place[0] not in now:
            continue
        there, here = _at(before, place), _at(now, place)
        if name == 'versions':
            for package in sorted(there.keys() | here.keys()):
                if there.get(package) != here.get(package):
                    yield f'{package} was {there.get(package) or "missing"}, is {here.get(package) or "missing"}'
        elif there != here:
            yield f'{name}: was {there}, is {here}'
    there, here = (sorted((one.get('teachers') or {'': one.get('teacher', '')}).values()) for one in (before, now))
    if there != here and now.keys() & {'teacher', 'teachers'}:
        yield f'hash of the teacher: was {", ".join(there)}, is {", ".join(here)}'


def _at(tree: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    for key in place:
        tree = tree.get(key) or {}
    return tree


def compare(name: str, before: Workdir, now: Workdir) -> Comparison:
    """A finished run against its record."""
    there, here = before.read('result.json'), now.read('result.json')
    same = _bits(there) == _bits(here) and list(map(_timeless, before.metrics())) == list(map(_timeless, now.metrics()))
    outside = []
    for split, metrics in there['splits'].items():
        for metric, entry in metrics.items():
            if same or not isinstance(entry, dict) or not entry.get('ci95'):
                continue
            now_there = here['splits'].get(split, {}).get(metric)
            if now_there is None:
                outside.append(f'{split} {metric} is not there any more')
                continue
            (low, high), value = entry['ci95'], now_there['value']
            if not low <= value <= high:
                outside.append(f'{split} {metric} is {value:.4f}, was {entry["value"]:.4f} [{low:.4f}, {high:.4f}]')
    return Comparison(name, same, tuple(outside))


def _bits(result: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be the same to the bit: everything but times, and where a teacher lies."""
    flat = flatten(dict(result))
    return {key: value for key, value in flat.items() if key.rpartition('.')[2] not in (*TIMES, 'workdir')}


def _timeless(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in TIMES}


def tell_changes(changed: tuple[str, ...]) -> str:
    """In words: what is not as it was."""
    if not changed:
        return 'Versions, code, data and machine are those of the record.'
    return '\n'.join(['Since the record was made, this has changed:', *(f'  {change}' for change in changed)])


def tell(found: Reproduction) -> str:
    """In words: first what changed since, then what came back."""
    lines = [tell_changes(found.changed)]
    total, exact = len(found.compared), sum(one.bits for one in found.compared)
    outside = [one for one in found.compared if one.outside]
    if total and exact == total:
        whose = 'the run' if total == 1 else f'all {total} runs'
        lines.append(f'Every bit came back of {whose}: weights, curves and metrics.')
    elif total:
        lines.append(f'Of {total} run{"s" if total > 1 else ""}, {exact or "none"} came back to the bit.')
        if not outside:
            lines.append('Every metric of the others is within its recorded interval.')
    if outside:
        lines.append('Outside of their recorded intervals, by run:')
        lines += [f'  {one.name}: {"; ".join(one.outside)}' for one in outside]
    if found.missing:
        lines.append(f'With a result on one side alone: {"; ".join(found.missing)}')
    return '\n'.join([*lines, f'Recorded in {found.workdir}'])

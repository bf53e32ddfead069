"""What a run needs of memory at its peak: its programs are compiled, as it would compile them, and none is called."""

import importlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxvision import assembly, teachers
from jaxvision.settings import Settings
from jaxvision.training import allocator, evaluation

# What a run imports on its way, too late for it to be here by itself.
LATER = ('matplotlib.pyplot', 'orbax.checkpoint', 'scipy.optimize', 'scipy.stats', 'tensorboardX')


def peak(settings: Settings) -> tuple[int, int | None]:
    """The bytes that a run needs at its peak, estimated.

    Args:
      settings: of the run; of a distillation, its teacher and the student alone come with it.

    Returns:
      Of each device; and on CPU, whose devices share the memory of the process, of that, or None where the system does
      not tell what a process has. The latter is of a run that finds its programs in the cache, as it does after this:
      compiling needs more. What the C library's allocator keeps of freed memory, or loses between what is in use, comes
      on top.
    """
    kept, devices, everything = [], 0, 0
    for run, teacher in stages(settings):
        programs = compiled(run, teacher)
        kept.append(programs)  # As a run keeps them, so they are among what is resident below.
        needed = max(map(_bytes, programs.values()))
        devices = max(devices, needed)
        everything = max(everything, needed * len(run.parallel.devices) + _outputs(run, programs['predict']))
    if jax.default_backend() != 'cpu':
        return devices, None
    for module in LATER:
        importlib.import_module(module)
    allocator.give_back()  # Else what is freed here counts as what a run has.
    resident = allocator.resident()
    return devices, None if resident is None else resident + everything


def stages(settings: Settings) -> Iterator[tuple[assembly.Run, assembly.Teacher | None]]:
    """What is trained, one after the other, in a process that finds no teacher."""
    if not settings.distills:
        yield assembly.assemble(settings), None
        return
    if settings.teacher.workdir:
        members = teachers.given(settings)
    else:
        members = [teachers.to_train(settings, number) for number in range(settings.teacher.members)]
        yield members[0], None
    teacher = assembly.Teacher(
        tuple(member.task for member in members), tuple(member.like().variables for member in members), {}, None
    )
    yield assembly.assemble(settings.alone()), None
    yield assembly.assemble(settings, teacher), teacher


def compiled(run: assembly.Run, teacher: assembly.Teacher | None) -> dict[str, Any]:
    """The programs that a run calls, compiled: {'create', 'train', 'predict'}."""
    calls, programs = run.plan.steps_per_call, run.programs
    arguments = run.described(teacher, calls)
    state, context, ids, _ = arguments
    several = np.zeros((len(ids), evaluation.batch_size(run.source.shape)), np.int32)
    lowered = {
        'create': programs.create.lower(*run.creation),
        'train': programs.lower(calls, *arguments),
        'predict': programs.predict.lower((state.variables,), context, several),
    }
    return {name: program.compile() for name, program in lowered.items()}


def _bytes(program) -> int:
    """Of one device: what a program reads, makes, and keeps while it runs; what it takes over counts once."""
    found = program.memory_analysis()
    whole = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
    return whole - found.alias_size_in_bytes


def _outputs(run: assembly.Run, predict) -> int:
    """Of what the network puts out on all splits: it waits on the host for the end of the run."""
    count = sum(len(ids) for _, ids in run.splits.items())
    return predict.memory_analysis().output_size_in_bytes * count // evaluation.batch_size(run.source.shape)

"""Compiles what a long run calls in a process of its own, before the run does: what compiling leaves stays there.

Where all threads share an arena (`training.allocator`), a process that has compiled its step seeks every array among
the holes that this left. One that finds its programs in JAX's cache does not: on two cores a step of the detector takes
0.77 and 0.84 of the time, of ResNet-20 0.89 (0.85 to 0.90), of the transformer 0.93 (0.90 to 0.95) and of the
convolutional network 0.93 (0.92 to 0.95; models of benchmarks/cases.py in turns of 0.25 s; jax 0.10.2), and the memory
of compiling is not its own. The price is another process's start, and a second tracing: four to six seconds.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import sys

import jax

from jaxvision import assembly, interpreters, memory
from jaxvision.assembly import Run
from jaxvision.settings import Settings, from_dict
from jaxvision.training import allocator, environment, setup

PAYS_FROM = 2e12  # FLOPs of all its steps forwards: a minute of training on two cores.
MOST = 2**30  # Bytes of images, which the other process reads too.


def fill(chosen: Settings, run: Run) -> None:
    """Has the cache filled with all that an experiment compiles, where that pays and was not done yet.

    A run whose programs are not there for whatever reason compiles them itself.

    Args:
      chosen: the experiment's settings.
      run: what they stand for; of a distillation, the student alone.
    """
    cache = _cache()
    if cache is None or not pays(run):
        return
    marker = pathlib.Path(cache) / f'{_key(chosen, run)}.filled'
    if marker.exists():
        return
    other = interpreters.start('jaxvision.beforehand')  # Whatever is wrong is told by the run itself.
    with interpreters.waited_for(other) as process:
        process.communicate(json.dumps(dataclasses.asdict(chosen)))
    if not process.returncode:
        with contextlib.suppress(OSError):
            marker.touch()


def pays(run: Run) -> bool:
    """Whether a run is long enough whose arrays would lie among holes, and there is room for another process."""
    long = run.plan.steps * run.plan.batch_size * assembly.cost_of(run.task).flops >= PAYS_FROM
    return allocator.shared() and jax.default_backend() == 'cpu' and long and run.source.images.nbytes <= MOST


def _cache() -> str | None:
    """Where JAX keeps programs, if it does."""
    values = jax.config.values
    return values['jax_compilation_cache_dir'] if values['jax_enable_compilation_cache'] else None


def _key(chosen: Settings, run: Run) -> str:
    """Of what is compiled, and what JAX's own cache minds besides; a teacher's settings stand for its programs."""
    steps = run.plan.in_one_call(0)
    program = run.programs.lower(steps, *run.described(calls=steps)).as_text()
    teacher = dataclasses.asdict(chosen.teacher)
    depends = [program, teacher, environment.versions(), environment.machine(run.parallel.devices)]
    return hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:16]


def main() -> None:
    """Compiles for the settings that come in as JSON."""
    chosen = from_dict(json.load(sys.stdin))
    setup.process(small=True)  # It trains nothing; with an arena a thread it takes 0.74 to 0.86 of the time.
    for run, teacher in memory.stages(chosen):
        memory.compiled(run, teacher)


if __name__ == '__main__':
    main()

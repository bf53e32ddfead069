"""A cluster: jobs of SLURM, submitted by submitit; each runs some trials with the engine that suits its machine."""

import importlib.util
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jaxvision import interpreters
from jaxvision.errors import UserError
from jaxvision.sweeps import trials
from jaxvision.sweeps.engines import CLUSTER, suited
from jaxvision.sweeps.trials import Trial
from jaxvision.training import setup

PATIENCE = 10.0  # Seconds that cancelled jobs have to end.
POLL = 2.0  # Seconds between two looks at the workdirs and the queue.
# Of the command line -> of submitit.
PARAMETERS = {
    'partition': 'slurm_partition',
    'account': 'slurm_account',
    'qos': 'slurm_qos',
    'constraint': 'slurm_constraint',
    'minutes': 'timeout_min',
    'gpus': 'gpus_per_node',
    'cores': 'cpus_per_task',
    'memory_gb': 'mem_gb',
    'most_jobs': 'slurm_array_parallelism',
}


class Job:
    """What runs on the cluster: some trials, by the engine that suits its machine. Preempted, it is queued again."""

    def __init__(self, some: Sequence[Trial], root: pathlib.Path):
        self._texts, self._root = [trial.as_json() for trial in some], root

    def __call__(self) -> None:
        some = [Trial.from_json(text) for text in self._texts]
        setup.process(small=all(trial.settings.small for trial in some))
        for _ in suited.run(some, self._root, lambda: False):
            pass

    def checkpoint(self) -> Any:
        """submitit calls this shortly before the time is up; what has a result is not run again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def run(
    some: Sequence[Trial], root: pathlib.Path, stop: Callable[[], bool], wanted: Mapping[str, Any] | None = None
) -> Iterator[Trial]:
    """Submits trials as an array of jobs, and waits for them.

    A sweep that is asked to stop cancels its jobs. One that is killed leaves them in the queue, where they still do
    their trials: two jobs are never at the same trial, and what is done is not done again, so a sweep that goes on may
    submit its own without asking.

    Args:
      some: what to run; those that have a result are left alone.
      root: of the sweep, on a disk that the cluster sees; scripts and logs go to jobs/ there.
      stop: asked every few seconds; when it says so, the jobs are cancelled and the iteration ends.
      wanted: other values for keys of `engines.CLUSTER`.

    Yields:
      Each trial once it has a result.json or an error.json.

    Raises:
      UserError: the jobs cannot be submitted.
    """
    values = {**CLUSTER, **(wanted or {})}
    for trial in trials.waiting(some):
        (trial.workdir / 'error.json').unlink(missing_ok=True)
    open_jobs = _submit(some, root, values)
    try:
        while open_jobs and not stop():
            time.sleep(POLL if values['cluster'] != 'local' else 0.1)
            for job, waiting in list(open_jobs.items()):
                over = job.done()
                for trial in list(waiting):
                    if over and not trial.workdir.complete and not (trial.workdir / 'error.json').exists():
                        trials.fail(trial, f'its job {job.job_id} ended as {job.state}; see {job.paths.stderr}')
                    if trial.workdir.complete or (trial.workdir / 'error.json').exists():
                        waiting.remove(trial)
                        yield trial
                if over:
                    del open_jobs[job]
    finally:
        for job in open_jobs:
            job.cancel(check=False)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not all(job.done() for job in open_jobs):
            time.sleep(0.1)


def check(some: Sequence[Trial], wanted: Mapping[str, Any] | None = None) -> None:
    """Makes sure that jobs can be submitted.

    Raises:
      UserError: submitit is not installed, there is no SLURM here, or a number is none that a job can have.
    """
    del some
    values = {**CLUSTER, **(wanted or {})}
    for key, least in (('trials', 1), ('minutes', 1), ('cores', 1), ('memory_gb', 1), ('most_jobs', 1), ('gpus', 0)):
        if values[key] < least:
            raise UserError(f'--slurm.{key} is {values[key]}, but must be at least {least}')
    if importlib.util.find_spec('submitit') is None:
        raise UserError("--engine=slurm wants submitit: pip install 'jaxvision[slurm]'")
    if values['cluster'] == 'slurm' and shutil.which('srun') is None:
        raise UserError('--engine=slurm finds no SLURM here: there is no srun')


def _submit(some: Sequence[Trial], root: pathlib.Path, values: Mapping[str, Any]) -> dict[Any, list[Trial]]:
    """The jobs, each with its trials that have no result.

    A job is given all of its part, so that what it stacks is always the same.
    """
    import submitit

    parts = [(part, trials.waiting(part)) for part in trials.parts(some, values['trials'])]
    parts = [(part, left) for part, left in parts if left]  # Asked before a job may have ended some.
    before = os.environ.get('PYTHONPATH')
    os.environ['PYTHONPATH'] = interpreters.path()
    try:
        executor = submitit.AutoExecutor(folder=root / 'jobs', cluster=values['cluster'])
        executor.update_parameters(
            name='jaxvision', **{PARAMETERS[key]: value for key, value in values.items() if key in PARAMETERS and value}
        )
        with executor.batch():
            jobs = [(executor.submit(Job(part, root)), left) for part, left in parts]
        return dict(jobs)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f'cannot submit jobs: {error}') from error
    finally:
        if before is None:
            del os.environ['PYTHONPATH']
        else:
            os.environ['PYTHONPATH'] = before

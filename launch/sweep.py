"""Compares the variants of a config over seeds or folds: python launch/sweep.py --config=configs/ablation.py"""

import dataclasses
import sys

import ml_collections
from absl import flags
from ml_collections import config_flags

import command
from jaxvision.sweeps.engines import CLUSTER

SEEDS = flags.DEFINE_integer('seeds', 0, 'How many: seeds 0, 1, ...; 0 for as many as the sweep says.', lower_bound=0)
WORKDIR = flags.DEFINE_string('workdir', '', 'Where the sweep is recorded; runs/<config>-sweep if empty.')
REPRODUCE = flags.DEFINE_string(
    'reproduce', '', 'A finished sweep, trial or run: do it again from its record, and say what came back.'
)
ENGINE = flags.DEFINE_enum(
    'engine',
    'auto',
    ['auto', 'processes', 'stacked', 'slurm'],
    'Where trials run; auto: processes on CPU.',
)
PROCESSES = flags.DEFINE_integer('processes', 0, 'How many; 0 for what fits cores and memory.', lower_bound=0)
SLURM = config_flags.DEFINE_config_dict('slurm', ml_collections.ConfigDict(CLUSTER), 'Of --engine=slurm.')

command.define_config()


def main() -> None:
    if REPRODUCE.value:
        reproduce()
        return
    name, resolved, overridden = command.experiment_settings(all_read=False)
    sweep = command.sweep(name, resolved.distills)
    if SEEDS.value:
        sweep = dataclasses.replace(sweep, seeds=SEEDS.value)
    command.set_up(resolved.small)

    from jaxvision.sweeps import findings, runner, trials

    trials.check_overrides(resolved, sweep, overridden)
    workdir = WORKDIR.value or f'runs/{name}-sweep'
    summary = runner.run(resolved, sweep, workdir, ENGINE.value, options())
    print(f'\n{findings.text(summary)}\nRecorded in {workdir}; open {workdir}/report.html')
    if summary['trials']['failed']:
        sys.exit(1)


def options():
    """What the flags say of each engine; one of which nothing is said is left out."""
    said = {}
    if PROCESSES.value:
        said['processes'] = {'count': PROCESSES.value}
    if config_flags.get_override_values(flags.FLAGS['slurm']):
        said['slurm'] = {'wanted': SLURM.value.to_dict()}
    return said


def reproduce() -> None:
    if flags.FLAGS.config is not None or SEEDS.value:
        raise command.UserError('--reproduce takes config and seeds from the record; leave out --config and --seeds')
    command.set_up()

    from jaxvision.sweeps import reproduce

    found = reproduce.run(REPRODUCE.value, WORKDIR.value, ENGINE.value, options())
    print(f'\n{reproduce.tell(found)}')
    if not found.held:
        sys.exit(1)


if __name__ == '__main__':
    command.run(main)

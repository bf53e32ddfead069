"""Compares the variants of a config over seeds or folds: python launch/sweep.py --config=configs/ablation.py"""

import dataclasses

import ml_collections
from absl import flags
from ml_collections import config_flags

import command
from jaxvision.sweeps.engines import CLUSTER

SEEDS = flags.DEFINE_integer('seeds', 0, 'How many: seeds 0, 1, ...; 0 for as many as the sweep says.', lower_bound=0)
WORKDIR = flags.DEFINE_string('workdir', '', 'Where the sweep is recorded; runs/<config>-sweep if empty.')
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
    name, resolved, overridden = command.experiment_settings(all_read=False)
    sweep = command.sweep(name, resolved.distills)
    if SEEDS.value:
        sweep = dataclasses.replace(sweep, seeds=SEEDS.value)
    command.set_up()

    from jaxvision.sweeps import findings, runner, trials

    trials.check_overrides(resolved, sweep, overridden)
    workdir = WORKDIR.value or f'runs/{name}-sweep'
    summary = runner.run(resolved, sweep, workdir, runner.engine(ENGINE.value, PROCESSES.value, SLURM.value.to_dict()))
    print(f'\n{findings.text(summary)}\nRecorded in {workdir}; open {workdir}/report.html')


if __name__ == '__main__':
    command.run(main)

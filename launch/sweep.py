"""Trains one config under several seeds: python launch/sweep.py --config=configs/distill.py --seeds=12"""

from absl import flags

import command

SEEDS = flags.DEFINE_integer('seeds', 12, 'How many: seeds 0, 1, ...', lower_bound=1)
WORKDIR = flags.DEFINE_string('workdir', '', 'Where the trials are recorded; runs/<config>-seeds if empty.')

command.define_config()


def main() -> None:
    name, resolved, overridden = command.experiment_settings()
    if 'seed' in overridden:
        raise command.UserError('config.seed is set, but a sweep takes seeds 0, 1, ...; say how many with --seeds')
    command.set_up()

    from jaxvision.sweeps import runner

    workdir = WORKDIR.value or f'runs/{name}-seeds'
    summary = runner.over_seeds(resolved, range(SEEDS.value), workdir)
    print(f'\n{runner.tell(summary)}\nRecorded in {workdir}/results.csv and summary.json')


if __name__ == '__main__':
    command.run(main)

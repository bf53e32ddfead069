"""Trains what a config describes: python launch/train.py --config=configs/distill.py [--config.KEY=VALUE ...]"""

from absl import flags

import command

WORKDIR = flags.DEFINE_string('workdir', '', 'Where the run is recorded; runs/<config> if empty.')
DRY_RUN = flags.DEFINE_bool('dry_run', False, 'Print shapes, sizes, decay mask and plan; train nothing.')

command.define_config()


def main() -> None:
    name, resolved, overridden = command.experiment_settings()
    if not DRY_RUN.value:
        from jaxvision import preparing

        preparing.begin(resolved.data)
    command.set_up(resolved.small)

    from jaxvision import experiment, summary

    if DRY_RUN.value:
        print(summary.describe(resolved, overridden))
        return
    workdir = WORKDIR.value or f'runs/{name}'
    result = experiment.run(resolved, workdir, overridden=overridden)
    print(f'\n{experiment.table(result)}\n{result["verdict"]}\nRecorded in {workdir}; open {workdir}/report.html')


if __name__ == '__main__':
    command.run(main)

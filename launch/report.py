"""Compares finished runs and sweeps on one page: python launch/report.py runs/distill runs/ablation-sweep

One workdir alone: its own report.html is drawn again.
"""

from absl import flags

import command

OUT = flags.DEFINE_string('out', '', 'Where the comparison goes; comparison.html if empty.')


def main(arguments: list[str]) -> None:
    if not arguments:
        raise command.UserError('no workdirs; name finished runs or sweeps')

    from jaxvision.sweeps.reports import comparison

    print(f'open {comparison.report(arguments, OUT.value)}')


if __name__ == '__main__':
    command.run(main, positional=True)

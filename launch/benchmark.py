"""Measures our own code: python launch/benchmark.py --config=configs/classify.py [--of=loop|engines|overhead]"""

import dataclasses

from absl import flags

import command

OF = flags.DEFINE_enum(
    'of',
    'loop',
    ['loop', 'engines', 'overhead'],
    "loop: training against the bare step. engines: the config's sweep by each engine. overhead: what a trial of the "
    'sweep costs beyond its own work.',
)
STEPS = flags.DEFINE_integer('steps', 150, 'Of the loop: a round.', lower_bound=1)
REPEATS = flags.DEFINE_integer('repeats', 5, 'Rounds on each side.', lower_bound=1)
SEEDS = flags.DEFINE_integer('seeds', 2, 'Of the sweep.', lower_bound=1)

command.define_config()


def main() -> None:
    name, resolved, _ = command.experiment_settings(all_read=OF.value == 'loop')
    sweep = None if OF.value == 'loop' else command.sweep(name, resolved.distills)
    command.set_up()

    if sweep is None:
        print(_loop(resolved))
        return
    sweep = dataclasses.replace(sweep, seeds=SEEDS.value)
    print(_engines(resolved, sweep) if OF.value == 'engines' else _overhead(resolved, sweep))


def _loop(resolved) -> str:
    from jaxvision import benchmark

    found = benchmark.loop_overhead(resolved, steps=STEPS.value, repeats=REPEATS.value)
    rounds = ', '.join(f'{ratio:.3f}' for ratio in found['rounds'])
    return (
        f'bare step {found["bare_ms"]:.2f} ms, in the loop {found["loop_ms"]:.2f} ms: '
        f'{found["ratio"]:.1%} of the images/s (rounds: {rounds})'
    )


def _engines(resolved, sweep) -> str:
    from jaxvision.sweeps import benchmark

    found = benchmark.engines(resolved, sweep, repeats=REPEATS.value)
    lines = [f'{found["trials"]} trials, {REPEATS.value} rounds; trials a second, and how many times one process']
    for side, values in found['rounds'].items():
        rounds = ', '.join(f'{value:.2f}' for value in values)
        lines.append(f'{side:<12} {found["rate"][side]:6.2f}  {found["ratio"][side]:5.2f}  (rounds: {rounds})')
    return '\n'.join(lines)


def _overhead(resolved, sweep) -> str:
    from jaxvision.sweeps import benchmark
    from jaxvision.training import environment

    found = benchmark.overhead(resolved, sweep, processes=environment.cores())
    return (
        f'{found["trials"]} trials in {found["seconds"]:.1f} s on {environment.cores()} processes: '
        f'{found["own"]:.3f} s a trial of its own work, {found["overhead"]:.3f} s beyond it'
    )


if __name__ == '__main__':
    command.run(main)

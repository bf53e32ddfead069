"""What the loop costs beyond the bare training step: python launch/benchmark.py --config=configs/classify.py"""

from absl import flags

import command

STEPS = flags.DEFINE_integer('steps', 150, 'A round.', lower_bound=1)
REPEATS = flags.DEFINE_integer('repeats', 5, 'Rounds on each side.', lower_bound=1)

command.define_config()


def main() -> None:
    _, resolved, _ = command.experiment_settings()
    command.set_up()

    from jaxvision import benchmark

    found = benchmark.loop_overhead(resolved, steps=STEPS.value, repeats=REPEATS.value)
    rounds = ', '.join(f'{ratio:.3f}' for ratio in found['rounds'])
    print(
        f'bare step {found["bare_ms"]:.2f} ms, in the loop {found["loop_ms"]:.2f} ms: '
        f'{found["ratio"]:.1%} of the images/s (rounds: {rounds})'
    )


if __name__ == '__main__':
    command.run(main)

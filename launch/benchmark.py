"""Measures our code, and others' beside it: python launch/benchmark.py --of=frameworks --pytorch=VENV/bin/python"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

from absl import flags

import command
from jaxvision.errors import UserError

DIGITS = ('classify', 'distill', 'ablation', 'crossval', 'temperature', 'capacity', 'localize', 'detect')
OF = flags.DEFINE_enum(
    'of',
    'loop',
    ['loop', 'engines', 'overhead', 'frameworks', 'parts', 'growth', 'start', 'memory', 'speedrun'],
    "loop: the config's training against its bare calls. engines: its sweep by each engine. overhead: what a trial of "
    'the sweep costs beyond its own work. frameworks: six models, ours against PyTorch. parts: evaluation, '
    'distillation and stacked networks against training. growth: images/s by batch, width, dataset, devices, trials. '
    'start: seconds from the command to the first step. memory: what --dry_run foretells, and what a run takes. '
    "speedrun: the config's trainings of so many seeds, in turn with a published script.",
)
THEIRS = flags.DEFINE_integer('theirs', 20, 'Of the speedrun: rounds with the published script.', lower_bound=1)
STEPS = flags.DEFINE_integer('steps', 150, 'Of the loop: a round.', lower_bound=1)
REPEATS = flags.DEFINE_integer('repeats', 5, 'Rounds on each side.', lower_bound=1)
SEEDS = flags.DEFINE_integer('seeds', 2, 'Of the sweep.', lower_bound=1)
PYTORCH = flags.DEFINE_string('pytorch', '', 'Of frameworks, speedrun: a Python interpreter that has torch.')
REFERENCE = flags.DEFINE_string('reference', '', 'Of the speedrun: airbench94_muon.py; ours alone if empty.')
MODELS = flags.DEFINE_list('models', [], 'Of the frameworks: which; the six if empty.')
SECONDS = flags.DEFINE_float('seconds', 4.0, 'Of frameworks, parts, growth: a round.', lower_bound=0.0)
PARTS = flags.DEFINE_list('parts', [], 'Of the parts: which; all if empty.')
AXES = flags.DEFINE_list('axes', [], 'Of growth: which; all if empty.')
CONFIGS = flags.DEFINE_list('configs', list(DIGITS), 'Of start and memory: which files of configs/.')
OUTPUT = flags.DEFINE_string('output', '', 'Where rows are kept; benchmarks.json, or results/WHAT.json.')

command.define_config()


def main() -> None:
    alone = {'frameworks': _frameworks, 'parts': _parts, 'growth': _growth, 'start': _start, 'memory': _memory}
    if OF.value in alone:
        alone[OF.value]()
        return
    name, resolved, _ = command.experiment_settings(all_read=OF.value in ('loop', 'speedrun'))
    if OF.value == 'speedrun':
        _speedrun(resolved)
        return
    sweep = None if OF.value == 'loop' else command.sweep(name, resolved.distills)
    command.set_up()

    if sweep is None:
        print(_loop(resolved))
        return
    sweep = dataclasses.replace(sweep, seeds=SEEDS.value)
    print(_engines(resolved, sweep) if OF.value == 'engines' else _overhead(resolved, sweep))


def _loop(resolved) -> str:
    from jaxvision.benchmarks import loop

    found = loop.overhead(resolved, steps=STEPS.value, repeats=REPEATS.value)
    rounds = ', '.join(f'{ratio:.3f}' for ratio in found['rounds'])
    return (
        f'bare step {found["bare_ms"]:.2f} ms, {found["steps_per_call"]} a call, '
        f'in the loop {found["loop_ms"]:.2f} ms: '
        f'{found["ratio"]:.1%} of the images/s (rounds: {rounds})'
    )


def _engines(resolved, sweep) -> str:
    from jaxvision.benchmarks import engines

    found = engines.throughput(resolved, sweep, repeats=REPEATS.value)
    lines = [f'{found["trials"]} trials, {REPEATS.value} rounds; trials a second, and how many times one process']
    for side, values in found['rounds'].items():
        rounds = ', '.join(f'{value:.2f}' for value in values)
        lines.append(f'{side:<12} {found["rate"][side]:6.2f}  {found["ratio"][side]:5.2f}  (rounds: {rounds})')
    return '\n'.join(lines)


def _overhead(resolved, sweep) -> str:
    from jaxvision.benchmarks import engines
    from jaxvision.training import environment

    found = engines.overhead(resolved, sweep, processes=environment.cores())
    return (
        f'{found["trials"]} trials in {found["seconds"]:.1f} s on {environment.cores()} processes: '
        f'{found["own"]:.3f} s a trial of its own work, {found["overhead"]:.3f} s beyond it'
    )


def _frameworks() -> None:
    if not PYTORCH.value:
        raise UserError('--pytorch is missing: the interpreter of an environment that has torch')
    from jaxvision.benchmarks import cases

    for model in MODELS.value:
        if model not in cases.MODELS | cases.LARGE:
            raise UserError(f'--models={model} is unknown; there are {", ".join(cases.MODELS | cases.LARGE)}')
    chosen = MODELS.value or list(cases.MODELS)
    command.set_up()
    from jaxvision.benchmarks import apart, frameworks, record

    surroundings = apart.call(frameworks.surroundings, PYTORCH.value)
    rounds = {'repeats': REPEATS.value, 'seconds': SECONDS.value}
    for model in chosen:
        small = cases.settings_of(model).small
        if not small:  # Else a run compiles for itself.
            apart.call(frameworks.prepare, model)
        row = apart.call(frameworks.compare, model, PYTORCH.value, small=small, **rounds)
        found = record.update(pathlib.Path(OUTPUT.value or 'benchmarks.json'), [row], surroundings)
        print(record.table({'rows': [row]}).splitlines()[-1], flush=True)
    print(record.table(found))


def _rows(rows: Iterable[dict[str, Any]], line: Callable[[dict[str, Any]], str]) -> None:
    """Tells each row, and keeps it in the file at once: the next may take minutes."""
    from jaxvision.benchmarks import apart, frameworks, record

    machine = apart.call(frameworks.machine)  # Before anything is written, and without taking an accelerator's memory.
    path, found = pathlib.Path(OUTPUT.value or f'results/{OF.value}.json'), []
    for row in rows:
        print(line(row), flush=True)
        found.append(row)
        record.write(path, {'environment': machine, 'rows': found})


def _parts() -> None:
    command.set_up()
    from jaxvision.benchmarks import parts

    def line(row) -> str:
        low, high = row['spread']
        return f'{row["part"]:<12} {row["model"]:<20} {row["times"]:.2f} ({low:.2f} to {high:.2f})'

    chosen = PARTS.value or parts.PARTS
    for part in chosen:
        if part not in parts.PARTS:
            raise UserError(f'--parts={part} is unknown; there are {", ".join(parts.PARTS)}')
    _rows(parts.measure(chosen, repeats=REPEATS.value, seconds=SECONDS.value), line)


def _growth() -> None:
    command.set_up()
    from jaxvision.benchmarks import apart, frameworks, growth, record

    known = (*growth.AXES, 'trials')
    for axis in AXES.value:
        if axis not in known:
            raise UserError(f'--axes={axis} is unknown; there are {", ".join(known)}')
    machine = apart.call(frameworks.machine)
    path = pathlib.Path(OUTPUT.value or 'results/growth.json')
    for axis in AXES.value or known:
        points = growth.along(axis, repeats=REPEATS.value, seconds=SECONDS.value)
        rates = ', '.join(f'{point["at"]:g}: {point["images_per_second"]:,.0f}' for point in points)
        print(f'{axis:<8} {rates}', flush=True)
        found = record.read(path) or {'axes': {}}
        found |= {'environment': machine, 'model': growth.MODEL}
        axes = {**found['axes'], axis: points}
        found['axes'] = {name: axes[name] for name in known if name in axes}
        record.write(path, found)
    growth.draw(found['axes'], found['environment']['cores'], path.with_suffix('.png'))


def _start() -> None:
    command.set_up()
    from jaxvision.benchmarks import start

    def line(row) -> str:
        low, high = row['spread']
        return f'{row["config"]:<12} first {row["first"]:5.1f} s, later {row["later"]:.1f} s ({low:.1f} to {high:.1f})'

    _rows((start.seconds(f'configs/{config}.py', repeats=REPEATS.value) for config in CONFIGS.value), line)


def _memory() -> None:
    command.set_up()
    from jaxvision.benchmarks import memory

    def line(row) -> str:
        low, high = row['spread']
        return (
            f'{row["config"]:<12} foretold {row["foretold_mib"]:5.0f} MiB, taken {row["taken_mib"]:5.0f} MiB '
            f'({low:.0f} to {high:.0f}): {row["ratio"]:.2f}'
        )

    _rows((memory.peak(f'configs/{config}.py', repeats=REPEATS.value) for config in CONFIGS.value), line)


def _speedrun(resolved) -> None:
    from jaxvision.benchmarks import speedrun

    speedrun.check(resolved, PYTORCH.value, REFERENCE.value)
    command.set_up()
    from jaxvision.benchmarks import frameworks, record

    def line(name, side) -> str:
        (low, high), accuracy = side['seconds_spread'], side['accuracy']
        spread = f' (95 % interval {accuracy["ci95"][0]:.2%} to {accuracy["ci95"][1]:.2%})' if accuracy['ci95'] else ''
        return (
            f'{name:<10} {side["seconds"]:.3f} s ({low:.3f} to {high:.3f}), the first {side["first_s"]:.1f} s; '
            f'test accuracy {accuracy["mean"]:.2%}{spread}'
        )

    path, row = pathlib.Path(OUTPUT.value or 'results/speedrun.json'), {}
    environment = frameworks.machine()
    count = {'repeats': REPEATS.value, 'theirs': THEIRS.value}
    for row in speedrun.compare(resolved, PYTORCH.value, REFERENCE.value, **count):
        record.write(path, {'environment': environment, 'rows': [row]})
        print(f'{row["rounds"][-1][0]:.3f} s, {row["rounds"][-1][1]:.2%}', flush=True)
    print(f'{row["runs"]} runs on {row["device"]}\n{line("ours", row)}')
    if 'theirs' in row:
        print(line('published', row['theirs']))
        print(f'ratio {row["ratio"]:.3f} ({row["spread"][0]:.3f} to {row["spread"][1]:.3f})')


if __name__ == '__main__':
    command.run(main)

"""What a run would be, without running it: everything here is traced abstractly."""

from collections.abc import Collection
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision import assembly, memory, teachers
from jaxvision.models import cost
from jaxvision.settings import Settings
from jaxvision.training import columns


def describe(settings: Settings, overridden: Collection[str] = ()) -> str:
    """The text of --dry_run: shapes, parameters, FLOPs, weight decay, plan, memory, and whether there is a teacher.

    What the user set by hand, `overridden`, is an error where this dataset does not read it.
    """
    assembly.check_read(settings, overridden)
    run = assembly.assemble(settings.alone())
    task: Any = run.task
    params = jax.eval_shape(task.init, jax.random.key(0))['params']
    costs = assembly.cost_of(task)
    lines = [
        layers(run),
        f'parameters {costs.parameters:,}; {costs.flops / 1e6:,.2f} MFLOPs an image forward (a multiply-add is two)',
        decays(run.optimizer.decay_mask(params), settings.optim.weight_decay, settings.optim.decay),
        plan(run),
        needed(settings),
    ]
    if settings.distills:
        lines.append(f'teacher {teachers.found(settings)}')
    return '\n'.join(lines)


def layers(run: assembly.Run) -> str:
    """One line a layer: its name, the shape of what it puts out for one image, and its number of parameters."""
    task: Any = run.task

    variables, images = _arguments(run, 1)
    rows = [('images', str(images.shape[1:]), '')]

    def note(call, args, kwargs, context):
        outputs = call(*args, **kwargs)
        if context.method_name == '__call__' and len(context.module.path) == 1:
            name = context.module.name
            count = cost.parameters(variables['params'].get(name, {}))
            rows.append((name, str(jax.tree.leaves(outputs)[0].shape[1:]), f'{count:,}' if count else ''))
        return outputs

    with nn.intercept_methods(note):
        jax.eval_shape(task.model.apply, variables, images)
    return '\n'.join(columns.aligned(rows, left=2))


def _arguments(run: assembly.Run, batch: int):
    variables = jax.eval_shape(run.task.init, jax.random.key(0))
    return variables, jax.ShapeDtypeStruct((batch, *run.source.shape), jnp.float32)


def decays(mask, weight_decay: float, decay: str) -> str:
    """Which parameters decay, by name; mask as from `optim.decay_mask`."""
    leaves = jax.tree_util.tree_leaves_with_path(mask)
    names = {True: [], False: []}
    for path, decayed in leaves:
        names[decayed].append('/'.join(key.key for key in path))
    head = f'weight decay {weight_decay:g} ({decay})' if weight_decay else 'weight decay is off; it would act'
    return f'{head} on: {", ".join(names[True])}\n  not on: {", ".join(names[False])}'


def plan(run: assembly.Run) -> str:
    """Splits, steps and devices, in words."""
    sizes = ', '.join(f'{name} {len(ids):,}' for name, ids in run.splits.items())
    return (
        f'{run.source.name}: {sizes}; {run.source.num_classes} classes; images {run.source.shape}\n'
        f'{run.plan.steps:,} steps of {run.plan.batch_size} on {len(run.parallel.devices)} '
        f'{run.parallel.devices[0].platform} device(s) by {run.parallel.kind}; '
        f'evaluated every {run.plan.eval_every} steps'
    )


def needed(settings: Settings) -> str:
    """The memory of a run at its peak, in words."""
    device, process = memory.peak(settings)
    arrays = f'{device / 2**20:,.0f} MiB of arrays on a device'
    whole = '' if process is None else f', about {process / 2**20:,.0f} MiB in all, once its programs are compiled'
    return f'memory at its peak, estimated: {arrays}{whole}'

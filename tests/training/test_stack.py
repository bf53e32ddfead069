"""Stacks: which convolutions they are traced with; that they equal separate runs is in test_engines."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import assembly, rng
from jaxvision.data import order, resident
from jaxvision.settings import Settings, override
from jaxvision.training.stack import Stack

TINY = {
    'data.name': 'generated',
    'data.generated_shape': (6, 6, 1),
    'data.generated_examples': 60,
    'data.batch_size': 4,
    'model.name': 'convnet',
    'model.filters': (3,),
    'model.convs': 1,
    'model.dense': (4,),
}
COUNT = 2


def stacked(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def traced(run: assembly.Run, teacher: assembly.Teacher | None = None) -> tuple[str, str]:
    """The training and the evaluation of two such runs as one program."""
    program = Stack(run.task, run.optimizer)
    states = program.create(*map(stacked, zip(*[run.creation] * COUNT, strict=True)))
    context = {'data': resident.resident(run.source), 'strengths': stacked([run.strengths()] * COUNT)}
    if teacher is not None:
        context['teachers'] = teacher.variables
    ids = np.stack([order.batch_ids(run.splits.train, seed, 0, run.plan.batch_size) for seed in range(COUNT)])
    keys = jnp.stack([rng.base(seed) for seed in range(COUNT)])
    train = jax.make_jaxpr(program.train(1))(states, context, ids[None], keys)
    return str(train), str(jax.make_jaxpr(program.predict)(states.variables, context, ids))


@pytest.fixture
def run():
    return assembly.assemble(override(Settings(), TINY))


def test_convolutions_of_a_stack_are_products(run):
    for program in traced(run):
        assert 'conv_general_dilated' not in program and 'dot_general' in program


def test_the_teacher_of_a_stack_convolves(run):
    """All share it, so that theirs is one convolution, of all their images."""
    known = assembly.Teacher((run.task,), (run.initial().variables,), {}, None)
    settings = run.settings
    distilled = dataclasses.replace(settings, distill=dataclasses.replace(settings.distill, weight=0.5))
    train, predict = traced(assembly.assemble(distilled, known), known)
    assert train.count('conv_general_dilated[') == 1
    assert 'conv_general_dilated' not in predict

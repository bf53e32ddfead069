"""How many steps a call runs on CPU."""

import pytest

from jaxvision import assembly, settings

DATA = {'data.name': 'generated', 'data.generated_examples': 200, 'data.batch_size': 20}


def run(teacher=None, **model):
    resolved = settings.override(
        settings.Settings(), {**DATA, **{f'model.{key}': value for key, value in model.items()}}
    )
    return assembly.assemble(resolved, teacher)


@pytest.mark.parametrize(
    ('model', 'steps'),
    [
        ({'name': 'linear'}, assembly.SCANNED),
        ({'name': 'mlp'}, assembly.SCANNED),
        ({'name': 'mlp', 'hidden': (4000, 4000)}, 6),  # Of 0.66 GFLOP each.
        ({'name': 'mlp', 'hidden': (40000, 40000)}, 1),
        ({'name': 'convnet'}, 1),
        ({'name': 'vit'}, 1),  # Its patches are convolved.
    ],
)
def test_steps_a_call(model, steps):
    assert run(**model).plan.steps_per_call == steps


def test_a_perceptron_under_a_convolutional_teacher_takes_its_steps_one_by_one():
    student = run(name='mlp')
    for name, steps in (('mlp', assembly.SCANNED), ('convnet', 1)):
        teacher = assembly.Teacher((run(name=name).task,), (), {}, None)
        assert run(teacher, name='mlp').plan.steps_per_call == steps
    assert student.plan.steps_per_call == assembly.SCANNED

"""The memory that a run is foretold to need, against arrays that can be counted."""

import io

import jax

from jaxvision import assembly, experiment, memory, settings

IMAGES, SHAPE = 600, (16, 16, 3)
FLAT = {
    'data.name': 'generated',
    'data.generated_examples': IMAGES,
    'data.generated_shape': SHAPE,
    'data.batch_size': 20,
    'model.name': 'mlp',
    'model.hidden': (256,),
    'devices': 1,
}


def peak(**more):
    return memory.peak(settings.override(settings.Settings(), {**FLAT, **more}))


def size(tree):
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def test_a_device_holds_the_images_and_the_state():
    run = assembly.assemble(settings.override(settings.Settings(), FLAT))
    lies = IMAGES * 16 * 16 * 3 + size(run.like())
    device, process = peak()
    assert lies < device < 4 * lies  # And of a step the gradients, and a batch.
    assert process is None or process > device


def test_a_larger_batch_needs_more():
    assert peak(**{'data.batch_size': 300})[0] > peak()[0]


def test_a_teacher_that_is_there_already_is_counted(tmp_path):
    """Only the student alone was."""
    wide = {'model.hidden': (2048,), 'train.epochs': 0.1}
    experiment.run(settings.override(settings.Settings(), {**FLAT, **wide}), str(tmp_path), stream=io.StringIO())
    together = peak(**{'distill.weight': 0.5, 'teacher.workdir': str(tmp_path)})[0]
    assert together > peak()[0] + 0.5 * 4 * 2048 * 16 * 16 * 3  # Where the student alone is at its peak is other room.


def test_a_teacher_is_counted():
    wide = {'distill.weight': 0.5, 'teacher.model.name': 'mlp', 'teacher.model.hidden': (2048,), 'teacher.members': 1}
    alone, together = peak()[0], peak(**wide)[0]
    assert together > alone + 4 * 2048 * 16 * 16 * 3

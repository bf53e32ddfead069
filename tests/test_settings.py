"""The settings tree: its choices are those of the code, and what nothing reads is told."""

import functools

import pytest

from jaxvision import assembly, models, optim, settings
from jaxvision.augment import mixing
from jaxvision.data import prepared
from jaxvision.errors import UserError
from jaxvision.losses.detection import CLASS_LOSSES
from jaxvision.losses.localization import BOX_LOSSES
from jaxvision.models import layers, pooling, resnet, vit
from jaxvision.tasks import classify, detect
from jaxvision.training import parallel


def test_choices_are_those_of_the_code():
    choices = settings.CHOICES
    assert set(choices['model.name']) == set(models.BUILDERS)
    assert choices['model.norm'] == layers.NORMS
    assert choices['model.pool'] == pooling.POOLS
    assert set(choices['model.activation']) == set(layers.ACTIVATIONS)
    assert set(choices['model.depth']) == set(resnet.DEPTHS)
    assert choices['model.stem'] == resnet.STEMS
    assert set(choices['model.variant']) == {'', *vit.VARIANTS}
    assert choices['augment.partners'] == mixing.PARTNERS
    assert set(choices['loss.name']) == set(classify.LOSSES)
    assert choices['optim.name'] == optim.OPTIMIZERS
    assert choices['optim.schedule'] == optim.SCHEDULES
    assert choices['optim.decay'] == optim.DECAYS
    assert choices['parallel'] == parallel.KINDS
    assert set(choices['task']) == set(assembly.EVALUATORS)
    assert choices['loss.box'] == BOX_LOSSES
    assert choices['loss.classification'] == CLASS_LOSSES
    assert choices['detect.assigner'] == detect.ASSIGNERS


def test_the_sets_of_small_images_are_our_own():
    assert set(settings.SMALL) == set(prepared.OWN)
    assert set(settings.PERCEPTRONS) < set(settings.CHOICES['model.name'])


@pytest.mark.parametrize(
    ('changes', 'small'),
    [
        ({}, True),
        ({'data.full_batch': True}, True),
        ({'data.name': 'uci_digits:1.0.0'}, True),
        ({'data.name': 'cifar10'}, False),
        ({'data.name': 'cifar10', 'model.name': 'mlp'}, True),
        ({'task': 'detect', 'data.name': 'digit_scenes/detection', 'data.batch_size': 64}, True),
        ({'task': 'detect', 'data.name': 'digit_scenes/detection', 'data.batch_size': 65}, False),
        ({'task': 'detect', 'data.name': 'digit_scenes/detection', 'data.full_batch': True}, False),
    ],
)
def test_which_runs_have_small_arrays(changes, small):
    assert settings.override(settings.Settings(), changes).small == small


def test_what_a_task_reads_is_named_by_keys_that_exist():
    for key, tasks in settings.READ_BY.items():
        functools.reduce(getattr, key.split('.'), settings.Settings())
        assert set(tasks) < set(settings.CHOICES['task']), key


def test_every_hyperparameter_of_every_model_can_be_set():
    fields = set(settings.Model.__dataclass_fields__)
    for name in models.BUILDERS:
        assert models.hyperparameters(name) <= fields, name


def test_defaults_resolve_to_themselves():
    assert settings.resolve(settings.defaults()) == settings.Settings()


def test_unknown_key_in_a_config_file():
    config = settings.defaults()
    with pytest.raises(AttributeError, match='colour'):
        config.model.colour = 'red'
    with config.unlocked():
        config.model.colour = 'red'
    with pytest.raises(UserError, match='config.model.colour is unknown'):
        settings.resolve(config)


@pytest.mark.parametrize(
    ('key', 'changes', 'why'),
    [
        ('model.hidden', {}, 'convnet'),
        ('model.layers', {'model.name': 'vit', 'model.variant': 'S'}, 'vit'),
        ('data.batch_size', {'data.full_batch': True}, 'full_batch'),
        ('augment.partners', {}, 'mixup is 0'),
        ('optim.b2', {}, 'momentum'),
        ('optim.momentum', {'optim.name': 'sgd'}, 'sgd'),
        ('optim.decay', {}, 'weight_decay is 0'),
        ('distill.temperature', {}, 'distill.weight is 0'),
        ('teacher.model.name', {'distill.weight': 0.5, 'teacher.workdir': 'x'}, 'trained already'),
        ('teacher.model.hidden', {'distill.weight': 0.5}, 'convnet'),
        ('data.test_fraction', {'data.folds': 5}, 'fold'),
        ('data.generated_shape', {}, 'not one of generated'),
        ('augment.mosaic', {}, 'the task is classify'),
        ('augment.mosaic', {'task': 'localize'}, 'the task is localize'),
        ('augment.partners', {'task': 'detect', 'augment.mixup': 0.5}, 'the task is detect'),
        ('loss.name', {'task': 'detect'}, 'the task is detect'),
        ('detect.nms_iou', {'task': 'localize'}, 'the task is localize'),
        ('model.dense', {'task': 'localize'}, 'the task is localize'),
        ('teacher.loss.box', {'distill.weight': 0.5}, 'the task is classify'),
        ('data.path', {}, 'voc_folder'),
        ('model.dropout', {'model.name': 'mlp', 'model.hidden': ()}, 'hidden is empty'),
        ('model.norm', {'model.name': 'mlp', 'model.hidden': ()}, 'hidden is empty'),
        (
            'teacher.model.width',
            {'distill.weight': 0.5, 'teacher.model.name': 'mlp', 'teacher.model.hidden': ()},
            'empty',
        ),
    ],
)
def test_an_override_that_nothing_reads(key, changes, why):
    config = settings.defaults()
    config.update_from_flattened_dict(changes)
    settings.resolve(config)
    with pytest.raises(UserError, match=f'config.{key} is set, but nothing reads it in this run: .*{why}'):
        settings.resolve(config, [key])


@pytest.mark.parametrize(
    ('key', 'changes'),
    [
        ('model.hidden', {'model.name': 'mlp'}),
        ('data.fold', {'data.folds': 5}),
        ('teacher.model.filters', {'distill.weight': 0.5}),
        ('optim.milestones', {'optim.schedule': 'step'}),
        ('augment.mixup', {}),
        ('augment.mosaic', {'task': 'detect'}),
        ('detect.assigner', {'task': 'detect'}),
        ('loss.box', {'task': 'localize'}),
        ('data.generated_most', {'data.name': 'generated_objects'}),
        ('seed', {}),
        ('model.norm', {'model.name': 'mlp', 'model.hidden': (), 'task': 'localize'}),
    ],
)
def test_an_override_that_something_reads(key, changes):
    config = settings.defaults()
    config.update_from_flattened_dict(changes)
    settings.resolve(config, [key])


def test_the_student_alone_differs_in_the_teacher_only():
    config = settings.defaults()
    config.distill.weight, config.seed, config.augment.mixup = 0.5, 3, 0.2
    resolved = settings.resolve(config)
    alone = resolved.alone()
    assert not alone.distills
    assert (alone.seed, alone.data, alone.model, alone.augment, alone.optim, alone.train) == (
        resolved.seed,
        resolved.data,
        resolved.model,
        resolved.augment,
        resolved.optim,
        resolved.train,
    )


def test_a_teacher_member_has_the_students_splits_and_its_own_recipe():
    config = settings.defaults()
    config.distill.weight, config.seed, config.data.split_seed, config.data.train_fraction = 0.5, 3, 9, 0.1
    config.teacher.seed, config.teacher.model.filters, config.teacher.data.batch_size = 20, (3,), 7
    member = settings.resolve(config).teacher_member(2)
    assert (member.seed, member.model.filters, member.data.batch_size) == (22, (3,), 7)
    assert (member.data.split_seed, member.data.train_fraction) == (9, 1.0)
    assert not member.distills

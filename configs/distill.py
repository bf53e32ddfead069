"""Distillation on handwritten digits: a small student with few labels under a teacher that saw many."""

from jaxvision import settings


def get_config():
    config = settings.defaults()

    # The student: 3,814 weights, and 150 of the 1,151 training images.
    config.data.validation_fraction = 0.2
    config.data.train_fraction = 0.13
    config.data.batch_size = 50
    config.model.name = 'convnet'
    config.model.filters = (8, 16)
    config.model.dense = (32,)
    config.model.norm = 'batch'
    config.augment.mixup = 1.0
    config.optim.name = 'adam'
    config.optim.lr = 3e-3
    config.train.epochs = 400.0
    config.train.eval_every = 120

    # The teacher: three wider networks with all training images, as an ensemble.
    teacher = config.teacher
    teacher.members = 3
    teacher.data.batch_size = 64
    teacher.model.name = 'convnet'
    teacher.model.filters = (32, 64)
    teacher.model.convs = 2
    teacher.model.dense = (128,)
    teacher.model.norm = 'batch'
    teacher.model.dropout = 0.3
    teacher.augment.crop = 1
    teacher.augment.rotate = 10.0
    teacher.optim.name = 'adam'
    teacher.optim.lr = 3e-3
    teacher.train.epochs = 30.0
    teacher.train.eval_every = 108

    config.distill.weight = 0.9
    config.distill.temperature = 4.0
    return config

"""How soft a teacher should speak, and how much it should count: distillation's temperature and weight."""

from jaxvision import settings
from jaxvision.sweeps import designs


def get_config():
    config = settings.defaults()

    # The student of distill.py: 3,714 weights, and 150 of the 1,150 training images.
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

    # Its teacher: a wider network with all training images.
    teacher = config.teacher
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
    return config


def get_sweep():
    return designs.grid(
        {'distill.temperature': (1.0, 2.0, 4.0, 8.0), 'distill.weight': (0.5, 0.9, 1.0)},
        baseline={'distill.weight': 0.0},
    )

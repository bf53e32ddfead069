"""Detection on digit scenes: none to six handwritten digits on a cluttered canvas."""

from jaxvision import settings


def get_config():
    config = settings.defaults()
    config.task = 'detect'
    config.data.name = 'digit_scenes/detection'
    config.data.batch_size = 64
    config.model.name = 'convnet'
    config.model.filters = (16, 32, 64, 128)
    config.model.norm = 'batch'
    config.model.levels = 2
    config.model.head_convs = 1
    config.augment.crop = 6
    config.augment.scale = 0.15
    config.optim.name = 'adamw'
    config.optim.lr = 3e-3
    config.optim.weight_decay = 0.02
    config.optim.warmup = 0.05
    config.train.epochs = 16.0
    config.train.eval_every = 500
    return config

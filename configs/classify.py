"""A convolutional network on handwritten digits."""

from jaxvision import settings


def get_config():
    config = settings.defaults()
    config.data.batch_size = 128
    config.model.name = 'convnet'
    config.model.filters = (32, 64)
    config.model.convs = 2
    config.model.dense = (128,)
    config.model.norm = 'batch'
    config.model.dropout = 0.3
    config.augment.crop = 1
    config.augment.rotate = 10.0
    config.optim.name = 'adam'
    config.optim.lr = 0.003
    config.optim.weight_decay = 0.0
    config.train.epochs = 60.0
    config.train.eval_every = 40
    return config

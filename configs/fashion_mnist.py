"""A convolutional network on Fashion-MNIST (prepared by TFDS; --config.data.data_dir=... says where)."""

from jaxvision import settings


def get_config():
    config = settings.defaults()

    config.data.name = 'fashion_mnist'
    config.data.batch_size = 128

    config.model.name = 'convnet'
    config.model.filters = (32, 64)
    config.model.convs = 2
    config.model.dense = (256,)
    config.model.norm = 'batch'
    config.model.dropout = 0.3

    config.augment.mirror = True
    config.augment.crop = 2

    config.optim.name = 'adamw'
    config.optim.lr = 2e-3
    config.optim.weight_decay = 0.02
    config.optim.schedule = 'cosine'
    config.optim.warmup = 0.05

    config.train.epochs = 15.0
    return config

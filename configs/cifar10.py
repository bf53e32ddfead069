"""ResNet-20 on CIFAR-10, after He et al. (2016): prepared by TFDS, --config.data.data_dir=... says where."""

from jaxvision import settings


def get_config():
    config = settings.defaults()

    config.data.name = 'cifar10'
    config.data.batch_size = 128

    config.model.name = 'resnet'
    config.model.depth = 20
    config.model.norm = 'batch'

    config.augment.mirror = True
    config.augment.crop = 4

    config.optim.name = 'nesterov'
    config.optim.lr = 0.1
    config.optim.weight_decay = 1e-4
    config.optim.decay = 'coupled'  # As in the source; decoupled, it would want to be about lr times smaller.
    config.optim.schedule = 'cosine'
    config.optim.warmup = 0.02

    config.train.epochs = 160.0
    config.train.eval_every = 1000
    return config

"""ResNet-20 under a ResNet-56 on CIFAR-100: prepared by TFDS, --config.data.data_dir=... says where."""

from jaxvision import settings


def get_config():
    config = settings.defaults()

    config.data.name = 'cifar100'
    config.data.batch_size = 128

    config.model.name = 'resnet'
    config.model.depth = 20
    config.model.norm = 'batch'

    config.augment.mirror = True
    config.augment.crop = 4

    config.optim.name = 'nesterov'
    config.optim.lr = 0.1
    config.optim.weight_decay = 5e-4
    config.optim.decay = 'coupled'
    config.optim.schedule = 'cosine'
    config.optim.warmup = 0.02

    config.train.epochs = 160.0
    config.train.eval_every = 1000

    # The teacher is trained by the same recipe, deeper.
    teacher = config.teacher
    teacher.data.batch_size = 128
    teacher.model.update(config.model)
    teacher.model.depth = 56
    for part in ('augment', 'optim', 'train'):
        teacher[part].update(config[part])

    config.distill.weight = 0.9
    config.distill.temperature = 4.0
    return config

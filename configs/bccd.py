"""Blood cells (BCCD: 364 photographs, 3 classes), detected from scratch on its official split."""

from jaxvision import settings


def get_config():
    config = settings.defaults()
    config.task = 'detect'
    config.data.name = 'voc_folder'
    config.data.image_size = 256
    config.data.batch_size = 8
    config.model.name = 'resnet'
    config.model.depth = 18
    config.model.stem = '7x7'
    config.model.width = 0.5
    config.model.norm = 'batch'
    config.model.levels = 3
    config.model.features = 96
    config.model.head_convs = 1
    config.augment.mirror = True
    config.augment.crop = 24
    config.augment.rotate = 15.0
    config.augment.scale = 0.3
    config.augment.brightness = 0.1
    config.augment.contrast = 0.2
    config.augment.mosaic = 0.5
    config.optim.name = 'adamw'
    config.optim.lr = 1.5e-3
    config.optim.weight_decay = 0.05
    config.optim.warmup = 0.05
    config.optim.clip = 10.0
    config.optim.ema = 0.999
    config.train.epochs = 120.0
    config.train.eval_every = 256
    return config

"""Localisation on digit scenes: one handwritten digit or none on a cluttered canvas: what, where, and if at all.

Evidence: on the 1,000 test scenes, seed 0, with 95 % intervals over scenes: class accuracy 97.8 % (96.5 to 98.6), mean
IoU 0.902 (0.898 to 0.906), objectness 99.6 % (99.0 to 99.8), empty scenes 98.5 % (95.6 to 99.5), all right at once
97.7 % (96.6 to 98.5). jax 0.10.2, two CPU cores, 4 min 5 s of training; results/localize.json is what this
command recorded:

    python launch/train.py --config=configs/localize.py
"""

from jaxvision import settings


def get_config():
    config = settings.defaults()
    config.task = 'localize'
    config.data.name = 'digit_scenes/localization'
    config.data.batch_size = 64
    config.model.name = 'convnet'
    config.model.filters = (16, 32, 64, 128)
    config.model.norm = 'batch'
    config.model.levels = 2
    config.augment.crop = 6
    config.augment.scale = 0.15
    config.optim.name = 'adamw'
    config.optim.lr = 3e-3
    config.optim.weight_decay = 0.02
    config.optim.warmup = 0.05
    config.train.epochs = 12.0
    config.train.eval_every = 500
    return config

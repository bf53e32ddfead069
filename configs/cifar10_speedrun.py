"""CIFAR-10 in eight epochs: the airbench recipe with Muon, after Jordan (2024), who reports 94.01 %.

A fixed whitening layer, mirrors that alternate, label smoothing, Muon for the convolutions, and six views of each image
averaged in evaluation (`augment.test_time`). Rates of head and biases are those of the published script's summed loss
over 2,000 images, turned into ours of the mean. What differs: there, the whitening layer's bias is trained for the
first three epochs only, numbers are float16, GELU is exact and no image is held out. The mean of 50 seeds here is
94.02 %, each in 1.35 s on an H100 (results/speedrun.json).
"""

from jaxvision import settings


def get_config():
    config = settings.defaults()

    config.data.name = 'cifar10'
    config.data.batch_size = 2000
    config.data.validation_fraction = 0.002  # The recipe chooses nothing by validation, and trains on all else.

    config.model.name = 'airbench'
    config.model.filters = (64, 256, 256)
    config.model.activation = 'gelu'
    config.model.dtype = 'bfloat16'

    config.augment.mirror = True
    config.augment.alternate = True
    config.augment.crop = 2
    config.augment.border = 'reflect'
    config.augment.test_time = 'mirror_shift'

    config.loss.label_smoothing = 0.2

    config.optim.name = 'muon'
    config.optim.lr = 0.24
    config.optim.momentum = 0.6
    config.optim.normalize = True
    config.optim.newton_schulz = 3
    config.optim.head_lr = 0.67 * 2000 / 256**2  # The script divides its logits by its 256 features.
    config.optim.bias_lr = 0.053 * 2000
    config.optim.other_momentum = 0.85
    config.optim.weight_decay = 2e-6 * 2000 / (1 - 0.85) / 0.24  # There inside of the momentum, here beside it.
    config.optim.decayed = 'all'
    config.optim.schedule = 'linear'

    config.train.epochs = 8.0
    config.train.eval_every = 200
    return config

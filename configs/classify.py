"""A convolutional network on handwritten digits.

Evidence: over 5 seeds test accuracy has median 100 % and mean 99.89 % (the seeds: 99.7, 100, 100, 99.7, 100), of
359 images; another draw of the splits gave median 99.44 %. jax 0.10.2, two CPU devices; results/classify.json is
what this command wrote:

    python launch/sweep.py --config=configs/classify.py --seeds=5
"""

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
    config.train.epochs = 60.0
    config.train.eval_every = 40
    return config

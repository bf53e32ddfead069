"""A convolutional network on handwritten digits.

Evidence: over 5 seeds test accuracy has median and mean 99.72 % (95 % interval 99.48 to 99.97), of 359 images: one
wrong answer a seed; by other roundings of the same recipe mean 99.94 %, and another draw of the splits once gave median
99.44 %. A minute on two cores, a core a trial, jax 0.10.2; results/classify.json is the summary that this command
wrote:

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

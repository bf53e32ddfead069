"""Ten-fold cross-validation on the whole set of digits: our models, and scikit-learn's on the very same folds."""

from jaxvision import settings
from jaxvision.sweeps import designs


def get_config():
    config = settings.defaults()
    config.data.batch_size = 128
    config.model.name = 'convnet'
    config.model.filters = (16, 32)
    config.model.dense = (64,)
    config.optim.name = 'adam'
    config.optim.lr = 3e-3
    config.train.epochs = 120.0
    config.train.eval_every = 300
    return config


def get_sweep():
    return designs.folds(
        10,
        {
            'linear': {'model.name': 'linear'},
            'mlp': {'model.name': 'mlp'},
            'convnet': {},
            'convnet, regularised': {
                'model.norm': 'batch',
                'model.dropout': 0.2,
                'augment.crop': 1,
                'augment.rotate': 10.0,
            },
        },
        references=('logistic regression', 'k-NN', 'SVC'),
    )

"""Ten-fold cross-validation on the whole set of digits: our models, and scikit-learn's on the very same folds.

Evidence: mean test accuracy over the folds, with Nadeau and Bengio's corrected 95 % interval: regularised convnet
99.28 % [98.79, 99.77], convnet 98.83 % [98.24, 99.42], scikit-learn's SVC 98.83 % [98.24, 99.42], k-NN 98.61 %
[98.03, 99.19], MLP 98.11 % [97.30, 98.91], logistic regression 96.66 % [95.65, 97.67], linear 96.22 % [95.07, 97.37].
A minute on two cores, jax 0.10.2; results/crossval.json is the summary that this command wrote:

    python launch/sweep.py --config=configs/crossval.py
"""

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

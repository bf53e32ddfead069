"""Under- and overfitting on a map: how many neurons, against how many training images."""

from jaxvision import settings
from jaxvision.sweeps import designs


def get_config():
    config = settings.defaults()
    config.data.validation_fraction = 0.2
    config.data.batch_size = 50
    config.model.name = 'mlp'
    config.model.hidden = (32,)
    config.optim.name = 'adam'
    config.optim.lr = 3e-3
    config.train.epochs = 100.0
    return config


def get_sweep():
    return designs.grid(
        {
            'data.train_fraction': (0.05, 0.1, 0.2, 0.5, 1.0),
            'model.width': (0.0625, 0.125, 0.25, 0.5, 1.0, 4.0, 16.0),
        },
        baseline={'data.train_fraction': 1.0, 'model.width': 1.0},
    )

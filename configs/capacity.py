"""Under- and overfitting on a map: how many neurons, against how many training images.

Evidence: mean test accuracy in % over 12 seeds, by share of the 1,150 training images and neurons of the one hidden
layer:

    neurons      2     4     8    16    32   128   512
       5 %    19.3  31.2  51.9  79.1  84.5  88.4  89.8
      10 %    26.5  44.6  73.5  89.5  90.8  92.1  92.4
      20 %    34.5  62.9  87.3  91.8  92.2  93.8  94.5
      50 %    45.4  78.2  91.5  94.8  95.5  96.7  97.3
     100 %    58.7  87.0  95.6  96.9  97.4  97.8  98.0

Two neurons underfit whatever they see: the gap between test and train is 1.4 to 2.9 points. With many the train error
vanishes and the gap is the test error: it shrinks from 15.5 to 2.6 points with the images at 32 neurons. More neurons
never hurt here: 128 beat 32 on all images by +0.39 points [+0.12, +0.63], and of 512 nothing more is shown. Three
minutes on two cores, jax 0.10.2; results/capacity.json is the summary that this command wrote:

    python launch/sweep.py --config=configs/capacity.py
"""

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

"""What each regulariser is worth: a ladder over ten of them, on few handwritten digits."""

from jaxvision import settings
from jaxvision.sweeps import designs


def get_config():
    config = settings.defaults()

    # A network without any regulariser, with more weights than 150 images can pin down.
    config.data.validation_fraction = 0.2
    config.data.train_fraction = 0.13
    config.data.batch_size = 50
    config.model.name = 'convnet'
    config.model.filters = (16, 32)
    config.model.dense = (64,)
    config.optim.name = 'adam'
    config.optim.lr = 3e-3
    config.train.epochs = 300.0
    config.train.eval_every = 90

    # The teacher of the distilled variants: a wider network with all training images.
    teacher = config.teacher
    teacher.data.batch_size = 64
    teacher.model.name = 'convnet'
    teacher.model.filters = (32, 64)
    teacher.model.dense = (128,)
    teacher.model.norm = 'batch'
    teacher.model.dropout = 0.2
    teacher.augment.crop = 1
    teacher.augment.rotate = 10.0
    teacher.optim.name = 'adam'
    teacher.optim.lr = 3e-3
    teacher.train.epochs = 60.0
    teacher.train.eval_every = 216
    config.distill.temperature = 4.0
    return config


def get_sweep():
    return designs.ladder(
        {
            'fewer neurons': {'model.width': 0.75},
            'dropout': {'model.dropout': 0.1},
            'batch norm': {'model.norm': 'batch'},
            'weight decay': {'optim.weight_decay': 0.3},
            'mirror': {'augment.mirror': True},
            'crop': {'augment.crop': 1},
            'rotation': {'augment.rotate': 10.0},
            'mixup': {'augment.mixup': 1.0},
            'label smoothing': {'loss.label_smoothing': 0.1},
            'distillation': {'distill.weight': 0.9},
        }
    )

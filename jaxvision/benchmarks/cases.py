"""What is compared with other people's code: models from a perceptron to a detector, each with its batch."""

from typing import Any

from jaxvision import settings
from jaxvision.settings import Settings

COMMON: dict[str, Any] = {
    'data.name': 'generated',
    'data.generated_shape': (32, 32, 3),
    'data.generated_examples': 2048,
    'optim.name': 'momentum',
    'optim.lr': 1e-3,
    'optim.schedule': 'constant',
}
MODELS: dict[str, dict[str, Any]] = {
    'mlp': {
        'data.generated_shape': (28, 28, 1),
        'data.batch_size': 128,
        'model.name': 'mlp',
        'model.hidden': (512, 512),
    },
    'vit': {'data.batch_size': 64, 'model.name': 'vit', 'model.norm': 'layer'},
    'cnn': {
        'data.batch_size': 128,
        'model.name': 'convnet',
        'model.filters': (32, 64, 128),
        'model.convs': 2,
        'model.dense': (),
        'model.norm': 'batch',
    },
    'detector': {
        'task': 'detect',
        'data.name': 'generated_objects',
        'data.generated_shape': (128, 128, 3),
        'data.generated_most': 6,
        'data.generated_examples': 512,
        'data.batch_size': 16,
        'model.name': 'convnet',
        'model.filters': (16, 32, 64, 128),
        'model.convs': 2,
        'model.norm': 'batch',
        'detect.assigner': 'center',
    },
    'resnet18': {'data.batch_size': 64, 'model.name': 'resnet', 'model.depth': 18, 'model.norm': 'batch'},
    'resnet20': {'data.batch_size': 128, 'model.name': 'resnet', 'model.depth': 20, 'model.norm': 'batch'},
}
IMAGENET: dict[str, Any] = {
    'data.generated_shape': (224, 224, 3),
    'data.generated_examples': 1024,
    'data.batch_size': 256,
    'model.dtype': 'bfloat16',
}
# Those that only an accelerator trains in reasonable time.
LARGE: dict[str, dict[str, Any]] = {
    'resnet50': {
        **IMAGENET,
        'model.name': 'resnet',
        'model.depth': 50,
        'model.stem': '7x7',
        'model.norm': 'batch',
    },
    'vit_s16': {
        **IMAGENET,
        'model.name': 'vit',
        'model.variant': 'S',
        'model.patch': 16,
        'model.norm': 'layer',
    },
}


def settings_of(model: str) -> Settings:
    """What trains one of `MODELS` or `LARGE`."""
    return settings.override(Settings(), COMMON | (MODELS | LARGE)[model])

"""A small dataset, and small networks, for tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data import resident, sources

SHAPE, CLASSES, EXAMPLES = (6, 5, 2), 3, 12


@pytest.fixture(scope='session')
def context():
    """What a step reads, with every strength on."""
    draw = np.random.default_rng(0)
    values = {
        'dropout': 0.5,
        'rotate': 20.0,
        'mixup': 0.7,
        'label_smoothing': 0.1,
        'distill_weight': 0.4,
        'distill_temperature': 3.0,
    }
    return {
        'data': {
            'images': jnp.asarray(draw.integers(0, 256, (EXAMPLES, *SHAPE), dtype=np.uint8)),
            'labels': jnp.asarray(np.arange(EXAMPLES) % CLASSES, jnp.int32),
        },
        'strengths': {name: jnp.float32(value) for name, value in values.items()},
    }


@pytest.fixture(scope='session')
def key():
    return jax.random.key(7)


@pytest.fixture(scope='session')
def constants():
    return {
        'mean': jnp.array([0.5, 0.4], jnp.float32),
        'std': jnp.array([0.3, 0.2], jnp.float32),
        'temperature': jnp.float32(1.0),
    }


@pytest.fixture(scope='session')
def scenes():
    """What a step reads of coloured rectangles, none to three an image (image i has i % 4), with every strength on."""
    return reading(3)


@pytest.fixture(scope='session')
def single_scenes():
    """The same with one rectangle, in the images of odd number, or none."""
    return reading(1)


def reading(most):
    source = sources.load(
        'generated_objects',
        generated_shape=(16, 16, 3),
        generated_classes=CLASSES,
        generated_examples=48,
        generated_most=most,
    )
    values = {
        'dropout': 0.3,
        'rotate': 20.0,
        'scale': 0.3,
        **dict.fromkeys(('brightness', 'contrast', 'saturation', 'hue'), 0.2),
        'mosaic': 0.5,
        'mixup': 0.7,
        'label_smoothing': 0.1,
        'class_weight': 0.5,
        'box_weight': 2.0,
        'objectness_weight': 1.5,
        'distill_weight': 0.4,
        'distill_temperature': 3.0,
    }
    return {
        'data': jax.tree.map(jnp.asarray, resident.resident(source)),
        'strengths': {name: jnp.float32(value) for name, value in values.items()},
    }


@pytest.fixture(scope='session')
def rgb():
    """The constants of a network for those."""
    return {'mean': jnp.full(3, 0.3), 'std': jnp.full(3, 0.25), 'temperature': jnp.float32(1.0)}

"""A small dataset, and small networks, for tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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

"""A blank set is of the shapes of the real one."""

import dataclasses

import numpy as np
import pytest

from jaxvision.data import blank, digit_scenes, prepared, sources


def forms(value):
    """Shapes and types of all arrays of a dataclass, and what is no array."""
    if dataclasses.is_dataclass(value):
        return {field.name: forms(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return (value.shape, value.dtype) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize('image_size', [0, 16])
@pytest.mark.parametrize('name', prepared.OWN)
def test_as_the_real_one(name, image_size, few_scenes, tmp_path):
    real = sources.load(name, data_dir=str(tmp_path), image_size=image_size)
    of_real, of_blank = forms(real), forms(blank.source(name, image_size))
    official = [found.pop('official') for found in (of_real, of_blank)]
    assert official[0].keys() == official[1].keys()
    for split, ids in official[0].items():
        np.testing.assert_array_equal(ids, official[1][split], strict=True)
    for found in (of_real, of_blank):
        del found['fingerprint']
        if found['objects'] is not None:
            found['objects']['names'] = len(found['objects']['names'])
    assert of_real == of_blank


def test_the_most_objects_are_reached():
    """So that the 8,000 have as many slots as the blank set."""
    counts = [len(digit_scenes.scene('detection', 'train', index)[2]) for index in range(60)]
    assert max(counts) == blank.FORMS['digit_scenes/detection'][2] == 6


def test_it_takes_no_memory():
    images = blank.source('digit_scenes/detection:1.0.0').images
    assert images.nbytes == 10_000 * 64 * 64 and not any(images.strides)

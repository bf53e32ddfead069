"""What lies on the device, gathered and measured, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data import resident, sources


@pytest.fixture(params=[1, 3], ids=['grey', 'colour'])
def source(request):
    return sources.load('generated', generated_shape=(3, 5, request.param), generated_classes=4, generated_examples=40)


def test_gather_is_indexing(source):
    data = jax.device_put(resident.resident(source))
    ids = np.array([7, 0, 39, 7], np.int32)
    images, labels = jax.jit(resident.gather)(data, ids)
    assert images.dtype == jnp.float32 and labels.dtype == jnp.int32
    np.testing.assert_allclose(images, source.images[ids] / 255, rtol=1e-7)
    np.testing.assert_array_equal(labels, source.labels[ids])
    assert data['images'].dtype == jnp.uint8


def test_whole_range_maps_to_zero_and_one():
    data = {'images': jnp.array([0, 255], jnp.uint8).reshape(2, 1, 1, 1), 'labels': jnp.zeros(2, jnp.int32)}
    images, _ = resident.gather(data, jnp.arange(2))
    np.testing.assert_array_equal(images.ravel(), [0.0, 1.0])


def test_objects_are_gathered_with_their_images():
    source = sources.load('generated_objects', generated_shape=(16, 16, 3), generated_classes=4, generated_examples=20)
    data = jax.device_put(resident.resident(source))
    assert set(data) == {'images', 'labels', 'boxes', 'classes', 'valid', 'ignored'}
    ids = np.array([3, 19, 3, 0], np.int32)
    batch = jax.jit(resident.gather_objects)(data, ids)
    assert batch.images.dtype == jnp.float32
    np.testing.assert_allclose(batch.images, source.images[ids] / 255, rtol=1e-7)
    for name in ('boxes', 'classes', 'valid', 'ignored'):
        gathered, array = getattr(batch, name), getattr(source.objects, name)
        assert gathered.dtype == array.dtype
        np.testing.assert_array_equal(gathered, array[ids])


def test_a_set_without_objects_has_none_resident(source):
    assert set(resident.resident(source)) == {'images', 'labels'}


def test_pixel_statistics_are_those_of_numpy(source):
    ids = np.arange(0, 40, 3)
    got = resident.pixel_statistics(source, ids)
    pixels = source.images[ids].astype(np.float64) / 255
    assert got['mean'].dtype == got['std'].dtype == np.float32
    np.testing.assert_allclose(got['mean'], pixels.mean(axis=(0, 1, 2)), rtol=1e-7)
    np.testing.assert_allclose(got['std'], pixels.std(axis=(0, 1, 2)), rtol=1e-7)


def test_pixel_statistics_see_the_training_ids_only(source):
    train = np.arange(20)
    expected = resident.pixel_statistics(source, train)
    images = source.images.copy()
    images[20:] = 255
    other = sources.Source('other', images, source.labels, source.class_names, source.official, '')
    np.testing.assert_array_equal(resident.pixel_statistics(other, train)['mean'], expected['mean'])
    assert np.all(resident.pixel_statistics(other, np.arange(40))['mean'] > expected['mean'])


@pytest.mark.parametrize('side', [1, 2])
def test_whitened_patches_are_uncorrelated(source, side):
    train = np.arange(30)
    statistics = resident.pixel_statistics(source, train)
    kernels = resident.whitening(source, train, statistics, side)
    height, width, channels = source.shape
    assert kernels.shape == (side * side * channels,) * 2 and kernels.dtype == np.float32
    images = (source.images[train] / 255 - statistics['mean']) / statistics['std']
    patches = [
        images[:, y : y + side, x : x + side].reshape(len(train), -1)
        for y in range(height - side + 1)
        for x in range(width - side + 1)
    ]
    whitened = np.concatenate(patches) @ kernels
    moments = whitened.T @ whitened / len(whitened)
    np.testing.assert_allclose(moments, np.eye(len(kernels)), atol=0.01)  # A little less than 1, by what is added.
    assert np.all(np.diag(moments) < 1)


def test_whitening_sees_the_training_ids_only(source):
    train = np.arange(20)
    statistics = resident.pixel_statistics(source, train)
    expected = resident.whitening(source, train, statistics, 2)
    images = source.images.copy()
    images[20:] = 255
    other = sources.Source('other', images, source.labels, source.class_names, source.official, '')
    np.testing.assert_array_equal(resident.whitening(other, train, statistics, 2), expected)


def test_constant_channel_has_the_least_deviation():
    images = np.zeros((4, 2, 2, 2), np.uint8)
    images[..., 0] = 51
    images[:2, ..., 1] = 255
    source = sources.Source('flat', images, np.zeros(4, np.int32), ('a', 'b'), {'train': np.arange(4)}, '')
    got = resident.pixel_statistics(source, np.arange(4))
    np.testing.assert_allclose(got['mean'], [0.2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(got['std'], [1 / 255, 0.5], rtol=1e-6)

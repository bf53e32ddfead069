"""Sources: the embedded digits, generated images, folders of images, and prepared TFDS sets; all without a network."""

import dataclasses
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import cv2
import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from jaxvision.data import cache, prepared, sources
from jaxvision.data.source import finish_objects
from jaxvision.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f'a test reached for the network: {args}')

    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    monkeypatch.setattr(socket.socket, 'connect', refuse)


def python(code, cache):
    """Starts a Python of its own, as a user's next run would."""
    environment = {**os.environ, 'JAXVISION_CACHE': str(cache)}
    return subprocess.Popen(
        [sys.executable, '-c', code],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def one_line(info):
    """The text of a user's error."""
    text = str(info.value)
    assert '\n' not in text
    return text


class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS set in miniature, with official parts; what differs between the tests comes with the constructor."""

    VERSION = tfds.core.Version('1.0.0')

    def __init__(self, *, parts, shape=(4, 4, 3), label=True, secret=(), version='1.0.0', **kwargs):
        self.parts, self.shape, self.label, self.secret = parts, shape, label, secret
        self.VERSION = tfds.core.Version(version)
        super().__init__(version=version, **kwargs)

    def _info(self):
        features = {'image': tfds.features.Image(shape=self.shape)}
        if self.label:
            features['label'] = tfds.features.ClassLabel(names=['cat', 'dog'])
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=('image', 'label') if self.label else None,
            description='Tiny.',
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split, images) for split, images in self.parts.items()}

    def _generate_examples(self, split, images):
        for index, image in enumerate(images):
            encoded, png = cv2.imencode('.png', image[..., ::-1])
            assert encoded
            label = {'label': -1 if (split, index) in self.secret else index % 2} if self.label else {}
            yield index, {'image': png.tobytes(), **label}


def colours(count, height=4, width=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def prepare(folder, **kwargs):
    tfds.disable_progress_bar()
    Tiny(data_dir=folder, file_format='array_record', **kwargs).download_and_prepare()


def by_pixels(images, labels):
    """The same whatever the order: TFDS shuffles when it prepares."""
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


TRAIN, TEST = colours(6), colours(4, seed=1)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """A TFDS folder with two versions of one set: 10.0.0 is newer than 9.0.0, though it sorts before it."""
    folder = tmp_path_factory.mktemp('sets')
    prepare(folder, version='9.0.0', parts={'train': TRAIN[:2]})
    prepare(folder, version='10.0.0', parts={'train': TRAIN, 'test': TEST})
    return folder


# The embedded digits.


def test_digits_are_those_of_scikit_learn(prepared):
    source, digits = sources.load('uci_digits'), load_digits()
    assert source.name == 'uci_digits'
    assert source.images.shape == (1797, 8, 8, 1) and source.images.dtype == np.uint8
    assert source.labels.dtype == np.int32
    assert source.class_names == tuple('0123456789') and source.num_classes == 10
    np.testing.assert_array_equal(source.official['train'], np.arange(1797))
    assert list(source.official) == ['train']
    original = np.rint(source.images[..., 0] * (16 / 255)).astype(np.uint8)
    expected = digits.images.astype(np.uint8)
    np.testing.assert_array_equal(np.rint(original * (255 / 16)), source.images[..., 0])
    assert by_pixels(original, source.labels) == by_pixels(expected, digits.target)


def test_second_load_is_of_the_cache_and_imports_no_tfds(prepared):
    first = sources.load('uci_digits')
    code = """
import sys
from jaxvision.data import sources
source = sources.load('uci_digits')
slow = {'tensorflow', 'tensorflow_datasets', 'cv2', 'sklearn', 'array_record'} & set(sys.modules)
print(source.fingerprint, len(source.images), int(source.images.sum()), sorted(slow))
"""
    out = finish(python(code, prepared))
    assert out.split(maxsplit=3) == [first.fingerprint, '1797', str(int(first.images.sum())), '[]\n']


def test_fresh_and_cached_digits_are_equal(prepared, cache, monkeypatch):
    cached = sources.load('uci_digits')
    monkeypatch.setenv('JAXVISION_CACHE', str(cache))
    fresh = sources.load('uci_digits')
    assert fresh.fingerprint == cached.fingerprint
    assert fresh.class_names == cached.class_names
    np.testing.assert_array_equal(fresh.images, cached.images)
    np.testing.assert_array_equal(fresh.labels, cached.labels)
    np.testing.assert_array_equal(fresh.official['train'], cached.official['train'])
    assert sorted(path.name for path in cache.iterdir()) == ['datasets', 'decoded']
    # Nothing half done is left over.
    assert [path.name for path in (cache / 'datasets').iterdir()] == ['uci_digits']
    assert len(list((cache / 'decoded').iterdir())) == 1


def test_digits_of_the_named_version_or_none(prepared, tmp_path):
    assert sources.load('uci_digits:1.0.0').fingerprint == sources.load('uci_digits').fingerprint
    with pytest.raises(UserError) as info:
        sources.load('uci_digits:9.9.9')
    assert '9.9.9' in one_line(info)


def test_two_processes_may_prepare_the_digits_at_once(cache):
    code = """
from jaxvision.data import sources
source = sources.load('uci_digits')
print(len(source.images), source.fingerprint)
"""
    both = [python(code, cache) for _ in range(2)]
    first, second = [finish(process) for process in both]
    assert first == second and first.startswith('1797 ')


@pytest.mark.parametrize('step', ['datasets', 'decoded'])
def test_another_process_may_be_faster(prepared, cache, monkeypatch, step):
    """The other one finishes between this one's last look and its renaming."""
    expected = sources.load('uci_digits').fingerprint
    monkeypatch.setenv('JAXVISION_CACHE', str(cache))
    rename, beaten = os.rename, []

    def late(start, end):
        place = pathlib.Path(end)
        ours = place.is_relative_to(cache / step) and not place.relative_to(cache / step).parts[0].startswith('tmp')
        if ours and not beaten:
            beaten.append(end)
            shutil.copytree(start, end)
        rename(start, end)

    monkeypatch.setattr(os, 'rename', late)
    assert sources.load('uci_digits').fingerprint == expected
    assert beaten
    assert sources.load('uci_digits').fingerprint == expected
    assert len(list((cache / step).iterdir())) == 1


def test_digits_may_lie_where_the_user_says(cache, tmp_path):
    source = sources.load('uci_digits', data_dir=str(tmp_path / 'mine'))
    assert (tmp_path / 'mine' / 'uci_digits' / '1.0.0' / 'dataset_info.json').exists()
    assert not (cache / 'datasets').exists()
    assert len(source.images) == 1797


def test_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('not a folder')
    monkeypatch.setenv('JAXVISION_CACHE', str(tmp_path / 'file'))
    with pytest.raises(UserError) as info:
        sources.load('uci_digits')
    assert str(tmp_path / 'file') in one_line(info)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv('JAXVISION_CACHE', str(tmp_path / 'a'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'b'))
    monkeypatch.setenv('HOME', str(tmp_path / 'c'))
    assert sources.cache_dir() == tmp_path / 'a'
    monkeypatch.delenv('JAXVISION_CACHE')
    assert sources.cache_dir() == tmp_path / 'b' / 'jaxvision'
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert sources.cache_dir() == tmp_path / 'c' / '.cache' / 'jaxvision'


# Generated images.


@pytest.mark.parametrize(('shape', 'classes', 'examples'), [((5, 7, 3), 4, 22), ((8, 8, 1), 10, 30)])
def test_generated_is_as_asked(shape, classes, examples):
    source = sources.load('generated', generated_shape=shape, generated_classes=classes, generated_examples=examples)
    assert source.name == 'generated'
    assert source.shape == shape and source.images.shape == (examples, *shape)
    assert source.images.dtype == np.uint8 and source.labels.dtype == np.int32
    assert source.num_classes == classes
    counts = np.bincount(source.labels, minlength=classes)
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(source.official['train'], np.arange(examples))


def test_generated_is_always_the_same_and_tells_its_kinds_apart():
    def make(shape=(4, 4, 1), classes=3, examples=12):
        return sources.load('generated', generated_shape=shape, generated_classes=classes, generated_examples=examples)

    np.testing.assert_array_equal(make().images, make().images)
    kinds = [make(), make(shape=(2, 8, 1)), make(classes=4), make(examples=13)]
    assert make().fingerprint == kinds[0].fingerprint
    assert len({kind.fingerprint for kind in kinds}) == 4


def test_generated_classes_can_be_told_apart():
    source = sources.load('generated', generated_shape=(6, 6, 1), generated_classes=3, generated_examples=60)
    pixels = source.images.reshape(60, -1).astype(float)
    means = np.stack([pixels[:30][source.labels[:30] == label].mean(axis=0) for label in range(3)])
    nearest = np.argmin(((pixels[30:, None] - means) ** 2).sum(axis=2), axis=1)
    assert np.mean(nearest == source.labels[30:]) > 0.9


# Generated objects.


def objects_like(shape=(32, 32, 3), classes=4, examples=40, **kwargs):
    return sources.load(
        'generated_objects',
        generated_shape=shape,
        generated_classes=classes,
        generated_examples=examples,
        **kwargs,
    )


@pytest.mark.parametrize(('shape', 'classes', 'most'), [((32, 32, 3), 4, 3), ((8, 8, 1), 10, 1), ((16, 16, 3), 2, 5)])
def test_generated_objects_are_as_asked(shape, classes, most):
    source = objects_like(shape, classes, generated_most=most)
    assert source.name == 'generated_objects' and source.num_classes == classes
    assert source.images.shape == (40, *shape) and source.images.dtype == np.uint8
    assert source.objects.boxes.shape[1] <= most
    counts = source.objects.valid.sum(axis=1)
    assert counts.min() == 0 and counts.max() >= min(most, 2)
    assert set(source.objects.classes[source.objects.valid]) == set(range(classes))
    np.testing.assert_array_equal(source.objects.sizes, np.full((40, 2), shape[0]))
    assert not source.objects.ignored.any() and source.problems == ()


def test_generated_objects_are_what_is_bright():
    """Each box is full of one colour, that of its class; outside of the boxes all is dark."""
    source = objects_like()
    colours = {}
    for image, boxes, classes, valid in zip(
        source.images, source.objects.boxes, source.objects.classes, source.objects.valid, strict=True
    ):
        outside = np.ones((32, 32), bool)
        for (ymin, xmin, ymax, xmax), label in zip((boxes[valid] * 32).astype(int), classes[valid], strict=True):
            inside = image[ymin:ymax, xmin:xmax].reshape(-1, 3)
            assert outside[ymin:ymax, xmin:xmax].all()  # None lies on another.
            outside[ymin:ymax, xmin:xmax] = False
            colours.setdefault(int(label), set()).update(map(tuple, inside.tolist()))
        assert image[outside].max() < 48
    assert sorted(colours) == [0, 1, 2, 3]
    assert all(len(seen) == 1 and max(next(iter(seen))) >= 96 for seen in colours.values())
    assert len(set.union(*colours.values())) == 4


def test_generated_objects_are_always_the_same_and_tell_their_kinds_apart():
    kinds = [objects_like(), objects_like(classes=3), objects_like(examples=41), objects_like(generated_most=2)]
    assert objects_like().fingerprint == kinds[0].fingerprint
    assert len({kind.fingerprint for kind in kinds}) == 4


def test_generated_objects_are_square():
    with pytest.raises(UserError, match='not square'):
        objects_like(shape=(16, 32, 3))


@pytest.mark.parametrize('name', ['boxes', 'classes', 'valid', 'ignored', 'sizes'])
def test_fingerprint_is_of_the_objects_too(name):
    made = objects_like()
    array = getattr(made.objects, name).copy()
    array[-1] = 1 - array[-1]
    changed = dataclasses.replace(made.objects, **{name: array})
    other = finish_objects(made.name, made.images, changed, made.class_names, made.official)
    same = finish_objects(made.name, made.images, made.objects, made.class_names, made.official)
    assert same.fingerprint == made.fingerprint != other.fingerprint


# A folder of images.


def write(folder, images, mode='RGB', ending='png', **kwargs):
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        PIL.Image.fromarray(image).convert(mode).save(folder / f'{index}.{ending}', **kwargs)


def folder_of(path, **kwargs):
    return sources.load('image_folder', path=str(path), **kwargs)


def test_folder_has_a_class_a_sub_folder(tmp_path):
    images = colours(5)
    write(tmp_path / 'dog', images[2:])
    write(tmp_path / 'cat', images[:2])
    (tmp_path / 'notes.txt').write_text('no class')
    (tmp_path / 'cat' / 'Thumbs.db').write_text('no image')
    source = folder_of(tmp_path)
    assert source.name == 'image_folder'
    assert source.class_names == ('cat', 'dog')
    np.testing.assert_array_equal(source.images, images)
    np.testing.assert_array_equal(source.labels, [0, 0, 1, 1, 1])
    assert list(source.official) == ['train']


def test_folder_may_define_its_splits(tmp_path):
    images = colours(6)
    for part, (cat, dog) in {'train': (0, 1), 'validation': (2, 3), 'test': (4, 5)}.items():
        write(tmp_path / part / 'cat', images[cat : cat + 1])
        write(tmp_path / part / 'dog', images[dog : dog + 1])
    source = folder_of(tmp_path)
    assert source.class_names == ('cat', 'dog')
    for part, (cat, dog) in {'train': (0, 1), 'validation': (2, 3), 'test': (4, 5)}.items():
        ids = source.official[part]
        np.testing.assert_array_equal(source.images[ids], images[[cat, dog]])
        np.testing.assert_array_equal(source.labels[ids], [0, 1])


@pytest.mark.parametrize('mode', ['RGB', 'L', 'LA', 'RGBA', 'P', '1'])
def test_every_kind_of_png_becomes_rgb(tmp_path, mode):
    images = colours(2)
    write(tmp_path / 'a', images[:1], mode)
    write(tmp_path / 'b', images[1:], mode)
    source = folder_of(tmp_path)
    assert source.shape == (4, 4, 3)
    expected = [np.asarray(PIL.Image.fromarray(image).convert(mode).convert('RGB')) for image in images]
    np.testing.assert_array_equal(source.images, expected)


@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
def test_every_kind_of_jpeg_becomes_rgb(tmp_path, mode):
    images = np.empty((2, 16, 16, 3), np.uint8)  # Flat colours, which JPEG keeps.
    images[:] = np.array([[200, 120, 40], [30, 60, 90]])[:, None, None]
    write(tmp_path / 'a', images[:1], mode, 'JPG', quality=95)
    write(tmp_path / 'b', images[1:], mode, 'jpeg', quality=95)
    expected = [np.asarray(PIL.Image.fromarray(image).convert(mode).convert('RGB')) for image in images]
    np.testing.assert_allclose(folder_of(tmp_path).images.astype(int), np.stack(expected).astype(int), atol=3)


def test_images_of_several_sizes_are_resized_or_refused(tmp_path):
    write(tmp_path / 'a', colours(1, 4, 4))
    write(tmp_path / 'b', colours(1, 6, 5))
    with pytest.raises(UserError) as info:
        folder_of(tmp_path)
    assert 'data.image_size' in one_line(info) and str(tmp_path / 'b' / '0.png') in str(info.value)
    assert folder_of(tmp_path, image_size=5).images.shape == (2, 5, 5, 3)


@pytest.mark.parametrize('broken', ['empty', 'text', 'cut'])
def test_broken_file_is_named(tmp_path, broken):
    write(tmp_path / 'a', colours(1, 16, 16))
    write(tmp_path / 'b', colours(1, 16, 16))
    file = tmp_path / 'b' / '0.png'
    file.write_bytes({'empty': b'', 'text': b'not an image', 'cut': file.read_bytes()[:100]}[broken])
    with pytest.raises(UserError) as info:
        folder_of(tmp_path)
    assert str(file) in one_line(info)


@pytest.mark.parametrize('path', ['', 'nowhere'])
def test_missing_folder_is_named(tmp_path, path):
    path = path and str(tmp_path / path)
    with pytest.raises(UserError) as info:
        folder_of(path)
    assert f'data.path={path!r}' in one_line(info)


def test_one_class_is_too_few(tmp_path):
    write(tmp_path / 'only', colours(2))
    with pytest.raises(UserError) as info:
        folder_of(tmp_path)
    assert '1 class folders' in one_line(info) and str(tmp_path) in str(info.value)


def test_folders_without_images_are_refused(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    with pytest.raises(UserError) as info:
        folder_of(tmp_path)
    assert 'has 0 class folders that hold images' in one_line(info)


def test_hidden_folders_are_no_classes(tmp_path):
    """Jupyter leaves .ipynb_checkpoints wherever it has looked."""
    write(tmp_path / 'a', colours(1))
    write(tmp_path / 'b', colours(1))
    (tmp_path / '.ipynb_checkpoints').mkdir()
    assert folder_of(tmp_path).class_names == ('a', 'b')


def test_fingerprint_is_of_pixels_labels_names_and_splits(tmp_path):
    images = colours(4)

    def fingerprint(name, layout):
        for where, index in layout:
            write(tmp_path / name / where, images[index : index + 1])
        return folder_of(tmp_path / name).fingerprint

    base = fingerprint('base', [('a', 0), ('b', 1)])
    assert fingerprint('same', [('a', 0), ('b', 1)]) == base
    others = [
        fingerprint('pixels', [('a', 0), ('b', 2)]),
        fingerprint('names', [('a', 0), ('c', 1)]),
        fingerprint('splits', [('train/a', 0), ('test/b', 1)]),
        fingerprint('labels', [('a', 1), ('b', 0)]),
    ]
    assert len({base, *others}) == 5


# Prepared TFDS sets.


def test_prepared_set_loads_by_name_at_its_newest_version(tiny):
    source = sources.load('tiny', data_dir=str(tiny))
    assert source.name == 'tiny' and source.class_names == ('cat', 'dog')
    assert sorted(source.official) == ['test', 'train']
    for part, images in (('train', TRAIN), ('test', TEST)):
        ids = source.official[part]
        assert by_pixels(source.images[ids], source.labels[ids]) == by_pixels(images, np.arange(len(images)) % 2)


def test_prepared_set_loads_by_version(tiny):
    assert len(sources.load('tiny:9.0.0', data_dir=str(tiny)).images) == 2
    assert len(sources.load('tiny:10.0.0', data_dir=str(tiny)).images) == 10


def test_prepared_set_loads_by_config(tiny, tmp_path):
    shutil.copytree(tiny / 'tiny' / '9.0.0', tmp_path / 'tiny' / 'small' / '1.0.0')
    assert len(sources.load('tiny/small', data_dir=str(tmp_path)).images) == 2
    assert len(sources.load('tiny/small:1.0.0', data_dir=str(tmp_path)).images) == 2


def test_environment_says_where_tfds_sets_lie(tiny, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tiny))
    assert len(sources.load('tiny:9.0.0').images) == 2


def test_prepared_set_is_decoded_once(tiny, monkeypatch):
    first = sources.load('tiny', data_dir=str(tiny))
    monkeypatch.setattr(prepared, '_decode', None)
    again = sources.load('tiny', data_dir=str(tiny))
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(again.labels, first.labels)
    assert {split: ids.tolist() for split, ids in again.official.items()} == {
        split: ids.tolist() for split, ids in first.official.items()
    }
    assert again.fingerprint == first.fingerprint


def test_split_whose_labels_are_secret_is_skipped(tmp_path, capsys):
    secret = {('test', index) for index in range(len(TEST))}
    prepare(tmp_path, parts={'train': TRAIN, 'test': TEST}, secret=secret)
    source = sources.load('tiny', data_dir=str(tmp_path))
    assert list(source.official) == ['train'] and sorted(source.labels) == [0, 0, 0, 1, 1, 1]
    assert source.problems == (('split without labels', 'test', '4 images'),)
    assert 'the split is skipped' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('secret', 'said'),
    [
        ({('train', 1)}, "dataset 'tiny' has no label for 1 of the 6 images in train"),
        ({('train', index) for index in range(len(TRAIN))}, "dataset 'tiny' has no label in its split train"),
    ],
)
def test_images_to_train_on_have_labels(tmp_path, secret, said):
    prepare(tmp_path, parts={'train': TRAIN, 'test': TEST}, secret=secret)
    with pytest.raises(UserError, match=said):
        sources.load('tiny', data_dir=str(tmp_path))


@pytest.mark.parametrize('left', [0, 100])
@pytest.mark.parametrize('file', ['images.npy', 'labels.npy', 'meta.json', 'objects.npz'])
def test_decoded_set_that_is_broken_is_made_anew(tmp_path, monkeypatch, file, left):
    """As a computer leaves it that loses its power."""
    monkeypatch.setenv('JAXVISION_CACHE', str(tmp_path))
    source = sources.load('generated_objects', generated_shape=(32, 32, 3), generated_examples=20)
    first = cache.decoded('set', 'key', lambda: source)
    path = tmp_path / 'decoded' / 'key' / file
    path.write_bytes(path.read_bytes()[:left])
    again = cache.decoded('set', 'key', lambda: source)
    assert again.fingerprint == first.fingerprint
    assert cache.decoded('set', 'key', lambda: pytest.fail('it is not read')).fingerprint == first.fingerprint


def test_set_that_is_prepared_anew_is_decoded_anew(tmp_path):
    prepare(tmp_path, parts={'train': TRAIN[:2]})
    before = sources.load('tiny', data_dir=str(tmp_path))
    shutil.rmtree(tmp_path / 'tiny')
    prepare(tmp_path, parts={'train': TRAIN[2:4]})
    after = sources.load('tiny', data_dir=str(tmp_path))
    assert after.fingerprint != before.fingerprint
    assert by_pixels(after.images, after.labels) == by_pixels(TRAIN[2:4], [0, 1])


def test_prepared_set_is_resized(tiny):
    assert sources.load('tiny', data_dir=str(tiny), image_size=3).shape == (3, 3, 3)
    assert sources.load('tiny', data_dir=str(tiny)).shape == (4, 4, 3)


def test_prepared_images_of_several_sizes_are_resized_or_refused(tmp_path):
    prepare(tmp_path, parts={'train': [*colours(1), *colours(1, 6, 5)]}, shape=(None, None, 3))
    with pytest.raises(UserError) as info:
        sources.load('tiny', data_dir=str(tmp_path))
    assert 'data.image_size' in one_line(info) and "'tiny'" in str(info.value)
    assert sources.load('tiny', data_dir=str(tmp_path), image_size=5).images.shape == (2, 5, 5, 3)


def test_set_without_labels_is_refused(tmp_path):
    prepare(tmp_path, parts={'train': TRAIN[:2]}, label=False)
    with pytest.raises(UserError) as info:
        sources.load('tiny', data_dir=str(tmp_path))
    assert 'not a classification set' in one_line(info)


def test_set_without_a_train_split_is_refused(tmp_path):
    prepare(tmp_path, parts={'test': TEST[:2]})
    with pytest.raises(UserError) as info:
        sources.load('tiny', data_dir=str(tmp_path))
    assert 'no split named train' in one_line(info)


def test_set_in_another_file_format_is_refused(tiny, tmp_path):
    folder = tmp_path / 'tiny' / '9.0.0'
    shutil.copytree(tiny / 'tiny' / '9.0.0', folder)
    info_file = folder / 'dataset_info.json'
    described = json.loads(info_file.read_text())
    assert described['fileFormat'] == 'array_record'
    info_file.write_text(json.dumps({**described, 'fileFormat': 'tfrecord'}))
    with pytest.raises(UserError) as info:
        sources.load('tiny', data_dir=str(tmp_path))
    assert '--file_format=array_record' in one_line(info)


@pytest.mark.parametrize('name', ['cifar10', 'cifar10:3.0.2', 'no_such_set/config'])
def test_set_that_is_not_prepared_is_explained_without_a_network(tiny, name):
    with pytest.raises(UserError) as info:
        sources.load(name, data_dir=str(tiny))
    text = one_line(info)
    assert 'data.data_dir' in text and str(tiny) in text and f"'{name}'" in text
    assert f'tfds build {name.partition(":")[0]} ' in text
    assert 'there: tiny' in text  # What is prepared.


def test_version_that_is_not_prepared_is_explained(tiny):
    with pytest.raises(UserError) as info:
        sources.load('tiny:1.2.3', data_dir=str(tiny))
    assert "'tiny:1.2.3'" in one_line(info)


def test_nothing_prepared_anywhere_is_explained(tmp_path):
    with pytest.raises(UserError) as info:
        sources.load('cifar10')
    assert str(tmp_path / 'tfds') in one_line(info) and 'there: nothing' in str(info.value)


# Prepared TFDS sets with objects.


class TinyObjects(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """VOC (`is_difficult`) or COCO (`is_crowd`) in miniature: parts are {split: [(image, [(box, label, flag)])]}."""

    VERSION = tfds.core.Version('1.0.0')

    def __init__(self, *, parts, flag='is_difficult', checked=True, **kwargs):
        self.parts, self.flag, self.checked = parts, flag, checked
        super().__init__(**kwargs)

    def _info(self):
        box = tfds.features.BBoxFeature() if self.checked else tfds.features.BBoxFeature(bbox_format=None)
        objects = {
            'bbox': box,
            'label': tfds.features.ClassLabel(names=['cat', 'dog']),
            self.flag: tfds.features.Scalar(np.bool_),
        }
        if self.flag == 'is_crowd':
            objects['area'] = tfds.features.Scalar(np.int64)
        features = {
            'image': tfds.features.Image(shape=(None, None, 3)),
            'image/filename': tfds.features.Text(),
            'objects': tfds.features.Sequence(objects),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), description='Tiny.', disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split, images) for split, images in self.parts.items()}

    def _generate_examples(self, split, images):
        for index, (image, objects) in enumerate(images):
            encoded, png = cv2.imencode('.png', image[..., ::-1])
            assert encoded
            marked = [
                {'bbox': tfds.features.BBox(*box), 'label': label, self.flag: flag} for box, label, flag in objects
            ]
            if self.flag == 'is_crowd':
                marked = [each | {'area': 3 + each['label']} for each in marked]
            yield index, {'image': png.tobytes(), 'image/filename': f'{split}{index}.png', 'objects': marked}


def prepare_objects(folder, **kwargs):
    tfds.disable_progress_bar()
    TinyObjects(data_dir=folder, file_format='array_record', **kwargs).download_and_prepare()


LEFT, RIGHT = (0.0, 0.0, 1.0, 0.5), (0.25, 0.5, 0.75, 1.0)
SQUARES = colours(4, 6, 6)


@pytest.mark.parametrize('flag', ['is_difficult', 'is_crowd'])
def test_prepared_objects(tmp_path, flag, monkeypatch, capsys):
    train = [(SQUARES[0], [(LEFT, 1, False), (RIGHT, 0, True)]), (SQUARES[1], []), (SQUARES[2], [(RIGHT, 1, False)])]
    prepare_objects(tmp_path / 'made', parts={'train': train, 'test': [(SQUARES[3], [(LEFT, 0, False)])]}, flag=flag)
    shutil.copytree(tmp_path / 'made' / 'tiny_objects' / '1.0.0', tmp_path / 'voc' / '2007' / '4.0.0')
    source = sources.load('voc/2007', data_dir=str(tmp_path))
    assert source.name == 'voc/2007' and source.class_names == ('cat', 'dog')
    np.testing.assert_array_equal(source.images, SQUARES)
    objects = source.objects
    assert objects.names == ('train0.png', 'train1.png', 'train2.png', 'test0.png')
    np.testing.assert_array_equal(objects.valid, [[True, True], [False, False], [True, False], [True, False]])
    np.testing.assert_array_equal(objects.classes, [[1, 0], [0, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(objects.ignored, [[False, True], *[[False, False]] * 3])
    np.testing.assert_array_equal(objects.boxes[objects.valid], np.float32([LEFT, RIGHT, RIGHT, LEFT]))
    areas = [4, 3, 4, 3] if flag == 'is_crowd' else [0] * 4
    np.testing.assert_array_equal(objects.areas[objects.valid], areas)
    np.testing.assert_array_equal(source.labels, [1, 2, 1, 0])  # At most one object counts: by class.
    assert {split: ids.tolist() for split, ids in source.official.items()} == {'train': [0, 1, 2], 'test': [3]}
    monkeypatch.setattr(prepared, '_decode', None)
    again = sources.load('voc/2007:4.0.0', data_dir=str(tmp_path))
    assert again.fingerprint == source.fingerprint and again.objects.names == objects.names
    for name, array in objects.arrays().items():
        kept = again.objects.arrays()[name]
        assert kept.dtype == array.dtype
        np.testing.assert_array_equal(kept, array)
    assert capsys.readouterr().err == ''


def test_prepared_objects_are_letterboxed_or_refused(tmp_path):
    parts = {'train': [(image, [(LEFT, 0, False)]) for image in colours(2, 4, 8)]}
    prepare_objects(tmp_path, parts=parts)
    with pytest.raises(UserError) as info:
        sources.load('tiny_objects', data_dir=str(tmp_path))
    assert 'not square; set data.image_size' in one_line(info)
    source = sources.load('tiny_objects', data_dir=str(tmp_path), image_size=16)
    assert source.shape == (16, 16, 3)
    np.testing.assert_array_equal(source.objects.sizes, [[4, 8]] * 2)
    np.testing.assert_allclose(source.objects.boxes[:, 0], [[0.25, 0, 0.75, 0.5]] * 2)


def test_prepared_objects_of_several_sizes_are_refused(tmp_path):
    parts = {'train': [(colours(1, size, size)[0], [(LEFT, 0, False)]) for size in (4, 6)]}
    prepare_objects(tmp_path, parts=parts)
    with pytest.raises(UserError) as info:
        sources.load('tiny_objects', data_dir=str(tmp_path))
    assert 'several sizes; set data.image_size' in one_line(info)


def test_problems_of_prepared_objects_are_told_at_every_start(tmp_path, capsys):
    """COCO itself has boxes without area, and a test part without annotations."""
    train = [(SQUARES[0], [(LEFT, 0, False), ((0.5, 0.5, 0.5, 0.7), 1, False)])]
    prepare_objects(tmp_path, parts={'train': train, 'test': [(SQUARES[1], [])]})
    first = sources.load('tiny_objects', data_dir=str(tmp_path))
    np.testing.assert_array_equal(first.objects.ignored, [[False, True]])
    assert first.objects.boxes[0, 1].tolist() == [0, 0, 0, 0]
    assert [problem[:2] for problem in first.problems] == [
        ('box without area', 'train0.png'),
        ('split without objects', 'test'),
    ]
    assert len(first.images) == 1 and list(first.official) == ['train']
    told = capsys.readouterr().err
    assert 'tiny_objects: the annotations have problems' in told and 'train0.png: box without area' in told
    assert sources.load('tiny_objects', data_dir=str(tmp_path)).problems == first.problems
    assert capsys.readouterr().err == told


def test_prepared_set_without_any_object_is_refused(tmp_path):
    prepare_objects(tmp_path, parts={'train': [(SQUARES[0], [])]})
    with pytest.raises(UserError) as info:
        sources.load('tiny_objects', data_dir=str(tmp_path))
    assert 'no object in its split train' in one_line(info)


def test_what_is_prepared_is_listed_with_its_config(tiny, tmp_path):
    shutil.copytree(tiny / 'tiny' / '9.0.0', tmp_path / 'voc' / '2007' / '4.0.0')
    shutil.copytree(tiny / 'tiny' / '9.0.0', tmp_path / 'other' / '1.0.0')
    with pytest.raises(UserError) as info:
        sources.load('voc/2012', data_dir=str(tmp_path))
    assert 'there: other, voc/2007' in one_line(info)

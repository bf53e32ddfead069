"""A user's own VOC and COCO folders: read as they are meant, and every fault reported and survived."""

import json
import math

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxvision.data import sources
from jaxvision.errors import UserError


def picture(file, height=8, width=8, seed=0):
    """Writes a PNG; returns its RGB pixels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert cv2.imwrite(str(file), image[..., ::-1])
    return image


def xml(file, objects=(), size=(8, 8)):
    """Writes a VOC annotation; objects are (name, xmin, ymin, xmax, ymax) with an optional `difficult`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = f'<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>'
    for name, xmin, ymin, xmax, ymax, *difficult in objects:
        text += (
            f'<object><name>{name}</name><difficult>{int(bool(difficult))}</difficult><bndbox><xmin>{xmin}</xmin>'
            f'<ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>'
        )
    file.write_text(f'<annotation>{text}</annotation>')


def voc(root, stem, objects=(), size=(8, 8), seed=0):
    """An image and its annotation, where VOC has them."""
    xml(root / 'Annotations' / f'{stem}.xml', objects, size)
    return picture(root / 'JPEGImages' / f'{stem}.png', *size, seed=seed)


def lists(root, **splits):
    for split, stems in splits.items():
        file = root / 'ImageSets' / 'Main' / f'{split}.txt'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(''.join(f'{stem}\n' for stem in stems))


CAT, DOG = ('cat', 1, 1, 4, 4), ('dog', 5, 3, 8, 8)
NOWHERE = (0, 0, 0, 0)  # An object that is there, but without a usable box: so it is ignored.


def coco(file, images, annotations, categories=((3, 'cat'), (7, 'dog'))):
    """Writes a COCO file; images are (id, file name), annotations (image id, category, bbox) or a dict of fields."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        'images': [{'id': number, 'file_name': name, 'height': 8, 'width': 8} for number, name in images],
        'annotations': [
            fields if isinstance(fields, dict) else dict(zip(('image_id', 'category_id', 'bbox'), fields, strict=True))
            for fields in annotations
        ],
        'categories': [{'id': number, 'name': name} for number, name in categories],
    }
    file.write_text(json.dumps(content))


def load(kind, root, **kwargs):
    return sources.load(f'{kind}_folder', path=str(root), **kwargs)


def kinds(source):
    return [(kind, file) for kind, file, _ in source.problems]


def objects_of(source, name):
    """{(class name, box in eighths, ignored)} of an image."""
    index = source.objects.names.index(name)
    valid = source.objects.valid[index]
    return {
        (source.class_names[label], tuple((box * 8).round(4).tolist()), bool(ignored))
        for label, box, ignored in zip(
            source.objects.classes[index][valid],
            source.objects.boxes[index][valid],
            source.objects.ignored[index][valid],
            strict=True,
        )
    }


# Pascal VOC.


def test_voc_folder(tmp_path, capsys):
    images = [
        voc(tmp_path, 'a', [CAT, DOG], seed=1),
        voc(tmp_path, 'b', seed=2),
        voc(tmp_path, 'c', [(*DOG, 1)], seed=3),
    ]
    source = load('voc', tmp_path)
    assert source.name == 'voc_folder' and source.class_names == ('cat', 'dog')
    np.testing.assert_array_equal(source.images, images)
    assert source.objects.names == ('JPEGImages/a.png', 'JPEGImages/b.png', 'JPEGImages/c.png')
    # 1-based and inclusive: pixels 1 to 4 are the first half of eight.
    assert objects_of(source, 'JPEGImages/a.png') == {('cat', (0, 0, 4, 4), False), ('dog', (2, 4, 8, 8), False)}
    assert objects_of(source, 'JPEGImages/b.png') == set()
    assert objects_of(source, 'JPEGImages/c.png') == {('dog', (2, 4, 8, 8), True)}
    assert {split: ids.tolist() for split, ids in source.official.items()} == {'train': [0, 1, 2]}
    assert source.problems == () and capsys.readouterr().err == ''


@pytest.mark.parametrize('place', ['images', '.', 'Annotations'])
def test_voc_images_may_lie_elsewhere(tmp_path, place):
    xml(tmp_path / 'Annotations' / 'a.xml', [CAT])
    picture(tmp_path / place / 'a.png')
    assert len(load('voc', tmp_path).images) == 1


def test_voc_images_may_lie_beside_their_xml_in_one_folder(tmp_path):
    xml(tmp_path / 'a.xml', [CAT])
    picture(tmp_path / 'a.png')
    assert objects_of(load('voc', tmp_path), 'a.png') == {('cat', (0, 0, 4, 4), False)}


@pytest.mark.parametrize('named', ['validation', 'val', 'valid'])
def test_voc_splits_may_be_folders(tmp_path, named):
    voc(tmp_path / 'train', 'a', [CAT])
    voc(tmp_path / named, 'a', [DOG], seed=1)
    xml(tmp_path / 'test' / 'a.xml', [DOG])
    picture(tmp_path / 'test' / 'a.png', seed=2)
    source = load('voc', tmp_path)
    assert {split: [source.objects.names[i] for i in ids] for split, ids in source.official.items()} == {
        'train': ['train/JPEGImages/a.png'],
        'validation': [f'{named}/JPEGImages/a.png'],
        'test': ['test/a.png'],
    }
    assert source.class_names == ('cat', 'dog') and not source.problems


def test_voc_splits_may_be_lists(tmp_path):
    for seed, stem in enumerate('abcde'):
        voc(tmp_path, stem, [CAT], seed=seed)
    lists(tmp_path, train='ca', val='b', trainval='abc', test='d')
    source = load('voc', tmp_path)
    assert {split: [source.objects.names[i][11] for i in ids] for split, ids in source.official.items()} == {
        'train': ['c', 'a'],
        'validation': ['b'],
        'test': ['d'],
    }
    assert kinds(source) == [('image in no split', 'e')]


def test_voc_trainval_is_the_train_split_where_that_is_missing(tmp_path):
    for seed, stem in enumerate('abc'):
        voc(tmp_path, stem, [CAT], seed=seed)
    lists(tmp_path, trainval='ab', val='b', test='c')
    source = load('voc', tmp_path)
    assert {split: len(ids) for split, ids in source.official.items()} == {'train': 2, 'test': 1}
    assert not source.problems


def test_image_in_several_splits_is_held_out(tmp_path):
    for seed, stem in enumerate('abc'):
        voc(tmp_path, stem, [CAT], seed=seed)
    lists(tmp_path, train='abca', test='c')
    source = load('voc', tmp_path)
    assert {split: [source.objects.names[i][11] for i in ids] for split, ids in source.official.items()} == {
        'train': ['a', 'b'],
        'test': ['c'],
    }
    assert sorted(kinds(source)) == [
        ('image in several splits', 'JPEGImages/c.png'),
        ('image listed twice', 'JPEGImages/a.png'),
    ]


def test_voc_class_file_gives_the_order_and_the_bounds(tmp_path):
    voc(tmp_path, 'a', [CAT, DOG, ('cow', 1, 1, 2, 2)])
    (tmp_path / 'classes.txt').write_text('dog\n\n cat \nbird\n')
    source = load('voc', tmp_path)
    assert source.class_names == ('dog', 'cat', 'bird')
    name = 'JPEGImages/a.png'
    seen = {label: box for label, box, ignored in objects_of(source, name) if not ignored}
    assert seen == {'cat': (0, 0, 4, 4), 'dog': (2, 4, 8, 8)}
    # The cow is no background: its place is ignored.
    assert {box for _, box, ignored in objects_of(source, name) if ignored} == {(0, 0, 2, 2)}
    assert kinds(source) == [('unknown class', 'JPEGImages/a.png')]
    assert 'cow' in source.problems[0][2]


@pytest.mark.parametrize(
    ('box', 'kind'),
    [
        ((2, 3, 2, 3), 'box without area'),
        ((2, 3, 5, 3), 'box without area'),
        ((5, 3, 2, 6), 'box inverted'),
        ((9, 1, 12, 4), 'box outside the image'),
        (('nan', 1, 4, 4), 'box not finite'),
    ],
)
def test_voc_useless_box_is_ignored_and_the_image_kept(tmp_path, box, kind):
    voc(tmp_path, 'a', [CAT, ('dog', *box)])
    source = load('voc', tmp_path)
    assert objects_of(source, 'JPEGImages/a.png') == {('cat', (0, 0, 4, 4), False), ('dog', NOWHERE, True)}
    assert kinds(source) == [(kind, 'JPEGImages/a.png')]
    assert 'object 2 (dog)' in source.problems[0][2]


def test_voc_box_that_reaches_out_is_clipped(tmp_path):
    voc(tmp_path, 'a', [('cat', -2, 5, 4, 11)])
    source = load('voc', tmp_path)
    assert objects_of(source, 'JPEGImages/a.png') == {('cat', (4, 0, 8, 4), False)}
    assert kinds(source) == [('box partly outside the image', 'JPEGImages/a.png')]


def test_voc_zero_of_other_tools_is_the_edge(tmp_path):
    voc(tmp_path, 'a', [('cat', 0, 0, 4, 8)])
    source = load('voc', tmp_path)
    assert objects_of(source, 'JPEGImages/a.png') == {('cat', (0, 0, 8, 4), False)}
    assert not source.problems


def test_voc_broken_files_are_reported_and_the_rest_is_read(tmp_path, capsys):
    voc(tmp_path, 'good', [CAT], seed=9)
    voc(tmp_path, 'cut')
    (tmp_path / 'Annotations' / 'cut.xml').write_text('<annotation><object>')
    voc(tmp_path, 'html')
    (tmp_path / 'Annotations' / 'html.xml').write_text('<html></html>')
    xml(tmp_path / 'Annotations' / 'alone.xml', [DOG])
    picture(tmp_path / 'JPEGImages' / 'bare.png')
    voc(tmp_path, 'text', [DOG])
    (tmp_path / 'JPEGImages' / 'text.png').write_text('no image')
    voc(tmp_path, 'odd', [('', 1, 1, 2, 2), ('dog', 'one', 1, 2, 2), DOG])
    xml(tmp_path / 'Annotations' / 'turned.xml', [DOG], size=(8, 4))
    picture(tmp_path / 'JPEGImages' / 'turned.png', seed=8)
    source = load('voc', tmp_path)
    assert sorted(kinds(source)) == [
        ('malformed XML', 'Annotations/cut.xml'),
        ('malformed XML', 'Annotations/html.xml'),
        ('malformed object', 'Annotations/odd.xml'),
        ('malformed object', 'Annotations/odd.xml'),
        ('missing annotation', 'JPEGImages/bare.png'),
        ('missing image', 'alone'),
        ('other size than the file', 'JPEGImages/turned.png'),
        ('unreadable image', 'JPEGImages/text.png'),
    ]
    assert source.objects.names == ('JPEGImages/good.png', 'JPEGImages/odd.png', 'JPEGImages/turned.png')
    assert objects_of(source, 'JPEGImages/odd.png') == {
        ('cat', (0, 0, 2, 2), True),  # Without a name: of no known class.
        ('dog', NOWHERE, True),
        ('dog', (2, 4, 8, 8), False),
    }
    err = capsys.readouterr().err
    assert err.count('voc_folder: the annotations have problems') == 1
    assert '2 x malformed XML: the image is skipped' in err and 'Annotations/cut.xml: malformed XML' in err


def test_listed_but_not_annotated_is_reported(tmp_path):
    voc(tmp_path, 'a', [CAT])
    lists(tmp_path, train=['a', 'gone'])
    assert kinds(load('voc', tmp_path)) == [('missing annotation', 'gone')]


def test_nothing_usable_is_an_error_after_the_report(tmp_path, capsys):
    voc(tmp_path, 'a', [('cat', 3, 3, 3, 3)])
    with pytest.raises(UserError, match='the train split has no usable object') as info:
        load('voc', tmp_path)
    assert '\n' not in str(info.value)
    assert 'box without area' in capsys.readouterr().err


def test_split_without_usable_images_is_an_error_and_not_cut_anew(tmp_path, capsys):
    voc(tmp_path, 'a', [CAT])
    voc(tmp_path, 'b', [CAT])
    (tmp_path / 'JPEGImages' / 'b.png').unlink()
    lists(tmp_path, train='a', test='b')
    with pytest.raises(UserError, match='no image of the test split is usable'):
        load('voc', tmp_path)
    assert 'missing image' in capsys.readouterr().err


def test_split_without_objects_is_left_out_and_reported(tmp_path):
    voc(tmp_path, 'a', [CAT])
    voc(tmp_path, 'b', seed=1)
    lists(tmp_path, train='a', test='b')
    source = load('voc', tmp_path)
    assert list(source.official) == ['train']
    assert kinds(source) == [('split without objects', 'test')]


@pytest.mark.parametrize('kind', ['voc', 'coco'])
def test_folder_that_is_missing_or_empty_is_named(tmp_path, kind):
    for path in ('', str(tmp_path / 'nowhere')):
        with pytest.raises(UserError, match='is not a folder') as info:
            sources.load(f'{kind}_folder', path=path)
        assert f'data.path={path!r}' in str(info.value)
    with pytest.raises(UserError, match=f'data.name={kind}_folder wants') as info:
        load(kind, tmp_path)
    assert str(tmp_path) in str(info.value) and '\n' not in str(info.value)


def test_other_shapes_are_letterboxed_or_refused(tmp_path):
    voc(tmp_path, 'a', [('cat', 1, 1, 8, 4)], size=(4, 8))
    voc(tmp_path, 'b', [('cat', 1, 1, 4, 8)], size=(8, 4))
    with pytest.raises(UserError, match=r'JPEGImages/a\.png is not square .* set data\.image_size'):
        load('voc', tmp_path)
    source = load('voc', tmp_path, image_size=16)
    assert source.images.shape == (2, 16, 16, 3)
    np.testing.assert_array_equal(source.objects.sizes, [[4, 8], [8, 4]])
    np.testing.assert_allclose(source.objects.boxes[:, 0], [[0.25, 0, 0.75, 1], [0, 0.25, 1, 0.75]])
    assert not source.problems


def turned(file, pixels):
    """Writes a JPEG that is to be shown turned right by 90 degrees, as cameras do."""
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(file, exif=exif, quality=100, subsampling=0)


@pytest.mark.parametrize('annotated', ['as stored', 'as shown'])
def test_boxes_are_of_the_pixels_whose_size_is_annotated(tmp_path, annotated):
    """Half of the tools annotate what is shown, half what is stored."""
    stored = np.full((16, 32, 3), 40, np.uint8)
    stored[:8, :8] = 220  # Shown: in the upper right corner.
    turned(tmp_path / 'JPEGImages' / 'a.jpg', stored)
    size, box = ((16, 32), (1, 1, 8, 8)) if annotated == 'as stored' else ((32, 16), (9, 1, 16, 8))
    xml(tmp_path / 'Annotations' / 'a.xml', [('cat', *box)], size=size)
    source = load('voc', tmp_path, image_size=32)
    assert source.objects.sizes.tolist() == [list(size)] and not source.problems
    ymin, xmin, ymax, xmax = np.rint(source.objects.boxes[0, 0] * 32).astype(int)
    assert source.images[0, ymin:ymax, xmin:xmax].min() > 200
    rest = source.images[0].astype(int)
    rest[ymin:ymax, xmin:xmax] = 0
    assert rest.max() < 130


def test_voc_images_of_one_stem_are_reported(tmp_path):
    voc(tmp_path, 'a', [CAT])
    picture(tmp_path / 'JPEGImages' / 'a.jpg', seed=1)
    source = load('voc', tmp_path)
    assert len(source.images) == 1
    assert source.problems == (('images of one stem', 'JPEGImages/a.png', 'a.jpg is used'),)


# COCO.


def test_coco_folder(tmp_path):
    images = [picture(tmp_path / 'train2017' / f'{name}.png', seed=seed) for seed, name in enumerate('ab')]
    picture(tmp_path / 'val2017' / 'c.png', seed=5)
    annotations = tmp_path / 'annotations'
    crowd = {'image_id': 12, 'category_id': 7, 'bbox': [0, 0, 8, 8], 'iscrowd': 1}
    coco(annotations / 'instances_train2017.json', [(12, 'a.png'), (4, 'b.png')], [(12, 7, [1, 2, 3, 4]), crowd])
    coco(annotations / 'instances_val2017.json', [(12, 'c.png')], [(12, 3, [0, 0, 1.5, 8])])
    (annotations / 'captions_train2017.json').write_text('not looked at')
    source = load('coco', tmp_path)
    assert source.name == 'coco_folder' and source.class_names == ('cat', 'dog')
    assert source.objects.names == ('train2017/a.png', 'train2017/b.png', 'val2017/c.png')
    np.testing.assert_array_equal(source.images[:2], images)
    assert objects_of(source, 'train2017/a.png') == {('dog', (2, 1, 6, 4), False), ('dog', (0, 0, 8, 8), True)}
    assert objects_of(source, 'train2017/b.png') == set()
    assert objects_of(source, 'val2017/c.png') == {('cat', (0, 0, 8, 1.5), False)}
    assert {split: ids.tolist() for split, ids in source.official.items()} == {'train': [0, 1], 'validation': [2]}
    assert source.problems == ()


@pytest.mark.parametrize('place', ['images', 'train', 'images/train', '.'])
def test_coco_images_may_lie_elsewhere(tmp_path, place):
    picture(tmp_path / place / 'a.png')
    coco(tmp_path / 'annotations' / 'mine.json', [(1, 'a.png')], [(1, 3, [0, 0, 4, 4])])
    source = load('coco', tmp_path)
    assert len(source.images) == 1 and list(source.official) == ['train']


def test_coco_in_the_layout_of_roboflow(tmp_path):
    for seed, part in enumerate(('train', 'valid', 'test')):
        picture(tmp_path / part / 'a.png', seed=seed)
        coco(tmp_path / part / '_annotations.coco.json', [(0, 'a.png')], [(0, 3, [0, 0, 4, 4])])
    source = load('coco', tmp_path)
    assert {split: [source.objects.names[i] for i in ids] for split, ids in source.official.items()} == {
        'train': ['train/a.png'],
        'validation': ['valid/a.png'],
        'test': ['test/a.png'],
    }
    assert not source.problems


def test_coco_classes_are_in_the_order_of_their_ids_over_all_files(tmp_path):
    picture(tmp_path / 'images' / 'a.png')
    picture(tmp_path / 'images' / 'b.png', seed=1)
    folder = tmp_path / 'annotations'
    coco(folder / 'instances_train.json', [(1, 'a.png')], [(1, 9, [0, 0, 4, 4])], [(9, 'dog'), (40, 'cow')])
    coco(folder / 'instances_val.json', [(1, 'b.png')], [(1, 2, [0, 0, 4, 4])], [(2, 'cat'), (9, 'dog')])
    source = load('coco', tmp_path)
    assert source.class_names == ('cat', 'dog', 'cow')
    assert source.objects.classes[:, 0].tolist() == [1, 0]
    coco(folder / 'instances_val.json', [(1, 'b.png')], [], [(9, 'bird')])
    with pytest.raises(UserError, match="category 9 is 'bird', but elsewhere 'dog'"):
        load('coco', tmp_path)


@pytest.mark.parametrize(
    ('bbox', 'kind'),
    [
        ([1, 1, 0, 4], 'box without area'),
        ([1, 1, 4, -2], 'box inverted'),
        ([8, 0, 2, 2], 'box outside the image'),
        ([1, math.nan, 4, 4], 'box not finite'),
        ([1, 1, 4, math.inf], 'box not finite'),
    ],
)
def test_coco_useless_box_is_ignored_and_the_image_kept(tmp_path, bbox, kind):
    picture(tmp_path / 'images' / 'a.png')
    coco(tmp_path / 'annotations' / 'train.json', [(1, 'a.png')], [(1, 3, [0, 0, 4, 4]), (1, 7, bbox)])
    source = load('coco', tmp_path)
    assert objects_of(source, 'images/a.png') == {('cat', (0, 0, 4, 4), False), ('dog', NOWHERE, True)}
    assert kinds(source) == [(kind, 'images/a.png')]


def test_coco_broken_entries_are_reported_and_the_rest_is_read(tmp_path):
    for seed, name in enumerate(('a', 'b', 'bare')):
        picture(tmp_path / 'images' / f'{name}.png', seed=seed)
    file = tmp_path / 'annotations' / 'instances_train.json'
    good = (1, 3, [0, 0, 4, 4])
    broken = [
        (1, 99, [0, 0, 4, 4]),
        (55, 3, [0, 0, 4, 4]),
        (1, 3, [0, 0, 4]),
        (1, 3, None),
        {'image_id': 1, 'bbox': [0, 0, 1, 1]},
        (math.inf, 3, [0, 0, 4, 4]),
        (2, 3, [6, 6, 4, 4]),
    ]
    coco(file, [(1, 'a.png'), (2, 'b.png'), (2, 'again.png'), (3, 'gone.png')], [good, *broken])
    content = json.loads(file.read_text())
    content['images'] += [{'id': 7}, 'text']
    content['images'][1]['width'] = 9
    content['annotations'] += ['text']
    file.write_text(json.dumps(content))
    source = load('coco', tmp_path)
    name = 'annotations/instances_train.json'
    assert sorted(kinds(source)) == [
        ('box partly outside the image', 'images/b.png'),
        ('image listed twice', 'again.png'),
        *[('malformed image entry', name)] * 2,
        *[('malformed object', name)] * 3,
        ('missing annotation', 'images/bare.png'),
        ('missing image', 'train/gone.png'),
        *[('object of an unknown image', name)] * 3,
        ('other size than the file', 'images/b.png'),
        ('unknown class', 'images/a.png'),
    ]
    assert source.objects.names == ('images/a.png', 'images/b.png')
    # What is malformed or of an unknown class is ignored, and has the first class.
    ignored = [('cat', box, True) for box in ((0, 0, 4, 4), NOWHERE, NOWHERE, (0, 0, 1, 1))]
    assert objects_of(source, 'images/a.png') == {('cat', (0, 0, 4, 4), False), *ignored}
    assert objects_of(source, 'images/b.png') == {('cat', (6, 6, 8, 8), False)}


@pytest.mark.parametrize('text', ['{"images": [', '[]', '{"annotations": []}', '{"images": 3}', '\xff'])
def test_malformed_json_is_reported(tmp_path, text, capsys):
    picture(tmp_path / 'images' / 'a.png')
    file = tmp_path / 'annotations' / 'instances_train.json'
    file.parent.mkdir()
    file.write_text(text, encoding='latin-1')
    with pytest.raises(UserError, match='no image of the train split is usable'):
        load('coco', tmp_path)
    assert 'instances_train.json: malformed JSON' in capsys.readouterr().err


def test_coco_files_that_are_not_looked_at_are_named(tmp_path):
    for name in ('train', 'valid', 'test'):
        picture(tmp_path / 'roboflow' / name / 'a.png', seed=len(name))
    for name in ('train', 'valid'):
        coco(tmp_path / 'roboflow' / name / '_annotations.coco.json', [(0, 'a.png')], [(0, 3, [0, 0, 4, 4])])
    assert kinds(load('coco', tmp_path / 'roboflow')) == [('missing annotation', 'test')]
    picture(tmp_path / 'images' / 'a.png')
    for name in ('instances_train', 'val', 'captions_train'):
        coco(tmp_path / 'annotations' / f'{name}.json', [(1, 'a.png')], [(1, 3, [0, 0, 4, 4])])
    assert kinds(load('coco', tmp_path)) == [('file not looked at', 'annotations/val.json')]


def test_json_nested_without_end_is_malformed(tmp_path, capsys):
    picture(tmp_path / 'images' / 'a.png')
    file = tmp_path / 'annotations' / 'instances_train.json'
    coco(file, [(1, 'a.png')], [(1, 3, [0, 0, 4, 4])])
    (file.parent / 'instances_val.json').write_text('[' * 100_000)
    with pytest.raises(UserError, match='no image of the validation split is usable'):
        load('coco', tmp_path)
    assert 'instances_val.json: malformed JSON: RecursionError' in capsys.readouterr().err


def test_a_name_that_no_file_can_have_is_a_missing_image(tmp_path):
    picture(tmp_path / 'images' / 'a.png')
    coco(tmp_path / 'annotations' / 'train.json', [(1, 'a.png'), (2, 'x' * 5000)], [(1, 3, [0, 0, 4, 4])])
    assert [kind for kind, _ in kinds(load('coco', tmp_path))] == ['missing image']


def test_ids_of_one_file_share_their_objects(tmp_path):
    picture(tmp_path / 'images' / 'a.png')
    file = tmp_path / 'annotations' / 'train.json'
    coco(file, [(1, 'a.png'), (2, 'a.png')], [(1, 3, [0, 0, 4, 4]), (2, 7, [4, 0, 4, 4])])
    source = load('coco', tmp_path)
    assert source.objects.names == ('images/a.png',)
    assert objects_of(source, 'images/a.png') == {('cat', (0, 0, 4, 4), False), ('dog', (0, 4, 4, 8), False)}
    assert kinds(source) == [('image listed twice', 'images/a.png')]


def test_categories_that_contradict_each_other(tmp_path):
    picture(tmp_path / 'images' / 'a.png')
    file, image, objects = tmp_path / 'annotations' / 'train.json', [(1, 'a.png')], [(1, 9, [0, 0, 4, 4])]
    coco(file, image, objects, [(3, 'cat'), (5, 'dog'), (9, 'cat')])
    source = load('coco', tmp_path)
    assert source.class_names == ('cat', 'dog') and source.objects.classes.tolist() == [[0]]
    assert source.problems == (('categories of one name', 'cat', 'ids 3, 9'),)
    coco(file, image, objects, [(9, 'cat'), (9, 'dog')])
    with pytest.raises(UserError, match="category 9 is 'dog', but elsewhere 'cat'"):
        load('coco', tmp_path)


def test_coco_area_is_that_of_the_outline_or_nothing(tmp_path):
    picture(tmp_path / 'images' / 'a.png')
    common = {'image_id': 1, 'category_id': 3, 'bbox': [0, 0, 4, 4]}
    areas = [{'area': 7.5}, {}, {'area': 'wide'}, {'area': -1}]
    coco(tmp_path / 'annotations' / 'train.json', [(1, 'a.png')], [{**common, **area} for area in areas])
    assert load('coco', tmp_path).objects.areas.tolist() == [[7.5, 0, 0, 0]]


def test_coco_files_that_are_not_clear_are_refused(tmp_path):
    folder = tmp_path / 'annotations'
    coco(folder / 'instances_train2014.json', [], [])
    coco(folder / 'instances_train2017.json', [], [])
    with pytest.raises(UserError, match=r'instances_train2017\.json is a second file for train'):
        load('coco', tmp_path)
    (folder / 'instances_train2017.json').rename(folder / 'instances_other.json')
    with pytest.raises(UserError, match=r'instances_other\.json is for no split'):
        load('coco', tmp_path)


def test_coco_test_part_without_annotations_is_left_out(tmp_path):
    picture(tmp_path / 'images' / 'a.png')
    picture(tmp_path / 'images' / 'b.png', seed=1)
    folder = tmp_path / 'annotations'
    coco(folder / 'instances_train.json', [(1, 'a.png')], [(1, 3, [0, 0, 4, 4])])
    (folder / 'instances_test.json').write_text(json.dumps({'images': [{'id': 1, 'file_name': 'b.png'}]}))
    source = load('coco', tmp_path)
    assert list(source.official) == ['train']
    assert kinds(source) == [('split without objects', 'test')]

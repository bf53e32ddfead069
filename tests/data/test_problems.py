"""What is wrong with annotations is counted, named, and what is of no use is ignored or skipped."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.data.problems import KINDS, Problems, tell, usable_box

FIXED = settings(max_examples=200, deadline=None, derandomize=True)


def some(count):
    problems = Problems()
    for index in range(count):
        problems.add('missing image' if index % 3 else 'box inverted', f'{index}.png', f'object\n {index}')
    return problems


def test_summary_counts_by_kind_and_names_by_file():
    lines = some(4).summary().splitlines()
    assert sorted(lines[:2]) == ['2 x box inverted: the object is ignored', '2 x missing image: the image is skipped']
    assert lines[2:] == [
        '  0.png: box inverted: object 0',
        '  1.png: missing image: object 1',
        '  2.png: missing image: object 2',
        '  3.png: box inverted: object 3',
    ]


def test_summary_names_the_first_twenty_and_says_where_the_others_are():
    lines = some(51).summary('all.txt').splitlines()
    assert lines[0] == '34 x missing image: the image is skipped'
    assert lines[2].startswith('  0.png') and lines[21].startswith('  19.png')
    assert lines[22:] == ['  ... and 31 more, in all.txt']
    assert some(20).summary('all.txt').splitlines()[-1].startswith('  19.png')


def test_text_names_all():
    assert len(some(51).text().splitlines()) == 2 + 51


def test_no_problems_are_no_words(capsys):
    assert Problems().summary() == ''
    tell('mine', Problems())
    assert capsys.readouterr() == ('', '')


def test_tell_writes_what_it_does_not_name(capsys, cache):
    tell('mine', some(30))
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('mine: the annotations have problems\n20 x missing image')
    (file,) = (cache / 'problems').iterdir()
    assert err.endswith(f'... and 10 more, in {file}\n')
    assert file.read_text() == some(30).text() + '\n'


def test_unknown_kind_is_a_bug():
    with pytest.raises(AssertionError, match='no such kind'):
        Problems().add('no such kind', 'a.png')


@pytest.mark.parametrize(
    ('box', 'kind'),
    [
        ((0.1, math.nan, 0.2, 0.3), 'box not finite'),
        ((0.1, 0.2, math.inf, 0.3), 'box not finite'),
        ((0.5, 0.1, 0.4, 0.3), 'box inverted'),
        ((0.1, 0.3, 0.2, 0.2), 'box inverted'),
        ((0.1, 0.2, 0.1, 0.3), 'box without area'),
        ((0.1, 0.2, 0.3, 0.2), 'box without area'),
        ((0.1, 1.0, 0.2, 1.1), 'box outside the image'),
        ((-0.5, 0.1, 0.0, 0.3), 'box outside the image'),
    ],
)
def test_useless_box_is_none_and_reported(box, kind):
    problems = Problems()
    assert usable_box(box, problems, 'a.png', 'object 1') is None
    ((reported, file, detail),) = problems.found
    assert (reported, file) == (kind, 'a.png') and detail.startswith('object 1, ')
    assert kind in KINDS


def test_box_partly_outside_is_clipped_and_reported():
    problems = Problems()
    assert usable_box((-0.1, 0.2, 0.5, 1.2), problems, 'a.png', 'object 1') == (0.0, 0.2, 0.5, 1.0)
    assert [kind for kind, _, _ in problems.found] == ['box partly outside the image']


def test_rounding_at_the_edge_is_no_problem():
    problems = Problems()
    assert usable_box((-1e-7, 0.2, 0.5, 1 + 1e-7), problems, 'a.png', 'object 1') == (0.0, 0.2, 0.5, 1.0)
    assert not problems.found


SIDE = st.floats(allow_nan=True, allow_infinity=True)


@given(st.tuples(SIDE, SIDE, SIDE, SIDE))
@FIXED
def test_what_comes_out_lies_in_the_image_and_what_is_changed_is_reported(box):
    problems = Problems()
    usable = usable_box(box, problems, 'a.png', 'object 1')
    if usable is None:
        assert len(problems.found) == 1
    else:
        ymin, xmin, ymax, xmax = usable
        assert 0 <= ymin < ymax <= 1 and 0 <= xmin < xmax <= 1
        changed = max(abs(after - before) for after, before in zip(usable, box, strict=True))
        assert len(problems.found) == (changed > 1e-5)

"""The loop: what happens when, and how it is told."""

import io

import pytest

from jaxvision.training import loop, progress


@pytest.mark.parametrize(
    ('step', 'expected'), [(0, 4), (3, 4), (4, 8), (8, 10), (9, 10), (10, 12), (18, 20), (20, 23), (22, 23)]
)
def test_next_event(step, expected):
    plan = loop.Plan(steps=23, batch_size=1, seed=0, eval_every=10, checkpoint_every=4)
    assert plan.next_event(step) == expected


def test_progress_is_one_plain_line_an_evaluation_where_nobody_watches():
    stream = io.StringIO()
    told = progress.Progress('student', 100, 0, stream)
    told.advance(10, 0.5, 1000.0)
    assert stream.getvalue() == ''
    record = {
        'step': 10,
        'loss': 0.51234,
        'train_accuracy': 0.9,
        'validation_accuracy': 0.875,
        'examples_per_second': 1234.5,
    }
    told.evaluated(record, 12.4)
    told.close()
    assert stream.getvalue() == (
        'student: step 10/100, loss 0.5123, clean train 90.0%, validation 87.5%, 1,234 images/s, ETA 12 s\n'
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_on_a_terminal():
    stream = Terminal()
    told = progress.Progress('student', 100, 20, stream)
    told.advance(60, 0.5, 1000.0)
    record = {'step': 60, 'loss': 0.5, 'train_accuracy': 0.9, 'validation_accuracy': 0.875, 'examples_per_second': 1.0}
    told.evaluated(record, 1.0)
    told.close()
    shown = stream.getvalue().split('\r')[-1]
    for word in ('student', '60/100', 'loss=0.5000', 'images/s=1,000', 'validation=87.5%'):
        assert word in shown

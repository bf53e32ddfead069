"""Checkpoints: what is kept, over restarts too, and how one that cannot be read is told."""

import shutil

import numpy as np
import pytest

from jaxvision.errors import UserError
from jaxvision.training.checkpoints import Checkpoints
from jaxvision.training.records import Workdir


def rank(record: dict) -> tuple[float, ...]:
    return (record['validation_accuracy'],)


def save(workdir: Workdir, steps: dict[int, float | None]) -> list[int]:
    """Saves steps with their validation accuracy (None: not evaluated), as the loop does; what is then there."""
    with Checkpoints(workdir, rank) as checkpoints:
        for step, accuracy in steps.items():
            if accuracy is not None:
                workdir.append({'step': step, 'validation_accuracy': accuracy})
            checkpoints.save(step, {'a': np.full(3, step, np.float32)}, {'step': step})
        return checkpoints.steps


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    assert save(Workdir(tmp_path), {1: 0.5, 2: 0.9, 3: 0.6, 4: 0.7, 5: None, 6: None}) == [2, 5, 6]


def test_the_best_outlives_a_restart(tmp_path):
    """Found by the kill test: the scores of an earlier process were forgotten, and its best checkpoint deleted."""
    workdir = Workdir(tmp_path)
    save(workdir, {1: 0.9, 2: 0.5})
    assert save(workdir, {3: 0.6, 4: 0.7}) == [1, 3, 4]
    assert save(workdir, {5: 0.6, 6: 0.6}) == [1, 5, 6]


def test_among_equals_the_later_is_the_best(tmp_path):
    assert save(Workdir(tmp_path), {1: 0.9, 2: 0.9, 3: 0.1, 4: 0.1}) == [2, 3, 4]


def test_round_trip_and_shapes(tmp_path):
    workdir = Workdir(tmp_path)
    save(workdir, {1: 0.9})
    with Checkpoints(workdir, rank) as checkpoints:
        state, meta = checkpoints.restore(1, {'a': np.zeros(3, np.float32)})
        np.testing.assert_array_equal(state['a'], [1, 1, 1])
        assert meta == {'step': 1}
        with pytest.raises(UserError, match=r'a is \(3,\) there, \(4,\) here'):
            checkpoints.restore(1, {'a': np.zeros(4, np.float32)})
        with pytest.raises(UserError, match='b is missing there'):
            checkpoints.restore(1, {'a': np.zeros(3, np.float32), 'b': np.zeros(1)})


def test_a_folder_that_vanished_is_told_in_one_line(tmp_path):
    """Found by deleting a workdir under a run that was being stopped."""
    with Checkpoints(Workdir(tmp_path), rank) as checkpoints:
        shutil.rmtree(checkpoints.path)
        with pytest.raises(UserError, match='cannot write .*checkpoints: No such file'):
            checkpoints.save(1, {'a': np.zeros(3, np.float32)}, {'step': 1})
        checkpoints.path.mkdir()


def test_an_error_without_words_is_told_by_its_name(tmp_path, monkeypatch):
    """It ended in an IndexError."""
    with Checkpoints(Workdir(tmp_path), rank) as checkpoints:
        manager = checkpoints._manager

        def fail(*args, **kwargs):
            raise OSError

        with monkeypatch.context() as patch:
            patch.setattr(manager, 'save', fail)
            with pytest.raises(UserError, match='cannot write checkpoint 1 under .*: OSError$'):
                checkpoints.save(1, {'a': np.zeros(3, np.float32)}, {'step': 1})


@pytest.mark.parametrize(('seconds', 'on_disk'), [(1.0, []), (15.0, [2, 4, 5]), (40.0, [2, 4, 5])])
def test_a_short_trial_writes_no_states_and_a_long_one_loses_none(tmp_path, seconds, on_disk):
    """Until a minute is trained the best state is held in memory; then it is written before the others."""
    import jax

    workdir, sharding = Workdir(tmp_path), jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = {'a': jax.ShapeDtypeStruct((3,), np.float32, sharding=sharding)}
    with Checkpoints(workdir, rank, patience=60.0) as checkpoints:
        for step, accuracy in enumerate((0.5, 0.9, 0.6, 0.7, 0.8), start=1):
            workdir.append({'step': step, 'validation_accuracy': accuracy})
            checkpoints.save(step, {'a': np.full(3, step, np.float32)}, {'seconds': step * seconds})
        assert checkpoints.steps == on_disk
        state, meta = checkpoints.restore(2, like)
        np.testing.assert_array_equal(state['a'], [2, 2, 2])
        assert meta == {'seconds': 2 * seconds}
        if not on_disk:
            with pytest.raises(UserError, match='step 1 was not kept'):
                checkpoints.restore(1, like)
    assert (tmp_path / 'checkpoints').exists() == bool(on_disk)
    with Checkpoints(workdir, rank, patience=60.0) as again:
        assert again.steps == on_disk

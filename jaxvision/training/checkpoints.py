"""Checkpoints: the only file that names Orbax.

Kept are the newest two steps, from which a run resumes, and the best evaluated one. A checkpoint does not depend on how
many devices there were.
"""

import logging
import pathlib
import shutil
from collections.abc import Callable, Iterable
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from jaxvision.errors import UserError
from jaxvision.training.records import Workdir, writing

SPARE = 2**20  # Bytes that a save needs besides the arrays.


Rank = Callable[[dict[str, Any]], tuple[float, ...]]  # A line of metrics.jsonl -> how good it is.


def best_step(records: Iterable[dict[str, Any]], rank: Rank) -> int:
    """The step of the record that ranks highest; of equals, the later."""
    return max((rank(record), record['step']) for record in records)[1]


class _Best:
    """Preserves the best evaluated step. Orbax's own policy forgets the scores of what an earlier process saved."""

    def __init__(self, workdir: Workdir, rank: Rank):
        self._workdir, self._rank = workdir, rank

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        saved = {info.step for info in checkpoints}
        records = [record for record in self._workdir.metrics() if record['step'] in saved]
        best = best_step(records, self._rank) if records else None
        return [info.step == best for info in checkpoints]


class Checkpoints:
    """The checkpoints of one workdir.

    Args:
      workdir: its metrics.jsonl says how good each evaluated step is, so a record is written before its step is saved.
      rank: a line of metrics.jsonl -> what "best on validation" goes by.
      patience: seconds of training before the first state is written; until then the best one is kept in memory. A
        short trial of a sweep costs less to run again than to save.
    """

    def __init__(self, workdir: Workdir, rank: Rank, patience: float = 0.0):
        self.path = pathlib.Path(workdir / 'checkpoints')
        self._workdir, self._rank, self._patience = workdir, rank, patience
        self._held: tuple[int, Any, dict[str, Any]] | None = None  # The best of what was not written.
        self._manager = self._open() if not patience or self.path.exists() else None

    def _open(self) -> ocp.CheckpointManager:
        logging.getLogger('absl').setLevel(logging.CRITICAL)  # Orbax tells every step of a save.
        try:
            return ocp.CheckpointManager(
                self.path,
                # Named at once, so that the shapes of a checkpoint can be read before it is.
                item_handlers={'state': ocp.StandardCheckpointHandler(), 'meta': ocp.JsonCheckpointHandler()},
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=checkpoint_managers.AnyPreservationPolicy(
                        [checkpoint_managers.LatestN(2), _Best(self._workdir, self._rank)]
                    ),
                    # The next step donates the state's buffers, so a save must be over before it.
                    enable_async_checkpointing=False,
                ),
            )
        except OSError as error:
            raise UserError(f'cannot write {self.path}: {error.strerror or error}') from error

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self._manager is not None:
            self._manager.close()

    @property
    def steps(self) -> list[int]:
        """Those on disk."""
        return [] if self._manager is None else sorted(self._manager.all_steps())

    def save(self, step: int, state, meta: dict[str, Any]) -> None:
        """Saves a step that is not saved yet.

        Args:
          step: its number.
          state: tree of arrays.
          meta: JSON beside it; its 'seconds' are those spent training.
        """
        if self._manager is None:
            if meta['seconds'] < self._patience:
                self._hold(step, state, meta)
                return
            self._manager = self._open()
            if self._held is not None:
                self._write(*self._held)
        if step not in self.steps:
            self._write(step, state, meta)

    def _hold(self, step: int, state, meta: dict[str, Any]) -> None:
        """Keeps a state on the host if it is the best so far: the next step takes over the device's buffers."""
        records = self._workdir.metrics()
        if records and best_step(records, self._rank) == step:
            self._held = (step, jax.device_get(state), meta)

    def _write(self, step: int, state, meta: dict[str, Any]) -> None:
        assert self._manager is not None
        needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + SPARE
        with writing(self.path):
            free = shutil.disk_usage(self.path).free
        if free < needed:  # Asked first: a write that fails half-way is told by Orbax from several threads at once.
            raise UserError(
                f'cannot write checkpoint {step} under {self.path}: {free / 2**20:.1f} MiB are free on that disk, '
                f'{needed / 2**20:.1f} are wanted'
            )
        # On the host: of what lies on several devices alike, Orbax would compile a program for each shape to cut it up.
        items = ocp.args.Composite(state=ocp.args.StandardSave(jax.device_get(state)), meta=ocp.args.JsonSave(meta))
        try:
            self._manager.save(step, args=items)
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) and 'Error writing' not in str(error):
                raise  # TensorStore's words for what the system calls an OSError.
            raise UserError(f'cannot write checkpoint {step} under {self.path}: {_reason(error)}') from error

    def restore(self, step: int, like) -> tuple[Any, dict[str, Any]]:
        """The state and the meta of a step.

        Args:
          step: one of `steps`, or the best step that this object was given.
          like: tree of arrays or jax.ShapeDtypeStruct, with the shardings that the result is to have.

        Raises:
          UserError: the checkpoint is of another shape.
        """
        try:
            if self._manager is None:
                return self._from_memory(step, like)
            self._check(step, like)
            items = ocp.args.Composite(state=ocp.args.StandardRestore(like), meta=ocp.args.JsonRestore())
            restored = self._manager.restore(step, args=items)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f'cannot read checkpoint {step} under {self.path}: {_reason(error)}; without that folder the run goes '
                'on from the checkpoint before it'
            ) from error
        return restored['state'], restored['meta']

    def _from_memory(self, step: int, like) -> tuple[Any, dict[str, Any]]:
        if self._held is None or self._held[0] != step:
            raise ValueError(f'step {step} was not kept')
        places = jax.tree.map(lambda leaf: leaf.sharding, like)
        return jax.device_put(self._held[1], places), self._held[2]

    def _check(self, step: int, like) -> None:
        """Compares shapes first: Orbax tells a mismatch in hundreds of lines."""
        assert self._manager is not None
        saved = self._manager.item_metadata(step)['state']
        if saved is None:
            raise ValueError('its metadata is missing')
        there = {_name(path): tuple(leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(saved.tree)}
        here = {_name(path): tuple(leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(like)}
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                raise ValueError(f'{name} is {there.get(name, "missing")} there, {here.get(name, "missing")} here')


def _name(path) -> str:
    return '/'.join(str(getattr(key, 'name', getattr(key, 'key', getattr(key, 'idx', key)))) for key in path)


def _reason(error: Exception) -> str:
    words = (getattr(error, 'strerror', None) or str(error)).strip() or type(error).__name__
    return words.splitlines()[0][:300]

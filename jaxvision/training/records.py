"""A workdir: the record of a run, complete enough to repeat it.

config.json        every setting after overrides
environment.json   versions, devices, git commit, dataset fingerprint
metrics.jsonl      the source of truth of training: one JSON object an evaluation, `step` first; what every step has
                   (losses, learning rate, norms) is the mean since the line before
events.out.*       the same for TensorBoard
checkpoints/       the newest two steps and the best on validation
predictions.npz    what the network says on validation and test
samples.npz        some examples as the network saw them
result.json        what came out; it is written last, so a run that has one is complete
report.html        all of it to look at
"""

import contextlib
import json
import os
import pathlib
import sys
import tempfile
from typing import Any

import numpy as np

from jaxvision.errors import UserError


class Workdir:
    """Reads and writes the records under one folder."""

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(os.path.expanduser(path)).absolute()

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> pathlib.Path:
        return self.path / name

    @property
    def complete(self) -> bool:
        return (self.path / 'result.json').exists()

    @contextlib.contextmanager
    def alone(self, waiting: str = ''):
        """Keeps other processes out of this folder.

        Args:
          waiting: what to tell on stderr before waiting for another process; empty to give up at once.

        Raises:
          UserError: another process works here, and there was to be no waiting.
        """
        try:
            import fcntl
        except ImportError:  # Windows has no such locks; nor do we then.
            yield
            return
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / '.lock').open('a')
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waiting:
                    raise UserError(f'another process is training in workdir {self}') from None
                print(waiting, file=sys.stderr)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def check(self, config: dict[str, Any]) -> None:
        """Makes sure that this config may write here.

        Raises:
          UserError: the folder cannot be written, or belongs to another config (the keys that differ are named).
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path).close()
        if not (self.path / 'config.json').exists():
            return
        before, now = flatten(self.read('config.json')), flatten(json.loads(json.dumps(config)))
        changed = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
        if changed:
            told = ', '.join(f'{key} ({before.get(key)!r} there, {now.get(key)!r} now)' for key in changed)
            raise UserError(f'workdir {self} belongs to another config: {told}; give this run another --workdir')

    def claim(self, config: dict[str, Any]) -> None:
        """Makes the folder this config's own, once a run is sure to begin; raises as `check` does."""
        self.check(config)
        if not (self.path / 'config.json').exists():
            self.write('config.json', config)

    def write(self, name: str, value: Any) -> None:
        """Writes JSON, atomically."""
        text = json.dumps(value, indent=1, allow_nan=False) + '\n'
        self.replace(name, lambda path: path.write_text(text))

    def write_arrays(self, name: str, **arrays: np.ndarray) -> None:
        """Writes a compressed .npz, atomically."""

        def save(path: pathlib.Path):
            with path.open('wb') as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)

        self.replace(name, save)

    def replace(self, name: str, save) -> None:
        """Calls save(temporary path), then puts the file in its place."""
        with writing(self.path / name):
            handle, scratch = tempfile.mkstemp(dir=self.path, prefix=f'.{name}.')
            os.close(handle)
            try:
                save(pathlib.Path(scratch))
                os.chmod(scratch, 0o644)
                os.replace(scratch, self.path / name)
            finally:
                pathlib.Path(scratch).unlink(missing_ok=True)

    def read(self, name: str) -> Any:
        """Reads JSON.

        Raises:
          UserError: the file is missing or broken.
        """
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            raise UserError(f'{self} is not a finished run: it has no {name}') from None
        except (OSError, ValueError) as error:
            raise UserError(f'cannot read {self.path / name}: {error}') from error

    def append(self, record: dict[str, Any]) -> None:
        """Adds a line to metrics.jsonl."""
        with writing(self.path / 'metrics.jsonl'), (self.path / 'metrics.jsonl').open('a') as file:
            file.write(json.dumps(record, allow_nan=False) + '\n')

    def metrics(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl; a last line that was cut off by a crash is left out."""
        try:
            lines = (self.path / 'metrics.jsonl').read_text().splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            with contextlib.suppress(ValueError):
                records.append(json.loads(line))
        return records

    def cut_back(self, step: int) -> None:
        """Forgets the records after `step`: training goes on from there."""
        kept = [json.dumps(record) + '\n' for record in self.metrics() if record['step'] <= step]
        self.replace('metrics.jsonl', lambda path: path.write_text(''.join(kept)))


@contextlib.contextmanager
def writing(path: pathlib.Path):
    """Turns an unwritable or full disk into one clear line."""
    try:
        yield
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror or error}') from error


def flatten(tree: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """{'a': {'b': 1}} -> {'a.b': 1}."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f'{prefix}{key}.')
        else:
            flat[f'{prefix}{key}'] = value
    return flat

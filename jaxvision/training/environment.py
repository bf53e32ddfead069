"""What a run depends on besides its config: versions, devices, the code's commit, the data."""

import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax

from jaxvision.models import convolution

PACKAGES = (
    'jaxvision',
    'jax',
    'jaxlib',
    'flax',
    'optax',
    'orbax-checkpoint',
    'numpy',
    'scipy',
    'scikit-learn',
    'tensorflow-datasets',
)


@functools.cache
def versions() -> dict[str, str]:
    """Python's and each package's version; '' for one that is not installed."""
    found = {'python': platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = ''
    return found


def machine(devices) -> dict[str, Any]:
    """Where a run computes; the same bits are promised only where this is the same."""
    return {
        'devices': [f'{device.platform}:{device.id}' for device in devices],
        'device_kind': devices[0].device_kind,
        'cores': cores(),
        'convolution': convolution.algorithm(),
        'xla_flags': os.environ.get('XLA_FLAGS', ''),
    }


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


@functools.cache
def code() -> str:
    """Hash of the code that trains: every module but those that draw or measure."""
    root = pathlib.Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob('*.py')):
        name = path.relative_to(root)
        if not {'reports', 'benchmarks'} & set(name.parts):
            digest.update(f'{name}\0'.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def commit() -> dict[str, Any]:
    """The commit of the code that runs, and whether it was changed since; empty outside of a git checkout."""
    root = pathlib.Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        done = subprocess.run(['git', '-C', str(root), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        if pathlib.Path(git('rev-parse', '--show-toplevel')) != root:
            return {}
        return {'commit': git('rev-parse', 'HEAD'), 'dirty': bool(git('status', '--porcelain'))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def describe(devices, source, splits) -> dict[str, Any]:
    """environment.json of a run.

    Args:
      devices: the ones used.
      source: a data.sources.Source.
      splits: a data.splits.Splits.
    """
    return {**machine(devices), 'process_count': jax.process_count(), **software(source, splits)}


def software(source, splits) -> dict[str, Any]:
    """The part of `describe` that asks for no device: versions, code and data."""
    return {
        'versions': versions(),
        'git': commit(),
        'code': code(),
        'dataset': {
            'name': source.name,
            'fingerprint': source.fingerprint,
            'class_names': list(source.class_names),
            'shape': list(source.shape),
            'splits': {name: len(ids) for name, ids in splits.items()},
            'held_out': splits.held_out,
            'problems': [list(problem) for problem in source.problems],
        },
    }

"""benchmarks.json: what was measured last of each model on each device, and the README's table of it."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

HEAD = ('model', 'batch', 'device', 'ours, ms', 'PyTorch, ms', 'ratio', 'spread', 'GFLOP', '% of peak')


def update(path: pathlib.Path, rows: Sequence[Mapping[str, Any]], environment: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces the rows of these models on these devices in a file of benchmarks, or begins one.

    Args:
      path: of the file.
      rows: from `frameworks.compare`.
      environment: that they were measured in; it replaces that of the same device.

    Returns:
      The file's content: {'environment': {device: ...}, 'rows': [...]}.
    """
    found = read(path) or {'environment': {}, 'rows': []}
    kept = {(row['model'], row['device']): row for row in (*found['rows'], *rows)}
    found['rows'] = sorted(kept.values(), key=lambda row: (row['device'], row['model']))
    found['environment'] |= {row['device']: environment for row in rows}
    write(path, found)
    return found


def read(path: pathlib.Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: pathlib.Path, found: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + '\n')


def table(found: Mapping[str, Any]) -> str:
    """The rows as a Markdown table."""
    lines = [HEAD, ('---',) * len(HEAD)]
    for row in found['rows']:
        low, high = row['spread']
        lines.append(
            (
                f'{row["model"]}',
                f'{row["batch_size"]}',
                row['device'],
                f'{row["ours_ms"]:.2f}',
                f'{row["theirs_ms"]:.2f} ({row["theirs"]})',
                f'{row["ratio"]:.2f}',
                f'{low:.2f} to {high:.2f}',
                f'{row["gflop"]:.2f}',
                f'{row["percent_of_peak"]:.0f}',
            )
        )
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)

"""The record: where the run ran, on what data and at which commit; all that it takes to repeat it."""

import html
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jaxvision.training.records import flatten
from jaxvision.training.reports.reading import Records, number

PROBLEMS = 20  # So many problems of the data are named.


def record(records: Records) -> str:
    """What the run ran on, what was wrong with its data, and every setting."""
    environment = records.environment
    told = facts(environment)
    teacher = records.result.get('teacher') or {}
    if teacher.get('workdir'):
        told['Teacher'] = f'{teacher["workdir"]}, hash {teacher.get("hash", "–")}'
    speed = number(records.result.get('examples_per_second'))
    if speed:
        told['Speed'] = f'{speed:,.0f} examples a second'
    parts = [listed(told), problems((environment.get('dataset') or {}).get('problems') or ())]
    if not environment:
        parts.append(
            f'<p class="absent">Versions, devices and dataset left out: {html.escape(environment.problem)}.</p>'
        )
    if not records.config:
        parts.append(f'<p class="absent">Settings left out: {html.escape(records.config.problem)}.</p>')
        return ''.join(parts)
    parts.append(
        '<p>To repeat the run, train with these settings (config.json) at this commit, with these versions, on the '
        'same kind of machine with as many devices and threads: the numbers come out the same, bit by bit. Elsewhere, '
        'compare within the intervals.</p>'
    )
    parts.append(settings(records.config))
    return ''.join(parts)


def facts(environment: Mapping[str, Any]) -> dict[str, str]:
    """What environment.json says: what it is called -> in words."""
    dataset, git = environment.get('dataset') or {}, environment.get('git') or {}
    told = {}
    if dataset:
        sizes = ', '.join(f'{name} {n:,}' for name, n in (dataset.get('splits') or {}).items())
        shape = ' × '.join(str(size) for size in dataset.get('shape') or ())
        told['Dataset'] = (
            f'{dataset.get("name", "–")}: {len(dataset.get("class_names") or ())} classes, {shape}; {sizes}'
        )
        told['Fingerprint'] = f'{dataset.get("fingerprint", "–")}; held out {dataset.get("held_out", "–")}'
    if environment:
        dirty = ', with uncommitted changes' if git.get('dirty') else ''
        told['Commit'] = git.get('commit', 'unknown, not run from a git checkout') + dirty
    if environment.get('versions'):
        installed = {name: version for name, version in environment['versions'].items() if version}
        told['Versions'] = ', '.join(f'{name} {version}' for name, version in installed.items())
    if environment.get('devices'):
        told['Devices'] = ', '.join(str(device) for device in environment['devices'])
        more = [environment.get('device_kind'), f'{environment["cores"]} cores' if 'cores' in environment else None]
        told['Devices'] += f' ({", ".join(str(word) for word in more if word)})' if any(more) else ''
        if environment.get('convolution') == 'winograd':
            told['Devices'] += '; convolutions by Winograd where that is quicker'
        if environment.get('xla_flags'):
            told['XLA_FLAGS'] = str(environment['xla_flags'])
    return told


def listed(told: Mapping[str, str]) -> str:
    rows = ''.join(f'<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>' for name, text in told.items())
    return f'<dl>{rows}</dl>' if rows else ''


def settings(tree: dict[str, Any], title: str = '') -> str:
    """Every setting of a tree, folded away under a title; under how many they are without one."""
    lines = flatten(tree)
    items = ''.join(
        f'<li><span>{html.escape(key)}</span> = {html.escape(json.dumps(value, ensure_ascii=False))}</li>'
        for key, value in lines.items()
    )
    title = title or f'All {len(lines)} settings'
    return f'<details><summary>{html.escape(title)}</summary><ul class="settings">{items}</ul></details>'


def problems(found: Sequence[Sequence[str]]) -> str:
    """What was wrong with the annotations: [kind, file, detail] each; counts a kind, and the first ones by name."""
    if not found:
        return ''
    counts = Counter(kind for kind, _, _ in found)
    kinds = '; '.join(f'{kind}: {count:,}' for kind, count in counts.most_common())
    named = ''.join(
        f'<li><span>{html.escape(file)}</span> {html.escape(kind)}{html.escape(f": {detail}" if detail else "")}</li>'
        for kind, file, detail in found[:PROBLEMS]
    )
    first = f'The first {PROBLEMS} of them' if len(found) > PROBLEMS else 'Each of them'
    return (
        f'<p>The annotations had {len(found):,} problem{"s" if len(found) > 1 else ""}. {html.escape(kinds)}.</p>'
        f'<details><summary>{first}</summary><ul class="settings">{named}</ul></details>'
    )

"""Runs and sweeps side by side on one page; first of all, what keeps them from being compared."""

import functools
import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jaxvision.errors import UserError
from jaxvision.sweeps.reports import page as sweep_page
from jaxvision.sweeps.reports import words
from jaxvision.sweeps.reports.entries import Entry, Source, concluded, is_sweep, load
from jaxvision.sweeps.reports.plots.curves import overlaid
from jaxvision.sweeps.reports.plots.fit import Fit, fit_map, gaps
from jaxvision.sweeps.reports.plots.forest import Estimate, forest
from jaxvision.training.records import writing
from jaxvision.training.reports import page as run_page
from jaxvision.training.reports import pieces
from jaxvision.training.reports.document import document
from jaxvision.training.reports.reading import Absent, interval, number

PALETTE = ('#3f6c9b', '#d98e2f', '#23857a', '#a63d4a', '#75539a', '#8a6d3b', '#5b8c3a', '#c06c9a')
CURVES = len(PALETTE)  # So many are told apart on one pair of axes.


def report(paths: Sequence[str], out: str = '') -> pathlib.Path:
    """Draws the page of some workdirs: of one alone its own report.html again, of several a comparison.

    Args:
      paths: of finished runs and of sweeps.
      out: where the comparison goes; comparison.html if empty.

    Returns:
      The path of the page.

    Raises:
      UserError: a path is no workdir, a run is not finished, or the page cannot be written.
    """
    if not paths:
        raise UserError('no workdirs; name finished runs or sweeps, for example runs/distill runs/ablation-sweep')
    if len(paths) == 1:
        if out:
            raise UserError('--out is for a comparison of several workdirs; the page of one is its report.html')
        return sweep_page.write(concluded(paths[0]).path) if is_sweep(paths[0]) else run_page.write(paths[0])
    path = pathlib.Path(out or 'comparison.html').expanduser()
    text = render(load(paths))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
    return path


def render(sources: Sequence[Source]) -> str:
    """The page that compares these; each task has its sections."""
    sections: dict[str, Any] = {}
    tasks = list(dict.fromkeys(source.task for source in sources))
    for task in tasks:
        some = [source for source in sources if source.task == task]
        suffix = f' · {task}' if len(tasks) > 1 else ''
        draws = {'Results': _results, 'Over- and underfitting': _fit, 'Learning curves': _curves}
        for title, draw in draws.items():
            sections[f'{title}{suffix}'] = functools.partial(draw, some)
    sections['What differs in the settings'] = functools.partial(_settings, sources)
    sections['Where they ran'] = functools.partial(_environments, sources)
    return document('Comparison', _header(sources, tasks), sections)


def _header(sources: Sequence[Source], tasks: Sequence[str]) -> str:
    entries = sum(len(source.entries) for source in sources)
    told = f'{words.many(len(sources), "workdirs")} with {words.many(entries, "results")} side by side.'
    best = []
    for task in tasks:
        some = [source for source in sources if source.task == task]
        if len({_tested(source) for source in some}) > 1:
            continue
        there = [entry for source in some for entry in source.entries]
        validated = [entry for entry in there if number(entry.headline.get('validation')) is not None]
        if validated:
            top = max(validated, key=lambda entry: number(entry.headline['validation']) or 0.0)
            value, metric = number(top.headline.get('test')), some[0].metric
            if value is not None:
                shown = f'{words.percent(value)} %{words.within(top.headline["test"])}'
                best.append(
                    f'Best on validation{f" of {task}" if len(tasks) > 1 else ""} is “{top.name}”, with test '
                    f'{metric} {shown}.'
                )
    kind = ' · '.join(source.name for source in sources)
    return (
        f'<header><p class="kind">{html.escape(kind)}</p><h1>Comparison</h1>'
        f'<p class="verdict">{html.escape(" ".join([told, *best]))}</p>{_warnings(sources, tasks)}'
        '<p class="note">All numbers are of the last step. In brackets, 95% intervals: of a single run over its test '
        'examples, of a sweep over its seeds or folds. These are not the same doubt: the first says how another '
        'test set might differ, the second how another seed might.</p></header>'
    )


def _tested(source: Source) -> tuple:
    """What has to be the same for two test numbers to be of the same examples."""
    data = source.environment.get('dataset') or {}
    return data.get('fingerprint'), data.get('held_out'), source.folds


def _warnings(sources: Sequence[Source], tasks: Sequence[str]) -> str:
    """What keeps these from being compared, the worst first; nothing if nothing does."""
    found = []
    for task in tasks:
        some = [source for source in sources if source.task == task]
        by: dict[tuple, list[str]] = {}
        for source in some:
            by.setdefault(_tested(source), []).append(source.name)
        if len(by) > 1:
            data = {key[0] for key in by}
            why = 'the data differ' if len(data) > 1 else 'the splits differ'
            sets = ' | '.join(words.joined(names) for names in by.values())
            found.append(f'Not the same test examples: do not compare ({why}): {sets}.')
        unknown = [source.name for source in some if _tested(source)[0] is None]
        if unknown:
            found.append(f'On what data these ran is not recorded: {words.joined(unknown)}.')
    if len(tasks) > 1:
        found.append(f'Different tasks, each by itself below: {words.joined(list(tasks))}.')
    versions: dict[str, dict[str, list[str]]] = {}
    for source in sources:
        for name, version in (source.environment.get('versions') or {}).items():
            versions.setdefault(name, {}).setdefault(version or 'not installed', []).append(source.name)
    for name, by_version in versions.items():
        if len(by_version) > 1:
            told = '; '.join(f'{version} in {words.joined(names)}' for version, names in by_version.items())
            found.append(f'Not the same {name}: {told}.')
    codes = {source.environment.get('code') for source in sources if source.environment.get('code')}
    if len(codes) > 1:
        found.append('Not the same version of jaxvision’s own code; see where they ran, below.')
    if not found:
        return ''
    return f'<div class="warning">{"".join(f"<p>{html.escape(line)}</p>" for line in found)}</div>'


def _colors(sources: Sequence[Source]) -> dict[int, str]:
    numbers = dict.fromkeys(entry.source for source in sources for entry in source.entries)
    return {which: PALETTE[place % len(PALETTE)] for place, which in enumerate(numbers)}


def _key(sources: Sequence[Source]) -> str:
    colors = _colors(sources)
    spans = ''.join(
        f'<span>{pieces.dot(colors[source.entries[0].source])}{html.escape(source.name)}</span>' for source in sources
    )
    return f'<p class="key">{spans}</p>'


def _results(sources: Sequence[Source]) -> str:
    colors, metric = _colors(sources), sources[0].metric
    head = ('', 'n', *(f'{split} {metric}, %' for split in ('test', 'validation', 'train')))
    head += ('gap, points', 'parameters', 'steps', 'time')
    rows, groups = {}, {}
    for source in sources:
        groups[source.name] = [_row(entry, colors[entry.source]) for entry in source.entries]
        rows[source.name] = [_estimate(entry, colors[entry.source]) for entry in source.entries]
    flat = all(len(some) == 1 for some in rows.values())
    drawn = {'': [row for some in rows.values() for row in some]} if flat else rows
    figure = forest(drawn, f'test {metric}, %', zero=None)
    ends = '; '.join(f'{row.name} {row.text}' for some in rows.values() for row in some)
    plot = pieces.figure(
        figure,
        f'Test {metric} with intervals: {ends}.',
        f'Test {metric} with 95% intervals. Filled: a mean over seeds or folds. Hollow: a single run.',
    )
    if flat:
        groups = {'Runs': [row for some in groups.values() for row in some]}
    table = pieces.table(head, groups, 'stacked tight')
    note = 'n: over how many seeds or folds it is the mean; 1 run: one alone. Gap: test minus clean train error.'
    return plot + table + f'<p class="note">{note}</p>'


def _short(entry: Entry) -> str:
    return entry.name.partition(': ')[2] if entry.n and ': ' in entry.name else entry.name


def _estimate(entry: Entry, color: str) -> Estimate:
    value, spread = number(entry.headline.get('test')), interval(entry.headline.get('test'))
    if value is None:
        return Estimate(_short(entry), None, None, None, color, False, 'not measured')
    low, high = (100 * end for end in spread) if spread else (None, None)
    text = f'{words.percent(value)}{words.bracket(entry.headline["test"])}'
    return Estimate(_short(entry), 100 * value, low, high, color, bool(entry.n), text)


def _row(entry: Entry, color: str) -> tuple[str, str, list[str]]:
    cells = [words.many(entry.n, entry.unit) if entry.n else '1 run']
    cells += [pieces.cell(entry.headline.get(split), words.percent) for split in ('test', 'validation', 'train')]
    cells.append(pieces.cell(entry.gap, words.points))
    cells += [pieces.cell(entry.parameters or None, pieces.count), pieces.cell(entry.steps or None, pieces.count)]
    cells.append(pieces.cell(entry.seconds, pieces.duration))
    return color, _short(entry), cells


def _fit(sources: Sequence[Source]) -> str:
    colors, rows = _colors(sources), []
    for source in sources:
        for entry in source.entries:
            train, test = (entry.errors.get(split) for split in ('train', 'test'))
            first, last = number(train), number(test)
            if first is not None and last is not None:
                rows.append(Fit(entry.name, first, last, interval(train), interval(test), colors[entry.source], 0))
    if not rows:
        raise Absent('no result has train and test errors')
    rows = sorted((row._replace(notable=place) for place, row in enumerate(rows)), key=lambda row: row.test)
    bars = pieces.figure(
        gaps(rows),
        'Clean train and test error: ' + '; '.join(f'{row.name} {row.train:.1%} and {row.test:.1%}' for row in rows),
        'From the lowest test error to the highest. A long bar that starts near zero is overfitting; a short bar far '
        'to the right is underfitting. Lines are 95% intervals.',
    )
    dots = pieces.figure(
        fit_map(rows, height=min(max(19 * len(rows) + 66, 280), 430)),
        f'Test error against clean train error of {len(rows)} results.',
        'The same as a map. The dashed diagonal is a gap of zero. Triangles at the edge lie beyond it.',
    )
    return _key(sources) + pieces.group('pair', [bars, dots])


def _curves(sources: Sequence[Source]) -> str:
    entries = [entry for source in sources for entry in source.entries if entry.curves]
    if not entries:
        raise Absent('no metrics.jsonl has curves')
    shown, cut = entries, ''
    if len(entries) > CURVES:
        order = sorted(entries, key=lambda entry: -(number(entry.headline.get('validation')) or 0.0))
        firsts = {next(e.name for e in order if e.source == which) for which in {e.source for e in entries}}
        of_each = ''
        if len(firsts) <= CURVES:
            of_each = ', of each workdir at least one'
            order.sort(key=lambda entry: entry.name not in firsts)
        keep = {entry.name for entry in order[:CURVES]}
        shown = [entry for entry in entries if entry.name in keep]
        cut = f' Of {len(entries)} results, the {len(shown)} with the best validation{of_each}.'
    colors = {entry.name: PALETTE[place] for place, entry in enumerate(shown)}
    drawn = []
    for split, title in (('validation', 'Validation error'), ('train', 'Train error, clean')):
        curves = {entry.name: entry.curves[split] for entry in shown if split in entry.curves}
        if curves:
            ends = '; '.join(f'{name} ends at {curve.mean[-1]:.1%}' for name, curve in curves.items())
            caption = 'Of a sweep the mean, with a band from the lowest to the highest of its trials.'
            drawn.append(pieces.figure(overlaid(curves, colors, title), f'{title} against step: {ends}.', caption))
    spans = ''.join(f'<span>{pieces.dot(color)}{html.escape(name)}</span>' for name, color in colors.items())
    note = f'<p class="note">The axes are stretched near zero (square roots).{cut}</p>'
    return f'<p class="key">{spans}</p>' + pieces.group('pair', drawn) + note


def _settings(sources: Sequence[Source]) -> str:
    keys = dict.fromkeys(key for source in sources for key in source.settings if key != 'seed')
    distils = any(_distils(source) for source in sources)
    rows = []
    for key in keys:
        if key.startswith(('teacher.', 'distill.')) and not distils:
            continue
        cells = [_setting(source, key) for source in sources]
        if len(set(cells)) > 1:
            rows.append((key, cells))
    seeds = [source.seeds for source in sources]
    if len(set(seeds)) > 1:
        rows.insert(0, ('seed', seeds))
    if not rows:
        return '<p>All settings are the same.</p>'
    body = [('', key, [html.escape(cell) for cell in cells]) for key, cells in rows]
    table = pieces.table(('setting', *(source.name for source in sources)), {words.many(len(body), 'settings'): body})
    return table + (
        '<p class="note">Only what differs. Varies: a sweep’s variants set it, each its own way. –: there is no such '
        'setting.</p>'
    )


def _distils(source: Source) -> bool:
    return bool(source.settings.get('distill.weight')) or 'distill.weight' in source.varied


def _setting(source: Source, key: str) -> str:
    if key in source.varied:
        return 'varies'
    if key not in source.settings:
        return '–'
    return json.dumps(source.settings[key], ensure_ascii=False)


def _environments(sources: Sequence[Source]) -> str:
    def told(source: Source) -> Mapping[str, str]:
        there = source.environment
        data, git = there.get('dataset') or {}, there.get('git') or {}
        sizes = ', '.join(f'{name} {n:,}' for name, n in (data.get('splits') or {}).items())
        return {
            'data': str(data.get('name', '–')),
            'fingerprint': str(data.get('fingerprint', '–')),
            'held out': str(data.get('held_out', '–')),
            'sizes': sizes or '–',
            'folds': str(source.folds or 'none'),
            'commit': str(git.get('commit', '–'))[:12] + (', changed' if git.get('dirty') else ''),
            'code': str(there.get('code', '–')),
            'devices': ', '.join(map(str, there.get('devices') or ())) or '–',
            **{name: version or '–' for name, version in (there.get('versions') or {}).items()},
        }

    found = {source.name: told(source) for source in sources}
    keys = dict.fromkeys(key for facts in found.values() for key in facts)
    rows = [('', key, [html.escape(facts.get(key, '–')) for facts in found.values()]) for key in keys]
    same = [row for row in rows if len(set(row[2])) == 1]
    differ = [row for row in rows if len(set(row[2])) > 1]
    groups = {title: some for title, some in (('Different', differ), ('The same', same)) if some}
    return pieces.table(('', *found), groups)

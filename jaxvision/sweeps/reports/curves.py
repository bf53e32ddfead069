"""Learning curves: each variant's errors against step, with bands over its trials, the baseline in grey behind."""

from jaxvision.sweeps.reports import words
from jaxvision.sweeps.reports.plots.curves import multiples
from jaxvision.sweeps.reports.reading import Records
from jaxvision.training.reports import pieces, plots
from jaxvision.training.reports.reading import Absent

MOST = 36  # Panels.


def curves(records: Records) -> str:
    names = [name for name in records.measured if name not in records.references]
    cut = ''
    if len(names) > MOST:
        order = sorted(names, key=lambda name: -records.variants[name]['mean'])
        keep = {records.baseline, *order[: MOST - 1]}
        cut = f' Of {len(names)} variants, the {len(keep)} with the best test {records.metric}, and the baseline.'
        names = [name for name in names if name in keep]
    panels = {}
    for name in names:
        found = {split: records.curve(name, split) for split in ('train', 'validation')}
        if there := {split: curve for split, curve in found.items() if curve is not None}:
            panels[name] = there
    if not panels:
        raise Absent('there are no trials/*/metrics.jsonl with curves')
    behind = panels.get(records.baseline, {}).get('validation')
    colors = {name: words.COLORS[records.outcome(name)] for name in panels}
    figure = multiples(panels, behind, colors)
    error = 'error' if records.metric == 'accuracy' else f'error (1 − {records.metric})'
    caption = (
        f'Clean train and validation {error} against step: means over {records.unit}, with a band from the lowest to '
        f'the highest of them; in grey, the validation error of {records.baseline}. All panels have the same axes, '
        'stretched near zero (square roots); the first steps may be cut off. A title in green helps on test, in red '
        f'it harms.{cut}'
    )
    alt = f'Learning curves of {len(panels)} variants: ' + '; '.join(
        f'{name} ends at {"validation" if "validation" in panel else "train"} error '
        f'{panel.get("validation", panel.get("train")).mean[-1]:.1%}'
        for name, panel in panels.items()
    )
    legend = (
        f'<p class="key"><span>{pieces.dot(plots.COLORS["train"])}train, clean</span>'
        f'<span>{pieces.dot(plots.COLORS["validation"])}validation</span>'
        f'<span>{pieces.dot("#9a9da1")}validation of the baseline</span></p>'
    )
    return legend + pieces.figure(figure, alt + '.', caption)

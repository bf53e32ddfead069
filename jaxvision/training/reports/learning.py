"""Learning curves: what the metrics and losses were while training went on."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxvision.training.reports import pieces, plots
from jaxvision.training.reports.reading import Absent, Records, interval, number

SMALL: dict[str, Any] = {'width': 305, 'height': 220}
Series = Mapping[str, tuple[np.ndarray, np.ndarray]]


class Panel(NamedTuple):
    """A metric of train and validation against step.

    Attributes:
      metric: its key in metrics.jsonl, without the split.
      title: of the figure.
      caption: what to look for.
      share: whether it is told in percent.
      log: whether its scale is logarithmic if it spans much.
    """

    metric: str
    title: str
    caption: str
    share: bool = True
    log: bool = False


def learning(records: Records, large: Sequence[Panel], small: Sequence[Panel] = (), loss_caption: str = '') -> str:
    """Large panels of what matters, then small ones: others, the gap of the first metric, losses and learning rate.

    Args:
      records: of the run.
      large, small: the metrics.
      loss_caption: under the figure of the losses, unless there was a teacher.
    """
    best = number((records.result.get('best') or {}).get('step'))
    best = None if best is None else int(best)
    pair = [_panel(records, panel, best) for panel in large]
    trio = [_panel(records, panel, best, **SMALL) for panel in small]
    trio += [_gap(records, large[0], best), _losses(records, loss_caption), _learning_rate(records)]
    if not any(pair + trio):
        raise Absent('metrics.jsonl has no curves')
    return pieces.group('pair', pair) + pieces.group('trio', trio)


def _panel(records: Records, panel: Panel, best: int | None, **size: Any) -> str:
    series = _together(records, train=f'train_{panel.metric}', validation=f'validation_{panel.metric}')
    if not series:
        return ''
    form = '{:.1%}'.format if panel.share else pieces.plain
    final = _final(records, panel.metric)
    kind = {'percent': panel.share, 'log': panel.log}
    figure = plots.curves(series, panel.title, best_step=best, final=final, **kind, **size)
    alt = f'{panel.title.partition(",")[0]} against step: {_ends(series, form)}.'
    return pieces.figure(figure, alt, panel.caption)


def _gap(records: Records, panel: Panel, best: int | None) -> str:
    series = _together(records, train=f'train_{panel.metric}', validation=f'validation_{panel.metric}')
    if len(series) < 2:
        return ''
    # Only where both were measured.
    common, at, beside = np.intersect1d(series['train'][0], series['validation'][0], return_indices=True)
    if not len(common):
        return ''
    train, validation = series['train'][1][at], series['validation'][1][beside]
    name = panel.title.partition(',')[0]
    alt = f'Train minus validation {_lower(name)} against step, ending at {100 * (train - validation)[-1]:.1f} points.'
    caption = 'The generalisation gap as it opens; every regulariser is an attempt to keep this area small.'
    return pieces.figure(
        plots.gap(common, train, validation, what=_lower(name).split()[-1], best_step=best), alt, caption
    )


def _lower(name: str) -> str:
    """For the middle of a sentence; mAP stays as it is."""
    return name if name[1:2].isupper() else name.lower()


def _losses(records: Records, caption: str) -> str:
    parts = {name: f'{name}_loss' for name in ('class', 'box', 'objectness', 'student', 'distillation')}
    loss = _together(records, total='loss', **parts)
    if not loss:
        return ''
    if 'distillation' in loss:
        caption = "The total and its two parts: at best, distillation ends at the teacher's entropy, not at zero."
    figure = plots.curves(loss, 'Loss' if len(loss) > 1 else 'Training loss', log=True, **SMALL)
    return pieces.figure(figure, f'Training loss against step: {_ends(loss, pieces.plain)}.', caption)


def _learning_rate(records: Records) -> str:
    rate = _together(records, rate='learning_rate')
    if not rate:
        return ''
    figure = plots.curves(rate, 'Learning rate', **SMALL)
    alt = f'Learning rate against step, at most {rate["rate"][1].max():.3g}.'
    return pieces.figure(figure, alt, 'Kinks in the curves above often sit where this one bends.')


def _together(records: Records, **keys: str) -> Series:
    found = {name: records.series(key) for name, key in keys.items()}
    return {name: series for name, series in found.items() if series is not None}


def _final(records: Records, metric: str) -> dict[str, plots.Measured]:
    """The test split's number, which is measured at the end alone."""
    entry, step = records.test.get(metric), number(records.result.get('steps'))
    value = number(entry)
    if value is None or step is None:
        return {}
    return {'test': plots.Measured(step, value, *(interval(entry) or (value, value)))}


def _ends(series: Series, form: pieces.Form) -> str:
    return '; '.join(f'{name} ends at {form(values[-1])}' for name, (_, values) in series.items())

"""How a sweep's numbers are told: in percent and points, with two digits, with intervals, in colours."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxvision.sweeps.reports.reading import BASELINE, HARMS, HELPS, NOTHING, OPEN
from jaxvision.training.reports import plots
from jaxvision.training.reports.reading import interval

COLORS = {HELPS: '#1c9687', HARMS: '#c2454f', OPEN: '#85888c', BASELINE: plots.INK, NOTHING: '#c9cbc7'}


def percent(value: float) -> str:
    return f'{100 * value:.2f}'.replace('-', '−')


def points(value: float) -> str:
    return f'{100 * value:+.2f}'.replace('-', '−')


def within(entry: Mapping[str, Any], form=percent) -> str:
    """' (95% interval low to high)', or nothing."""
    spread = interval(entry)
    return f' (95% interval {form(spread[0])} to {form(spread[1])})' if spread else ''


def bracket(entry: Mapping[str, Any], form=percent) -> str:
    spread = interval(entry)
    return f' [{form(spread[0])}, {form(spread[1])}]' if spread else ''


def joined(words: Sequence[str]) -> str:
    """'a, b and c'."""
    return words[0] if len(words) == 1 else f'{", ".join(words[:-1])} and {words[-1]}' if words else ''


def many(count: int, what: str) -> str:
    """'1 seed', '2 seeds'."""
    return f'{count:,} {what.removesuffix("s")}' if count == 1 else f'{count:,} {what}'

"""The page of a sweep: summary.json, results.csv and the trials' curves -> report.html, one file, no network.

A sweep that was interrupted, or of which trials failed, has a page of what is done, which says what is not.
"""

import functools
import pathlib

from jaxvision.errors import UserError
from jaxvision.sweeps.reports import cells, curves, effects, fitting, heading, made, single, undone, verdicts
from jaxvision.sweeps.reports.reading import Records, read
from jaxvision.sweeps.table import FAILED, MISSING
from jaxvision.training.records import Workdir
from jaxvision.training.reports.document import document
from jaxvision.training.reports.reading import Absent


def write(path: pathlib.Path | str) -> pathlib.Path:
    """Draws report.html from the records of the sweep in the workdir at `path`, replacing an older page at once.

    Returns:
      The path of the page.

    Raises:
      UserError: there is no readable summary.json, results.csv or config.json, or the page cannot be written.
    """
    workdir = Workdir(path)
    try:
        page = render(read(workdir))
    except Absent as reason:
        raise UserError(f'cannot draw the sweep in {workdir}: {reason}') from reason
    workdir.replace('report.html', lambda scratch: scratch.write_text(page, encoding='utf-8'))
    return workdir / 'report.html'


def render(records: Records) -> str:
    """The page of these records."""
    sections = {}
    if records.summary['kind'] == 'grid' and len(records.sweep['axes']) == 2:
        sections['Heat maps'] = cells.cells
    sections['Effects'] = effects.effects
    if len(records.variants) > 1:
        sections['Verdicts'] = verdicts.verdicts
    sections['Over- and underfitting'] = fitting.fitting
    sections['Learning curves'] = curves.curves
    sections['Fold by fold' if records.unit == 'folds' else 'Seed by seed'] = single.single
    if records.summary['trials'][FAILED] or records.summary['trials'][MISSING]:
        sections['Failed or missing trials'] = undone.undone
    sections['The record'] = made.made
    header = heading.header(records)
    return document(records.name, header, {name: functools.partial(draw, records) for name, draw in sections.items()})

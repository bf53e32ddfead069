"""The page: a finished workdir's records -> report.html, one file that needs no other and no network.

A record that is not there costs its section, which says so in a line; only result.json has to be there.
"""

import functools
import pathlib

from jaxvision.errors import UserError
from jaxvision.training.records import Workdir
from jaxvision.training.reports import classification, detection, localization
from jaxvision.training.reports.document import document
from jaxvision.training.reports.reading import Records, read

# Of each task: a header, and its sections by title.
TASKS = {'classify': classification, 'localize': localization, 'detect': detection}


def write(path: pathlib.Path | str) -> pathlib.Path:
    """Draws report.html from the records in the workdir at `path`, replacing an older page at once.

    Returns:
      The path of the page.

    Raises:
      UserError: there is no readable result.json, or the page cannot be written.
    """
    workdir = Workdir(path)
    page = render(read(workdir))
    workdir.replace('report.html', lambda scratch: scratch.write_text(page, encoding='utf-8'))
    return workdir / 'report.html'


def render(records: Records) -> str:
    """The page of these records.

    Raises:
      UserError: they are of a task that has no page.
    """
    task = records.result.get('task', 'classify')
    if task not in TASKS:
        raise UserError(f'result.json of {records.name} has task {task!r}; there are pages for {", ".join(TASKS)}')
    sections = TASKS[task].sections(records).items()
    return document(
        records.name,
        TASKS[task].header(records),
        {title: functools.partial(draw, records) for title, draw in sections},
    )

"""The first start: our own set is prepared in a process of its own, and meanwhile what is trained first is compiled.

Both want a core, and neither wants the other: a program depends on how the data is shaped, not on what it is.
"""

import contextlib

from jaxvision import assembly, beforehand
from jaxvision.data import blank, prepared
from jaxvision.errors import UserError
from jaxvision.settings import Settings
from jaxvision.training import environment


def prepare(settings: Settings) -> None:
    """Prepares the set of our own that an experiment wants, where it is not there yet, and compiles beside it.

    Whatever is wrong, with the set or with the settings, is told by the experiment itself, which finds that nothing was
    done for it.
    """
    data = settings.data
    if settings.teacher.workdir or not prepared.unprepared(data.name, data.data_dir):
        return  # A teacher was trained on the set before.
    with (
        environment.other('jaxvision.data.prepared', data.name, data.data_dir, str(data.image_size)),
        contextlib.suppress(UserError),
    ):
        _compile(settings.teacher_member(0) if settings.distills else settings)


def _compile(first: Settings) -> None:
    """Compiles what creates and trains the first state, unless that is to be done in a process of its own."""
    run = assembly.assemble(first, source=blank.source(first.data.name, first.data.image_size))
    if not beforehand.pays(run):
        run.begin(run.plan.in_one_call(0))

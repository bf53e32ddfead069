"""The first start: while our own set is prepared in another process, what is trained first is compiled.

Both want a core, and neither wants the other: a program depends on how the data is shaped, not on what it is.
"""

from jaxvision import assembly, beforehand, preparing, teachers
from jaxvision.data import blank
from jaxvision.settings import Settings


def prepare(settings: Settings) -> None:
    """Prepares the set of our own that an experiment wants, where it is not there yet, and compiles beside it.

    A set that cannot be prepared is left to the experiment, which tells why.

    Raises:
      UserError: the set's shape tells already that the settings are wrong.
    """
    with preparing.beside(settings.data) as begun:
        if begun and not settings.teacher.workdir:  # A teacher that is given was trained on another set.
            _compile(settings)


def _compile(settings: Settings) -> None:
    """Compiles what creates and trains the first state, unless that is to be done in a process of its own."""
    source = blank.source(settings.data.name, settings.data.image_size)
    run = assembly.assemble(settings.alone(), source=source)
    if beforehand.pays(run):
        return
    if settings.distills:
        run = teachers.to_train(settings, 0, source)
    run.begin(run.plan.in_one_call(0))

"""The first start: while our own set is prepared in another process, what is trained first is compiled.

Both want a core, and neither wants the other: a program depends on how the data is shaped, not on what it is.
"""

from jaxvision import assembly, beforehand, preparing, teachers
from jaxvision.data import blank
from jaxvision.settings import Settings


def prepare(settings: Settings, *, done: bool = False) -> None:
    """Prepares the set of our own that an experiment wants, where it is not there yet, and compiles beside it.

    A set that cannot be prepared is left to the experiment, which tells why.

    Args:
      settings: of the experiment.
      done: whether it has its result already, so that nothing is to be compiled.

    Raises:
      UserError: the set's shape tells already that the settings are wrong.
    """
    with preparing.beside(settings.data) as begun:
        if begun and not done and not settings.teacher.workdir:  # A given teacher is not trained.
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

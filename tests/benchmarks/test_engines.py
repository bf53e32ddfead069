"""What is measured of the engines."""

import pytest

from jaxvision import settings
from jaxvision.benchmarks import engines
from jaxvision.errors import UserError
from jaxvision.settings import Settings
from jaxvision.sweeps import designs


def test_a_teachers_training_is_no_overhead():
    distilled = settings.override(Settings(), {'distill.weight': 0.5})
    with pytest.raises(UserError, match='one without a teacher: set distill.weight to 0'):
        engines.overhead(distilled, designs.seeds({'student': {}}, seeds=1), processes=1)

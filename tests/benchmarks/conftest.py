"""A stand-in for the interpreter that runs other people's code."""

import sys

import pytest


@pytest.fixture
def stand_in(tmp_path):
    """stand_in(script, **values): the path of an executable Python script, the values put in."""

    def make(script: str, **values) -> str:
        path = tmp_path / 'python'
        path.write_text(f'#!{sys.executable}\n' + script.format(**values))
        path.chmod(0o755)
        return str(path)

    return make

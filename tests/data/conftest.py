"""Every test here has a cache of its own or the session's; none touches the user's."""

import pytest

from jaxvision.data import sources


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and an empty place for TFDS sets."""
    monkeypatch.setenv('JAXVISION_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))
    return tmp_path / 'cache'


@pytest.fixture(scope='session')
def _prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp('prepared')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('JAXVISION_CACHE', str(folder))
        sources.load('uci_digits')
    return folder


@pytest.fixture
def prepared(_prepared, monkeypatch):
    """A cache in which the digits are prepared and decoded, shared by the session: read it only."""
    monkeypatch.setenv('JAXVISION_CACHE', str(_prepared))
    return _prepared

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PISMO_HOME for the tests of one file."""
    return tmp_path_factory.mktemp("home")

"""A store on an empty folder, open while a test runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted

from avisiod.store.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "avisiod.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    from twisted.internet import reactor

    store = Store(path, reactor)  # type: ignore[arg-type]
    pytest_twisted.blockon(store.open())
    yield store
    pytest_twisted.blockon(store.close())

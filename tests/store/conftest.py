"""A store on an empty database, open while a test runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted

from avisiod.store.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "avisiod.db"


def opened(where: Path | str) -> Store:
    from twisted.internet import reactor

    store = Store(where, reactor)  # type: ignore[arg-type]
    pytest_twisted.blockon(store.open())
    return store


@pytest.fixture
def store(where: Path | str) -> Iterator[Store]:
    store = opened(where)
    yield store
    pytest_twisted.blockon(store.close())


@pytest.fixture
def sqlite_store(path: Path) -> Iterator[Store]:
    store = opened(path)
    yield store
    pytest_twisted.blockon(store.close())

"""A store on an empty database, open while a test runs: an SQLite file, and a database of a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted

from avisiod.store.database import Database, open_database
from avisiod.store.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "avisiod.db"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def where(request: pytest.FixtureRequest, path: Path) -> Path | str:
    """An empty database of each kind: what `Store` takes."""
    if request.param == "sqlite":
        return path
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
def database(where: Path | str) -> Iterator[Database]:
    """Open, without threads."""
    database = open_database(where)
    yield database
    database.close()


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

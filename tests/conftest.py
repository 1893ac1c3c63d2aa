"""What several rooms' tests stand on: databases of each kind, empty when a test begins."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from avisiod.store.database import Database
from avisiod.store.opening import open_database
from tests.peers import ports
from tests.peers.postgres import Postgres

ROOT = Path(__file__).parent

# A machine that others use as well makes no example fail for being slow.
hypothesis.settings.register_profile("avisiod", deadline=None)
hypothesis.settings.load_profile("avisiod")

LONGEST = ("e2e/test_kill.py", "e2e/test_worker_faults.py", "network", "e2e", "attacks", "web", "gateway")
"""Files and folders that take longest begin first, so that both lanes of `make test` end at about the same time."""


def turn(path: Path) -> int:
    """When a file of tests has its turn: as LONGEST says, all others at the end."""
    inside = path.relative_to(ROOT)
    return next((turn for turn, name in enumerate(LONGEST) if inside.is_relative_to(name)), len(LONGEST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By turns; within each the order stays."""
    items.sort(key=lambda item: turn(item.path))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """What the scene that ends here still holds of ports is free for the next one."""
    yield
    if nextitem is None or _scene(nextitem) != _scene(item):
        ports.give_all_back()


def _scene(item: pytest.Item) -> Path:
    """Tests with the same one share it: those of a file, and all of tests/network."""
    return item.path.parent if item.path.parent.name == "network" else item.path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """An SQLite file, and a database of a real PostgreSQL: what `Store` takes."""
    if request.param == "sqlite":
        return tmp_path / "state" / "avisiod.db"
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
def database(where: Path | str) -> Iterator[Database]:
    """Open, without threads."""
    database = open_database(where)
    yield database
    database.close()

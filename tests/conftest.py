"""What several rooms' tests stand on."""

from collections.abc import Iterator

import hypothesis
import pytest

from tests.peers.postgres import Postgres

# A machine that others use as well makes no example fail for being slow.
hypothesis.settings.register_profile("avisiod", deadline=None)
hypothesis.settings.load_profile("avisiod")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()

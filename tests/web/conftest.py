"""A portal on a port of the kernel's choice, with a fake desk behind it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted

from avisiod.clock import SystemClock
from avisiod.config.settings import Config, Media, Portal
from tests.web.desk import FakeDesk

if TYPE_CHECKING:
    from avisiod.web.portal import RelativesPortal


class Served:
    """What a test of the whole portal holds."""

    def __init__(self, portal: "RelativesPortal", desk: FakeDesk, config: Config) -> None:
        self.portal = portal
        self.desk = desk
        self.config = config

    @property
    def url(self) -> str:
        return self.config.portal.public_url

    def drop_pages(self) -> None:
        """Cut every page's connection, as a network does."""
        for page in tuple(self.portal.sockets.open):
            page.dropConnection(abort=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configured(port: int, *, transcoded_calls: int = 2, **keys: object) -> Config:
    settings = {"public_url": f"http://localhost:{port}", **keys}
    portal = Portal(address="127.0.0.1", port=port, **settings)
    return Config(portal=portal, media=Media(transcoded_calls=transcoded_calls))


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


def serve(desk: FakeDesk, **keys: Any) -> Served:
    """A started portal with these keys of its section, and so many calls whose pictures are converted."""
    # Imported late: it names the reactor, which pytest-twisted must choose first.
    from avisiod.web.portal import make_portal

    config = configured(free_port(), **keys)
    portal = make_portal(config, desk, SystemClock(asyncio.get_event_loop()))
    portal.start()
    return Served(portal, desk, config)


@pytest_twisted.async_yield_fixture
async def served(desk: FakeDesk) -> AsyncIterator[Served]:
    served = serve(desk)
    yield served
    await served.portal.stop()

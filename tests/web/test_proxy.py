"""A real proxy before the portal: whoever comes through it counts by their own address, and only through it."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint

from tests.peers.offreactor import aside
from tests.peers.processes import Process
from tests.peers.waiting import wait_until
from tests.web import client
from tests.web.client import WebPage
from tests.web.conftest import Served, free_port, serve
from tests.web.desk import FakeDesk

pytestmark = [pytest.mark.peer]

RELATIVE, PROXY, STRANGER = "127.0.0.5", "127.0.0.1", "127.0.0.7"


class Proxied(Served):
    front: int
    """The proxy's port."""


@pytest_twisted.async_yield_fixture
async def proxied(desk: FakeDesk, tmp_path: Path) -> AsyncIterator[Proxied]:
    """Caddy takes pages on its port and asks the portal from PROXY, which is trusted."""
    front = free_port()
    served = serve(desk, public_url=f"http://localhost:{front}", trusted_proxies=(PROXY,))
    proxied = Proxied(served.portal, desk, served.config)
    proxied.front = front
    settings = f"""{{
        admin off
        auto_https off
        storage file_system {tmp_path}
    }}
    http://:{front} {{
        bind 127.0.0.1
        reverse_proxy 127.0.0.1:{served.portal.port}
    }}
    """
    (tmp_path / "Caddyfile").write_text(settings)
    environment = {"HOME": str(tmp_path)}
    with Process(["caddy", "run", "--config", tmp_path / "Caddyfile"], name="caddy", env=environment) as caddy:
        await aside(wait_until, lambda: answers(front, caddy), 20, "Caddy answers")
        yield proxied
        await served.portal.stop()


def answers(port: int, caddy: Process) -> bool:
    assert caddy.returncode is None
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def visit(port: int, host: str, source: str, **headers: str) -> WebPage:
    """Open a page from this address."""
    there = TCP4ClientEndpoint(reactor, "127.0.0.1", port, bindAddress=(source, 0))
    return await client.connect(host, headers=headers, endpoint=there)


async def joined_from(page: WebPage, desk: FakeDesk) -> str:
    """The address to which a code that is typed there counts."""
    await page.hears("welcome")
    page.join()
    await page.hears("joined")
    return str(desk.asked[-1][-1])


@pytest_twisted.ensureDeferred
async def test_through_the_proxy_each_relative_counts_by_their_own_address(proxied: Proxied) -> None:
    page = await visit(proxied.front, proxied.front, RELATIVE)
    assert await joined_from(page, proxied.desk) == RELATIVE


@pytest_twisted.ensureDeferred
async def test_what_a_relative_forges_is_not_believed_through_the_proxy_either(proxied: Proxied) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "Forwarded": "for=203.0.113.9"}
    page = await visit(proxied.front, proxied.front, RELATIVE, **forged)
    assert await joined_from(page, proxied.desk) == RELATIVE


@pytest_twisted.ensureDeferred
async def test_a_stranger_past_the_proxy_counts_by_the_address_they_come_from(proxied: Proxied) -> None:
    page = await visit(proxied.portal.port, proxied.front, STRANGER, **{"X-Forwarded-For": "203.0.113.9"})
    assert await joined_from(page, proxied.desk) == STRANGER

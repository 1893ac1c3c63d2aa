"""Requests at the portal's pages."""

from collections.abc import Iterator

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from avisiod.config.settings import Config
from avisiod.web import texts
from avisiod.web.charter import load
from avisiod.web.headers import request_class
from avisiod.web.pages import Pages
from tests.fuzz.common import Errors, packed, pieces

MAX_OCTETS = 6_000
ERRORS = Errors()
GONE = Failure(ConnectionDone())
URL = "https://localhost:8443"
PAGES = Pages(Config(), load("", "fr"), texts.load("fr"), Resource())
LARGEST = max(len(body.plain) for body in [*PAGES._documents.values(), *PAGES._static.values()])


def seeds() -> Iterator[bytes]:
    """Every kind of address, and what is not one."""
    for path in ("/", "/fr/", "/en/charte", "/k3x7p", "/sw.js", "/fr/manifest.webmanifest", "/ws", "/%2e%2e/x"):
        yield packed([f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Language: fr,en;q=0.5\r\n\r\n".encode()])
    script = f"/static/{PAGES.version}/app.js"
    yield packed([f"GET {script} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n".encode()])
    yield packed([b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"])
    yield packed([b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"])


class _Transport(StringTransport):
    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.disconnecting = True


def one(data: bytes) -> None:
    """Each answer has the security headers, none repeats what was asked, none is of an error in us."""
    site = Site(PAGES.app.resource(), requestFactory=request_class(URL), timeout=None)
    site.displayTracebacks = False
    site.log = lambda _request: None
    channel, transport = site.buildProtocol(None), _Transport()
    channel.makeConnection(transport)
    requests = 0
    for piece in pieces(data):
        if transport.disconnecting:
            break
        requests += piece.count(b"\n")
        channel.dataReceived(piece)
    channel.connectionLost(GONE)
    answer = transport.value()
    assert b" 500 " not in answer.split(b"\r\n")[0]
    if answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404")):
        assert b"Content-Security-Policy" in answer.split(b"\r\n\r\n")[0]
        assert b"\r\nServer:" not in answer.split(b"\r\n\r\n")[0]
    assert len(answer) <= (requests + 1) * (LARGEST + 4000)
    ERRORS.none()

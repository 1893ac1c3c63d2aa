"""A page without a browser: a WebSocket client that collects what the portal says."""

import json
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import HostnameEndpoint

from avisiod.web import messages
from avisiod.web.charter import load

CHARTER = load("", "fr").shown_in("fr")
ACCEPTED = {"language": "fr", "version": CHARTER.version, "digest": CHARTER.digest}


class WebPage(WebSocketClientProtocol):
    """One connected page."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: DeferredQueue[dict[str, Any]] = DeferredQueue()
        self.opened: Deferred[None] = Deferred()
        self.closed: Deferred[tuple[int | None, str | None]] = Deferred()

    def onOpen(self) -> None:  # noqa: N802 - autobahn's name
        self.opened.callback(None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803 - autobahn's names
        messages.to_page(payload)
        self.heard.put(json.loads(payload))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802, N803
        if not self.opened.called:
            self.opened.errback(ConnectionError(reason))
        self.closed.callback((code, reason))

    def say(self, **message: Any) -> None:
        self.sendMessage(json.dumps(message).encode())

    def join(self, code: str = "123456", **charter: str) -> None:
        self.say(type="join", code=code, charter={**ACCEPTED, **charter})

    async def hears(self, kind: str) -> dict[str, Any]:
        """The next message, which must be of this type."""
        message = await self.heard.get().addTimeout(10, reactor)
        assert message["type"] == kind, message
        return message


async def connect(
    port: int,
    *,
    origin: str | None = None,
    protocols: tuple[str, ...] = (messages.SUBPROTOCOL,),
    headers: dict[str, str] | None = None,
    endpoint: Any = None,
) -> WebPage:
    """Open a page; ConnectionError when the portal refuses. `endpoint`: where it connects to, if not to that port."""
    factory = WebSocketClientFactory(
        f"ws://localhost:{port}{messages.PATH}",
        origin=origin if origin is not None else f"http://localhost:{port}",
        protocols=list(protocols),
        headers=headers or {},
    )
    factory.protocol = WebPage
    page: WebPage = await (endpoint or HostnameEndpoint(reactor, "127.0.0.1", port)).connect(factory)
    await page.opened
    return page


async def joined(port: int) -> WebPage:
    """A page in a call."""
    page = await connect(port)
    await page.hears("welcome")
    page.join()
    await page.hears("joined")
    return page

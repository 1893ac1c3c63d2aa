"""The WebSocket end of a conversation: autobahn's protocol, its limits and its keepalive."""

import functools
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny

from avisiod.clock import Clock, Timer
from avisiod.web import messages
from avisiod.web.addresses import client_address, neighbourhood
from avisiod.web.conversation import Conversation, Line, Step
from avisiod.web.doorman import upgraded
from avisiod.web.limits import Bucket, Places

log = logging.getLogger(__name__)

PING_EVERY_S = 15.0
"""A phone's radio and the NAT before it forget an idle connection after 30 s and more."""
PONG_WITHIN_S = 12.0
BROKEN = (1002, 1003, 1007, 1009)
"""Close codes of ours for a page that breaks the protocol (RFC 6455 section 7.4.1)."""
FRAMES_PER_S = 20.0
FRAMES_AT_ONCE = 120.0
"""Control frames and fragments included: browsers send next to none of either."""
IDLE_S = 1800.0
"""Longest time connected without joining a call."""
PAGES = 512
PAGES_PER_ADDRESS = 40
"""Many families share one public address of a mobile network."""


class Pages(WebSocketServerFactory):  # type: ignore[misc]  # autobahn has no types
    """Every open page."""

    def __init__(
        self,
        *,
        public_url: str,
        trusted: tuple[str, ...],
        clock: Clock,
        converse: Callable[[str, Line], Conversation],
    ) -> None:
        super().__init__(protocols=[messages.SUBPROTOCOL], server="")
        self.protocol = functools.partial(Socket)
        self.setProtocolOptions(
            webStatus=False,
            versions=[13],
            maxFramePayloadSize=messages.MAX_MESSAGE_BYTES,
            maxMessagePayloadSize=messages.MAX_MESSAGE_BYTES,
            failByDrop=False,
            openHandshakeTimeout=5,
            closeHandshakeTimeout=3,
            tcpNoDelay=True,
            autoPingInterval=0,
        )
        self.origin = origin_of(public_url)
        self.trusted = trusted
        self.clock = clock
        self.converse = converse
        self.places = Places(PAGES, PAGES_PER_ADDRESS)
        self.open: set[Socket] = set()
        self.wrong_origins = 0
        self.broken_frames = 0
        """Pages closed because they did not speak the protocol, or too much of it."""
        self.no_place = 0

    def close_all(self) -> None:
        """Tell every page that the service stops."""
        for socket in tuple(self.open):
            socket.sendClose(messages.CLOSE_STOPPING, "service stopping")


class Socket(WebSocketServerProtocol):  # type: ignore[misc]  # autobahn has no types
    """One page's connection."""

    factory: Pages
    _address = _place = ""
    _frames: Bucket | None = None
    _placed = False
    _conversation: Conversation | None = None
    _timer: Timer | None = None
    _heard_at = 0.0
    _opened_at = 0.0

    def onConnect(self, request: Any) -> str:  # noqa: N802 - autobahn's name
        """Accept a page of ours; refuse with an HTTP status what is none."""
        pages = self.factory
        if request.origin is None or origin_of(str(request.origin)) != pages.origin:
            level = logging.DEBUG if pages.wrong_origins else logging.WARNING
            pages.wrong_origins += 1
            log.log(level, "refused a WebSocket: its page is not of %s (portal.public_url)", pages.origin)
            raise ConnectionDeny(403, "Origin is not this portal")
        if messages.SUBPROTOCOL not in request.protocols:
            pages.broken_frames += 1
            raise ConnectionDeny(400, f"Sec-WebSocket-Protocol must offer {messages.SUBPROTOCOL}")
        peer = self.transport.getPeer().host
        forwarded = request.headers.get("x-forwarded-for", "")
        self._address = client_address(peer, [forwarded], pages.trusted)
        self._place = neighbourhood(self._address)
        if not pages.places.take(self._place):
            level = logging.DEBUG if pages.no_place else logging.WARNING
            pages.no_place += 1
            log.log(level, "no place for a further page: %d open, or too many of one address", pages.places.taken)
            raise ConnectionDeny(503, "Too many pages are open")
        self._placed = True
        upgraded(self.transport)
        return messages.SUBPROTOCOL

    def onOpen(self) -> None:  # noqa: N802 - autobahn's name
        """Begin the conversation."""
        pages = self.factory
        pages.open.add(self)
        self._opened_at = self._heard_at = pages.clock.now()
        self._frames = Bucket(FRAMES_PER_S, FRAMES_AT_ONCE, self._opened_at)
        self._conversation = pages.converse(self._address, self)
        self._conversation.opened()
        self._timer = pages.clock.call_at(self._heard_at + PING_EVERY_S, self._keep_alive)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803 - autobahn's names
        """Hand a message on."""
        self._heard_at = self.factory.clock.now()
        if self._conversation is not None:
            self._conversation.received(b"" if isBinary else payload)

    def onMessageFrameBegin(self, length: int) -> None:  # noqa: N802 - autobahn's name
        """Take a frame of data, whole or a fragment, unless there are too many."""
        super().onMessageFrameBegin(length)
        self._bears()

    def onPing(self, payload: bytes) -> None:  # noqa: N802 - autobahn's name
        """Answer, unless there are too many: who never reads would have us keep every answer."""
        if self._bears():
            super().onPing(payload)

    def onPong(self, payload: bytes) -> None:  # noqa: N802, ARG002 - autobahn's names
        """Note a sign of life."""
        if self._bears():
            self._heard_at = self.factory.clock.now()

    def _bears(self) -> bool:
        """Whether another frame may be taken; the connection ends where not."""
        if self._frames is None or self._frames.take(self.factory.clock.now()):
            return True
        if self.state != self.STATE_CLOSED:
            self.factory.broken_frames += 1
            self.dropConnection(abort=True)
        return False

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802, N803, ARG002
        """End the conversation."""
        self.factory.open.discard(self)
        if self.localCloseCode in BROKEN:
            self.factory.broken_frames += 1
        if self._timer is not None:
            self._timer.cancel()
        if self._placed:
            self._placed = False
            self.factory.places.leave(self._place)
        if self._conversation is not None:
            self._conversation.lost()
            self._conversation = None

    def _keep_alive(self) -> None:
        now = self.factory.clock.now()
        if now - self._heard_at > PING_EVERY_S + PONG_WITHIN_S:
            self.dropConnection(abort=True)
            return
        idle = self._conversation is not None and self._conversation.step is Step.OUTSIDE
        if idle and now - self._opened_at > IDLE_S:
            self.close(messages.CLOSE_IDLE, "nobody joined")
            return
        self.sendPing()
        self._timer = self.factory.clock.call_at(now + PONG_WITHIN_S, self._keep_alive)

    # conversation.Line

    def send(self, frame: bytes) -> None:
        """See conversation.Line."""
        if self.state == self.STATE_OPEN:
            self.sendMessage(frame, isBinary=False)

    def close(self, code: int, reason: str) -> None:
        """See conversation.Line."""
        self.sendClose(code, reason)


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL or Origin (RFC 6454 section 4); ports by default filled in."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, (parts.hostname or "").lower(), port or {"https": 443, "http": 80}.get(parts.scheme, 0)

"""What stands before HTTP: how many connections there may be, and how long one may dawdle (slow-loris).

It wraps TCP itself, below TLS, so that a handshake that never ends is bounded too.
"""

import logging
from typing import Any

from twisted.internet import protocol
from twisted.internet.interfaces import IAddress
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from avisiod.clock import Clock, Timer
from avisiod.web.addresses import neighbourhood, plain
from avisiod.web.limits import Places

log = logging.getLogger(__name__)

CONNECTIONS = 1024
CONNECTIONS_PER_ADDRESS = 96
"""A browser opens six; many families share one public address of a mobile network."""
HTTP_LIFETIME_S = 60.0
"""Longest life of a connection that does not become a WebSocket; browsers open another without a word."""


class Visitor(ProtocolWrapper):
    """One connection that has its place."""

    factory: "Doorman"
    address = ""
    _timer: Timer | None = None

    def makeConnection(self, transport: Any) -> None:  # noqa: N802 - Twisted's name
        """Let it in, for a while."""
        ProtocolWrapper.makeConnection(self, transport)
        clock = self.factory.clock
        self._timer = clock.call_at(clock.now() + HTTP_LIFETIME_S, self._too_long)

    def _too_long(self) -> None:
        self.factory.dawdled += 1
        transport: Any = self.transport
        transport.abortConnection()

    def stays(self) -> None:
        """It is a WebSocket now, with limits of its own."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Give the place back."""
        self.stays()
        self.factory.places.leave(self.address)
        ProtocolWrapper.connectionLost(self, reason)


class Doorman(WrappingFactory):
    """Counts the connections."""

    protocol = Visitor

    def __init__(self, wrapped: Any, clock: Clock, shared: tuple[str, ...]) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]
        self.clock = clock
        self.shared = frozenset(plain(address) for address in shared)
        """Proxies: all relatives come through them."""
        self.places = Places(CONNECTIONS, CONNECTIONS_PER_ADDRESS)
        self.refused = 0
        self.dawdled = 0
        """Connections that took too long over what should be quick."""

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802 - Twisted's name
        """Wrap the protocol of a new connection; None, which closes it unread, when there is no place."""
        peer = getattr(addr, "host", "")
        address = neighbourhood(peer)
        if not self.places.take(address, shared=plain(peer) in self.shared):
            self.refused += 1
            level = logging.WARNING if self.refused == 1 else logging.DEBUG
            log.log(level, "connection refused, %d open: no place, or too many of one address", self.places.taken)
            return None
        visitor: Any = super().buildProtocol(addr)
        visitor.address = address
        return visitor


def upgraded(transport: Any) -> None:
    """Tell the doorman, somewhere below this transport, that the connection is a WebSocket now."""
    while transport is not None and not isinstance(transport, Visitor):
        transport = getattr(transport, "transport", None)
    if transport is not None:
        transport.stays()

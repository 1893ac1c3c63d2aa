"""One way between a page and us: a port of ours and the ICE agent on it. An ICE restart takes another one."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Sequence

from aiortc import RTCIceCandidate, RTCIceParameters, RTCIceServer, RTCIceTransport
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from avisiod.gateway.ortc import IceGatherer
from avisiod.gateway.udp_ports import UdpPorts

MAX_CANDIDATES = 64
"""Remote candidates taken from one page; RFC 8445 section 6.1.2.5 limits pairs to 100."""


class IcePath:
    """Gather, tell the page, add its candidates, connect; `close` always."""

    def __init__(
        self,
        ports: UdpPorts,
        announced: str,
        servers: Sequence[RTCIceServer],
        *,
        record: Callable[[bytes], None],
        lost: Callable[["IcePath"], None],
    ) -> None:
        """`record` gets DTLS; `lost` is called when a connected page gives no consent any more (RFC 7675)."""
        self._ports = ports
        self._port = 0
        self._announced = self._address = announced
        self._gatherer = IceGatherer(self._bind, announced, servers, record)
        self.connection = self._gatherer.connection
        self._ice = RTCIceTransport(self._gatherer)
        self._ice.on("statechange", self._changed)
        self._lost = lost
        self._told = self._connected = self._closed = False
        self._adding: set[asyncio.Task[None]] = set()
        self._candidates = 0

    def _bind(self) -> socket.socket:
        (bound,) = self._ports.take(time.monotonic())
        host, self._port = bound.getsockname()[:2]
        self._address = self._announced or host
        return bound

    async def gather(self) -> tuple[str, ...]:
        """Bind a port and ask the servers; our candidates, as in a=candidate. NoPorts when none is free."""
        await self._gatherer.gather()
        return tuple(candidate_to_sdp(each) for each in self._gatherer.getLocalCandidates())

    def add_candidate(self, candidate: str) -> bool:
        """A trickled candidate, with or without `candidate:`; what cannot be used is passed over.

        False: nonsense, or too many of them.
        Empty, the end of candidates, is not told to ICE: the page's own checks may still arrive from addresses that
        it never listed, because its mDNS names say nothing to a server.
        """
        text = candidate.strip().removeprefix("a=").removeprefix("candidate:")
        if not text or self._closed:
            return True
        if self._candidates >= MAX_CANDIDATES:
            return False
        try:
            parsed = usable_candidate(text, self._address)
        except ValueError:
            return False
        if parsed is None:
            return True
        self._candidates += 1
        task = asyncio.get_running_loop().create_task(self._ice.addRemoteCandidate(parsed))
        self._adding.add(task)
        task.add_done_callback(self._adding.discard)
        return True

    async def connect(self, username: str, password: str) -> None:
        """Check pairs until the page has nominated one. ConnectionError where none works."""
        self._told = True
        await self._ice.start(RTCIceParameters(usernameFragment=username, password=password))
        if self._ice.state != "completed":
            raise ConnectionError("no ICE candidate pair works")
        self._connected = True

    def _changed(self) -> None:
        if self._connected and not self._closed and self._ice.state == "failed":
            self._lost(self)

    async def close(self) -> None:
        """Release the port; harmless when closed."""
        if self._closed:
            return
        self._closed = True
        self.connection.release(lambda _: False)
        for task in self._adding:
            task.cancel()
        await self._ice.stop()
        if self._port:
            self._ports.give_back(self._port, time.monotonic(), announced=self._told)


def usable_candidate(text: str, ours: str) -> RTCIceCandidate | None:
    """The candidate of an a=candidate value (RFC 8839 section 5.1); `ours` is the address that we announce.

    None where it is honest but of no use: TCP, the name of an mDNS host, an address that we cannot reach. ValueError
    where no browser says so. Each usable one makes us send checks, and whoever has a code must not aim them at this
    machine, its neighbours or everybody.
    """
    try:
        parsed = candidate_from_sdp(text)
    except (AssertionError, IndexError):
        raise ValueError("a candidate with fields missing") from None
    if parsed.protocol.lower() != "udp" or parsed.component != 1 or parsed.ip.lower().endswith(".local"):
        return None
    address, own = ipaddress.ip_address(parsed.ip), ipaddress.ip_address(ours)
    nobodys = address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback)
    if nobodys or not 0 < parsed.port < 65536:
        raise ValueError("a candidate with an address that nobody has")
    if own.is_loopback:
        return parsed
    if address.is_loopback or address.is_link_local or (own.is_global and not address.is_global):
        return None
    return parsed

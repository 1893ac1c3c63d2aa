"""One way between a page and us: a port of ours, of each IP version, and the ICE agent on them.

An ICE restart takes another one.
"""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aiortc import RTCIceCandidate, RTCIceParameters, RTCIceServer, RTCIceTransport
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from avisiod.gateway.ortc import Door, IceGatherer
from avisiod.gateway.udp_ports import UdpPorts
from avisiod.gateway.wire import NoPorts

log = logging.getLogger(__name__)

MAX_CANDIDATES = 64
"""Remote candidates taken from one page; RFC 8445 section 6.1.2.5 limits pairs to 100."""


class Ports(NamedTuple):
    """Where sockets of one IP version come from, and the address to announce for them; empty for their own."""

    pool: UdpPorts
    announced: str = ""


class IcePath:
    """Gather, tell the page, add its candidates, connect; `close` always."""

    def __init__(
        self,
        ports: Sequence[Ports],
        servers: Sequence[RTCIceServer],
        *,
        record: Callable[[bytes], None],
        lost: Callable[["IcePath"], None],
    ) -> None:
        """`ports` with the best first.

        `record` gets DTLS; `lost` is called when a connected page gives no consent any more (RFC 7675).
        """
        self._ports = ports
        self._taken: list[tuple[UdpPorts, int]] = []
        self._addresses: tuple[str, ...] = ()
        self._gatherer = IceGatherer(self._bind, servers, record)
        self.connection = self._gatherer.connection
        self._ice = RTCIceTransport(self._gatherer)
        self._ice.on("statechange", self._changed)
        self._lost = lost
        self._told = self._connected = self._closed = False
        self._adding: set[asyncio.Task[None]] = set()
        self._candidates = 0

    def _bind(self) -> list[Door]:
        """A socket of each pool that has one; NoPorts where none has."""
        doors: list[Door] = []
        missing, level = None, logging.WARNING
        for each in self._ports:
            known = each.pool.wanting
            try:
                (bound,) = each.pool.take(time.monotonic())
            except NoPorts as error:
                missing, level = error, (logging.DEBUG if known else logging.WARNING)
                continue
            self._taken.append((each.pool, bound.getsockname()[1]))
            doors.append(Door(bound, each.announced))
        if missing is not None:
            if not doors:
                raise missing
            # An address that is gone for a while must not keep away whoever comes by the other IP version.
            log.log(level, "%s; relatives are told the other address only", missing)
        self._addresses = tuple(door.announced or door.bound.getsockname()[0] for door in doors)
        return doors

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
            parsed = usable_candidate(text, self._addresses)
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
        for pool, port in self._taken:
            pool.give_back(port, time.monotonic(), announced=self._told)
        self._taken.clear()


def usable_candidate(text: str, ours: Sequence[str]) -> RTCIceCandidate | None:
    """The candidate of an a=candidate value (RFC 8839 section 5.1); `ours` are the addresses that we announce.

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
    address, own = ipaddress.ip_address(parsed.ip), [ipaddress.ip_address(each) for each in ours]
    nobodys = address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback)
    if nobodys or not 0 < parsed.port < 65536:
        raise ValueError("a candidate with an address that nobody has")
    if all(each.is_loopback for each in own):
        return parsed
    of_its_version = [each for each in own if each.version == address.version] or own
    outward = any(each.is_global for each in of_its_version)
    if address.is_loopback or address.is_link_local or (outward and not address.is_global):
        return None
    return parsed

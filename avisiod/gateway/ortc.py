"""ICE and DTLS of aioice and aiortc, opened up just as far as a relay needs.

This module and srtp.py are the two that touch members of those libraries that begin with an underscore;
tests/gateway/test_ortc_pins.py holds every one of them in place. What is different from the libraries' own behaviour:

- local sockets come from the caller (port range, address), and are read and written without asyncio transports;
- what does not come from a pair that ICE has validated is dropped before DTLS sees it (RFC 8827 section 6.5);
- DTLS goes on over another ICE transport after an ICE restart (RFC 8842 section 4);
- SRTP goes straight between the caller and libsrtp (srtp.py), with no task and no queue.
"""

import asyncio
import collections
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from aioice import Candidate, Connection
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, StunProtocol, relayed_candidate, server_reflexive_candidate
from aiortc import RTCCertificate, RTCDtlsParameters, RTCDtlsTransport, RTCIceGatherer, RTCIceServer, RTCIceTransport
from aiortc.rtcicetransport import connection_kwargs

from avisiod.gateway.datagram_socket import DatagramSocket
from avisiod.gateway.srtp import SrtpReceiver, SrtpSender

SERVERS_TIMEOUT_S = 1.0
"""STUN and TURN servers that do not answer by then are left out: the answer waits for them."""

HELD_PACKETS = 64
"""Media that overtakes the end of the DTLS handshake; the first keyframe must not be lost."""

DTLS_BACKLOG = 32

STRANGERS_ANSWERED = 64
"""So many checks without our password are answered with an error; a flood with a forged source reflects no more."""

PEER_ADDRESSES = 128
"""Addresses that a peer may check from: each makes us check back, which must not be turned against somebody else."""

HIGHEST_LOCAL_PREFERENCE = 65535
"""RFC 8445 section 5.1.2.1."""

Address = tuple[str, int]


class Door(NamedTuple):
    """A bound UDP socket, and the address to announce in place of its own; empty for its own."""

    bound: socket.socket
    announced: str = ""


class GuardedProtocol(StunProtocol):
    """One local socket of an IceConnection: tells STUN, DTLS and SRTP apart (RFC 7983), strangers from the peer."""

    receiver: "IceConnection"

    def __init__(self, receiver: "IceConnection") -> None:
        super().__init__(receiver)
        self.valid: set[Address] = set()

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Sort one datagram, from a transport that is not ours."""
        self.sort(cast("bytes", data), addr)

    def sort(self, data: bytes, addr: tuple[Any, ...]) -> bool:
        """Sort one datagram; whether it was media after which no other datagram is expected at once."""
        if len(addr) > 2:
            addr = addr[:2]
        first = data[0] if data else 255
        if addr in self.valid:
            if 127 < first < 192:
                return self.receiver.media(data)
            if 19 < first < 64:
                self.receiver.handshake(data)
                return False
        if first > 3:
            self.receiver.dropped_strangers += 1
            return False
        try:
            super().datagram_received(data, addr)
        except (ValueError, KeyError, IndexError, struct.error):
            # Attributes of the wrong length, or missing from a request that is otherwise good.
            self.receiver.dropped_invalid += 1
        return False


class IceConnection(Connection):
    """One ICE component with sockets of ours; knows which addresses are validated and which pair is nominated."""

    def __init__(
        self,
        bind: Callable[[], Sequence[Door]],
        handshake: Callable[[bytes], None],
        **options: Any,
    ) -> None:
        super().__init__(ice_controlling=False, **options)
        self.handshake = handshake
        """Gets every DTLS record from a validated pair."""
        self.dropped_strangers = 0
        self.dropped_invalid = 0
        self.heard = 0.0
        """When the peer's last authentic check came."""
        self.media: Callable[[bytes], bool] = self._hold
        """Gets every datagram that looks like SRTP or SRTCP and comes from a validated pair; says whether no other is
        expected at once."""
        self.send_now: Callable[[Any], None] | None = None
        """Sends to the nominated pair; None until there is one."""
        self._bind = bind
        self._held: collections.deque[bytes] = collections.deque(maxlen=HELD_PACKETS)

    def _hold(self, data: bytes) -> bool:
        self._held.append(data)
        return False

    def release(self, media: Callable[[bytes], bool]) -> None:
        """From now on, and for what was held: hand media to `media`."""
        self.media = media
        while self._held:
            media(self._held.popleft())

    def data_received(self, data: bytes, component: int) -> None:  # noqa: ARG002 - of Connection
        """What began like STUN and is none; in the library it would go to DTLS."""
        self.dropped_invalid += 1

    def respond_error(self, request: Any, addr: Address, protocol: StunProtocol, error_code: tuple[int, str]) -> None:
        """Count the requests of those who do not know our password, then answer as RFC 8445 section 7.3 wants."""
        if error_code[0] in (400, 401):
            self.dropped_strangers += 1
            if self.dropped_strangers > STRANGERS_ANSWERED:
                return
        super().respond_error(request, addr, protocol, error_code)

    def check_incoming(self, message: Any, addr: Address, protocol: StunProtocol) -> None:
        """An authentic check of the peer: consent is alive (RFC 7675)."""
        if "PRIORITY" not in message.attributes or not self._may_check(addr):
            self.dropped_invalid += 1
            return
        self.heard = time.monotonic()
        super().check_incoming(message, addr, protocol)

    def _may_check(self, addr: Address) -> bool:
        known = self.remote_candidates
        return len(known) < PEER_ADDRESSES or any((each.host, each.port) == addr for each in known)

    def check_state(self, pair: CandidatePair, state: CandidatePair.State) -> None:
        """A pair whose check succeeded is validated; its address may speak DTLS."""
        super().check_state(pair, state)
        protocol = pair.protocol
        if isinstance(protocol, GuardedProtocol):
            if state == CandidatePair.State.SUCCEEDED:
                protocol.valid.add(pair.remote_addr)
            else:
                protocol.valid.discard(pair.remote_addr)

    def check_complete(self, pair: CandidatePair) -> None:
        """Follow the pair that the peer nominates, also when it moves to another one later."""
        super().check_complete(pair)
        nominated = self._nominated.get(1)
        if nominated is not None:
            self.send_now = self._sender(nominated.protocol, nominated.remote_addr)

    def _sender(self, protocol: StunProtocol, address: Address) -> Callable[[Any], None]:
        """What sends to this address, the quickest way that there is."""
        transport = protocol.transport
        if not isinstance(transport, DatagramSocket) or not isinstance(protocol, GuardedProtocol):
            # A TURN transport sends later, from a task: the bytes must not be a view of a buffer that is used again.
            return lambda data: transport.sendto(bytes(data), address)

        def received(data: bytes) -> bool:
            """From the nominated pair, says the kernel; everything but media is sorted as ever."""
            if data and 127 < data[0] < 192:
                return self.media(data)
            return protocol.sort(data, address)

        transport.aim(address, received)
        return transport.send

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],  # noqa: ARG002 - of Connection
        timeout: int = 5,  # noqa: ARG002, ASYNC109 - of Connection
    ) -> list[Candidate]:
        """A host candidate on each socket of ours, and what STUN and TURN servers give within a second.

        What `bind` raises comes through.
        """
        candidates, reflected = [], []
        for rank, door in enumerate(self._bind()):
            protocol = GuardedProtocol(self)
            loop = asyncio.get_running_loop()
            transport = DatagramSocket(loop, door.bound, protocol.sort, protocol.connection_lost)
            protocol.connection_made(transport)
            self._protocols.append(protocol)
            host, port = transport.get_extra_info("sockname")[:2]
            protocol.local_candidate = _host_candidate(component, door.announced or host, port, rank)
            candidates.append(protocol.local_candidate)
            if door.bound.family == socket.AF_INET and not door.announced:
                reflected.append(protocol)
        for candidate, relay in await self._ask_servers(component, reflected):
            candidates.append(candidate)
            if relay is not None:
                self._protocols.append(relay)
        return candidates

    async def _ask_servers(
        self, component: int, reflected: Sequence[StunProtocol]
    ) -> list[tuple[Candidate, StunProtocol | None]]:
        """Ask STUN from each of `reflected` (the library asks over IPv4 only), TURN once."""
        asked: list[asyncio.Task[tuple[Candidate, StunProtocol | None]]] = []
        if self.stun_server:
            asked.extend(
                asyncio.ensure_future(server_reflexive_candidate(each, self.stun_server)) for each in reflected
            )
        if self.turn_server:
            relayed = relayed_candidate(
                component=component,
                hide_related_address=True,
                protocol_factory=lambda: GuardedProtocol(self),
                turn_server=self.turn_server,
                turn_username=self.turn_username,
                turn_password=self.turn_password,
                turn_ssl=self.turn_ssl,
                turn_transport=self.turn_transport,
            )
            asked.append(asyncio.ensure_future(relayed))
        if not asked:
            return []
        done, late = await asyncio.wait(asked, timeout=SERVERS_TIMEOUT_S)
        for task in late:
            task.cancel()
        return [task.result() for task in asked if task in done and task.exception() is None]


def _host_candidate(component: int, host: str, port: int, rank: int) -> Candidate:
    """The `rank`th of our host candidates, 0 the best: no two have one priority (RFC 8445 section 5.1.2.1)."""
    return Candidate(
        foundation=candidate_foundation("host", "udp", host),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host", HIGHEST_LOCAL_PREFERENCE - rank),
        host=host,
        port=port,
        type="host",
    )


class IceGatherer(RTCIceGatherer):
    """aiortc's gatherer around an IceConnection."""

    def __init__(
        self,
        bind: Callable[[], Sequence[Door]],
        servers: Sequence[RTCIceServer],
        handshake: Callable[[bytes], None],
    ) -> None:
        super().__init__(iceServers=[])
        self.connection = IceConnection(bind, handshake, **connection_kwargs(list(servers)))
        self._connection = self.connection


class DtlsRoute:
    """What DTLS sees of ICE: records from every connection of the leg, and out by the one that is in use."""

    role = "controlled"

    def __init__(self) -> None:
        self.connection: IceConnection | None = None
        self._records: asyncio.Queue[bytes | None] = asyncio.Queue()

    def take(self, record: bytes) -> None:
        """A DTLS record from a validated pair."""
        if self._records.qsize() < DTLS_BACKLOG:
            self._records.put_nowait(record)

    def end(self) -> None:
        """No connection is left: DTLS is over."""
        self._records.put_nowait(None)

    async def _recv(self) -> bytes:
        record = await self._records.get()
        if record is None:
            raise ConnectionError("no ICE connection is left")
        return record

    async def _send(self, data: bytes) -> None:
        if self.connection is None:
            raise ConnectionError("there is no ICE connection yet")
        await self.connection.send(data)


class DtlsServer(RTCDtlsTransport):
    """DTLS in the passive role (RFC 5763 section 5), which a page that offers `actpass` leaves to us."""

    def __init__(self, route: DtlsRoute, certificate: RTCCertificate) -> None:
        super().__init__(cast("RTCIceTransport", route), [certificate])
        self._set_role("server")

    async def establish(self, peer: RTCDtlsParameters) -> tuple[SrtpReceiver, SrtpSender]:
        """Shake hands and check the peer's fingerprint. ConnectionError when either fails."""
        if not peer.fingerprints:
            raise ConnectionError("the page's SDP names no certificate fingerprint")
        await self.start(peer)
        if self.state != "connected":
            raise ConnectionError("the DTLS handshake failed, or the certificate is not the one of the SDP")
        return SrtpReceiver(self._rx_srtp), SrtpSender(self._tx_srtp)

"""The leg to a relative's page: ICE, DTLS-SRTP and one bundled transport (RFC 8834, 8835, 8843).

The page offers and controls ICE; we are controlled and passive in DTLS. Media is taken from ICE-validated pairs only,
and only with a payload type that was agreed.
"""

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec
from aiortc import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCIceCandidate,
    RTCIceParameters,
    RTCIceServer,
    RTCIceTransport,
)
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from avisiod.gateway.leg import Kind, LegListener, MediaLine
from avisiod.gateway.ortc import DtlsServer, IceGatherer, SrtpReceiver, SrtpSender
from avisiod.gateway.retransmission import original
from avisiod.gateway.udp_ports import UdpPorts

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 30.0
"""ICE and DTLS together; control usually gives up earlier."""

WATCH_INTERVAL_S = 0.5
"""How often silence is looked for."""

SHORTEST_BYTES = 12
"""An RTP header; whatever is shorter is no media."""

MAX_CANDIDATES = 64
"""Remote candidates taken from one page; RFC 8445 section 6.1.2.5 limits pairs to 100."""


_NONE: Mapping[int, int] = MappingProxyType({})


class IceDtls(msgspec.Struct, frozen=True, kw_only=True):
    """What one side's SDP says of its transport."""

    username: str
    password: str
    fingerprints: tuple[tuple[str, str], ...]
    """Hash algorithm and value, as in a=fingerprint (RFC 8122)."""
    candidates: tuple[str, ...] = ()
    """Values of a=candidate, without `candidate:`."""


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker reaches the outside."""

    ports: UdpPorts
    """Of the configured address and range, one by one."""
    announced: str
    """Address to announce in place of the bound one; empty for none."""
    silent_s: float
    certificate: RTCCertificate


class BrowserLeg:
    """One page. `gather`, then `start`, then the listener hears `connected` or `failed`; `close` always."""

    def __init__(
        self, listener: LegListener, outside: Outside, servers: Sequence[RTCIceServer], extra: dict[str, str]
    ) -> None:
        self.lines: dict[Kind, MediaLine] = {}
        self._listener = listener
        self._extra = extra
        self._silent_s = outside.silent_s
        self._ports = outside.ports
        self._port = 0
        self._announced = self._address = outside.announced
        self._gatherer = IceGatherer(self._bind, outside.announced, servers)
        self._connection = self._gatherer.connection
        self._ice = RTCIceTransport(self._gatherer)
        self._dtls = DtlsServer(self._ice, outside.certificate)
        self._dtls.on("statechange", self._dtls_changed)
        self._receiver: SrtpReceiver | None = None
        self._sender: SrtpSender | None = None
        self._kinds: list[Kind | None] = [None] * 128
        self._retransmitted: dict[int, MediaLine] = {}
        self._repairs: Mapping[int, int] = _NONE
        self._dropped_invalid = 0
        self._heard = 0.0
        self._state = "new"
        self._task: asyncio.Task[None] | None = None
        self._adding: set[asyncio.Task[None]] = set()
        self._candidates = 0
        self._watch: asyncio.TimerHandle | None = None

    @property
    def heard(self) -> float:
        """When the last authentic packet of media came; ICE checks do not count."""
        return self._heard

    @property
    def dropped_strangers(self) -> int:
        """Datagrams and checks from whoever does not know the ICE password."""
        return self._connection.dropped_strangers

    @property
    def dropped_invalid(self) -> int:
        """Not authentic, replayed, or of a payload type that was not agreed."""
        return self._dropped_invalid + self._connection.dropped_invalid

    def _bind(self) -> socket.socket:
        (bound,) = self._ports.take(time.monotonic())
        host, self._port = bound.getsockname()[:2]
        self._address = self._announced or host
        return bound

    async def gather(self) -> IceDtls:
        """Bind a port, ask the servers, and return what the answer announces. NoPorts when none is free."""
        await self._gatherer.gather()
        return IceDtls(
            username=self._connection.local_username,
            password=self._connection.local_password,
            fingerprints=tuple(
                (each.algorithm, each.value)
                for each in self._dtls.getLocalParameters().fingerprints
                if each.algorithm == "sha-256"
            ),
            candidates=tuple(candidate_to_sdp(each) for each in self._gatherer.getLocalCandidates()),
        )

    def start(self, peer: IceDtls, lines: dict[Kind, MediaLine], repairs: Mapping[int, int] = _NONE) -> None:
        """Begin ICE and DTLS with the page; `lines` is what was agreed.

        `repairs` tells the SSRC of what is retransmitted under each SSRC of the page's retransmissions.
        """
        self.lines = lines
        self._repairs = repairs
        for kind, line in lines.items():
            if line.rtx_payload_type is not None:
                self._retransmitted[line.rtx_payload_type] = line
            self._kinds[line.codec.payload_type] = kind
            if line.event_payload_type is not None:
                self._kinds[line.event_payload_type] = kind
        for candidate in peer.candidates:
            self.add_candidate(candidate)
        self._state = "connecting"
        self._task = asyncio.get_running_loop().create_task(self._connect(peer))

    def add_candidate(self, candidate: str) -> None:
        """A trickled candidate, with or without `candidate:`; what cannot be used is passed over.

        Empty, the end of candidates, is not told to ICE: the page's own checks may still arrive from addresses that
        it never listed, because its mDNS names say nothing to a server.
        """
        text = candidate.strip().removeprefix("a=").removeprefix("candidate:")
        if not text or self._candidates >= MAX_CANDIDATES or self._state in ("failed", "closed"):
            return
        try:
            parsed = usable_candidate(text, self._address)
        except ValueError:
            self._dropped_invalid += 1
            return
        if parsed is None:
            return
        self._candidates += 1
        task = asyncio.get_running_loop().create_task(self._ice.addRemoteCandidate(parsed))
        self._adding.add(task)
        task.add_done_callback(self._adding.discard)

    async def _connect(self, peer: IceDtls) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._ice.start(RTCIceParameters(usernameFragment=peer.username, password=peer.password))
                if self._ice.state != "completed":
                    raise ConnectionError("no ICE candidate pair works")  # noqa: TRY301 - one place that fails
                fingerprints = [RTCDtlsFingerprint(algorithm=name, value=value) for name, value in peer.fingerprints]
                self._receiver, self._sender = await self._dtls.establish(
                    RTCDtlsParameters(fingerprints=fingerprints)
                )
        except TimeoutError:
            self._fail(f"neither ICE nor DTLS came to an end within {CONNECT_TIMEOUT_S:.0f} s")
        except ConnectionError as error:
            self._fail(str(error))
        else:
            self._heard = time.monotonic()
            self._tell("connected")
            self._connection.release(self._media)
            self._look()

    def _media(self, data: bytes) -> bool:
        """One SRTP or SRTCP packet of the validated peer: the hot path. Only a frame's packets come together."""
        receiver = self._receiver
        if receiver is None:
            return False
        if len(data) < SHORTEST_BYTES:
            self._dropped_invalid += 1
            return False
        if 191 < data[1] < 224:
            packet = receiver.rtcp(data)
            if packet is None:
                self._dropped_invalid += 1
                return False
            self._heard = now = time.monotonic()
            self._listener.rtcp(self, None, packet, now)
            return True
        packet = receiver.rtp(data)
        kind = self._kinds[packet[1] & 0x7F] if packet is not None else None
        if packet is None or kind is None:
            if packet is None or not self._repaired(packet):
                self._dropped_invalid += 1
            return False
        self._heard = now = time.monotonic()
        self._listener.rtp(self, kind, packet, now)
        return kind is Kind.AUDIO or data[1] > 127

    def _repaired(self, packet: bytes) -> bool:
        """An authentic packet that is no agreed media: whether it is a retransmission."""
        line = self._retransmitted.get(packet[1] & 0x7F)
        source = self._repairs.get(int.from_bytes(packet[8:12], "big"))
        if line is None or source is None:
            return False
        self._heard = now = time.monotonic()
        carried = original(packet, line.codec.payload_type, source)
        if carried is not None:
            self._listener.repaired(self, line.kind, carried, now)
        return True

    def send_rtp(self, kind: Kind, packet: bytes | bytearray | memoryview) -> None:  # noqa: ARG002 - of Leg
        """Encrypt and send now; nothing happens before `connected` or after `close`."""
        sender = self._sender
        send = self._connection.send_now
        if sender is None or send is None:
            return
        data = sender.rtp(packet)
        if data is not None:
            send(data)

    def send_rtcp(self, kind: Kind, packet: bytes) -> None:  # noqa: ARG002 - of Leg
        """Encrypt and send one compound RTCP packet now; as send_rtp."""
        sender = self._sender
        send = self._connection.send_now
        if sender is None or send is None:
            return
        data = sender.rtcp(packet)
        if data is not None:
            send(data)

    def _look(self) -> None:
        """Silence, or its end."""
        heard = max(self._heard, self._connection.heard)
        silent = time.monotonic() - heard > self._silent_s
        if silent and self._state in ("connected", "flowing"):
            self._tell("silent")
        elif not silent and self._state == "silent":
            self._tell("flowing")
        self._watch = asyncio.get_running_loop().call_later(WATCH_INTERVAL_S, self._look)

    def _dtls_changed(self) -> None:
        if self._dtls.state == "closed" and self._sender is not None:
            self._fail("the page closed the connection, or gives no ICE consent any more")

    def _fail(self, why: str) -> None:
        if self._state in ("failed", "closed"):
            return
        log.info("outside leg failed: %s", why, extra=self._extra)
        self._receiver = None
        self._stop_sending()
        self._tell("failed")

    def _tell(self, state: str) -> None:
        self._state = state
        self._listener.state(self, state)

    def _stop_sending(self) -> None:
        self._sender = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def close(self) -> None:
        """Say goodbye to the page, release the port; harmless when closed."""
        if self._state == "closed":
            return
        self._state = "closed"
        self._stop_sending()
        self._receiver = None
        self._connection.release(lambda _: False)
        for task in [*self._adding, *([self._task] if self._task is not None else [])]:
            task.cancel()
        await self._dtls.stop()
        await self._ice.stop()
        if self._port:
            self._ports.give_back(self._port, time.monotonic())
        if self._task is not None:
            await asyncio.wait([self._task])


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

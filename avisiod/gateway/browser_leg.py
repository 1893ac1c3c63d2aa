"""The leg to a relative's page: ICE, DTLS-SRTP and one bundled transport (RFC 8834, 8835, 8843).

The page offers and controls ICE; we are controlled and passive in DTLS. Media is taken from ICE-validated pairs only,
and only with a payload type that was agreed. After an ICE restart (RFC 8445 section 9) the same DTLS association and
SRTP contexts go on over another path, and the old path serves until that one stands.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec
from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCIceServer

from avisiod.gateway.ice_path import IcePath
from avisiod.gateway.leg import Kind, LegListener, MediaLine
from avisiod.gateway.ortc import DtlsRoute, DtlsServer, SrtpReceiver, SrtpSender
from avisiod.gateway.retransmission import original
from avisiod.gateway.udp_ports import UdpPorts

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 30.0
"""ICE and DTLS together; control usually gives up earlier."""

WATCH_INTERVAL_S = 0.5
"""How often silence is looked for."""

SHORTEST_BYTES = 12
"""An RTP header; whatever is shorter is no media."""

OVERLAP_S = 2.0
"""A path that was left still hears what was under way."""


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
        self._outside = outside
        self._silent_s = outside.silent_s
        self._route = DtlsRoute()
        self._path = self._route_over(servers)
        self._next: IcePath | None = None
        self._path_gone = False
        self._left: set[IcePath] = set()
        self._connection = self._path.connection
        self._route.connection = self._connection
        self._dtls = DtlsServer(self._route, outside.certificate)
        self._dtls.on("statechange", self._dtls_changed)
        self._receiver: SrtpReceiver | None = None
        self._sender: SrtpSender | None = None
        self._kinds: list[Kind | None] = [None] * 128
        self._retransmitted: dict[int, MediaLine] = {}
        self._repairs: Mapping[int, int] = _NONE
        self._dropped_invalid = 0
        self._dropped_strangers = 0
        self._heard = 0.0
        self._state = "new"
        self._task: asyncio.Task[None] | None = None
        self._moving: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def heard(self) -> float:
        """When the last authentic packet of media came; ICE checks do not count."""
        return self._heard

    @property
    def dropped_strangers(self) -> int:
        """Datagrams and checks from whoever does not know the ICE password."""
        return self._dropped_strangers + self._connection.dropped_strangers

    @property
    def dropped_invalid(self) -> int:
        """Not authentic, replayed, or of a payload type that was not agreed."""
        return self._dropped_invalid + self._connection.dropped_invalid

    def _route_over(self, servers: Sequence[RTCIceServer]) -> IcePath:
        outside = self._outside
        return IcePath(outside.ports, outside.announced, servers, record=self._route.take, lost=self._path_lost)

    async def gather(self) -> IceDtls:
        """Bind a port, ask the servers, and return what the answer announces. NoPorts when none is free."""
        return await self._gathered(self._path)

    async def _gathered(self, path: IcePath) -> IceDtls:
        candidates = await path.gather()
        return IceDtls(
            username=path.connection.local_username,
            password=path.connection.local_password,
            fingerprints=tuple(
                (each.algorithm, each.value)
                for each in self._dtls.getLocalParameters().fingerprints
                if each.algorithm == "sha-256"
            ),
            candidates=candidates,
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
        """A trickled candidate of the last offer; what cannot be used is passed over."""
        if self._state not in ("failed", "closed") and not (self._next or self._path).add_candidate(candidate):
            self._dropped_invalid += 1

    async def _connect(self, peer: IceDtls) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._path.connect(peer.username, peer.password)
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

    # ICE restart.

    @property
    def may_restart(self) -> bool:
        """Whether there is a DTLS association to go on with."""
        return self._sender is not None

    async def restart(self, servers: Sequence[RTCIceServer]) -> IceDtls:
        """Begin an ICE restart: what the answer announces, with credentials and a port of its own.

        Media goes on over the old path. NoPorts leaves all as it was; an earlier restart under way is given up.
        """
        await self._give_up()
        self._next = self._route_over(servers)
        try:
            return await self._gathered(self._next)
        except BaseException:
            await self.abandon()
            raise

    async def abandon(self) -> None:
        """Give up a restart that is under way."""
        await self._give_up()
        if self._path_gone:
            self._route.end()

    async def _give_up(self) -> None:
        path, self._next = self._next, None
        moving, self._moving = self._moving, None
        if moving is not None:
            moving.cancel()
        if path is not None:
            await path.close()

    def restarted(self, peer: IceDtls) -> None:
        """Check the transport that the page offered, and move there once it works: the listener hears `moved`."""
        path = self._next
        if path is None:
            return
        for candidate in peer.candidates:
            path.add_candidate(candidate)
        self._moving = asyncio.get_running_loop().create_task(self._move(path, peer))

    async def _move(self, path: IcePath, peer: IceDtls) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await path.connect(peer.username, peer.password)
        except (TimeoutError, ConnectionError):
            log.info("an ICE restart found no path that works; the old one stays", extra=self._extra)
            self._moving = None
            await self.abandon()
            return
        old, self._path, self._path_gone = self._path, path, False
        self._next = self._moving = None
        self._dropped_strangers += self._connection.dropped_strangers
        self._dropped_invalid += self._connection.dropped_invalid
        self._connection = self._route.connection = path.connection
        path.connection.release(self._media)
        self._left.add(old)
        asyncio.get_running_loop().call_later(OVERLAP_S, self._leave, old)
        self._listener.state(self, "moved")

    def _leave(self, old: IcePath) -> None:
        if old in self._left:
            self._left.discard(old)
            task = asyncio.get_running_loop().create_task(old.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _path_lost(self, path: IcePath) -> None:
        """Without consent nothing may be sent (RFC 7675); a restart that is under way may bring another path."""
        if path is self._path:
            self._path_gone = True
            path.connection.send_now = None
            if self._next is None:
                self._route.end()

    # Packets.

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
        if self._task is not None:
            self._task.cancel()
        await self._give_up()
        await self._dtls.stop()
        for path in (self._path, *self._left):
            await path.close()
        self._left.clear()
        if self._task is not None or self._closing:
            await asyncio.wait([*self._closing, *([self._task] if self._task is not None else [])])

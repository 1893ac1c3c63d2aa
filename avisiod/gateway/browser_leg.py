"""The leg to a relative's page: ICE, DTLS-SRTP and one bundled transport (RFC 8834, 8835, 8843).

The page offers and controls ICE; we are controlled and passive in DTLS. Media is taken from ICE-validated pairs only,
and only with a payload type that was agreed. After an ICE restart (RFC 8445 section 9) the same DTLS association and
SRTP contexts go on over another path, and the old path serves until that one stands.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCIceServer

from avisiod.gateway.browser_media import NO_REPAIRS, BrowserMedia
from avisiod.gateway.ice_path import IcePath, Ports
from avisiod.gateway.leg import Kind, LegListener, MediaLine
from avisiod.gateway.ortc import DtlsRoute, DtlsServer

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 30.0
"""ICE and DTLS together; control usually gives up earlier."""

WATCH_INTERVAL_S = 0.5
"""How often silence is looked for."""

OVERLAP_S = 2.0
"""A path that was left still hears what was under way."""


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

    ports: tuple[Ports, ...]
    """Of the configured addresses and range, one by one; the best first."""
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
        self._media = BrowserMedia(self, listener, self._connection)
        self.send_rtp: Callable[[Kind, bytes | bytearray | memoryview], None] = self._media.send_rtp
        """Encrypts and sends now; nothing happens before `connected` or after `close`."""
        self._dropped_invalid = 0
        self._dropped_strangers = 0
        self._state = "new"
        self._task: asyncio.Task[None] | None = None
        self._moving: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def heard(self) -> float:
        """When the last authentic packet of media came; ICE checks do not count."""
        return self._media.heard

    @property
    def dropped_strangers(self) -> int:
        """Datagrams and checks from whoever does not know the ICE password."""
        return self._dropped_strangers + self._connection.dropped_strangers

    @property
    def dropped_invalid(self) -> int:
        """Not authentic, replayed, or of a payload type that was not agreed."""
        return self._dropped_invalid + self._media.invalid + self._connection.dropped_invalid

    def _route_over(self, servers: Sequence[RTCIceServer]) -> IcePath:
        outside = self._outside
        return IcePath(outside.ports, servers, record=self._route.take, lost=self._path_lost)

    async def gather(self) -> IceDtls:
        """Bind ports, ask the servers, and return what the answer announces. NoPorts when none is free."""
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

    def start(self, peer: IceDtls, lines: dict[Kind, MediaLine], repairs: Mapping[int, int] = NO_REPAIRS) -> None:
        """Begin ICE and DTLS with the page; `lines` is what was agreed.

        `repairs` tells the SSRC of what is retransmitted under each SSRC of the page's retransmissions.
        """
        self.lines = lines
        self._media.agree(lines, repairs)
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
                self._media.begin(*await self._dtls.establish(RTCDtlsParameters(fingerprints=fingerprints)))
        except TimeoutError:
            self._fail(f"neither ICE nor DTLS came to an end within {CONNECT_TIMEOUT_S:.0f} s")
        except ConnectionError as error:
            self._fail(str(error))
        else:
            self._media.heard = time.monotonic()
            self._tell("connected")
            self._connection.release(self._media.received)
            self._look()

    # ICE restart.

    @property
    def may_restart(self) -> bool:
        """Whether there is a DTLS association to go on with."""
        return self._media.sends

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
        self._connection = self._route.connection = self._media.transport = path.connection
        path.connection.release(self._media.received)
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

    def send_rtcp(self, kind: Kind, packet: bytes) -> None:  # noqa: ARG002 - of Leg
        """Encrypt and send one compound RTCP packet now; as send_rtp."""
        self._media.send_rtcp(packet)

    def _look(self) -> None:
        """Silence, or its end."""
        heard = max(self._media.heard, self._connection.heard)
        silent = time.monotonic() - heard > self._silent_s
        if silent and self._state in ("connected", "flowing"):
            self._tell("silent")
        elif not silent and self._state == "silent":
            self._tell("flowing")
        self._watch = asyncio.get_running_loop().call_later(WATCH_INTERVAL_S, self._look)

    def _dtls_changed(self) -> None:
        if self._dtls.state == "closed" and self._media.sends:
            self._fail("the page closed the connection, or gives no ICE consent any more")

    def _fail(self, why: str) -> None:
        if self._state in ("failed", "closed"):
            return
        log.info("outside leg failed: %s", why, extra=self._extra)
        self._media.stop_hearing()
        self._stop_sending()
        self._tell("failed")

    def _tell(self, state: str) -> None:
        self._state = state
        self._listener.state(self, state)

    def _stop_sending(self) -> None:
        self._media.stop_sending()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def close(self) -> None:
        """Say goodbye to the page, release the port; harmless when closed."""
        if self._state == "closed":
            return
        self._state = "closed"
        self._stop_sending()
        self._media.stop_hearing()
        if self._task is not None:
            self._task.cancel()
        await self._give_up()
        await self._dtls.stop()
        for path in (self._path, *self._left):
            await path.close()
        self._left.clear()
        if self._task is not None or self._closing:
            await asyncio.wait([*self._closing, *([self._task] if self._task is not None else [])])

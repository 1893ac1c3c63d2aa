"""The phone's side of a call: its sockets, its address lock, its offers and answers.

Sound and picture have a port pair each; RTCP comes on the odd ports, or on the even ones where the phone multiplexes.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial

from avisiod.gateway import rtcp, rtp, sdp_phone
from avisiod.gateway.leg import Direction, Kind, LegListener, MediaLine
from avisiod.gateway.peer_port import MAX_DATAGRAM, PeerPort
from avisiod.gateway.sdp_phone import Agreement, OwnSide, PhoneMedia, Ports
from avisiod.gateway.udp_ports import UdpPorts

_DSCP = {Kind.AUDIO: 46, Kind.VIDEO: 34}
"""Expedited forwarding and AF41 (RFC 8837 section 5)."""
_BUFFER = {Kind.AUDIO: 64 * 1024, Kind.VIDEO: 512 * 1024}
"""Octets of socket buffer: some keyframes at once."""
_SENDING = (Direction.SENDRECV, Direction.SENDONLY)
_RECEIVING = (Direction.SENDRECV, Direction.RECVONLY)

WATCH_INTERVAL_S = 0.5
"""How often silence is looked for."""

_Packet = bytes | bytearray | memoryview

log = logging.getLogger(__name__)


class PhoneLeg:
    """One phone of one call, implements `gateway.leg.Leg`.

    Made with the phone's offer, or with an empty one; `text` is then what to send back: our answer, or an offer of
    ours. OfferUnacceptable or NoPorts leave nothing behind. Packets are heard from the next turn of the loop on.
    """

    def __init__(
        self,
        call: str,
        offer: str,
        ports: UdpPorts,
        listener: LegListener,
        *,
        behind_nat: bool,
        silent_s: float,
        now: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`ports` gives pairs."""
        self.lines: dict[Kind, MediaLine] = {}
        self.media: dict[Kind, PhoneMedia] = {}
        """What was agreed, with the phone's addresses, packet time and bandwidth."""
        self.heard = now
        """When the phone last sent RTP or RTCP; monotonic."""
        self._call = call
        self._ports = ports
        self._listener = listener
        self._behind_nat = behind_nat
        self._silent_s = silent_s
        self._loop = loop
        self._session_id = secrets.randbits(31)
        self._version = 0
        self._ever_agreed: dict[Kind, MediaLine] = {}
        self._awaits_answer = False
        self._state = "new"
        self._watch: asyncio.TimerHandle | None = None
        self._streams: dict[Kind, _Stream] = {}
        self._senders: dict[Kind, Callable[[_Packet], None]] = dict.fromkeys(Kind, _nowhere)
        try:
            for kind in Kind:
                self._streams[kind] = _Stream(self, kind, ports.take(now), listener, loop)
            self.text = self.update(offer)
        except BaseException:
            self._release()
            raise

    @property
    def dropped_strangers(self) -> int:
        """Datagrams from an address that is not the phone's."""
        return sum(stream.rtp.strangers + stream.rtcp.strangers for stream in self._streams.values())

    @property
    def dropped_invalid(self) -> int:
        """Datagrams of the phone that are neither RTP of the agreed payload types nor RTCP."""
        return sum(stream.invalid + stream.rtp.invalid + stream.rtcp.invalid for stream in self._streams.values())

    def start(self) -> None:
        """Watch for silence, and tell `connected` once the phone's address is known; behind NAT a packet tells it."""
        self._state = "starting"
        if self.media and (not self._behind_nat or any(stream.rtp.locked for stream in self._streams.values())):
            self._connected()
        self._look()

    def update(self, offer: str, *, keep_codecs: bool = False) -> str:
        """Take a new offer of the phone and return our answer; or its answer to an offer of ours, and return nothing.

        An empty offer asks for an offer of ours. `keep_codecs`: the codecs in use have to stay, because a browser
        speaks them too. OfferUnacceptable changes nothing: what was agreed goes on. Read `lines` again afterwards.
        """
        own = OwnSide(
            address=self._ports.address,
            ports={kind: stream.numbers for kind, stream in self._streams.items()},
            session_id=self._session_id,
        )
        kept = self._ever_agreed if keep_codecs else {}
        if not offer:
            self._awaits_answer = True
            self._version += 1
            return sdp_phone.offer(own, self._version, kept)
        if self._awaits_answer:
            agreement = sdp_phone.accept_answer(offer, own, kept)
            self._awaits_answer = False
        else:
            agreement = sdp_phone.answer(offer, own, self._version + 1, kept)
            self._version += 1
        self._take(agreement)
        return agreement.text

    def check(self, now: float) -> None:
        """Tell the listener `silent` or `flowing` where that has changed."""
        may_send = any(line.direction in _RECEIVING for line in self.lines.values())
        silent = may_send and now - self.heard >= self._silent_s
        if self._state in ("connected", "silent") and silent != (self._state == "silent"):
            self._state = "silent" if silent else "connected"
            self._listener.state(self, "silent" if silent else "flowing")

    def send_rtp(self, kind: Kind, packet: _Packet) -> None:
        """Send one RTP packet to the phone, where it wants any."""
        self._senders[kind](packet)

    def send_rtcp(self, kind: Kind, packet: bytes) -> None:
        """Send one compound RTCP packet to the phone."""
        self._streams[kind].rtcp_out.send(packet)

    async def close(self) -> None:
        """Release sockets and ports; harmless when closed."""
        self._release()

    def _take(self, agreement: Agreement) -> None:
        for sentence in agreement.refused:
            log.info("not taken of the phone's offer: %s", sentence, extra={"call": self._call})
        self.media = agreement.media
        self.lines = agreement.lines
        self._ever_agreed.update(agreement.lines)
        for kind, stream in self._streams.items():
            media = agreement.media.get(kind)
            stream.follow(media, self._behind_nat)
            wanted = media is not None and media.address and media.line.direction in _SENDING
            self._senders[kind] = stream.rtp.send if wanted else _nowhere
        if self._state == "starting" and not self._behind_nat:
            self._connected()

    def _connected(self) -> None:
        if self._state == "starting":
            self._state = "connected"
            self._listener.state(self, "connected")

    def _look(self) -> None:
        self.check(time.monotonic())
        if self._state != "closed":
            self._watch = self._loop.call_later(WATCH_INTERVAL_S, self._look)

    def _release(self) -> None:
        if self._state == "closed":
            return
        self._state = "closed"
        if self._watch is not None:
            self._watch.cancel()
        self._senders = dict.fromkeys(Kind, _nowhere)
        now = time.monotonic()
        for stream in self._streams.values():
            stream.rtp.close()
            stream.rtcp.close()
            self._ports.give_back(stream.numbers.rtp, now, announced=self._version > 0)


class _Stream:
    """One kind of media of the phone: its two ports, and what may come through them."""

    __slots__ = (
        "_kind",
        "_leg",
        "_listener",
        "_mux",
        "_octets",
        "_reads_on",
        "invalid",
        "numbers",
        "rtcp",
        "rtcp_out",
        "rtp",
    )

    def __init__(
        self,
        leg: PhoneLeg,
        kind: Kind,
        sockets: tuple[socket.socket, ...],
        listener: LegListener,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._leg = leg
        self._kind = kind
        self._listener = listener
        self._octets: frozenset[int] = frozenset()
        self._mux = False
        self._reads_on = kind is Kind.VIDEO
        self.invalid = 0
        prepare = partial(_prepare, kind)
        self.rtp = PeerPort(
            sockets[0],
            valid=self._may_lock,
            deliver=self._rtp,
            on_lock=leg._connected,
            prepare=prepare,
            connects=True,
            loop=loop,
        )
        self.rtcp = PeerPort(
            sockets[1],
            valid=rtcp.is_rtcp,
            deliver=self._rtcp,
            on_lock=lambda: None,
            prepare=prepare,
            connects=False,
            loop=loop,
        )
        self.rtcp_out = self.rtcp
        self.numbers = Ports(self.rtp.number, self.rtcp.number)

    def follow(self, media: PhoneMedia | None, any_source: bool) -> None:
        """What was agreed from now on; nothing of a kind that was switched off is taken any more."""
        line = media.line if media else None
        types = {line.codec.payload_type, line.event_payload_type} - {None} if line else set()
        self._octets = frozenset(octet for each in types if each is not None for octet in (each, each | 0x80))
        if media is None:
            self.rtp.mute()
            self.rtcp.mute()
            return
        self._mux = media.rtcp_mux
        self.rtcp_out = self.rtp if media.rtcp_mux else self.rtcp
        if media.address:  # an old-style hold tells no address: the one before stays the phone's
            self.rtp.follow((media.address, media.rtp_port), any_source=any_source, sends=True)
            self.rtcp.follow((media.rtcp_address, media.rtcp_port), any_source=any_source, sends=True)

    def _may_lock(self, packet: bytes) -> bool:
        if len(packet) >= MAX_DATAGRAM:
            return False
        return (rtp.is_valid(packet) and packet[1] in self._octets) or (self._mux and rtcp.is_rtcp(packet))

    def _rtp(self, packet: bytes, now: float) -> bool:
        """The hot path. A frame's last packet, and every packet of sound, is the last that waits."""
        if (
            11 < len(packet) < MAX_DATAGRAM
            and packet[1] in self._octets
            and (packet[0] == 0x80 or rtp.is_valid(packet))
        ):
            self._leg.heard = now
            self._listener.rtp(self._leg, self._kind, packet, now)
            return self._reads_on and packet[1] < 0x80
        if self._mux and rtcp.is_rtcp(packet):
            return self._rtcp(packet, now)
        self.invalid += 1
        return True

    def _rtcp(self, packet: bytes, now: float) -> bool:
        if rtcp.is_rtcp(packet):
            self._leg.heard = now
            self._listener.rtcp(self._leg, self._kind, packet, now)
        else:
            self.invalid += 1
        return True


def _prepare(kind: Kind, bound: socket.socket) -> None:
    """Mark the packets for the network's queues, and make room for a burst; neither is worth a failed call."""
    with contextlib.suppress(OSError):
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _DSCP[kind] << 2)
        else:
            bound.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _DSCP[kind] << 2)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER[kind])
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER[kind])


def _nowhere(_: _Packet) -> None:
    """Where a phone that wants nothing gets nothing."""

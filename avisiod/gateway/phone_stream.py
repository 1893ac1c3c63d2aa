"""One kind of media of a phone: its two ports, and what may come through them. The hot path of the phone's side."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from avisiod.gateway import rtcp, rtp
from avisiod.gateway.leg import Kind, Leg, LegListener
from avisiod.gateway.peer_port import MAX_DATAGRAM, PeerPort
from avisiod.gateway.phone_srtp import PhoneSrtp
from avisiod.gateway.sdes import Keys
from avisiod.gateway.sdp_phone import PhoneMedia, Ports

_DSCP = {Kind.AUDIO: 46, Kind.VIDEO: 34}
"""Expedited forwarding and AF41 (RFC 8837 section 5)."""
_BUFFER = {Kind.AUDIO: 64 * 1024, Kind.VIDEO: 512 * 1024}
"""Octets of socket buffer: some keyframes at once."""

Packet = bytes | bytearray | memoryview


class PhoneStream:
    """See the module. `heard`, `invalid`: when a packet last came, and how many were none that was agreed."""

    __slots__ = (
        "_kind",
        "_leg",
        "_mux",
        "_on_rtcp",
        "_on_rtp",
        "_opened",
        "_plain",
        "_reads_on",
        "_srtp",
        "_types",
        "heard",
        "invalid",
        "numbers",
        "reports",
        "rtcp",
        "rtcp_out",
        "rtp",
        "wanted",
    )

    def __init__(
        self,
        leg: Leg,
        kind: Kind,
        sockets: tuple[socket.socket, ...],
        listener: LegListener,
        on_lock: Callable[[], None],
        now: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`sockets`, for RTP and RTCP, become ours; `on_lock` is called when the phone's address is known."""
        self._leg = leg
        self._kind = kind
        self._on_rtp: Callable[[Leg, Kind, bytes, float], None] = listener.rtp
        self._on_rtcp: Callable[[Leg, Kind | None, bytes, float], None] = listener.rtcp
        self._types: tuple[int, int] = (-1, -1)
        self._mux = False
        self._srtp: PhoneSrtp | None = None
        self._opened = b""
        self._plain: bytes | None = None
        """What was in `_opened`, the packet that was decrypted last."""
        self._reads_on = kind is Kind.VIDEO
        self.heard = now
        self.invalid = 0
        self.reports = False
        """RTCP has come."""
        self.wanted = False
        """Whether the phone wants any of this kind."""

        def prepare(bound: socket.socket) -> None:
            _prepare(kind, bound)

        self.rtp = PeerPort(
            sockets[0],
            valid=self._may_lock,
            deliver=self._rtp,
            on_lock=on_lock,
            prepare=prepare,
            connects=True,
            loop=loop,
        )
        self.rtcp = PeerPort(
            sockets[1],
            valid=rtcp.is_rtcp,
            deliver=self._rtcp,
            on_lock=_nothing,
            prepare=prepare,
            connects=False,
            loop=loop,
        )
        self.rtcp_out = self.rtcp
        self.numbers = Ports(self.rtp.number, self.rtcp.number)

    def follow(self, media: PhoneMedia | None, any_source: bool) -> None:
        """What was agreed from now on; nothing of a kind that was switched off is taken any more."""
        if media is None:
            self._types = (-1, -1)
            self.rtp.mute()
            self.rtcp.mute()
            return
        event = media.line.event_payload_type
        self._types = (media.line.codec.payload_type, -1 if event is None else event)
        self._encrypt(media.keys)
        self._mux = media.rtcp_mux
        self.rtcp_out = self.rtp if media.rtcp_mux else self.rtcp
        if media.address:  # an old-style hold tells no address: the one before stays the phone's
            self.rtp.follow((media.address, media.rtp_port), any_source=any_source, sends=True)
            self.rtcp.follow((media.rtcp_address, media.rtcp_port), any_source=any_source, sends=True)

    def _encrypt(self, keys: Keys | None) -> None:
        """Packets in clear text cost nothing more because others are encrypted: each way has its own functions."""
        if keys is None:
            if self._srtp is not None:
                self._srtp = None
                self.rtp.hear(self._may_lock, self._rtp)
                self.rtcp.hear(rtcp.is_rtcp, self._rtcp)
        elif self._srtp is None:
            self._srtp = PhoneSrtp(keys)
            self.rtp.hear(self._may_lock_sealed, self._sealed)
            self.rtcp.hear(self._may_lock_rtcp_sealed, self._rtcp_sealed)
        else:
            self._srtp.follow(keys)

    def send(self, packet: Packet) -> None:
        """Send one RTP packet."""
        if self._srtp is None:
            self.rtp.send(packet)
            return
        sealed = self._srtp.sealed(packet)
        if sealed is not None:
            self.rtp.send(sealed)

    def send_rtcp(self, packet: bytes) -> None:
        """Send one compound RTCP packet."""
        if self._srtp is None:
            self.rtcp_out.send(packet)
            return
        sealed = self._srtp.sealed_rtcp(packet)
        if sealed is not None:
            self.rtcp_out.send(sealed)

    def _open(self, packet: bytes) -> bytes | None:
        """What a packet of SRTP or SRTCP holds, None where it is not authentic; one packet may be asked twice."""
        if self._opened is packet:
            return self._plain
        if self._srtp is None or len(packet) >= MAX_DATAGRAM:
            return None
        plain = self._srtp.opened_rtcp(packet) if rtcp.is_rtcp(packet) else self._srtp.opened(packet)
        self._opened, self._plain = packet, plain
        return plain

    def _may_lock_sealed(self, packet: bytes) -> bool:
        plain = self._open(packet)
        return plain is not None and self._may_lock(plain)

    def _may_lock_rtcp_sealed(self, packet: bytes) -> bool:
        return rtcp.is_rtcp(packet) and self._open(packet) is not None

    def _sealed(self, packet: bytes, now: float) -> bool:
        plain = self._open(packet)
        if plain is None:
            self.invalid += 1
            return True
        return self._rtp(plain, now)

    def _rtcp_sealed(self, packet: bytes, now: float) -> bool:
        plain = self._open(packet) if rtcp.is_rtcp(packet) else None
        if plain is None:
            self.invalid += 1
            return True
        return self._rtcp(plain, now)

    def _agreed(self, packet: bytes) -> bool:
        payload_type = packet[1] & 0x7F
        return payload_type == self._types[0] or payload_type == self._types[1]

    def _may_lock(self, packet: bytes) -> bool:
        if len(packet) >= MAX_DATAGRAM:
            return False
        return (rtp.is_valid(packet) and self._agreed(packet)) or (self._mux and rtcp.is_rtcp(packet))

    def _rtp(self, packet: bytes, now: float) -> bool:
        """The hot path. A frame's last packet, and every packet of sound, is the last that waits."""
        if 11 < len(packet) < MAX_DATAGRAM and self._agreed(packet) and (packet[0] == 0x80 or rtp.is_valid(packet)):
            self.heard = now
            self._on_rtp(self._leg, self._kind, packet, now)
            return self._reads_on and packet[1] < 0x80
        if self._mux and rtcp.is_rtcp(packet):
            return self._rtcp(packet, now)
        self.invalid += 1
        return True

    def _rtcp(self, packet: bytes, now: float) -> bool:
        if rtcp.is_rtcp(packet):
            self.heard = now
            self.reports = True
            self._on_rtcp(self._leg, self._kind, packet, now)
        else:
            self.invalid += 1
        return True


class PhoneStreams:
    """The way out to a phone, for both kinds."""

    __slots__ = ("_audio", "_video")

    def __init__(self, streams: dict[Kind, PhoneStream]) -> None:
        self._audio = streams[Kind.AUDIO]
        self._video = streams[Kind.VIDEO]

    def send(self, kind: Kind, packet: Packet) -> None:
        """Send one RTP packet, where the phone wants any of that kind."""
        stream = self._audio if kind is Kind.AUDIO else self._video
        if stream.wanted:
            stream.send(packet)


def _prepare(kind: Kind, bound: socket.socket) -> None:
    """Mark the packets for the network's queues, and make room for a burst; neither is worth a failed call."""
    with contextlib.suppress(OSError):
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _DSCP[kind] << 2)
        else:
            bound.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _DSCP[kind] << 2)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER[kind])
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER[kind])


def _nothing() -> None:
    """RTCP alone tells nobody where the phone is."""

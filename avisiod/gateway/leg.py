"""What a leg is to the relay: two kinds of media, packets in and out, and a state.

Everything here runs in a media worker on its asyncio loop. Packets are whole RTP or RTCP packets, already decrypted
on the way in and not yet encrypted on the way out. `arrival` is CLOCK_MONOTONIC in seconds.
"""

import enum
from typing import Protocol

import msgspec


class Kind(enum.StrEnum):
    """The two kinds of media of a call."""

    AUDIO = "audio"
    VIDEO = "video"


class Direction(enum.StrEnum):
    """Who may send, as SDP says it (RFC 4566 section 6), seen from us."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


class Codec(msgspec.Struct, frozen=True, kw_only=True):
    """One negotiated codec of one kind on one leg."""

    name: str
    """Upper case encoding name of RFC 4855: H264, OPUS, G722, PCMA, PCMU; VP8 of a page where it is converted."""
    payload_type: int
    clock_rate: int
    """RTP clock in Hz; 8000 for G722 (RFC 3551 section 4.5.2)."""
    channels: int = 1
    fmtp: dict[str, str] = {}
    """Format parameters as negotiated: profile-level-id, packetization-mode, sprop-parameter-sets, …"""


class MediaLine(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of media as agreed with one peer.

    Payload types may differ between the legs; codecs only where a page's VP8 is converted.
    """

    kind: Kind
    codec: Codec
    direction: Direction = Direction.SENDRECV
    event_payload_type: int | None = None
    """telephone-event (RFC 4733) of an audio line."""
    event_clock_rate: int = 8000
    nack: bool = False
    """The peer takes generic NACK (RFC 4585)."""
    pli: bool = False
    """The peer takes Picture Loss Indication (RFC 4585)."""
    fir: bool = False
    """The peer takes Full Intra Request (RFC 5104)."""
    tmmbr: bool = False
    """The peer takes TMMBR (RFC 5104): a limit to what it sends."""
    remb: bool = False
    """The peer takes REMB (draft-alvestrand-rmcat-remb)."""
    rtx_payload_type: int | None = None
    """Retransmissions are a stream of their own (RFC 4588)."""


class LegListener(Protocol):
    """Who hears a leg: the media call. Methods are called from the loop, must not block and must not raise."""

    def rtp(self, leg: "Leg", kind: Kind, packet: bytes, arrival: float) -> None:
        """A packet of the leg's agreed payload type, from its validated address, authentic where encrypted."""

    def repaired(self, leg: "Leg", kind: Kind, packet: bytes, arrival: float) -> None:
        """A packet that came by retransmission, as it first was; it may have come before."""

    def rtcp(self, leg: "Leg", kind: Kind | None, packet: bytes, arrival: float) -> None:
        """A compound RTCP packet; `kind` is None where both kinds share one transport (BUNDLE)."""

    def state(self, leg: "Leg", state: str) -> None:
        """`connected`: may send; `quiet`, `silent`, `flowing` again; `moved`: to another network path; `failed`."""


class Leg(Protocol):
    """One side of a call."""

    lines: dict[Kind, MediaLine]
    """What was agreed; a kind that the peer refused is missing."""

    @property
    def heard(self) -> float:
        """When the last authentic packet of media came, on CLOCK_MONOTONIC."""

    @property
    def dropped_strangers(self) -> int:
        """Datagrams from an address that is not the peer's."""

    @property
    def dropped_invalid(self) -> int:
        """Not RTP, RTCP, STUN or DTLS, wrong payload type, or not authentic."""

    def send_rtp(self, kind: Kind, packet: bytes | bytearray | memoryview) -> None:
        """Send one RTP packet now; silently nothing when the leg is not connected. Never blocks, never raises."""

    def send_rtcp(self, kind: Kind, packet: bytes) -> None:
        """Send one compound RTCP packet now; as send_rtp."""

    async def close(self) -> None:
        """Release sockets and ports; harmless when closed."""

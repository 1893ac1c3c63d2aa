"""What a media worker tells of a call: counters, never events per packet."""

import msgspec


class StreamStats(msgspec.Struct, kw_only=True):
    """One direction of one kind on one leg."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0
    """Expected less received, or reported lost by the receiver (RFC 3550 A.3)."""
    jitter_ms: float = 0.0
    """Interarrival jitter (RFC 3550 A.8)."""
    keyframes: int = 0
    asked_again: int = 0
    """Packets that the receiver of this direction missed and asked for, each time counted (RFC 4585)."""
    resent: int = 0
    """Packets that came, or were sent, because they had been asked for."""
    freezes: int = 0
    """Of what is received: a packet was lost for good while the picture was whole, so it broke or stood still."""
    frozen_ms: int = 0
    """How long until the next keyframe, all of them together."""


class LegStats(msgspec.Struct, kw_only=True):
    """One leg; `received` is what its sender sent us, `sent` what we sent it as its reports tell."""

    audio_received: StreamStats = msgspec.field(default_factory=StreamStats)
    video_received: StreamStats = msgspec.field(default_factory=StreamStats)
    audio_sent: StreamStats = msgspec.field(default_factory=StreamStats)
    video_sent: StreamStats = msgspec.field(default_factory=StreamStats)
    round_trip_ms: float = 0.0
    dropped_strangers: int = 0
    """Datagrams from an address that is not the peer's."""
    dropped_invalid: int = 0
    """Not RTP, RTCP, STUN or DTLS, wrong payload type, or not authentic."""
    pictures_asked: int = 0
    """Keyframe requests sent to this leg's sender."""
    pictures_wanted: int = 0
    """Keyframe requests of this leg's receiver, by RTCP: it could not decode, or began."""


class RecorderStats(msgspec.Struct, kw_only=True):
    """The recorder of one call."""

    queued: int = 0
    """Packets waiting for the writer."""
    written_bytes: int = 0
    frames: int = 0
    gaps: int = 0
    left_out: int = 0
    """Pictures that build on one that is missing."""


class CallStats(msgspec.Struct, kw_only=True):
    """One call."""

    call: str
    phone: LegStats
    outside: LegStats
    recorder: RecorderStats | None = None
    not_converted: int = 0
    """Packets for a transcoder that took none, or from it that were none."""


class TranscoderStats(msgspec.Struct, kw_only=True):
    """One transcoder process since its start."""

    pictures: dict[str, int] = {}
    """Pictures made, by where they went: `phone`, `page`."""
    dropped: dict[str, int] = {}
    """What was not shown, by why: frames as in `Converter.dropped`, packets as in `Lane.dropped`."""


call_stats: msgspec.json.Decoder[CallStats] = msgspec.json.Decoder(CallStats)
transcoder_stats: msgspec.json.Decoder[TranscoderStats] = msgspec.json.Decoder(TranscoderStats)

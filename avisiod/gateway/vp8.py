"""VP8 as RTP carries it (RFC 7741): where a frame begins, which are keyframes, how large their pictures are."""

from avisiod.gateway.depacketizer import SETTLED_S, Counters, Frame
from avisiod.gateway.parameter_sets import Size

KEY_HEADER = 10
"""Bytes of a keyframe before its first partition: tag, start code, size (RFC 6386 section 9.1)."""

_START_CODE = b"\x9d\x01\x2a"


def payload_start(packet: bytes, start: int, end: int) -> int:
    """Where the VP8 payload begins behind the descriptor at `start` (section 4.2); -1 where there is none."""
    if start >= end:
        return -1
    at = start + 1
    if packet[start] & 0x80:
        if at >= end:
            return -1
        extensions = packet[at]
        at += 1
        if extensions & 0x80:  # PictureID, of 15 bits where its first is set
            if at >= end:
                return -1
            at += 2 if packet[at] & 0x80 else 1
        if extensions & 0x40:  # TL0PICIDX
            at += 1
        if extensions & 0x30:  # TID or KEYIDX
            at += 1
    return at if at < end else -1


def begins_frame(packet: bytes, start: int) -> bool:
    """Whether the descriptor at `start` says that its packet begins a frame: S set, first partition."""
    return packet[start] & 0x17 == 0x10


def starts_keyframe(packet: bytes, offset: int) -> bool:
    """Whether this RTP packet, its descriptor at `offset`, begins a keyframe (the inverse P bit, section 4.3)."""
    at = payload_start(packet, offset, len(packet))
    return at >= 0 and begins_frame(packet, offset) and not packet[at] & 1


def is_key(frame: bytes) -> bool:
    """Whether a whole frame is a keyframe."""
    return len(frame) > 2 and not frame[0] & 1


def picture_size(frame: bytes) -> Size:
    """The size that a keyframe announces (RFC 6386 section 9.1). ValueError where it is none, or holds nonsense."""
    if len(frame) < KEY_HEADER or not is_key(frame) or frame[3:6] != _START_CODE:
        raise ValueError("not a VP8 keyframe")
    width = int.from_bytes(frame[6:8], "little") & 0x3FFF
    height = int.from_bytes(frame[8:10], "little") & 0x3FFF
    if not width or not height:
        raise ValueError(f"a picture of {width} x {height}")
    return Size(width, height)


class Vp8Assembler:
    """Gathers the packets of one timestamp into a frame (RFC 7741 section 4.4); see depacketizer.Assembler."""

    __slots__ = (
        "_arrival",
        "_broken",
        "_counters",
        "_frames",
        "_kept_out",
        "_lost",
        "_marked",
        "_pieces",
        "_rtp_time",
        "epoch",
    )

    def __init__(self, frames: list[Frame], counters: Counters) -> None:
        self._frames = frames
        self._counters = counters
        self._lost = 0
        self._kept_out = False
        self.epoch = 0
        self._begin(None, 0.0)

    def _begin(self, rtp_time: int | None, arrival: float) -> None:
        self._rtp_time = rtp_time
        self._arrival = arrival
        self._pieces: list[bytes] = []
        self._broken = False
        self._marked = False

    def add(
        self, lost: int, rtp_time: int, marker: bool, packet: bytes, start: int, end: int, arrival: float
    ) -> None:
        """Take the next payload, from `start` to `end`, before which `lost` packets are missing."""
        if lost and not (self._marked and rtp_time != self._rtp_time):
            self._broken = True
        if rtp_time != self._rtp_time:
            self.finish()
            self._begin(rtp_time, arrival)
        self._lost += lost
        if start >= end:
            return
        self._marked |= marker
        at = payload_start(packet, start, end)
        if at < 0:
            self._counters.malformed += 1
            self._broken = True
        elif not self._pieces and not begins_frame(packet, start):
            self._broken = True
        else:
            self._pieces.append(packet[at:end])

    def finish(self) -> None:
        """Hand on the frame in hand if it is whole."""
        if self._rtp_time is None:
            return
        if self._broken:
            self._counters.incomplete += 1
            self._kept_out = True
        elif self._pieces:
            data, gap = b"".join(self._pieces), self._lost > 0 or self._kept_out
            frame = Frame(self._rtp_time, self._arrival, (data,), is_key(data), self.epoch, self._lost, gap)
            self._frames.append(frame)
            self._lost, self._kept_out = 0, False
        self._begin(None, 0.0)

    def settle(self, now: float) -> None:
        """Hand on a frame whose marker came a while ago."""
        if self._marked and now - self._arrival > SETTLED_S:
            self.finish()

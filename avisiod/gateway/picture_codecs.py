"""H.264 and VP8 pictures decoded and encoded (PyAV on FFmpeg, x264 and libvpx), for the transcoder. Blocking.

What comes from a page or a phone is decoded here, so this runs in a process of its own that holds nothing else.
"""

import fractions
import math
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from avisiod.gateway import h264, vp8
from avisiod.gateway.parameter_sets import Size, picture_size

CLOCK_RATE = 90000
MAX_SIZE = Size(1920, 1088)
"""Larger pictures are not decoded: no phone and no camera of a telephone call sends them, and memory is bounded."""
MAX_PIXELS = 640 * 480
"""Larger pictures are made smaller before they are encoded: converting is the last resort, and costs a core."""
MAX_PAYLOAD = 1100
"""Bytes of one RTP payload: fits every path, with SRTP and TURN around it."""
BETTER = 1.3
WORSE = 0.85
"""An encoder is made anew, which costs a keyframe, when its bitrate is off by more than these factors."""
SPARE_S = 5.0
"""For a higher bitrate an encoder is not made anew more often than this."""

_TIME_BASE = fractions.Fraction(1, CLOCK_RATE)
_START_CODE = b"\x00\x00\x00\x01"
# Macroblocks of a picture, and of a second, by level times ten (ITU-T H.264 table A-1).
_LEVELS = {
    9: (99, 1485), 10: (99, 1485), 11: (396, 3000), 12: (396, 6000), 13: (396, 11880), 20: (396, 11880),
    21: (792, 19800), 22: (1620, 20250), 30: (1620, 40500), 31: (3600, 108000),
}  # fmt: skip


class Undecodable(Exception):
    """A frame that no decoder takes, or that is too large; the next keyframe begins anew."""


class Limits:
    """What a receiver of H.264 can take, by its level; one that declares none is taken to have a screen."""

    def __init__(self, fmtp: dict[str, str]) -> None:
        declared = fmtp.get("profile-level-id")
        level = h264.DEFAULT_LEVEL if declared is None else h264.level(declared)
        known = max((each for each in _LEVELS if each <= max(level, 9)), default=9)
        self.level = known
        blocks, self._blocks_per_s = _LEVELS[known]
        self.pixels = min(blocks * 256, MAX_PIXELS)

    def interval_s(self, size: Size) -> float:
        """Least time between two pictures of this size."""
        return math.ceil(size.width / 16) * math.ceil(size.height / 16) / self._blocks_per_s


def fitting(size: Size, pixels: int) -> Size:
    """The same shape with at most so many pixels, sides even."""
    scale = min(1.0, math.sqrt(pixels / (size.width * size.height)))
    width, height = (max(16, int(side * scale) & ~1) for side in size)
    return Size(width, height)


class PictureDecoder(Protocol):
    """One stream of one codec."""

    def decode(self, units: tuple[bytes, ...], time: int, *, key: bool) -> Sequence[av.VideoFrame]:
        """The pictures that a whole frame completes. Undecodable where it cannot be, after which a keyframe must."""


class _Decoder:
    def __init__(self, name: str) -> None:
        self._name = name
        self._context = self._made()

    def _made(self) -> VideoCodecContext:
        context = cast("VideoCodecContext", av.CodecContext.create(self._name, "r"))
        context.thread_count = 1  # frame threads would each hold a picture back
        context.flags |= Flags.low_delay
        return context

    def _decoded(self, data: bytes, time: int) -> Sequence[av.VideoFrame]:
        packet = av.Packet(data)
        packet.pts, packet.time_base = time, _TIME_BASE
        try:
            pictures = self._context.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            self._context = self._made()
            raise Undecodable(str(error)) from error
        if any(picture.is_corrupt for picture in pictures):
            raise Undecodable("the decoder had to make something up")
        return pictures


class H264Decoder(_Decoder):
    """NAL units without start codes."""

    def __init__(self) -> None:
        super().__init__("h264")

    def decode(self, units: tuple[bytes, ...], time: int, *, key: bool) -> Sequence[av.VideoFrame]:
        """See PictureDecoder. An SPS is looked at before the decoder sees it."""
        del key
        for unit in units:
            if unit[0] & 0x1F == h264.SPS:
                _check(picture_size, unit)
        return self._decoded(b"".join(piece for unit in units for piece in (_START_CODE, unit)), time)


class Vp8Decoder(_Decoder):
    """Whole frames."""

    def __init__(self) -> None:
        super().__init__("libvpx")

    def decode(self, units: tuple[bytes, ...], time: int, *, key: bool) -> Sequence[av.VideoFrame]:
        """See PictureDecoder."""
        (data,) = units
        if key:
            _check(vp8.picture_size, data)
        return self._decoded(data, time)


def _check(read: Callable[[bytes], Size], data: bytes) -> None:
    try:
        size = read(data)
    except ValueError as error:
        raise Undecodable(str(error)) from error
    if size.width > MAX_SIZE.width or size.height > MAX_SIZE.height:
        raise Undecodable(f"a picture of {size.width} x {size.height} is too large")


class PictureEncoder:
    """One stream of RTP payloads. A change of size or a large one of bitrate begins anew, with a keyframe."""

    def __init__(self, limits: Limits | None, bitrate: int) -> None:
        """`limits` are those of a receiver of H.264; None: VP8 is made."""
        self.bitrate = bitrate
        """Bit/s to aim at; may change."""
        self._limits = limits
        self._pixels = MAX_PIXELS if limits is None else limits.pixels
        self._context: VideoCodecContext | None = None
        self._made_for = 0
        self._made_at = -math.inf
        self._last_time: int | None = None
        self._pts = 0
        self._picture_id = 0

    def is_early(self, picture: av.VideoFrame) -> bool:
        """Whether the receiver takes no more pictures a second than it got."""
        if self._limits is None or self._last_time is None or picture.pts is None:
            return False
        size = fitting(Size(picture.width, picture.height), self._pixels)
        passed = picture.pts - self._last_time
        return 0 <= passed < 0.9 * self._limits.interval_s(size) * CLOCK_RATE

    def encode(self, picture: av.VideoFrame, now: float, *, key: bool) -> list[bytes]:
        """The payloads of one picture; `key` asks for a keyframe."""
        size = fitting(Size(picture.width, picture.height), self._pixels)
        time = picture.pts or 0
        if picture.format.name != "yuv420p" or Size(picture.width, picture.height) != size:
            picture = picture.reformat(width=size.width, height=size.height, format="yuv420p")
        context = self._context
        if context is None or not self._serves(context, size, now):
            context = self._context = self._made(size)
            self._made_for, self._made_at = self.bitrate, now
        step = CLOCK_RATE // 30 if self._last_time is None else time - self._last_time
        self._pts += min(max(step, 1), CLOCK_RATE)  # another timeline of the sender is none of the encoder
        self._last_time = time
        picture.pts, picture.time_base = self._pts, _TIME_BASE
        picture.pict_type = PictureType.I if key else PictureType.NONE
        data = b"".join(bytes(packet) for packet in context.encode(picture))
        return self._vp8_payloads(data) if self._limits is None else h264_payloads(data)

    def _serves(self, context: VideoCodecContext, size: Size, now: float) -> bool:
        if (context.width, context.height) != size or self.bitrate < WORSE * self._made_for:
            return False
        return self.bitrate <= BETTER * self._made_for or now - self._made_at < SPARE_S

    def _made(self, size: Size) -> VideoCodecContext:
        name = "libvpx" if self._limits is None else "libx264"
        context = cast("VideoCodecContext", av.CodecContext.create(name, "w"))
        context.width, context.height, context.pix_fmt = size.width, size.height, "yuv420p"
        context.time_base, context.framerate = _TIME_BASE, fractions.Fraction(30)
        context.bit_rate = self.bitrate
        context.thread_count = 1
        context.gop_size = 3000  # keyframes come when somebody asks for one
        rate = str(self.bitrate)
        if self._limits is None:
            context.qmin, context.qmax = 2, 56
            context.options = {
                "deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0", "error-resilient": "default",
                "minrate": rate, "maxrate": rate, "bufsize": str(self.bitrate // 2),
                "noise-sensitivity": "0", "static-thresh": "1", "overshoot-pct": "15", "undershoot-pct": "100",
            }  # fmt: skip
        else:
            context.options = {
                "preset": "superfast", "tune": "zerolatency", "profile": "baseline",
                "level": f"{max(self._limits.level, 10) / 10:.1f}",
                "maxrate": rate, "bufsize": str(self.bitrate // 2), "forced-idr": "1",
                # NAL units that each fit into a packet go to phones of packetization-mode 0 and 1 alike.
                "x264-params": f"slice-max-size={MAX_PAYLOAD - 20}:threads=1:sliced-threads=0:scenecut=0"
                ":repeat-headers=1:annexb=1:aud=0",
            }  # fmt: skip
        return context

    def _vp8_payloads(self, data: bytes) -> list[bytes]:
        """Cut into packets, a PictureID of 15 bits in each (RFC 7741 section 4.2)."""
        self._picture_id = (self._picture_id + 1) & 0x7FFF
        identity = b"\x80" + (0x8000 | self._picture_id).to_bytes(2, "big")
        room = MAX_PAYLOAD - 4
        return [(b"\x80" if at else b"\x90") + identity + data[at : at + room] for at in range(0, len(data), room)]


def h264_payloads(annex_b: bytes) -> list[bytes]:
    """NAL units without their start codes, SEI left out; one that is too long for a packet is cut into FU-A."""
    units = (unit.rstrip(b"\x00") for unit in annex_b.split(b"\x00\x00\x01"))
    return [payload for unit in units if unit and unit[0] & 0x1F != h264.SEI for payload in _packets(unit)]


def _packets(unit: bytes) -> list[bytes]:
    if len(unit) <= MAX_PAYLOAD:
        return [unit]
    indicator, kind, room = unit[0] & 0xE0 | h264.FU_A, unit[0] & 0x1F, MAX_PAYLOAD - 2
    pieces = [unit[at : at + room] for at in range(1, len(unit), room)]
    last = len(pieces) - 1
    flags = ((0x80 if n == 0 else 0) | (0x40 if n == last else 0) for n in range(len(pieces)))
    return [bytes((indicator, flag | kind)) + piece for flag, piece in zip(flags, pieces, strict=True)]

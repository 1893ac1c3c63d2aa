"""Moving pictures as RTP packets of VP8 and H.264, made by aiortc's encoders, and the way back to pictures."""

import fractions
import functools
from collections.abc import Iterable, Sequence

import av
from aiortc.codecs.h264 import H264Decoder, H264Encoder, h264_depayload
from aiortc.codecs.vpx import Vp8Decoder, Vp8Encoder, vp8_depayload
from aiortc.jitterbuffer import JitterFrame
from PIL import Image, ImageChops, ImageStat

from avisiod.gateway import rtp

STEP = 3600
SSRC = 0x5EED
VP8, H264 = 97, 99


@functools.cache
def _base(width: int, height: int) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).rotate(30, expand=False)


def picture(number: int, width: int = 320, height: int = 240) -> Image.Image:
    """The picture of this number: what it shows moves on by a few pixels each time."""
    return ImageChops.offset(_base(width, height), number * 4, number * 2)


def encoded(
    codec: int, numbers: Iterable[int], *, keys: Sequence[int] = (), size: tuple[int, int] = (320, 240)
) -> list[list[bytes]]:
    """RTP packets of each picture, the first a keyframe, and those in `keys` too."""
    encoder = Vp8Encoder() if codec == VP8 else H264Encoder()
    frames, sequence = [], 0
    for number in numbers:
        frame = av.VideoFrame.from_image(picture(number, *size).convert("RGB")).reformat(format="yuv420p")
        frame.pts, frame.time_base = number * STEP, fractions.Fraction(1, 90000)
        payloads, time = encoder.encode(frame, force_keyframe=number in keys)
        packets = []
        for n, payload in enumerate(payloads, 1):
            sequence += 1
            packets.append(
                rtp.packet(
                    payload,
                    payload_type=codec,
                    sequence=sequence & 0xFFFF,
                    timestamp=time & 0xFFFFFFFF,
                    ssrc=SSRC,
                    marker=n == len(payloads),
                )
            )
        frames.append(packets)
    return frames


def decoded(codec: int, packets: Iterable[bytes]) -> dict[int, Image.Image]:
    """The pictures by timestamp that another decoder makes of RTP packets in their order."""
    decoder = Vp8Decoder() if codec == VP8 else H264Decoder()
    depayload = vp8_depayload if codec == VP8 else h264_depayload
    found, data, began = {}, b"", None
    for packet in packets:
        time = rtp.timestamp(packet)
        if time != began:  # what came before has no end: its encoder is gone
            data, began = b"", time
        data += depayload(rtp.payload(packet))
        if rtp.marker(packet):
            for frame in decoder.decode(JitterFrame(data=data, timestamp=time)):
                found[time] = frame.to_image()
            data = b""
    return found


def unlike(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of the brightness, 0 to 255."""
    if one.size != other.size:
        other = other.resize(one.size)
    return ImageStat.Stat(ImageChops.difference(one.convert("L"), other.convert("L"))).mean[0]

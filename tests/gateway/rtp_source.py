"""Sources of RTP for tests: real H.264 from x264, packed as phones and browsers pack it, and sound."""

import fractions
import struct
from collections.abc import Iterator

import av
from PIL import Image, ImageDraw

from avisiod.gateway.leg import Codec

H264 = Codec(name="H264", payload_type=99, clock_rate=90000, fmtp={"packetization-mode": "1"})
PCMA = Codec(name="PCMA", payload_type=8, clock_rate=8000)
PCMU = Codec(name="PCMU", payload_type=0, clock_rate=8000)
G722 = Codec(name="G722", payload_type=9, clock_rate=8000)
OPUS = Codec(name="OPUS", payload_type=111, clock_rate=48000, channels=2)


def rtp(sequence: int, timestamp: int, payload: bytes, *, pt: int, ssrc: int = 7, marker: bool = False) -> bytes:
    """One RTP packet."""
    head = struct.pack(">BBHII", 0x80, pt | marker << 7, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    return head + payload


def pictures(count: int, *, width: int = 320, height: int = 240, key_every: int = 10) -> Iterator[list[bytes]]:
    """Frames of a moving bar as lists of NAL units, SPS and PPS in each keyframe."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.time_base = fractions.Fraction(25), fractions.Fraction(1, 25)
    encoder.options = {
        "preset": "ultrafast",
        "profile": "baseline",
        "tune": "zerolatency",
        "x264-params": f"keyint={key_every}:scenecut=0:threads=1:sliced-threads=0",
    }
    for index in range(count):
        image = Image.new("RGB", (width, height), (40, 40, 40))
        left = (index * 8) % (width - 20)
        ImageDraw.Draw(image).rectangle((left, 0, left + 20, height), fill=(220, 220, 220))
        frame = av.VideoFrame.from_image(image).reformat(format="yuv420p")
        frame.pts = index
        for packet in encoder.encode(frame):
            yield nals(bytes(packet))


def nals(annex_b: bytes) -> list[bytes]:
    """Split at start codes."""
    units = annex_b.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [unit for unit in units if unit]


def packed(units: list[bytes], size: int = 400) -> list[bytes]:
    """Payloads of one frame (RFC 6184): small parameter sets aggregated, large NAL units fragmented."""
    small = [unit for unit in units if unit[0] & 0x1F in (7, 8)]
    payloads = []
    if len(small) > 1:
        payloads.append(b"\x78" + b"".join(struct.pack(">H", len(unit)) + unit for unit in small))
        units = [unit for unit in units if unit not in small]
    for unit in units:
        payloads += [unit] if len(unit) <= size else fragments(unit, size)
    return payloads


def fragments(unit: bytes, size: int) -> list[bytes]:
    """FU-A payloads of one NAL unit."""
    pieces = [unit[at : at + size] for at in range(1, len(unit), size)]
    head = unit[0] & 0xE0 | 28
    last = len(pieces) - 1
    return [
        bytes((head, unit[0] & 0x1F | (0x80 if index == 0 else 0) | (0x40 if index == last else 0))) + piece
        for index, piece in enumerate(pieces)
    ]


def video_packets(
    frames: list[list[bytes]], *, sequence: int = 100, timestamp: int = 5000, ssrc: int = 7
) -> list[list[bytes]]:
    """RTP packets of each frame, 25 frames a second."""
    packets = []
    for index, units in enumerate(frames):
        payloads = packed(units)
        of_frame = []
        for payload in payloads:
            last = len(of_frame) == len(payloads) - 1
            of_frame.append(rtp(sequence, timestamp + index * 3600, payload, pt=99, ssrc=ssrc, marker=last))
            sequence += 1
        packets.append(of_frame)
    return packets

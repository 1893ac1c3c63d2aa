"""A short H.264 clip as RTP payloads, and the way back from packets to pictures."""

import functools

import av
from av.video.frame import PictureType

SIZE = 1100


@functools.cache
def clip(mode: int, frames: int = 50) -> tuple[tuple[bytes, ...], ...]:
    """Payloads of each frame, constrained baseline, the first a keyframe: single NAL units, or FU-A in mode 1."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 320, 240, "yuv420p", 25
    slices = f"slice-max-size={SIZE}:" if mode == 0 else ""
    encoder.options = {
        "profile": "baseline",
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": f"{slices}keyint=1000:scenecut=0:repeat-headers=1",
    }
    made = []
    for number in range(frames):
        frame = av.VideoFrame(320, 240, "yuv420p")
        for plane, base in zip(frame.planes, (number * 5, 90, 160), strict=True):
            rows = (bytes((base + x + y) % 256 for x in range(plane.line_size)) for y in range(plane.height))
            plane.update(b"".join(rows))
        frame.pts, frame.pict_type = number, PictureType.I if number == 0 else PictureType.NONE
        annexb = b"".join(bytes(packet) for packet in encoder.encode(frame))
        made.append(tuple(piece for nal in nals(annexb) for piece in fragments(nal, mode)))
    return tuple(made)


def nals(annexb: bytes) -> list[bytes]:
    return [nal.rstrip(b"\x00") for nal in annexb.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
            if nal]  # fmt: skip


def fragments(nal: bytes, mode: int) -> list[bytes]:
    if len(nal) <= SIZE + 50 or mode == 0:
        return [nal]
    pieces = [nal[at : at + SIZE] for at in range(1, len(nal), SIZE)]
    indicator = nal[0] & 0xE0 | 28
    return [
        bytes((indicator, (0x80 if n == 0 else 0) | (0x40 if n == len(pieces) - 1 else 0) | nal[0] & 0x1F)) + piece
        for n, piece in enumerate(pieces)
    ]


def decoded(packets: list[bytes]) -> int:
    """How many pictures a decoder makes of these RTP packets (12 octets of header), which were not reordered."""
    decoder = av.CodecContext.create("h264", "r")
    annexb, pictures = bytearray(), 0
    for packet in packets:
        payload = packet[12:]
        kind = payload[0] & 0x1F
        if kind == 28:
            if payload[1] & 0x80:
                annexb += b"\x00\x00\x00\x01" + bytes((payload[0] & 0xE0 | payload[1] & 0x1F,))
            annexb += payload[2:]
        elif kind == 24:
            at = 1
            while at < len(payload):
                size = int.from_bytes(payload[at : at + 2], "big")
                annexb += b"\x00\x00\x00\x01" + payload[at + 2 : at + 2 + size]
                at += 2 + size
        else:
            annexb += b"\x00\x00\x00\x01" + payload
        if packet[1] & 0x80:
            pictures += len(decoder.decode(av.Packet(bytes(annexb))))
            annexb.clear()
    return pictures

"""VP8 in RTP of a hostile page, as a transcoder takes it apart, decodes it and makes H.264 of it."""

from collections.abc import Iterator

from avisiod.gateway import rtp, vp8
from avisiod.gateway.converter import Converter
from avisiod.gateway.picture_codecs import MAX_PAYLOAD, Limits
from tests.fuzz.common import packed, pieces
from tests.gateway.moving_pictures import VP8, encoded

MAX_OCTETS = 20_000
H264 = 99
LIMITS = Limits({"profile-level-id": "42e01f"})
STEPS_S = (0.0, 0.001, 0.033, 0.2, 0.6, 3.0, 60.0, 5000.0)


def seeds() -> Iterator[bytes]:
    """Moving pictures; in order and not."""
    packets = [packet for frame in encoded(VP8, range(4), keys=[2], size=(64, 48)) for packet in frame]
    yield packed(b"\x02" + packet for packet in packets)
    yield packed(b"\x04" + packet for packet in reversed(packets))
    yield packed(b"\x03" + packet[:30] for packet in packets)


def one(data: bytes) -> None:
    """What goes out is H.264 in packets that fit, numbered one after the other."""
    converter = Converter(VP8, H264, LIMITS, 300_000, 0)
    now, out = 100.0, []
    for piece in pieces(data, 50):
        now += STEPS_S[piece[0] & 7] if piece else 0.0
        packet = piece[1:]
        if len(packet) > 12:
            vp8.starts_keyframe(packet, 12)
        if rtp.is_valid(packet):  # as the media worker lets through
            converter.push(packet, now)
        out += converter.work(now)
        converter.asks(now)
    out += converter.work(now + 1)
    assert [rtp.sequence(packet) for packet in out] == list(range(len(out)))
    assert all(rtp.payload_type(packet) == H264 and 12 < len(packet) <= 12 + MAX_PAYLOAD for packet in out)

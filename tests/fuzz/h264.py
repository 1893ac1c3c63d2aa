"""H.264 in RTP of a hostile sender, as the recorder takes it apart and writes it."""

import datetime
import math
from collections.abc import Iterator

from avisiod.gateway import h264, matroska
from avisiod.gateway.leg import Codec
from avisiod.gateway.parameter_sets import decoder_configuration, parameter_set_id, picture_size
from avisiod.gateway.recording_track import Track, TrackFormat, TrackWriter
from tests.fuzz.common import packed, pieces
from tests.gateway.rtp_source import pictures, rtp, video_packets

MAX_OCTETS = 20_000
CODEC = Codec(name="H264", payload_type=99, clock_rate=90000, fmtp={"sprop-parameter-sets": "Z0LAH9oCgPaE,aM4PyA=="})
STARTED = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
STEPS_S = (0.0, 0.001, 0.033, 0.2, 0.6, 3.0, 60.0, 5000.0)


def seeds() -> Iterator[bytes]:
    """Pictures in single NAL units, STAP-A and FU-A; in order and not."""
    packets = [packet for frame in video_packets(list(pictures(5))) for packet in frame]
    yield packed(b"\x01" + packet for packet in packets)
    yield packed(b"\x02" + packet for packet in reversed(packets))
    yield packed(b"\x05" + rtp(n, n * 3000, b"\x65\x88" + bytes(9), pt=99, marker=True) for n in range(3))


def one(data: bytes) -> None:
    """Frames come out whole and in order, and everything can be written."""
    writer = TrackWriter(1, TrackFormat(track=Track.PHONE_VIDEO, codec=CODEC))
    now, last = 100.0, -1
    for piece in pieces(data, 200):
        now += STEPS_S[piece[0] & 7] if piece else 0.0
        packet = piece[1:]
        if len(packet) >= 12:
            h264.starts_keyframe(packet, 12)
            h264.is_keyframe(packet, 12)
            _parameter_sets(h264.parameter_sets_of(packet, 12))
        writer.depacketizer.push(packet, now)
        if piece and piece[0] & 16:
            writer.report(now, int.from_bytes(packet[:4], "big"), now)
        last = _in_order(writer, now, last, final=False)
    _in_order(writer, now + 1, last, final=True)
    counters = writer.depacketizer.counters
    assert counters.packets <= 200
    assert all(each.to_s >= each.from_s for each in writer.facts().gaps)
    matroska.header([writer.header()], title="x", started=STARTED)


def _in_order(writer: TrackWriter, now: float, last: int, *, final: bool) -> int:
    for block in writer.blocks(now, 100.0, None, final=final):
        assert block.at_ms > last
        assert math.isfinite(block.at_ms)
        assert block.data
        last = block.at_ms
    return last


def _parameter_sets(sets: tuple[bytes, ...]) -> None:
    for nal in sets:
        for read in (picture_size, parameter_set_id):
            try:
                read(nal)
            except ValueError:
                continue
    if all(len(nal) < 60000 for nal in sets):
        decoder_configuration(sets)

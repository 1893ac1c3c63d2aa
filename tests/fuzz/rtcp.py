"""RTCP of a hostile peer: read, and answered."""

from collections.abc import Iterator

import msgspec

from avisiod.gateway import rtcp
from avisiod.gateway.leg import Codec, Kind, MediaLine
from avisiod.gateway.leg_feedback import LegFeedback
from avisiod.gateway.relay import OutStream
from tests.fuzz.common import Errors, packed, pieces

MAX_OCTETS = 6_000
LINES = {
    Kind.AUDIO: MediaLine(kind=Kind.AUDIO, codec=Codec(name="PCMA", payload_type=8, clock_rate=8000)),
    Kind.VIDEO: MediaLine(
        kind=Kind.VIDEO,
        codec=Codec(name="H264", payload_type=99, clock_rate=90000),
        nack=True,
        pli=True,
        fir=True,
        remb=True,
        tmmbr=True,
    ),
}
OURS = {Kind.AUDIO: 1000, Kind.VIDEO: 1001}
ERRORS = Errors()
MOST_ANSWERS = 64 * 70
"""Packets for 64 compound ones: a burst of what is sent again, and a report each."""


def seeds() -> Iterator[bytes]:
    """One of each kind."""
    block = rtcp.ReportBlock(
        ssrc=1001, fraction_lost=30, lost=5, highest_sequence=70000, jitter=9, last_sr=1, delay_since_last_sr=2
    )
    every: list[rtcp.Packet] = [
        rtcp.SenderReport(ssrc=5, ntp=2**63 + 9, rtp=5, packets=3, octets=99, blocks=(block,)),
        rtcp.ReceiverReport(ssrc=5, blocks=(block, block)),
        rtcp.SourceDescription(cnames=((5, "phone"), (6, "x" * 30))),
        rtcp.Nack(sender=5, media=1001, lost=(0, 1, 5, 40, 65535)),
        rtcp.PictureLoss(sender=5, media=1001),
        rtcp.FullIntraRequest(sender=5, entries=((1001, 3),)),
        rtcp.Remb(sender=5, bitrate=300_000, ssrcs=(1001,)),
        rtcp.Tmmbr(sender=5, media=1001, bitrate=300_000),
        rtcp.Goodbye(ssrcs=(5, 6)),
    ]
    yield packed(b"\x01" + rtcp.build(each) for each in every)
    yield packed([b"\x02" + rtcp.build(*every)])


class _Leg:
    dropped_strangers = dropped_invalid = 0

    def __init__(self) -> None:
        self.sent = 0

    def send_rtp(self, kind: Kind, packet: bytes) -> None:
        self.sent += 1

    def send_rtcp(self, kind: Kind, packet: bytes) -> None:
        assert rtcp.parse(packet), "what we say can be read"
        self.sent += 1


def one(data: bytes) -> None:
    """What was read can be written and read again; the feedback answers, bounded, and never raises."""
    leg = _Leg()
    feedback = LegFeedback(lambda: None, lambda _after, _do: None)
    streams = {kind: OutStream(kind, line.codec.clock_rate, OURS[kind], 0, 0) for kind, line in LINES.items()}
    for kind, stream in streams.items():
        stream.translate(LINES[kind], LINES[kind])
    feedback.follow(leg, LINES, streams, 100.0, 1_500_000)
    for number in range(70):
        streams[Kind.VIDEO].inserted(b"\x61" + bytes(20), number * 3000, True, 100.0 + number / 30)
    now = 103.0
    for piece in pieces(data):
        now += (piece[0] & 15) / 10 if piece else 0.0
        _same_again(piece[1:])
        kind = (None, Kind.AUDIO, Kind.VIDEO, None)[piece[0] >> 6] if piece else None
        feedback.heard(kind, piece[1:], now, lambda *_: None)
        feedback.tick(now, feedback)
    assert leg.sent <= MOST_ANSWERS
    msgspec.json.encode(feedback.stats())
    ERRORS.none()


def _same_again(compound: bytes) -> None:
    try:
        found = rtcp.parse(compound)
    except ValueError:
        return
    for packet in found:
        if isinstance(packet, rtcp.SourceDescription | rtcp.Nack):
            continue  # a CNAME that is no UTF-8, numbers named twice: read to the same, written otherwise
        assert rtcp.parse(rtcp.build(packet)) == [packet], packet

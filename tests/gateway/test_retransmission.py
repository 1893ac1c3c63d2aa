"""What a receiver missed is sent again, as it was or as RTX, while it can be of use."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import rtp
from avisiod.gateway.leg import Codec, Kind, MediaLine
from avisiod.gateway.relay import KEPT_PACKETS, OutStream
from avisiod.gateway.retransmission import BURST, RESENT_SHARE, Retransmission, original, rtx_ssrc

PLAIN = MediaLine(kind=Kind.VIDEO, codec=Codec(name="H264", payload_type=102, clock_rate=90000), nack=True)
RTX = msgspec.structs.replace(PLAIN, rtx_payload_type=103)
SSRC = 0xC0FFEE01
FIRST = 0xFFF0
"""Sequence numbers wrap within the tests."""


def streaming(line: MediaLine, packets: int, now: float = 100.0) -> tuple[Retransmission, list[bytes]]:
    stream = OutStream(Kind.VIDEO, 90000, SSRC, FIRST - 1, 0xFFFFFF00)
    stream.translate(line, line)
    retransmission = Retransmission(stream, line)
    sent = [
        stream.rewritten(
            rtp.packet(b"frame %d" % n, payload_type=102, sequence=n, timestamp=n * 900, ssrc=7, marker=n % 3 == 2),
            now + n * 0.01,
        )
        for n in range(packets)
    ]
    return retransmission, [packet for packet in sent if packet is not None]


def test_without_rtx_the_packet_goes_out_as_it_was():
    retransmission, sent = streaming(PLAIN, 40)
    lost = [rtp.sequence(sent[n]) for n in (10, 20)]
    assert retransmission.asked(lost, 100.4, 0.05) == [sent[10], sent[20]]


def test_with_rtx_it_goes_out_on_a_stream_of_its_own_and_can_be_restored():
    retransmission, sent = streaming(RTX, 40)
    again = retransmission.asked([rtp.sequence(sent[n]) for n in (10, 11, 20)], 100.4, 0.05)
    assert {rtp.ssrc(packet) for packet in again} == {rtx_ssrc(SSRC)}
    assert {rtp.payload_type(packet) for packet in again} == {103}
    assert [rtp.sequence_distance(rtp.sequence(again[0]), rtp.sequence(each)) for each in again] == [0, 1, 2]
    assert [original(packet, 102, SSRC) for packet in again] == [sent[10], sent[11], sent[20]]


@pytest.mark.parametrize(
    ("index", "now"),
    [(0, 104.0), (KEPT_PACKETS + 40, 104.2)],
    ids=["no longer kept", "too old for the receiver"],
)
def test_what_is_gone_or_too_old_is_passed_over(index, now):
    retransmission, sent = streaming(PLAIN, KEPT_PACKETS + 50)
    assert retransmission.asked([rtp.sequence(sent[index])], now, 0.05) == []
    assert (retransmission.wanted, retransmission.resent) == (1, 0)


def test_what_is_still_under_way_is_not_sent_a_third_time():
    retransmission, sent = streaming(PLAIN, 40)
    lost = [rtp.sequence(sent[20])]
    assert [len(retransmission.asked(lost, now, 0.08)) for now in (100.4, 100.42, 100.45, 100.47)] == [1, 0, 0, 1]


@given(st.lists(st.tuples(st.floats(0.0, 0.5), st.lists(st.integers(0, 0xFFFF), max_size=300)), max_size=30))
def test_no_flood_of_nacks_brings_more_than_is_allowed(nacks):
    retransmission, sent = streaming(PLAIN, 200, now=98.0)
    now, count = 100.0, 0
    for after, lost in nacks:
        now += after
        known = [rtp.sequence(sent[each % 200]) for each in lost]
        count += len(retransmission.asked([*known, *lost], now, 0.0))
    assert count == retransmission.resent <= BURST


def test_what_is_sent_again_is_a_share_of_what_is_sent_however_much_is_asked_for():
    stream = OutStream(Kind.VIDEO, 90000, SSRC, FIRST - 1, 0xFFFFFF00)
    stream.translate(PLAIN, PLAIN)
    retransmission = Retransmission(stream, PLAIN)
    for n in range(2000):
        now = 100.0 + n * 0.01
        packet = rtp.packet(b"x", payload_type=102, sequence=n, timestamp=n * 900, ssrc=7)
        latest = rtp.sequence(stream.rewritten(packet, now))
        retransmission.asked([(latest - late) & 0xFFFF for late in range(60)], now, 0.0)
    assert 0.95 * 2000 * RESENT_SHARE < retransmission.resent <= BURST + 2000 * RESENT_SHARE


@given(st.binary(max_size=60))
def test_no_rtx_packet_however_malformed_does_harm(data):
    found = original(data, 102, SSRC)
    assert found is None or rtp.is_valid(found)


def test_padding_carries_nothing():
    empty = rtp.packet(b"", payload_type=103, sequence=1, timestamp=2, ssrc=3)
    padded = bytes([empty[0] | 0x20]) + empty[1:] + bytes(99) + b"\x64"
    assert original(empty, 102, SSRC) is None
    assert original(padded, 102, SSRC) is None

"""Loss and jitter are counted as RFC 3550 says, across wraps, strays and senders that begin anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import rtcp, rtp
from avisiod.gateway.leg import Kind
from avisiod.gateway.reception import Reception


def packet(sequence: int, *, timestamp: int | None = None, ssrc: int = 7, payload: bytes = b"\x41x") -> bytes:
    timestamp = sequence * 160 if timestamp is None else timestamp
    return rtp.packet(
        payload, payload_type=8, sequence=sequence & 0xFFFF, timestamp=timestamp & 0xFFFFFFFF, ssrc=ssrc
    )


def heard(sequences: list[int], *, ssrc: int = 7, into: Reception | None = None) -> Reception:
    reception = into or Reception(Kind.AUDIO, 8000)
    for number in sequences:
        reception.count(packet(number, ssrc=ssrc), number * 0.02)
    return reception


def test_nothing_heard_is_nothing_lost() -> None:
    reception = Reception(Kind.AUDIO, 8000)
    assert reception.lost == 0
    assert reception.block(0.0) is None


@pytest.mark.parametrize("start", [0, 5, 65530])
def test_loss_is_what_is_missing_across_the_wrap(start: int) -> None:
    reception = heard([start + number for number in range(100) if number % 10 != 3])
    assert reception.lost == 10
    block = reception.block(2.0)
    assert block is not None
    assert block.lost == 10
    assert block.fraction_lost == 10 * 256 // 100
    assert block.highest_sequence == start + 99
    heard([start + number for number in range(100, 200)], into=reception)
    assert (later := reception.block(4.0)) is not None
    assert (later.lost, later.fraction_lost) == (10, 0)


@given(st.permutations(list(range(1, 12))), st.integers(0, 65535))
def test_order_does_not_matter(order: list[int], start: int) -> None:
    reception = heard([start] + [start + number for number in order])
    assert reception.lost == 0
    assert reception.extended == start + 11


def test_duplicates_make_loss_negative_and_the_told_loss_zero() -> None:
    reception = heard([1, 2, 2, 3])
    assert reception.lost == -1
    assert reception.stats().lost == 0
    assert (block := reception.block(1.0)) is not None
    assert block.lost == -1


def test_a_stray_is_not_counted_and_two_in_a_row_are_a_new_beginning() -> None:
    reception = heard([1, 2, 4, 30000, 5])
    assert reception.lost == 1
    heard([40000, 40001, 40003], into=reception)
    assert reception.lost == 2
    assert reception.extended == 40003


def test_another_source_begins_anew_and_keeps_what_was_lost() -> None:
    reception = heard([1, 3])
    heard([50000, 50001, 50004], ssrc=8, into=reception)
    assert reception.lost == 3
    assert reception.ssrc == 8
    assert (block := reception.block(1.0)) is not None
    assert (block.ssrc, block.lost) == (8, 2)


def test_jitter_is_that_of_the_rfc_and_none_for_even_arrival() -> None:
    even = heard(list(range(50)))
    assert even.jitter < 1
    uneven = Reception(Kind.AUDIO, 8000)
    for number in range(200):
        uneven.count(packet(number), number * 0.02 + (0.01 if number % 2 else 0.0))
    assert uneven.jitter == pytest.approx(80, abs=2), "10 ms back and forth at 8000 Hz"
    assert uneven.stats().jitter_ms == pytest.approx(10, abs=0.3)


def test_packets_of_one_frame_do_not_count_as_jitter() -> None:
    reception = Reception(Kind.VIDEO, 90000)
    for frame in range(50):
        for part in range(10):
            reception.count(packet(frame * 10 + part, timestamp=frame * 3600), frame * 0.04 + part * 0.001)
    assert reception.jitter < 2


def test_a_keyframe_counts_once_however_many_packets_it_has() -> None:
    reception = Reception(Kind.VIDEO, 90000)
    frames = [
        [b"\x67\x42", b"\x68\xce", b"\x7c\x85\x01", b"\x7c\x05\x01", b"\x7c\x45\x01"],
        [b"\x7c\x81\x01", b"\x7c\x41\x01"],
        [b"\x41\x01"],
        [b"\x65\x01", b"\x65\x02"],
    ]
    sequence = 0
    for number, frame in enumerate(frames):
        for payload in frame:
            sequence += 1
            reception.count(packet(sequence, timestamp=number * 3600, payload=payload), number * 0.04)
    assert reception.keyframes == 2
    assert reception.keyframe_at == pytest.approx(0.12)


def test_the_next_block_returns_the_senders_report() -> None:
    reception = heard([1])
    reception.heard_report(rtcp.SenderReport(ssrc=7, ntp=0x0001_2345_6789_0000, rtp=0, packets=1, octets=1), 10.0)
    reception.heard_report(rtcp.SenderReport(ssrc=9, ntp=1, rtp=0, packets=1, octets=1), 11.0)
    assert (block := reception.block(10.5)) is not None
    assert (block.last_sr, block.delay_since_last_sr) == (0x2345_6789, 32768)


def test_keyframes_of_vp8_are_counted_too() -> None:
    reception = Reception(Kind.VIDEO, 90000, vp8=True)
    key, more, delta = b"\x90\x80\x01\x10\x02", b"\x80\x80\x01\x99", b"\x90\x80\x02\x11\x02"
    for number, payload in enumerate((key, more, delta, delta, key)):
        timestamp = {1: 0}.get(number, number * 3600)
        reception.count(packet(number, timestamp=timestamp, payload=payload), number * 0.04)
    assert reception.keyframes == 2

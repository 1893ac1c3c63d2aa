"""RTP headers are read and rewritten exactly, and nothing malformed passes as valid."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import rtp

PLAIN = bytes.fromhex("80e0 0102 00000a00 11223344") + b"payload"
EXTENDED = bytes.fromhex("92e0 0102 00000a00 11223344 0000000a 0000000b bede0001 10ff0000") + b"payload"
PADDED = bytes.fromhex("a060 0102 00000a00 11223344") + b"payload\x00\x00\x03"


def test_the_fields_of_a_header() -> None:
    assert rtp.payload_type(PLAIN) == 96
    assert rtp.marker(PLAIN)
    assert not rtp.marker(PADDED)
    assert rtp.sequence(PLAIN) == 0x0102
    assert rtp.timestamp(PLAIN) == 0x0A00
    assert rtp.ssrc(PLAIN) == 0x11223344


@pytest.mark.parametrize(("packet", "length"), [(PLAIN, 12), (EXTENDED, 28), (PADDED, 12)])
def test_the_payload_lies_behind_csrc_list_and_extension(packet: bytes, length: int) -> None:
    assert rtp.is_valid(packet)
    assert rtp.header_length(packet) == length
    assert rtp.payload(packet) == b"payload"


def test_a_rewritten_packet_keeps_marker_and_padding_and_loses_extension_and_csrc() -> None:
    assert rtp.rewritten(EXTENDED, 100, 7, 8, 9) == bytes.fromhex("80e40007 00000008 00000009") + b"payload"
    assert rtp.rewritten(PADDED, 100, 7, 8, 9) == bytes.fromhex("a0640007 00000008 00000009") + b"payload\x00\x00\x03"
    assert rtp.rewritten(PLAIN, 0, 65535, 2**32 - 1, 2**32 - 1)[12:] == b"payload"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        PLAIN[:11],
        b"\x40" + PLAIN[1:],
        bytes.fromhex("80c8 0006 00000a00 11223344"),
        EXTENDED[:18],
        EXTENDED[:22],
        EXTENDED[:26],
        PADDED[:-1] + b"\x00",
        PADDED[:-1] + b"\x0b",
        PADDED[:12],
    ],
)
def test_what_is_not_rtp_is_not_valid(packet: bytes) -> None:
    assert not rtp.is_valid(packet)


@given(st.binary(max_size=80))
def test_a_packet_that_is_valid_can_be_read_and_rewritten(packet: bytes) -> None:
    if rtp.is_valid(packet):
        assert rtp.payload(rtp.rewritten(packet, 1, 2, 3, 4)) == rtp.payload(packet)
        assert rtp.is_valid(rtp.rewritten(packet, 1, 2, 3, 4))


def test_a_packet_of_ones_own() -> None:
    packet = rtp.packet(b"x", payload_type=8, sequence=1, timestamp=2, ssrc=3, marker=True)
    assert (rtp.payload_type(packet), rtp.marker(packet), rtp.payload(packet)) == (8, True, b"x")


@pytest.mark.parametrize(
    ("earlier", "later", "distance"), [(65535, 0, 1), (0, 65535, -1), (5, 5, 0), (65000, 100, 636)]
)
def test_sequence_numbers_are_compared_across_the_wrap(earlier: int, later: int, distance: int) -> None:
    assert rtp.sequence_distance(earlier, later) == distance


def test_timestamps_are_compared_across_the_wrap() -> None:
    assert rtp.timestamp_distance(2**32 - 100, 60) == 160
    assert rtp.timestamp_distance(60, 2**32 - 100) == -160

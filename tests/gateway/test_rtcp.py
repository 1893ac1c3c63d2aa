"""RTCP that was built is read back the same; what is truncated is refused with an exact sentence."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import rtcp

WORDS = st.integers(0, 2**32 - 1)
BLOCKS = st.builds(
    rtcp.ReportBlock,
    ssrc=WORDS,
    fraction_lost=st.integers(0, 255),
    lost=st.integers(-(2**23), 2**23 - 1),
    highest_sequence=WORDS,
    jitter=WORDS,
    last_sr=WORDS,
    delay_since_last_sr=WORDS,
)
BLOCK_TUPLES = st.lists(BLOCKS, max_size=4).map(tuple)
PACKETS = st.one_of(
    st.builds(
        rtcp.SenderReport,
        ssrc=WORDS,
        ntp=st.integers(0, 2**64 - 1),
        rtp=WORDS,
        packets=WORDS,
        octets=WORDS,
        blocks=BLOCK_TUPLES,
    ),
    st.builds(rtcp.ReceiverReport, ssrc=WORDS, blocks=BLOCK_TUPLES),
    st.builds(
        rtcp.SourceDescription,
        cnames=st.lists(st.tuples(WORDS, st.text("abcé@.", max_size=20)), max_size=3).map(tuple),
    ),
    st.builds(rtcp.Goodbye, ssrcs=st.lists(WORDS, max_size=3).map(tuple)),
    st.builds(rtcp.PictureLoss, sender=WORDS, media=WORDS),
    st.builds(
        rtcp.FullIntraRequest,
        sender=WORDS,
        entries=st.lists(st.tuples(WORDS, st.integers(0, 255)), max_size=3).map(tuple),
    ),
    st.builds(
        rtcp.Remb, sender=WORDS, bitrate=st.integers(0, 2**18 - 1), ssrcs=st.lists(WORDS, max_size=3).map(tuple)
    ),
    st.builds(rtcp.Tmmbr, sender=WORDS, media=WORDS, bitrate=st.integers(0, 2**17 - 1), overhead=st.integers(0, 511)),
)


@given(st.lists(PACKETS, min_size=1, max_size=5))
def test_a_compound_packet_is_read_back_as_it_was_built(packets: list[rtcp.Packet]) -> None:
    assert rtcp.parse(rtcp.build(*packets)) == packets


@given(st.integers(0, 65535), st.sets(st.integers(0, 40), min_size=1))
def test_a_nack_names_every_lost_packet_once(first: int, offsets: set[int]) -> None:
    lost = tuple((first + offset) & 0xFFFF for offset in sorted(offsets))
    (nack,) = rtcp.parse(rtcp.build(rtcp.Nack(sender=1, media=2, lost=lost)))
    assert nack == rtcp.Nack(sender=1, media=2, lost=lost)


def test_a_nack_of_neighbours_fits_one_word() -> None:
    lost = tuple(range(65530, 65536)) + tuple(range(10))
    assert len(rtcp.build(rtcp.Nack(sender=1, media=2, lost=lost))) == 16


def test_a_large_bitrate_is_rounded_down() -> None:
    (remb,) = rtcp.parse(rtcp.build(rtcp.Remb(sender=1, bitrate=2_500_001, ssrcs=(7,))))
    assert isinstance(remb, rtcp.Remb)
    assert 2_500_001 * 0.9999 < remb.bitrate <= 2_500_001


def test_a_compound_packet_of_a_browser_is_read() -> None:
    """An RR with SDES and a REMB, and a transport-wide report, which is skipped."""
    compound = bytes.fromhex(
        "81c90007 00000001 000008ae 00000000 000011d7 0000004a 1f2a3b4c 00010000"
        "81ca0003 00000001 0105 6162636465 00"
        "8fce0005 00000001 00000000 52454d42 010a7a12 000008ae"
        "8fcd0003 00000001 000008ae 00000000"
    )
    report, description, remb = rtcp.parse(compound)
    assert isinstance(report, rtcp.ReceiverReport)
    assert report.blocks[0].jitter == 0x4A
    assert description == rtcp.SourceDescription(cnames=((1, "abcde"),))
    assert isinstance(remb, rtcp.Remb)
    assert remb.ssrcs == (0x8AE,)


@pytest.mark.parametrize(
    ("packet", "sentence"),
    [
        ("80", "RTCP of 1 octets is shorter than a header"),
        ("80c90001 00000001 81", "RTCP ends with 1 octets, which is no header"),
        ("40c90001 00000001", "RTCP version is 1 and not 2 at octet 0"),
        ("80c90002 00000001", "RTCP packet of type 201 at octet 0 ends 4 octets behind the end"),
        ("81c90001 00000001", "RTCP RR has 4 octets after its header and needs 28"),
        ("80c80001 00000001", "RTCP SR has 4 octets after its header and needs 24"),
        ("81ca0001 00000001", "RTCP SDES has 4 octets after its header and needs 5"),
        ("81ca0002 00000001 01ff0000", "RTCP SDES has 8 octets after its header and needs 261"),
        ("82cb0001 00000001", "RTCP BYE has 4 octets after its header and needs 8"),
        ("81ce0001 00000001", "RTCP feedback has 4 octets after its header and needs 8"),
        ("a0c90001 00000009", "RTCP padding at octet 0 is not at the end or does not fit"),
        ("8fce0004 00000001 00000000 52454d42 02000000", "RTCP REMB has 16 octets after its header and needs 24"),
    ],
)
def test_a_malformed_packet_is_refused_with_an_exact_sentence(packet: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        rtcp.parse(bytes.fromhex(packet))


@given(st.binary(max_size=120) | st.builds(lambda kind, tail: bytes([0x81, kind, 0, len(tail) // 4]) + tail,
                                           st.integers(200, 206), st.binary(max_size=60)))  # fmt: skip
def test_any_bytes_are_read_or_refused_with_value_error(packet: bytes) -> None:
    with contextlib.suppress(ValueError):
        rtcp.parse(packet)


def test_rtcp_is_told_apart_from_rtp_on_a_shared_port() -> None:
    assert rtcp.is_rtcp(rtcp.build(rtcp.PictureLoss(sender=1, media=2)))
    assert not rtcp.is_rtcp(bytes.fromhex("80e0 0102 00000a00 11223344"))

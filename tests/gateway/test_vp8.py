"""VP8 in RTP packets: aiortc writes the descriptors that are read here, and libvpx the frames."""

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import vp8
from avisiod.gateway.depacketizer import Depacketizer
from avisiod.gateway.parameter_sets import Size
from tests.gateway.moving_pictures import VP8, encoded

small = st.none() | st.integers(0, 255)


@given(
    start=st.integers(0, 1),
    identity=st.none() | st.integers(0, 0x7FFF),
    tl0=small,
    tid=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 1)),
    key=st.none() | st.integers(0, 31),
)
def test_the_payload_is_found_behind_any_descriptor(start, identity, tl0, tid, key):
    descriptor = bytes(
        VpxPayloadDescriptor(
            partition_start=start, partition_id=0, picture_id=identity, tl0picidx=tl0, tid=tid, keyidx=key
        )
    )
    packet = b"header" + descriptor + b"frame"
    assert vp8.payload_start(packet, 6, len(packet)) == 6 + len(descriptor)
    assert vp8.begins_frame(packet, 6) == bool(start)


def test_a_picture_id_of_seven_bits_takes_one_byte():
    assert vp8.payload_start(b"\x90\x80\x11frame", 0, 8) == 3


@given(st.binary(max_size=8))
def test_whatever_comes_as_a_descriptor_is_read_within_its_packet(data):
    at = vp8.payload_start(data, 0, len(data))
    assert at == -1 or 0 < at < len(data)


def test_a_keyframe_is_known_by_its_first_packet_and_tells_its_size():
    key, delta = encoded(VP8, range(2), size=(640, 480))
    assert vp8.starts_keyframe(key[0], 12)
    assert not any(vp8.starts_keyframe(packet, 12) for packet in [*key[1:], *delta])
    frame = key[0][12 + 4 :]
    assert vp8.picture_size(frame) == Size(640, 480)


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x01" * 10, b"\x00" * 10, b"\x00\x00\x00\x9d\x01\x2a\x00\x00\x01\x00"]
)
def test_what_is_no_keyframe_has_no_size(data):
    with pytest.raises(ValueError, match=r"keyframe|picture"):
        vp8.picture_size(data)


def frames_of(packets):
    depacketizer = Depacketizer(VP8, video=True, assembling=vp8.Vp8Assembler)
    found = []
    for n, packet in enumerate(packets):
        depacketizer.push(packet, n * 0.001)
        found += depacketizer.frames(n * 0.001 + (0.2 if n < 2 else 0))
    return found + depacketizer.flush(), depacketizer.counters


def test_frames_are_put_together_from_packets_and_tell_what_is_missing():
    made = encoded(VP8, range(3), size=(640, 480))
    whole, _ = frames_of([packet for frame in made for packet in frame])
    assert [frame.key for frame in whole] == [True, False, False]
    assert [frame.rtp_time for frame in whole] == [0, 3600, 7200]
    assert whole[0].nals == (b"".join(packet[16:] for packet in made[0]),)
    assert len(made[0]) > 1
    for missing in range(1, len(made[0])):
        left = [packet for n, packet in enumerate(made[0]) if n != missing] + made[1] + made[2]
        found, counters = frames_of(left)
        assert [(frame.rtp_time, frame.lost_before) for frame in found] == [(3600, 1), (7200, 0)]
        assert counters.incomplete == 1


def test_a_frame_that_was_lost_altogether_is_told_with_the_next_one():
    made = encoded(VP8, range(3))
    found, counters = frames_of(made[0] + made[2])
    assert [(frame.rtp_time, frame.lost_before) for frame in found] == [(0, 0), (7200, len(made[1]))]
    assert counters.incomplete == 0

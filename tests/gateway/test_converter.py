"""One direction of a converted call, with pictures that aiortc's own codecs make and look at."""

import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avisiod.gateway import h264, rtp, vp8
from avisiod.gateway.converter import KEY_EVERY_S, Converter
from avisiod.gateway.parameter_sets import Size
from avisiod.gateway.picture_codecs import MAX_PAYLOAD, Limits, Undecodable, Vp8Decoder, fitting
from tests.gateway.moving_pictures import H264, SSRC, STEP, VP8, decoded, encoded, picture, unlike

LIKE = 12.0
"""Mean difference of brightness: pictures of another moment, or broken ones, are further off."""
WIDE = Limits({"profile-level-id": "42e01f"})
BOTH = pytest.mark.parametrize("codec", [VP8, H264])


class Rig:
    """A converter, the packets that it made, and time."""

    def __init__(self, codec, limits=WIDE, bitrate=800_000):
        self.codec, self.other = codec, H264 if codec == VP8 else VP8
        self.converter = Converter(codec, self.other, limits if codec == VP8 else None, bitrate, 65530)
        self.out, self.asked, self.now = [], 0, 1000.0

    def feed(self, packets, passed=0.04):
        for packet in packets:
            self.converter.push(packet, self.now)
        self.now += passed
        made = self.converter.work(self.now)
        self.asked += self.converter.asks(self.now)
        self.out += made
        return made

    def feed_all(self, frames):
        for packets in frames:
            self.feed(packets)
        self.feed([], 1.0)
        return self

    def starts(self):
        """For each picture whether it is a keyframe."""
        starts = vp8.starts_keyframe if self.other == VP8 else h264.is_keyframe
        times = {}
        for packet in self.out:
            time = rtp.timestamp(packet)
            times[time] = times.get(time, False) or starts(packet, 12)
        return times

    def pictures_are_right(self, since=0):
        """Every picture from that number on is the one of its moment; their numbers."""
        found = {time: image for time, image in decoded(self.other, self.out).items() if time >= since * STEP}
        for time, image in found.items():
            assert unlike(image, picture(time // STEP)) < LIKE, f"picture {time // STEP} is broken"
        return sorted(time // STEP for time in found)


def test_pictures_of_different_moments_would_be_told_apart():
    assert unlike(picture(10), picture(20)) > LIKE


@BOTH
def test_pictures_come_out_in_the_other_codec_with_their_own_times(codec):
    rig = Rig(codec).feed_all(encoded(codec, range(30)))
    numbers = rig.pictures_are_right()
    assert numbers[-1] == 29
    assert len(numbers) > 24  # the first packets wait for those that may overtake them, and pile up
    assert {rtp.ssrc(packet) for packet in rig.out} == {SSRC}
    assert {rtp.payload_type(packet) for packet in rig.out} == {rig.other}
    assert max(len(packet) - 12 for packet in rig.out) <= MAX_PAYLOAD
    first = rtp.sequence(rig.out[0])
    assert [rtp.sequence(packet) for packet in rig.out] == [(first + n) & 0xFFFF for n in range(len(rig.out))]
    keys = list(rig.starts().values())
    assert keys == [True] + [False] * (len(keys) - 1)


def test_a_phone_of_packetization_mode_0_gets_nothing_but_whole_nal_units():
    rig = Rig(VP8, bitrate=3_000_000).feed_all(encoded(VP8, range(5), size=(640, 480)))
    assert {packet[12] & 0x1F for packet in rig.out} <= {1, 5, 7, 8}


@BOTH
def test_what_is_lost_stops_the_picture_until_a_keyframe_that_is_asked_for(codec):
    rig = Rig(codec)
    made = encoded(codec, range(40), keys=[30])
    rig.feed_all(made[:10])
    assert rig.asked == 0
    rig.feed(made[10][1:] if len(made[10]) > 1 else [])
    for packets in made[11:30]:
        rig.feed(packets)
    rig.feed([], 0.6)
    assert rig.asked >= 1
    assert rig.converter.dropped["awaiting"] > 5
    rig.feed_all(made[30:])
    numbers = rig.pictures_are_right()
    assert max(n for n in numbers if n < 30) < 11
    assert numbers[-10:] == list(range(30, 40))


def test_a_picture_that_is_none_stops_what_builds_on_it_though_a_keyframe_came_at_the_same_moment():
    rig = Rig(H264)
    made = encoded(H264, range(12))
    rig.feed_all(made[:5])
    again = encoded(H264, range(5, 12), keys=[5])
    number = rtp.sequence(made[4][-1])
    stream = [packet for packets in again for packet in packets]
    bad = len(again[0])
    for n, packet in enumerate(stream):
        payload = b"\x5c\x01 the middle of a unit that never began" if n == bad else packet[12:]
        stream[n] = packet[:2] + ((number + 1 + n) & 0xFFFF).to_bytes(2, "big") + packet[4:12] + payload
    assert len(again[1]) == 1
    for packet in stream:
        rig.converter.push(packet, rig.now)
    rig.feed([], 1.0)
    assert rig.converter.dropped["awaiting"] == 5
    assert rig.converter.dropped["incomplete"] == 1


@BOTH
def test_packets_that_overtake_each_other_change_nothing(codec):
    rig = Rig(codec)
    made = encoded(codec, range(20))
    for packets in made:
        shuffled = packets[:]
        random.Random(7).shuffle(shuffled)
        rig.feed(shuffled)
    numbers = rig.pictures_are_right()
    assert numbers[-15:] == list(range(5, 20))


@BOTH
def test_a_receiver_that_needs_one_gets_a_keyframe_but_not_one_for_each_request(codec):
    rig = Rig(codec)
    made = encoded(codec, range(40))
    for number, packets in enumerate(made):
        if 10 <= number < 20:
            rig.converter.refresh()
        rig.feed(packets)
    keys = [time // STEP for time, key in rig.starts().items() if key]
    assert keys[0] < 5
    assert keys[1] in (10, 11) or keys[1] * 0.04 >= KEY_EVERY_S
    assert all(b - a >= KEY_EVERY_S / 0.04 for a, b in itertools.pairwise(keys))
    assert len(keys) in (2, 3)


@BOTH
def test_a_smaller_bitrate_is_kept_to(codec):
    rig = Rig(codec)
    made = encoded(codec, range(60), size=(640, 480))
    rig.feed_all(made[:30])
    before, rig.out = sum(map(len, rig.out)), []
    rig.converter.encoder.bitrate = 100_000
    rig.feed_all(made[30:])
    assert rig.out
    assert sum(map(len, rig.out)) < 0.6 * before


def test_a_phone_gets_pictures_no_larger_and_no_faster_than_its_level_allows():
    rig = Rig(VP8, limits=Limits({"profile-level-id": "42e00b"}))  # level 1.1: 396 macroblocks, 3000 a second
    rig.feed_all(encoded(VP8, range(30), size=(640, 480)))
    found = decoded(H264, rig.out)
    assert {image.size for image in found.values()} == {fitting(Size(640, 480), 396 * 256)}
    assert rig.converter.dropped["surplus"] > 10
    times = sorted(found)
    assert all(b - a >= 3 * STEP for a, b in itertools.pairwise(times))


@pytest.mark.parametrize(("size", "pixels"), [((640, 480), 640 * 480), ((1280, 720), 640 * 480), ((33, 17), 100)])
def test_a_picture_is_made_to_fit_in_its_own_shape(size, pixels):
    made = fitting(Size(*size), pixels)
    assert made.width % 2 == made.height % 2 == 0
    assert made.width * made.height <= max(pixels, 16 * 16)


@BOTH
def test_a_processor_that_lags_behind_leaves_pictures_out(codec):
    rig = Rig(codec)
    made = encoded(codec, range(30))
    rig.feed_all(made[:10])
    rig.out = []
    rig.feed([packet for packets in made[10:20] for packet in packets])
    assert len({rtp.timestamp(packet) for packet in rig.out}) == 1
    rig.feed_all(made[20:])
    assert len(rig.starts()) == 11
    assert rig.converter.dropped["surplus"] >= 9


@BOTH
def test_after_a_skip_it_begins_anew_with_a_keyframe(codec):
    rig = Rig(codec)
    made = encoded(codec, range(30), keys=[20])
    rig.feed_all(made[:10])
    rig.converter.skip()
    rig.feed_all(made[15:])
    assert rig.asked
    assert [n for n in rig.pictures_are_right() if n >= 10][-9:] == list(range(21, 30))


def test_a_picture_of_monstrous_size_reaches_no_decoder():
    header = b"\x10\x00\x00\x9d\x01\x2a" + (0x3FFF).to_bytes(2, "little") * 2
    with pytest.raises(Undecodable, match="too large"):
        Vp8Decoder().decode((header + bytes(100),), 0, key=True)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(codec=st.sampled_from((VP8, H264)), data=st.data())
def test_whatever_comes_raises_nothing_and_the_next_keyframe_is_shown_again(codec, data):
    rig = Rig(codec)
    made = FRAMES[codec]
    rig.feed_all(made[:3])
    for packets in made[3:8]:
        spoiled = []
        for packet in packets:
            changes = data.draw(
                st.lists(st.tuples(st.integers(12, len(packet) - 1), st.integers(0, 255)), max_size=4)
            )
            changed = bytearray(packet)
            for at, value in changes:
                changed[at] = value
            spoiled.append(bytes(changed))
        spoiled += [made[7][0][:12] + data.draw(st.binary(max_size=60))] if data.draw(st.booleans()) else []
        rig.feed(spoiled)
    rig.feed([], 1.0)
    rig.out = []
    rig.converter.refresh()
    again = [
        [packet[:2] + ((rtp.sequence(packet) + 300) & 0xFFFF).to_bytes(2, "big") + packet[4:] for packet in packets]
        for packets in made[8:]
    ]
    rig.feed_all(again)
    assert rig.pictures_are_right(since=9)[-1] == 11


FRAMES = {codec: encoded(codec, range(12), keys=[9, 10, 11]) for codec in (VP8, H264)}

"""What a receiver sees: one continuous stream, whatever its senders do."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import rtp
from avisiod.gateway.leg import Codec, Kind, MediaLine
from avisiod.gateway.relay import KEPT_PACKETS, OutStream, Path

PHONE = MediaLine(kind=Kind.AUDIO, codec=Codec(name="PCMA", payload_type=8, clock_rate=8000), event_payload_type=101)
PAGE = MediaLine(kind=Kind.AUDIO, codec=Codec(name="PCMA", payload_type=8, clock_rate=8000), event_payload_type=126)
PAGE_WITHOUT_EVENTS = MediaLine(kind=Kind.AUDIO, codec=Codec(name="PCMA", payload_type=8, clock_rate=8000))
H264_PHONE = MediaLine(kind=Kind.VIDEO, codec=Codec(name="H264", payload_type=99, clock_rate=90000))
H264_PAGE = MediaLine(kind=Kind.VIDEO, codec=Codec(name="H264", payload_type=102, clock_rate=90000))

DELTA = b"\x41delta"
KEY = b"\x65\x88key"
SPS, PPS = b"\x67sps", b"\x68pps"
LATER_SLICE = b"\x65\x08key"


def audio(receiver: MediaLine = PAGE, sequence: int = 1000, timestamp: int = 0) -> OutStream:
    stream = OutStream(Kind.AUDIO, 8000, ssrc=1, sequence=sequence, timestamp=timestamp)
    stream.translate(PHONE, receiver)
    return stream


def packet(
    sequence: int, timestamp: int | None = None, source: int = 7, payload_type: int = 8, payload: bytes = b"x"
):
    if timestamp is None:
        timestamp = sequence * 160
    return rtp.packet(
        payload,
        payload_type=payload_type,
        sequence=sequence & 0xFFFF,
        timestamp=timestamp & 0xFFFFFFFF,
        ssrc=source,
    )


def test_a_packet_keeps_its_payload_and_loses_its_origin():
    extended = bytes((0x92, 0x88, 0, 5, 0, 0, 0, 9, 0, 0, 0, 7)) + bytes(8) + b"\xbe\xde\x00\x01abcd" + b"payload"
    out = audio().rewritten(extended, 1.0)
    assert out == bytes((0x80, 0x88, 1001 >> 8, 1001 & 255, 0, 0, 0, 0, 0, 0, 0, 1)) + b"payload"


def test_padding_stays_declared():
    padded = bytes((0xA0, 8)) + bytes(9) + b"\x07" + b"data\x00\x00\x00\x04"
    assert audio().rewritten(padded, 1.0)[0] == 0xA0


@given(
    first=st.integers(0, 0xFFFF),
    start=st.integers(0, 0xFFFFFFFF),
    order=st.permutations(range(1, 30)).map(lambda late: [0, *late]),
    lost=st.sets(st.integers(1, 29)),
    repeated=st.sets(st.integers(0, 29)),
    sequence=st.integers(0, 0xFFFF),
)
def test_loss_reordering_and_repeats_reach_the_receiver_as_they_were(first, start, order, lost, repeated, sequence):
    stream = audio(sequence=sequence)
    seen = []
    for number in order:
        if number in lost:
            continue
        for _ in range(2 if number in repeated else 1):
            out = stream.rewritten(packet(first + number, start + number * 160), 1.0 + number * 0.02)
            seen.append((number, (rtp.sequence(out) - sequence - 1) & 0xFFFF, rtp.timestamp(out)))
    base = seen[0][2]
    for number, place, timestamp in seen:
        assert place == number
        assert (timestamp - base) & 0xFFFFFFFF == number * 160


@given(
    runs=st.lists(
        st.tuples(
            st.integers(0, 0xFFFFFFFF),  # SSRC
            st.integers(0, 0xFFFF),  # first sequence number
            st.integers(0, 0xFFFFFFFF),  # first timestamp
            st.integers(1, 30),  # packets
            st.floats(0.0, 30.0),  # seconds before it
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_change_of_sender_leaves_no_seam(runs):
    stream = audio(sequence=0xFFF0, timestamp=0xFFFFF000)
    now, seen = 100.0, []
    for source, first, start, count, pause in runs:
        now += pause
        stream.seam()
        for number in range(count):
            out = stream.rewritten(packet(first + number, start + number * 160, source), now)
            seen.append((rtp.sequence(out), rtp.timestamp(out), now, rtp.ssrc(out)))
            now += 0.02
    for (sequence, timestamp, at, _), (next_sequence, next_timestamp, next_at, ssrc) in itertools.pairwise(seen):
        assert ssrc == 1
        assert (next_sequence - sequence) & 0xFFFF == 1
        step = (next_timestamp - timestamp) & 0xFFFFFFFF
        assert step > 0
        assert abs(step - (next_at - at) * 8000) <= 161


def test_a_new_ssrc_is_joined_on_with_the_marker_of_a_talkspurt():
    stream = audio()
    stream.rewritten(packet(5), 1.0)
    out = stream.rewritten(packet(900, 12345, source=8), 1.5)
    assert (rtp.sequence(out), rtp.timestamp(out), rtp.marker(out)) == (1002, 4000, True)
    assert not rtp.marker(stream.rewritten(packet(901, 12505, source=8), 1.52))


def test_a_late_packet_from_before_the_join_has_no_place():
    stream = audio()
    stream.rewritten(packet(500), 1.0)
    assert stream.rewritten(packet(499), 1.0) is None
    assert rtp.sequence(stream.rewritten(packet(501), 1.02)) == 1002


def test_a_stray_number_is_dropped_and_a_sender_that_begins_anew_is_joined():
    stream = audio()
    stream.rewritten(packet(500), 1.0)
    assert stream.rewritten(packet(30000), 1.02) is None
    assert rtp.sequence(stream.rewritten(packet(501), 1.02)) == 1002
    assert stream.rewritten(packet(20000, 7), 1.04) is None
    assert rtp.sequence(stream.rewritten(packet(20001, 167), 1.06)) == 1003
    assert rtp.sequence(stream.rewritten(packet(20002, 327), 1.08)) == 1004


def test_silence_that_the_clock_confirms_keeps_its_length_and_a_leap_of_the_timestamp_does_not_pass():
    stream = audio()
    base = rtp.timestamp(stream.rewritten(packet(1, 0), 1.0))
    slept = stream.rewritten(packet(2, 30 * 8000), 31.0)
    leapt = stream.rewritten(packet(3, 3_000_000_000), 31.02)
    following = stream.rewritten(packet(4, 3_000_000_160), 31.04)
    assert rtp.timestamp(slept) - base == 30 * 8000
    assert rtp.timestamp(leapt) - rtp.timestamp(slept) == 160
    assert rtp.timestamp(following) - rtp.timestamp(leapt) == 160


def test_events_change_their_payload_type_and_leave_no_hole_where_they_are_not_taken():
    assert rtp.payload_type(audio().rewritten(packet(1, payload_type=101), 1.0)) == 126
    stream = audio(PAGE_WITHOUT_EVENTS)
    numbers = []
    for sequence, payload_type in ((1, 8), (2, 101), (3, 101), (4, 8), (6, 8)):
        out = stream.rewritten(packet(sequence, payload_type=payload_type), 1.0)
        numbers.append(None if out is None else rtp.sequence(out))
    assert numbers == [1001, None, None, 1002, 1004]


def test_a_packet_of_any_size_passes():
    out = audio().rewritten(packet(1, payload=bytes(1988)), 1.0)
    assert len(out) == 2000


class Sent:
    def __init__(self):
        self.packets, self.tapped, self.counted = [], [], 0

    def send(self, kind, packet):
        self.packets.append(packet)

    def tap(self, packet, arrival):
        self.tapped.append(packet)

    def count(self, packet, arrival):
        self.counted += 1


def video_path() -> tuple[Path, Sent]:
    sent = Sent()
    stream = OutStream(Kind.VIDEO, 90000, ssrc=2, sequence=0, timestamp=0)
    stream.translate(H264_PHONE, H264_PAGE)
    return Path(Kind.VIDEO, stream, sent.count), sent


def audio_path() -> tuple[Path, Sent]:
    sent = Sent()
    return Path(Kind.AUDIO, audio(), sent.count), sent


def test_nothing_passes_before_the_bridge_and_everything_is_counted():
    path, sent = audio_path()
    path.packet(packet(1), 1.0)
    assert (sent.packets, sent.tapped, sent.counted) == ([], [], 1)


@pytest.mark.parametrize(("arrival", "passes"), [(9.99, True), (10.0, False), (10.01, False), (1e9, False)])
def test_nothing_passes_from_the_deadline_on_even_without_a_timer(arrival, passes):
    path, sent = audio_path()
    path.open(10.0, sent.send, sent.tap)
    path.packet(packet(1), arrival)
    assert (len(sent.packets), len(sent.tapped)) == (int(passes), int(passes))
    assert path.last_forwarded == (arrival if passes else 0.0)


def test_video_begins_with_a_keyframe_and_without_a_hole():
    path, sent = video_path()
    path.open(10.0, sent.send, sent.tap)
    for sequence, payload in enumerate((DELTA, DELTA, KEY, DELTA)):
        path.packet(packet(sequence, payload_type=99, payload=payload), 1.0)
    assert [(rtp.sequence(each), each[12:]) for each in sent.packets] == [(1, KEY), (2, DELTA)]
    assert len(sent.tapped) == 4


@pytest.mark.parametrize(
    ("payloads", "passed"),
    [
        ([LATER_SLICE, LATER_SLICE, DELTA, SPS, PPS, KEY, LATER_SLICE], [SPS, PPS, KEY, LATER_SLICE]),
        ([SPS[:1] + b"old", KEY], [SPS[:1] + b"old", KEY]),
        ([PPS, LATER_SLICE, DELTA, KEY, DELTA], [PPS, KEY, DELTA]),
        ([b"\x7c\x05\x88", b"\x7c\x45\x00", b"\x7c\x85\x08x", b"\x7c\x85\x88x"], [b"\x7c\x85\x88x"]),
        ([b"\x78\x00\x04" + SPS + b"\x00\x04" + PPS, KEY], [b"\x78\x00\x04" + SPS + b"\x00\x04" + PPS, KEY]),
    ],
)
def test_a_picture_begins_with_what_a_decoder_can_begin_with(payloads, passed):
    path, sent = video_path()
    path.open(10.0, sent.send, None)
    for sequence, payload in enumerate(payloads):
        path.packet(packet(sequence, payload_type=99, payload=payload), 1.0)
    assert [each[12:] for each in sent.packets] == passed
    assert [rtp.sequence(each) for each in sent.packets] == list(range(1, len(passed) + 1))


def test_a_keyframe_without_parameter_sets_is_given_those_of_the_sdp():
    path, sent = video_path()
    path.parameter_sets = (SPS, PPS)
    path.open(10.0, sent.send, None)
    for sequence, payload in ((7, DELTA), (8, KEY), (9, DELTA)):
        path.packet(packet(sequence, sequence * 3000, payload_type=99, payload=payload), 1.0)
    assert [(rtp.sequence(each), each[12:]) for each in sent.packets] == [(1, SPS), (2, PPS), (3, KEY), (4, DELTA)]
    assert len({rtp.timestamp(each) for each in sent.packets[:3]}) == 1


def test_another_bridge_begins_with_a_keyframe_again():
    path, sent = video_path()
    path.open(10.0, sent.send, None)
    path.packet(packet(1, payload_type=99, payload=KEY), 1.0)
    path.shut()
    path.packet(packet(2, payload_type=99, payload=KEY), 2.0)
    path.open(10.0, sent.send, None)
    assert path.waits_for_keyframe
    path.packet(packet(3, payload_type=99, payload=DELTA), 3.0)
    path.packet(packet(4, payload_type=99, payload=KEY), 3.5)
    assert [rtp.sequence(each) for each in sent.packets] == [1, 2]
    assert rtp.timestamp(sent.packets[1]) - rtp.timestamp(sent.packets[0]) == int(2.5 * 90000)


def test_a_prompt_takes_the_place_of_the_sound_which_is_recorded_all_the_same():
    path, sent = audio_path()
    path.open(10.0, sent.send, sent.tap)
    path.packet(packet(1), 1.0)
    path.mute()
    path.packet(packet(2), 1.02)
    sent.send(Kind.AUDIO, path.stream.inserted(b"prompt", 0, False, 1.04))
    sent.send(Kind.AUDIO, path.stream.inserted(b"prompt", 160, False, 1.06))
    path.unmute(sent.send)
    path.packet(packet(3), 1.08)
    assert [rtp.sequence(each) for each in sent.packets] == [1001, 1002, 1003, 1004]
    assert [rtp.timestamp(each) for each in sent.packets] == [0, 320, 480, 640]
    assert [rtp.marker(each) for each in sent.packets] == [True, True, False, True]
    assert {rtp.payload_type(each) for each in sent.packets} == {8}
    assert len(sent.tapped) == 3


def test_a_packet_that_was_sent_again_takes_its_place_in_the_stream_and_the_recording():
    path, sent = video_path()
    path.repair = lambda packet, arrival: True
    path.open(10.0, sent.send, sent.tap)
    for sequence in (1, 2, 4):
        path.packet(packet(sequence, payload_type=99, payload=KEY), 1.0)
    path.repaired(packet(3, payload_type=99, payload=DELTA), 1.2)
    assert [rtp.sequence(each) for each in sent.packets] == [1, 2, 4, 3]
    assert (len(sent.tapped), sent.counted) == (4, 3)


@pytest.mark.parametrize(
    ("missing", "until", "begun"), [(False, 10.0, True), (True, 1.1, True), (True, 10.0, False)],
    ids=["it had come before", "after the deadline", "while a keyframe is waited for"],
)  # fmt: skip
def test_a_packet_that_was_sent_again_is_not_forwarded(missing, until, begun):
    path, sent = video_path()
    path.repair = lambda packet, arrival: missing
    path.open(until, sent.send, sent.tap)
    path.packet(packet(1, payload_type=99, payload=KEY if begun else DELTA), 1.0)
    before = len(sent.packets)
    path.repaired(packet(0 if begun else 2, payload_type=99, payload=KEY), 1.2)
    assert len(sent.packets) == before


def test_what_is_kept_for_sending_again_is_what_was_sent():
    path, sent = video_path()
    kept = path.stream.keep()
    path.open(10.0, sent.send, None)
    for sequence in range(KEPT_PACKETS + 10):
        path.packet(packet(sequence, payload_type=99, payload=KEY), 1.0)
    assert kept == [
        sent.packets[n + KEPT_PACKETS] if n < 10 else sent.packets[n] for n in range(-1, KEPT_PACKETS - 1)
    ]

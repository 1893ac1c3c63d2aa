"""From packets to frames: whatever the network does, whole frames come out, and nothing else."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avisiod.gateway import h264
from avisiod.gateway.depacketizer import MAX_WAITING, REORDER_S, START_S, Depacketizer
from avisiod.gateway.parameter_sets import GENERIC_SPS, parameter_set_id, picture_size
from tests.gateway.rtp_source import nals, packed, pictures, rtp, video_packets

FRAMES = list(pictures(30))
PACKETS = video_packets(FRAMES)


def run(packets: list[bytes], *, video: bool = True) -> list[tuple[bytes, ...]]:
    depacketizer = Depacketizer(99, video=video)
    for index, packet in enumerate(packets):
        depacketizer.push(packet, index / 1000)
    return [frame.nals for frame in depacketizer.flush()]


def flat(frames: list[list[bytes]]) -> list[bytes]:
    return [packet for frame in frames for packet in frame]


def test_every_frame_of_an_undisturbed_stream_comes_out_whole_and_in_order() -> None:
    assert run(flat(PACKETS)) == [tuple(frame) for frame in FRAMES]


def test_aggregated_parameter_sets_and_fragments_were_in_that_stream() -> None:
    kinds = {payload[0] & 0x1F for frame in FRAMES for payload in packed(frame)}
    assert {24, 28} <= kinds


@given(st.integers(0, 65535), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_sequence_numbers_and_timestamps_wrap_around(sequence: int, timestamp: int) -> None:
    packets = video_packets(FRAMES[:12], sequence=sequence, timestamp=timestamp)
    assert run(flat(packets)) == [tuple(frame) for frame in FRAMES[:12]]


@given(st.randoms(use_true_random=False), st.sets(st.integers(0, len(flat(PACKETS)) - 1), max_size=12))
@settings(max_examples=60, deadline=None)
def test_exactly_the_frames_that_lost_no_packet_come_out(rng: random.Random, lost: set[int]) -> None:
    """Packets are lost, swapped with near ones, and doubled."""
    numbered = list(enumerate(flat(PACKETS)))
    frame_of = [index for index, frame in enumerate(PACKETS) for _ in frame]
    broken = {frame_of[number] for number in lost}
    kept = [(number + rng.uniform(0, 4), packet) for number, packet in numbered if number not in lost]
    kept += [(place + rng.uniform(0, 4), packet) for place, packet in kept if rng.random() < 0.1]
    came = run([packet for _, packet in sorted(kept, key=lambda entry: entry[0])])
    parameter_sets_lost = {index for index in broken if len(FRAMES[index]) > 1}
    whole = [tuple(frame) for index, frame in enumerate(FRAMES) if index not in broken]
    # A keyframe that lost but its parameter sets is whole again with those of the keyframe before.
    again = {tuple(FRAMES[index]) for index in parameter_sets_lost}
    slices_of = lambda units: tuple(nal for nal in units if 1 <= nal[0] & 0x1F <= 5)  # noqa: E731
    mended = {slices_of(units) for units in again}
    assert [units for units in came if slices_of(units) not in mended] == [
        units for units in whole if slices_of(units) not in mended
    ]


def test_a_loss_is_told_with_the_next_whole_frame() -> None:
    depacketizer = Depacketizer(99, video=True)
    assert len(PACKETS[10]) > 1
    for frame in PACKETS[8:14]:
        for packet in frame[:-1] if frame is PACKETS[10] else frame:
            depacketizer.push(packet, 0.0)
    frames = depacketizer.flush()
    assert [frame.lost_before for frame in frames] == [0, 0, 1, 0, 0]
    assert [frame.gap_before for frame in frames] == [False, False, True, False, False]
    assert depacketizer.counters.lost == 1
    assert depacketizer.counters.incomplete == 1


def test_a_picture_that_is_no_picture_is_told_with_the_next_one_though_nothing_was_lost() -> None:
    first = b"\x41\x9a first slice"
    stream = [(0, 0, first), (1, 3600, b"\x5c\x01 the middle of a unit that never began"), (2, 7200, first)]
    depacketizer = Depacketizer(99, video=True)
    for sequence, at, payload in stream:
        depacketizer.push(rtp(sequence, at, payload, pt=99, marker=True), 0.0)
    assert [(frame.lost_before, frame.gap_before) for frame in depacketizer.flush()] == [(0, False), (0, True)]


def test_a_picture_without_its_first_slice_is_not_whole() -> None:
    first, second = b"\x41\x9a first slice", b"\x41\x1a slice that begins further down"
    stream = [(0, 0, first, False), (1, 0, second, True), (3, 3600, second, True), (4, 7200, first, True)]
    packets = [rtp(sequence, at, payload, pt=99, marker=marker) for sequence, at, payload, marker in stream]
    assert run(packets) == [(first, second), (first,)]


def test_a_whole_picture_after_a_loss_is_kept() -> None:
    first, second = b"\x41\x9a first slice", b"\x41\x1a slice that begins further down"
    stream = [(0, 0, first, True), (2, 7200, first, False), (3, 7200, second, True)]
    packets = [rtp(sequence, at, payload, pt=99, marker=marker) for sequence, at, payload, marker in stream]
    assert run(packets) == [(first,), (first, second)]


def test_the_first_packets_of_a_source_may_come_out_of_order() -> None:
    packets = flat(PACKETS[:5])
    assert run([packets[2], packets[0], packets[1], *packets[3:]]) == [tuple(frame) for frame in FRAMES[:5]]


def test_a_missing_packet_is_waited_for_and_then_given_up() -> None:
    depacketizer = Depacketizer(99, video=True)
    late = PACKETS[1][0]
    for packet in PACKETS[0]:
        depacketizer.push(packet, 0.0)
    assert len(depacketizer.frames(START_S + 0.01)) == 0
    for packet in PACKETS[1][1:] + PACKETS[2] + PACKETS[3]:
        depacketizer.push(packet, 0.2)
    assert len(depacketizer.frames(0.3)) <= 1
    depacketizer.push(late, 0.35)
    first = depacketizer.frames(0.4)
    assert len(first) >= 2
    depacketizer = Depacketizer(99, video=True)
    for packet in PACKETS[0] + PACKETS[1][1:] + PACKETS[2] + PACKETS[3]:
        depacketizer.push(packet, 0.2)
    assert len(depacketizer.frames(0.21 + START_S + REORDER_S)) == 3
    depacketizer.push(late, 1.0)
    assert depacketizer.counters.duplicates == 1


def test_fragments_are_understood_though_mode_0_was_declared_and_single_units_though_mode_1() -> None:
    frame = FRAMES[0]
    single = [rtp(index, 0, unit, pt=99, marker=unit is frame[-1]) for index, unit in enumerate(frame)]
    assert run(single) == [tuple(frame)]


def test_parameter_sets_of_the_sdp_go_before_a_keyframe_that_has_none() -> None:
    depacketizer = Depacketizer(99, video=True)
    sets = tuple(unit for unit in FRAMES[0] if unit[0] & 0x1F in (7, 8))
    bare = [unit for unit in FRAMES[0] if unit not in sets]
    depacketizer.assembler.learn(sets)
    for index, payload in enumerate(packed(bare)):
        depacketizer.push(rtp(index, 0, payload, pt=99), 0.0)
    [frame] = depacketizer.flush()
    assert frame.key
    assert frame.nals == sets + tuple(bare)


def test_parameter_sets_that_come_alone_are_no_frame_but_join_the_next_keyframe() -> None:
    sets = [unit for unit in FRAMES[0] if unit[0] & 0x1F in (7, 8)]
    bare = [unit for unit in FRAMES[0] if unit not in sets]
    packets = [rtp(index, 0, unit, pt=99, marker=True) for index, unit in enumerate(sets)]
    packets += [rtp(len(sets) + index, 3600, payload, pt=99) for index, payload in enumerate(packed(bare))]
    assert run(packets) == [(*sets, *bare)]


def test_a_new_source_starts_anew_and_stragglers_of_the_old_one_are_left_out() -> None:
    second = video_packets(FRAMES[10:14], sequence=9, timestamp=77, ssrc=8)
    packets = flat(PACKETS[:10]) + second[0] + [PACKETS[9][-1]] + flat(second[1:])
    depacketizer = Depacketizer(99, video=True)
    for index, packet in enumerate(packets):
        depacketizer.push(packet, index / 1000)
    frames = depacketizer.flush()
    assert [frame.nals for frame in frames] == [tuple(frame) for frame in FRAMES[:14]]
    assert [frame.epoch for frame in frames] == [0] * 10 + [1] * 4
    assert depacketizer.counters.foreign == 1


def test_a_leap_of_sequence_numbers_is_a_new_start_and_loses_nothing() -> None:
    packets = flat(PACKETS[:10]) + flat(video_packets(FRAMES[10:14], sequence=40000, timestamp=77))
    assert run(packets) == [tuple(frame) for frame in FRAMES[:14]]


def test_sound_comes_packet_by_packet_and_other_payload_types_are_left_out() -> None:
    packets = [
        rtp(5, 0, b"a", pt=99),
        rtp(6, 160, b"digit", pt=101),
        rtp(7, 160, b"", pt=99),
        rtp(8, 320, b"c", pt=99),
    ]
    depacketizer = Depacketizer(99, video=False)
    for packet in packets:
        depacketizer.push(packet, 0.0)
    assert [frame.nals[0] for frame in depacketizer.flush()] == [b"a", b"c"]
    assert depacketizer.counters.foreign == 1


def test_padding_extensions_and_contributing_sources_are_not_payload() -> None:
    head = bytes((0x80 | 0x20 | 0x10 | 2, 99)) + bytes(10) + bytes(8) + b"\xbe\xde\x00\x01" + b"abcd"
    assert run([head + b"sound" + b"\x00\x00\x03"], video=False) == [(b"sound",)]


@pytest.mark.parametrize(
    "packet", [b"", b"\x80", bytes(12), b"\x90\x63" + bytes(10), b"\xa0\x63" + bytes(9) + b"\xff"]
)
def test_what_is_no_rtp_is_counted_and_dropped(packet: bytes) -> None:
    assert run([packet], video=False) in ([], [(b"",)])


@given(st.lists(st.tuples(st.binary(max_size=60), st.integers(0, 65535), st.integers(0, 3)), max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_packet_whatsoever_makes_it_raise(packets: list[tuple[bytes, int, int]]) -> None:
    for video in (False, True):
        depacketizer = Depacketizer(99, video=video)
        for index, (payload, sequence, shape) in enumerate(packets):
            depacketizer.push(payload if shape == 0 else rtp(sequence, shape, payload, pt=99, ssrc=shape), index / 10)
            depacketizer.frames(index / 10)
        depacketizer.flush()


def test_a_stream_with_every_other_packet_missing_keeps_memory_bounded() -> None:
    depacketizer = Depacketizer(99, video=True)
    for index in range(0, 4 * MAX_WAITING, 2):
        depacketizer.push(rtp(index, index, b"\x41\x80", pt=99), 0.0)
    assert len(depacketizer._waiting) <= MAX_WAITING


def test_the_picture_size_stands_in_the_parameter_set() -> None:
    for width, height in ((320, 240), (480, 640), (1280, 720), (176, 144)):
        [frame] = pictures(1, width=width, height=height)
        sps = next(unit for unit in frame if unit[0] & 0x1F == h264.SPS)
        assert picture_size(sps) == (width, height)
    assert picture_size(GENERIC_SPS) == (640, 480)


@given(st.binary(min_size=1, max_size=40))
def test_a_parameter_set_of_nonsense_is_a_value_error(sps: bytes) -> None:
    for read in (picture_size, parameter_set_id):
        try:
            read(sps)
        except ValueError:
            continue


def test_parameter_sets_are_found_in_the_sdp_and_nonsense_is_not() -> None:
    fmtp = {"sprop-parameter-sets": "Z0LAH9oCgPaE,aM4PyA==,!!,QQ=="}
    assert [nal[0] & 0x1F for nal in h264.parameter_sets(fmtp)] == [7, 8]
    assert h264.parameter_sets({}) == ()
    assert nals(b"\x00\x00\x00\x01\x67\x42") == [b"\x67\x42"]

"""The bytes of a recording, taken apart again as RFC 9559 lays them out."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import matroska
from avisiod.gateway.leg import Kind
from avisiod.gateway.matroska import HEADER_BYTES, TrackHeader
from avisiod.gateway.parameter_sets import GENERIC_PPS, GENERIC_SPS, decoder_configuration
from avisiod.gateway.recording_file import part_path
from avisiod.gateway.recording_track import Track
from tests.gateway.recording_rig import Rig
from tests.gateway.rtp_source import H264, pictures, video_packets

EBML, SEGMENT, SEEK_HEAD, INFO, TRACKS, VOID = 0x1A45DFA3, 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0xEC
CLUSTER, CUES, SEEK, SEEK_ID, SEEK_POSITION = 0x1F43B675, 0x1C53BB6B, 0x4DBB, 0x53AB, 0x53AC
STARTED = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def elements(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Position, id and payload of each element; an unknown size reaches to the end."""
    at = 0
    while at < len(data):
        start = at
        length = 9 - data[at].bit_length()
        identifier = int.from_bytes(data[at : at + length], "big")
        at += length
        length = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
        at += length
        if size == (1 << 7 * length) - 1:
            size = len(data) - at
        assert at + size <= len(data)
        yield start, identifier, data[at : at + size]
        at += size


def children(data: bytes) -> list[tuple[int, bytes]]:
    return [(identifier, payload) for _, identifier, payload in elements(data)]


def number(payload: bytes) -> int:
    return int.from_bytes(payload, "big")


@given(st.integers(0, 70000))
def test_every_length_is_written_as_it_is_read(length: int) -> None:
    assert children(matroska.element(0xA3, bytes(length))) == [(0xA3, bytes(length))]


def recorded(folder: Path, *, sealed: bool) -> bytes:
    rig = Rig(folder)
    rig.recorder.open()
    for index, frame in enumerate(video_packets(list(pictures(100)))):
        for packet in frame:
            rig.recorder.packet(Track.PHONE_VIDEO, packet, rig.at(index * 0.04))
    if not sealed:
        data = part_path(rig.path).read_bytes()
        rig.recorder.seal("limit_reached")
        return data
    rig.recorder.seal("limit_reached")
    return rig.path.read_bytes()


def test_a_growing_file_is_a_header_region_of_fixed_length_and_an_empty_cluster(tmp_path: Path) -> None:
    data = recorded(tmp_path, sealed=False)
    (_, head), (segment_id, segment) = children(data)
    assert (0x4282, b"matroska") in children(head)
    assert segment_id == SEGMENT
    assert [identifier for identifier, _ in children(segment)] == [INFO, TRACKS, VOID, CLUSTER]
    assert data[HEADER_BYTES : HEADER_BYTES + 4] == CLUSTER.to_bytes(4, "big")
    assert children(dict(children(segment))[CLUSTER]) == [(0xE7, b"\0")]


def test_a_sealed_file_leads_to_its_index_and_the_index_to_its_clusters(tmp_path: Path) -> None:
    data = recorded(tmp_path, sealed=True)
    (_, _, _), (at, identifier, segment) = elements(data)
    assert identifier == SEGMENT
    base = at + 12
    found = {base + position: (identifier, payload) for position, identifier, payload in elements(segment)}
    kinds = [identifier for identifier, _ in found.values()]
    assert kinds == [SEEK_HEAD, INFO, TRACKS, VOID, *[CLUSTER] * 5, CUES]
    seek = dict(children(dict(children(segment))[SEEK_HEAD]))
    target = dict(children(seek[SEEK]))
    assert number(target[SEEK_ID]) == CUES
    assert found[base + number(target[SEEK_POSITION])][0] == CUES
    points = [dict(children(point)) for _, point in children(dict(children(segment))[CUES])]
    assert [number(point[0xB3]) for point in points] == [0, 1200, 2000, 3200]
    for point in points:
        position = dict(children(point[0xB7]))
        kind, cluster = found[base + number(position[0xF1])]
        assert kind == CLUSTER
        begins = number(dict(children(cluster))[0xE7])
        blocks = [payload for identifier, payload in children(cluster) if identifier == 0xA3]
        keys = [begins + int.from_bytes(block[1:3], "big", signed=True) for block in blocks if block[3] & 0x80]
        assert number(point[0xB3]) in keys


def test_parameter_sets_that_do_not_fit_are_refused() -> None:
    huge = TrackHeader(
        number=1, name="x", kind=Kind.VIDEO, codec=H264, parameter_sets=(GENERIC_SPS, b"\x68" + bytes(9000))
    )
    with pytest.raises(ValueError, match="more than"):
        matroska.header([huge], title="x", started=STARTED)


def test_a_track_without_parameter_sets_has_generic_ones_until_the_first_keyframe() -> None:
    generic = decoder_configuration((GENERIC_SPS, GENERIC_PPS))
    assert decoder_configuration(()) == generic
    assert decoder_configuration((b"\x67\x42",)) == generic
    header = matroska.header(
        [TrackHeader(number=1, name="x", kind=Kind.VIDEO, codec=H264)], title="x", started=STARTED
    )
    assert generic in header
    assert generic[1:4] == bytes.fromhex("42c01f")

"""One side of a call: what it hears, and that trouble is told once."""

import pytest

from avisiod.gateway.leg import Kind
from avisiod.gateway.leg_side import Side
from avisiod.gateway.relay import OutStream, Path
from tests.gateway.webrtc_peer import LINES, rtp


def path_of(packets, error=None):
    """A path that notes what passes, or breaks."""

    def count(packet, arrival):
        if error:
            raise error
        packets.append(packet)

    return Path(Kind.AUDIO, OutStream(Kind.AUDIO, 8000, ssrc=1, sequence=1, timestamp=1), count)


class Call:
    def __init__(self):
        self.states, self.reports, self.events = [], [], []

    def leg_is(self, side, state):
        self.states.append(state)

    def reported(self, side, kind, packet, arrival):
        self.reports.append(packet)
        if packet == b"trouble":
            raise KeyError

    def event(self, side, packet):
        self.events.append(packet)


@pytest.fixture
def call():
    return Call()


def side_of(call, path):
    side = Side("phone", "", call, {})
    side.follow(LINES, {Kind.AUDIO: path, Kind.VIDEO: path})
    return side


def test_a_packet_that_breaks_us_is_told_once_and_nothing_is_heard_after_it(call):
    side = side_of(call, path_of([], IndexError("too short")))
    for _ in range(3):
        side.rtp(None, Kind.AUDIO, rtp(8), 1.0)
    side.rtcp(None, None, b"report", 1.0)
    assert (call.states, call.reports) == (["failed"], [])


def test_a_report_that_breaks_us_is_told_once(call):
    side = side_of(call, path_of([]))
    side.rtcp(None, None, b"trouble", 1.0)
    side.rtcp(None, None, b"trouble", 1.0)
    assert (call.states, call.reports) == (["failed"], [b"trouble"])


def test_a_side_that_was_let_go_tells_nothing_more(call):
    packets = []
    side = side_of(call, path_of(packets))
    side.let_go()
    side.rtp(None, Kind.AUDIO, rtp(8), 1.0)
    side.rtcp(None, None, b"report", 1.0)
    side.state(None, "failed")
    side.look(60.0)
    assert (call.states, call.reports, packets) == ([], [], [])


def test_silence_that_ends_is_flowing_only_for_a_leg_that_flowed(call):
    side = side_of(call, path_of([]))
    side.state(None, "silent")
    side.state(None, "flowing")
    assert call.states == ["silent"]
    side.rtp(None, Kind.AUDIO, rtp(8), 1.0)
    side.rtp(None, Kind.VIDEO, rtp(102), 1.0)
    side.state(None, "silent")
    side.state(None, "flowing")
    assert call.states == ["silent", "flowing", "silent", "flowing"]


def test_events_are_handed_over_and_still_relayed(call):
    packets = []
    side = side_of(call, path_of(packets))
    side.rtp(None, Kind.AUDIO, rtp(126), 1.0)
    side.rtp(None, Kind.AUDIO, rtp(8), 1.0)
    assert (call.events, packets) == ([rtp(126)], [rtp(126), rtp(8)])

"""One side of a call: what it hears, and that trouble is told once."""

import pytest

from avisiod.gateway.leg import Kind
from avisiod.gateway.leg_side import Side
from tests.gateway.webrtc_peer import LINES, rtp


class Path:
    def __init__(self, error=None):
        self.packets, self.error = [], error

    def packet(self, packet, arrival):
        if self.error:
            raise self.error
        self.packets.append(packet)


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
    side = side_of(call, Path(IndexError("too short")))
    for _ in range(3):
        side.rtp(None, Kind.AUDIO, rtp(8), 1.0)
    side.rtcp(None, None, b"report", 1.0)
    assert (call.states, call.reports) == (["failed"], [])


def test_a_report_that_breaks_us_is_told_once(call):
    side = side_of(call, Path())
    side.rtcp(None, None, b"trouble", 1.0)
    side.rtcp(None, None, b"trouble", 1.0)
    assert (call.states, call.reports) == (["failed"], [b"trouble"])


def test_a_side_that_was_let_go_tells_nothing_more(call):
    path = Path()
    side = side_of(call, path)
    side.let_go()
    side.rtp(None, Kind.AUDIO, rtp(8), 1.0)
    side.rtcp(None, None, b"report", 1.0)
    side.state(None, "failed")
    side.look(60.0)
    assert (call.states, call.reports, path.packets) == ([], [], [])


def test_silence_that_ends_is_flowing_only_for_a_leg_that_flowed(call):
    side = side_of(call, Path())
    side.state(None, "silent")
    side.state(None, "flowing")
    assert call.states == ["silent"]
    side.rtp(None, Kind.AUDIO, rtp(8), 1.0)
    side.rtp(None, Kind.VIDEO, rtp(102), 1.0)
    side.state(None, "silent")
    side.state(None, "flowing")
    assert call.states == ["silent", "flowing", "silent", "flowing"]


def test_events_are_handed_over_and_still_relayed(call):
    path = Path()
    side = side_of(call, path)
    side.rtp(None, Kind.AUDIO, rtp(126), 1.0)
    side.rtp(None, Kind.AUDIO, rtp(8), 1.0)
    assert (call.events, path.packets) == ([rtp(126)], [rtp(126), rtp(8)])

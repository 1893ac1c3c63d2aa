import pytest

from avisiod.gateway.flow import Flow, expected
from avisiod.gateway.leg import Direction, Kind
from tests.gateway.webrtc_peer import LINES

BOTH = frozenset(Kind)


def test_a_leg_flows_once_both_sound_and_picture_have_come():
    flow = Flow(BOTH)
    assert not flow.heard(Kind.VIDEO, 1.0)
    assert not flow.look(60.0)
    assert flow.heard(Kind.AUDIO, 60.0)
    assert not flow.heard(Kind.AUDIO, 60.02)


def test_sound_alone_flows_after_three_seconds_whether_or_not_another_packet_comes():
    flow = Flow(BOTH)
    assert not flow.heard(Kind.AUDIO, 1.0)
    assert not flow.heard(Kind.AUDIO, 3.99)
    assert flow.look(4.0)


@pytest.mark.parametrize(
    ("direction", "kinds"),
    [
        (Direction.SENDRECV, {Kind.AUDIO, Kind.VIDEO}),
        (Direction.RECVONLY, {Kind.AUDIO, Kind.VIDEO}),
        (Direction.SENDONLY, {Kind.AUDIO}),
        (Direction.INACTIVE, {Kind.AUDIO}),
    ],
)
def test_only_what_the_peer_may_send_is_waited_for(direction, kinds):
    video = LINES[Kind.VIDEO]
    lines = LINES | {Kind.VIDEO: type(video)(kind=Kind.VIDEO, codec=video.codec, direction=direction)}
    assert expected(lines) == kinds


def test_a_peer_that_sends_nothing_by_agreement_flows_at_once():
    assert Flow(frozenset()).look(1.0)

"""A keyframe is asked for in the way the peer takes, not too often, and until it comes."""

import pytest

from avisiod.gateway import rtcp
from avisiod.gateway.keyframes import KeyframeRequests
from avisiod.gateway.leg import Codec, Kind, MediaLine

H264 = Codec(name="H264", payload_type=99, clock_rate=90000)


class Rig:
    def __init__(self, *, pli: bool = False, fir: bool = False, sip: bool = True) -> None:
        self.sent: list[str] = []
        self.firs: list[int] = []
        line = MediaLine(kind=Kind.VIDEO, codec=H264, pli=pli, fir=fir)
        self.requests = KeyframeRequests(
            line, 1, "cname", self._rtcp, (lambda: self.sent.append("info")) if sip else None
        )

    def _rtcp(self, compound: bytes) -> None:
        report, description, *requests = rtcp.parse(compound)
        assert isinstance(report, rtcp.ReceiverReport)
        assert description == rtcp.SourceDescription(cnames=((1, "cname"),))
        for each in requests:
            if isinstance(each, rtcp.PictureLoss):
                assert each.media == 7
                self.sent.append("pli")
            elif isinstance(each, rtcp.FullIntraRequest):
                self.sent.append("fir")
                self.firs.append(each.entries[0][1])

    def at(self, *times: float) -> list[str]:
        """What is sent at these times."""
        self.sent = []
        for now in times:
            self.requests.check(now, 7)
        return self.sent


@pytest.mark.parametrize(
    ("pli", "fir", "sip", "first", "second", "third"),
    [
        (True, True, True, ["pli"], ["pli", "fir"], ["pli", "fir", "info"]),
        (True, False, True, ["pli"], ["pli", "fir"], ["pli", "fir", "info"]),
        (False, True, True, ["fir"], ["fir"], ["fir", "info"]),
        (False, False, True, ["info"], ["pli", "fir"], ["pli", "fir"]),
        (True, True, False, ["pli"], ["pli", "fir"], ["pli", "fir"]),
        (False, False, False, ["pli"], ["pli", "fir"], ["pli", "fir"]),
    ],
)
def test_the_way_of_asking(
    pli: bool, fir: bool, sip: bool, first: list[str], second: list[str], third: list[str]
) -> None:
    rig = Rig(pli=pli, fir=fir, sip=sip)
    rig.requests.want(10.0, 7)
    assert rig.sent == first
    assert rig.at(10.5) == second
    assert rig.at(11.0) == third
    assert rig.requests.asked == 3


def test_many_who_ask_at_once_make_one_request() -> None:
    rig = Rig(pli=True)
    for number in range(20):
        rig.requests.want(10.0 + number * 0.01, 7)
    assert rig.sent == ["pli"]


def test_a_keyframe_ends_the_asking_and_a_wish_soon_after_waits_for_the_limit() -> None:
    rig = Rig(pli=True)
    rig.requests.want(10.0, 7)
    rig.requests.seen()
    assert rig.at(10.6, 11.0) == []
    rig.requests.want(12.0, 7)
    rig.requests.seen()
    rig.sent = []
    rig.requests.want(12.2, 7)
    assert rig.sent == []
    assert rig.at(12.4, 12.5) == ["pli"]


def test_every_full_intra_request_has_a_new_number() -> None:
    rig = Rig(fir=True, sip=False)
    rig.requests.want(0.0, 7)
    rig.at(*[number * 0.5 for number in range(1, 5)])
    assert rig.firs == [1, 2, 3, 4, 5]


def test_a_sender_that_never_obeys_is_asked_more_rarely() -> None:
    rig = Rig(pli=True, sip=False)
    rig.requests.want(0.0, 7)
    assert rig.at(*[number / 10 for number in range(1, 600)]).count("pli") < 30


def test_info_is_sent_rarely() -> None:
    rig = Rig()
    rig.requests.want(0.0, 7)
    assert rig.at(*[number / 10 for number in range(1, 50)]).count("info") == 2


def test_a_sender_that_was_not_heard_yet_is_asked_by_info_only_or_when_it_is() -> None:
    rig = Rig(pli=True, sip=False)
    rig.requests.want(0.0, None)
    assert rig.sent == []
    assert rig.requests.wanted
    assert rig.at(0.1) == ["pli"]
    by_sip = Rig()
    by_sip.requests.want(0.0, None)
    assert by_sip.sent == ["info"]

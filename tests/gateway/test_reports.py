"""Reports tell what was sent and received, the round trip, and what keeps sound and picture together."""

import pytest

from avisiod.gateway import rtcp, rtp
from avisiod.gateway.leg import Kind
from avisiod.gateway.reception import Reception
from avisiod.gateway.reports import Reports, SenderClock, ntp


class Outgoing:
    ssrc = 99
    packets = 0
    octets = 0

    def timestamp_at(self, now: float) -> int:
        return int(now * 8000) & 0xFFFFFFFF


class Rig:
    def __init__(self, now: float = 100.0) -> None:
        self.out = Outgoing()
        self.reception = Reception(Kind.AUDIO, 8000)
        self.reports = Reports(Kind.AUDIO, 8000, "avisiod", self.out, self.reception, now)

    def receive(self, count: int) -> None:
        for number in range(count):
            packet = rtp.packet(b"x", payload_type=8, sequence=number, timestamp=number * 160, ssrc=7)
            self.reception.count(packet, number * 0.02)

    def made(self, now: float, timestamp: int | None = None) -> list[rtcp.Packet]:
        return rtcp.parse(self.reports.make(now, timestamp))


def test_the_first_report_is_early_and_the_others_five_seconds_apart() -> None:
    rig = Rig(100.0)
    assert not rig.reports.due(100.4)
    assert rig.reports.due(100.5)
    rig.made(100.5)
    assert not rig.reports.due(105.4)
    assert rig.reports.due(105.5)


def test_who_sends_reports_as_a_sender_and_who_does_not_as_a_receiver() -> None:
    rig = Rig()
    rig.receive(3)
    report, description = rig.made(101.0)
    assert isinstance(report, rtcp.ReceiverReport)
    assert description == rtcp.SourceDescription(cnames=((99, "avisiod"),))
    assert report.blocks[0].ssrc == 7
    rig.out.packets, rig.out.octets = 50, 8000
    report, _ = rig.made(102.0)
    assert isinstance(report, rtcp.SenderReport)
    assert (report.ntp, report.rtp, report.packets, report.octets) == (102 << 32, 816000, 50, 8000)
    report, _ = rig.made(103.0)
    assert isinstance(report, rtcp.ReceiverReport), "nothing was sent since"


def test_a_better_timestamp_is_taken_where_there_is_one() -> None:
    rig = Rig()
    rig.out.packets = 1
    report, _ = rig.made(102.0, 2**32 + 5)
    assert isinstance(report, rtcp.SenderReport)
    assert report.rtp == 5


def test_the_round_trip_is_what_passed_less_what_the_peer_waited() -> None:
    rig = Rig()
    rig.out.packets = 1
    sent, _ = rig.made(200.0)
    assert isinstance(sent, rtcp.SenderReport)
    block = rtcp.ReportBlock(
        ssrc=99, fraction_lost=64, lost=3, highest_sequence=1, jitter=80, last_sr=sent.ntp >> 16 & 0xFFFFFFFF,
        delay_since_last_sr=65536,
    )  # fmt: skip
    rig.reports.heard(rtcp.ReceiverReport(ssrc=7, blocks=(block,)), 201.25)
    assert rig.reports.round_trip_s == pytest.approx(0.25, abs=0.001)
    assert rig.reports.fraction_lost == 0.25
    assert (rig.reports.sent().lost, rig.reports.sent().jitter_ms) == (3, 10.0)


@pytest.mark.parametrize(("ssrc", "last_sr", "delay"), [(98, 0x640000, 0), (99, 0, 0), (99, 0x640000, 1 << 24)])
def test_a_block_of_another_stream_or_of_no_report_tells_no_round_trip(ssrc: int, last_sr: int, delay: int) -> None:
    rig = Rig()
    block = rtcp.ReportBlock(
        ssrc=ssrc, fraction_lost=0, lost=0, highest_sequence=1, jitter=0, last_sr=last_sr, delay_since_last_sr=delay
    )
    rig.reports.heard(rtcp.ReceiverReport(ssrc=7, blocks=(block,)), 100.5)
    assert rig.reports.round_trip_s == 0.0


def test_two_of_us_measure_each_others_round_trip() -> None:
    """40 ms there and back over an imaginary wire."""
    here, there = Rig(), Rig()
    there.out.ssrc, here.out.packets = 7, 1
    there.reception.count(rtp.packet(b"x", payload_type=8, sequence=1, timestamp=0, ssrc=99), 99.0)
    sr, _ = here.made(100.0)
    assert isinstance(sr, rtcp.SenderReport)
    there.reports.heard(sr, 100.02)
    rr, _ = there.made(103.0)
    assert isinstance(rr, rtcp.ReceiverReport)
    here.reports.heard(rr, 103.02)
    assert here.reports.round_trip_s == pytest.approx(0.04, abs=0.001)


def test_a_leg_that_closes_says_goodbye() -> None:
    assert rtcp.parse(Rig().reports.goodbye(101.0))[-1] == rtcp.Goodbye(ssrcs=(99,))


def report(ssrc: int, seconds: float, timestamp: int) -> rtcp.SenderReport:
    return rtcp.SenderReport(ssrc=ssrc, ntp=ntp(seconds), rtp=timestamp, packets=1, octets=1)


def test_the_senders_lip_sync_survives_unlike_delays_of_its_reports() -> None:
    clock = SenderClock({Kind.AUDIO: 8000, Kind.VIDEO: 90000})
    assert clock.timestamp_at(Kind.AUDIO, 1, 50.0) is None
    # The sender's clock shows 1000 when ours shows 50; its picture's report takes 80 ms longer on its way.
    clock.heard(Kind.AUDIO, report(1, 1000.0, 0), 50.0)
    assert clock.timestamp_at(Kind.AUDIO, 1, 51.0) is None, "picture not known yet"
    clock.heard(Kind.VIDEO, report(2, 1000.0, 500), 50.08)
    assert clock.timestamp_at(Kind.AUDIO, 1, 51.0) == 8000
    assert clock.timestamp_at(Kind.VIDEO, 2, 51.0) == 90500
    clock.heard(Kind.VIDEO, report(2, 1005.0, 450500), 55.2)
    assert clock.timestamp_at(Kind.VIDEO, 2, 56.0) == 540500
    assert clock.timestamp_at(Kind.VIDEO, 3, 56.0) is None, "another source"


def test_a_sender_without_picture_tells_the_time_of_its_sound_and_of_no_picture():
    clock = SenderClock({Kind.AUDIO: 8000})
    clock.heard(Kind.AUDIO, report(1, 1000.0, 0), 50.0)
    assert clock.timestamp_at(Kind.AUDIO, 1, 51.0) == 8000
    assert clock.timestamp_at(Kind.VIDEO, 2, 51.0) is None


def test_another_sender_is_learnt_anew() -> None:
    clock = SenderClock({Kind.AUDIO: 8000, Kind.VIDEO: 90000})
    clock.heard(Kind.AUDIO, report(1, 1000.0, 0), 50.0)
    clock.heard(Kind.VIDEO, report(2, 1000.0, 0), 50.0)
    clock.heard(Kind.AUDIO, report(11, 7.0, 0), 60.0)
    assert clock.timestamp_at(Kind.AUDIO, 11, 61.0) is None
    clock.heard(Kind.VIDEO, report(12, 7.5, 0), 60.7)
    assert clock.timestamp_at(Kind.AUDIO, 11, 61.0) == 8000
    assert clock.timestamp_at(Kind.VIDEO, 12, 61.0) == 45000
    clock.heard(Kind.VIDEO, report(12, 0.0, 0), 62.0)
    assert clock.timestamp_at(Kind.VIDEO, 12, 61.0) == 45000, "a report without time is passed over"

"""What a leg hears of us beside the media, and what we make of what it says."""

import msgspec
import pytest

from avisiod.gateway import rtcp, rtp
from avisiod.gateway.leg import Codec, Kind, MediaLine
from avisiod.gateway.leg_feedback import LegFeedback
from avisiod.gateway.relay import OutStream
from avisiod.gateway.reports import ntp
from avisiod.gateway.steering import FIRST_BITRATE

AUDIO = MediaLine(kind=Kind.AUDIO, codec=Codec(name="PCMA", payload_type=8, clock_rate=8000))
VIDEO = MediaLine(
    kind=Kind.VIDEO, codec=Codec(name="H264", payload_type=99, clock_rate=90000), pli=True, fir=True, remb=True
)
LINES = {Kind.AUDIO: AUDIO, Kind.VIDEO: VIDEO}
SOURCES = {Kind.AUDIO: 70, Kind.VIDEO: 90}


class Leg:
    dropped_strangers, dropped_invalid = 3, 4

    def __init__(self):
        self.sent: list[rtcp.Packet] = []

        self.packets: list[bytes] = []

    def send_rtcp(self, kind, packet):
        self.sent += rtcp.parse(packet)

    def send_rtp(self, kind, packet):
        self.packets.append(packet)

    def all(self, kind):
        return [each for each in self.sent if isinstance(each, kind)]


class Peer:
    """A leg with its feedback; `say` is RTCP of the peer, `send` RTP of the peer."""

    def __init__(self, bitrate=0, ssrc=1000, video=VIDEO):
        self.wishes, self.told, self.later = [], [], []
        self.now, self.sequence = 100.0, 0
        self.leg = Leg()
        self.streams = {kind: OutStream(kind, line.codec.clock_rate, ssrc + n, 0, 5000)
                        for n, (kind, line) in enumerate(LINES.items())}  # fmt: skip
        for kind, stream in self.streams.items():
            stream.translate(LINES[kind], LINES[kind])
        self.feedback = LegFeedback(
            lambda: self.wishes.append(1), lambda after, function: self.later.append((after, function))
        )
        self.receptions = self.feedback.follow(self.leg, LINES | {Kind.VIDEO: video}, self.streams, 100.0, bitrate)

    def pass_time(self, until):
        """Let what is due until then happen."""
        while self.later and self.now + self.later[0][0] <= until:
            after, function = self.later.pop(0)
            self.now += after
            function(self.now)
        self.now = max(self.now, until)

    def say(self, *packets, kind=None, now=100.0):
        self.feedback.heard(kind, rtcp.build(*packets), now, lambda *told: self.told.append(told))

    def send(self, kind, sequence, timestamp, now, payload=b"x"):
        packet = rtp.packet(
            payload,
            payload_type=LINES[kind].codec.payload_type,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=SOURCES[kind],
        )
        self.receptions[kind].count(packet, now)
        return packet


def sender_report(kind, now, timestamp):
    return rtcp.SenderReport(ssrc=SOURCES[kind], ntp=ntp(now), rtp=timestamp, packets=1, octets=1)


def seconds_of_video(peer, seconds, other=None, *, lost_of_ten=0):
    """100 packets of 1,000 octets a second, and the ticks that go with them."""
    for n in range(seconds * 100):
        peer.now += 0.01
        peer.sequence += 1
        if n % 10 >= lost_of_ten:
            peer.send(Kind.VIDEO, peer.sequence & 0xFFFF, round(peer.now * 90000) & 0xFFFFFFFF, peer.now, bytes(1000))
        if n % 25 == 0:
            peer.feedback.tick(peer.now, other.feedback if other else None)


def test_a_page_is_told_at_once_what_it_may_send_and_more_while_nothing_is_lost():
    page = Peer(bitrate=1_000_000)
    page.feedback.tick(100.0, None)
    seconds_of_video(page, 10)
    told = [each.bitrate for each in page.leg.all(rtcp.Remb)]
    assert told[0] == pytest.approx(FIRST_BITRATE, rel=0.01)
    assert told[-1] == pytest.approx(1_000_000, rel=0.01)
    assert 10 <= len(told) <= 11, "once a second"


def test_a_page_whose_packets_get_lost_is_told_to_send_less():
    page = Peer(bitrate=1_000_000)
    seconds_of_video(page, 6, lost_of_ten=3)
    assert page.leg.all(rtcp.Remb)[-1].bitrate < 600_000


def reported(loss, ssrc=1001):
    block = rtcp.ReportBlock(
        ssrc=ssrc, fraction_lost=int(loss * 256), lost=0, highest_sequence=1, jitter=0, last_sr=0,
        delay_since_last_sr=0,
    )  # fmt: skip
    return rtcp.ReceiverReport(ssrc=1, blocks=(block,))


def test_a_page_whose_packets_get_lost_on_the_way_to_the_phone_is_told_to_send_less():
    page, phone = Peer(bitrate=800_000), Peer()
    for _ in range(8):
        seconds_of_video(page, 1, phone)
        phone.say(reported(0.3), now=page.now)
    seconds_of_video(page, 1, phone)
    assert page.leg.all(rtcp.Remb)[-1].bitrate < 600_000


def test_a_page_is_told_to_send_no_more_than_the_phone_asks_for():
    page, phone = Peer(bitrate=800_000), Peer()
    phone.say(rtcp.Tmmbr(sender=5, media=1001, bitrate=300_000))
    seconds_of_video(page, 60, phone)
    assert page.leg.all(rtcp.Remb)[-1].bitrate == pytest.approx(300_000, rel=0.01)


def test_a_phone_that_takes_tmmbr_is_told_what_the_page_can_receive_once():
    video = msgspec.structs.replace(VIDEO, remb=False, tmmbr=True)
    page, phone = Peer(), Peer(bitrate=800_000, video=video)
    for _ in range(20):
        page.say(rtcp.Remb(sender=1, bitrate=256_000, ssrcs=(1000, 1001)), now=phone.now)
        seconds_of_video(phone, 1, page)
    told = phone.leg.all(rtcp.Tmmbr)
    assert [(each.media, each.bitrate) for each in told] == [(90, 256_000)]
    assert phone.leg.all(rtcp.Remb) == []


def test_a_page_that_says_no_more_what_it_can_receive_has_no_limit_any_more():
    page = Peer()
    page.say(rtcp.Remb(sender=1, bitrate=256_000, ssrcs=(1001,)), now=100.0)
    assert page.feedback.takes(101.0) == (256_000, 0.0)
    assert page.feedback.takes(200.0) == (0, 0.0)


@pytest.mark.parametrize(
    "limit", [rtcp.Remb(sender=1, bitrate=9000, ssrcs=(4,)), rtcp.Tmmbr(sender=1, media=4, bitrate=9)]
)
def test_a_limit_for_another_stream_is_none_for_ours(limit):
    page = Peer()
    page.say(limit)
    assert page.feedback.takes(100.0) == (0, 0.0)


def test_a_tmmbr_is_answered():
    phone = Peer()
    phone.leg.send_rtcp = lambda kind, packet: phone.leg.packets.append(packet)
    phone.say(rtcp.Tmmbr(sender=5, media=1001, bitrate=300_000 >> 3 << 3))
    (answer,) = phone.leg.packets
    assert answer[-20:-16] == bytes((0x84, 205, 0, 4))
    assert int.from_bytes(answer[-8:-4], "big") == 5


def test_a_phone_hears_nothing_of_remb():
    phone = Peer()
    phone.feedback.tick(101.0, None)
    assert phone.leg.all(rtcp.Remb) == []
    assert len(phone.leg.all(rtcp.ReceiverReport)) == 2


@pytest.mark.parametrize(
    "wish", [rtcp.PictureLoss(sender=1, media=1001), rtcp.FullIntraRequest(sender=1, entries=((1001, 1),))]
)
def test_a_wish_for_a_picture_is_passed_to_the_call(wish):
    page = Peer()
    page.say(rtcp.ReceiverReport(ssrc=1), wish)
    assert page.wishes == [1]
    assert page.feedback.stats().pictures_wanted == 1


def test_a_keyframe_is_asked_for_until_it_comes():
    page = Peer()
    page.send(Kind.VIDEO, 1, 0, 100.0, b"\x41delta")
    page.feedback.want_picture(100.0)
    page.feedback.tick(100.6, None)
    assert [each.media for each in page.leg.all(rtcp.PictureLoss)] == [90, 90]
    page.send(Kind.VIDEO, 2, 3000, 100.7, b"\x65\x88key")
    page.feedback.tick(101.2, None)
    page.feedback.tick(101.8, None)
    assert len(page.leg.all(rtcp.PictureLoss)) == 2
    assert page.feedback.stats().pictures_asked == 2


def test_lip_sync_of_the_sender_is_carried_over_to_our_own_reports():
    """The picture needs 300 ms longer to us than the sound; the sender's reports tell, ours must repeat it."""
    phone, page = Peer(), Peer(ssrc=2000)
    stream = page.streams
    for kind, delay, rate in ((Kind.AUDIO, 0.0, 8000), (Kind.VIDEO, 0.3, 90000)):
        captured = 1_000_000 + round(1.0 * rate)
        stream[kind].rewritten(phone.send(kind, 1, captured, 101.0 + delay), 101.0 + delay)
        phone.say(sender_report(kind, 51.0, captured), kind=kind, now=101.0)
    page.feedback.tick(102.0, phone.feedback)
    reports = {each.ssrc: each for each in page.leg.all(rtcp.SenderReport)}
    audio, video = reports[2000], reports[2001]
    assert audio.ntp == video.ntp == ntp(102.0)
    # 1 s after the capture of both, which are at 5000 in our streams
    assert audio.rtp == pytest.approx(5000 + 8000, abs=1)
    assert video.rtp == pytest.approx(5000 + 90000, abs=1)
    assert [told[:3] for told in phone.told] == [(Kind.AUDIO, 51.0, 1_008_000), (Kind.VIDEO, 51.0, 1_090_000)]


def test_our_own_clock_is_reported_while_we_speak_ourselves():
    phone = Peer()
    phone.streams[Kind.AUDIO].inserted(b"prompt", 0, False, 100.5)
    phone.feedback.tick(101.0, Peer().feedback)
    (report,) = phone.leg.all(rtcp.SenderReport)
    assert report.rtp == 5000 + 4000


def test_the_blocks_of_one_report_reach_both_streams():
    page = Peer()
    page.send(Kind.VIDEO, 1, 0, 100.0)
    for kind in Kind:
        page.streams[kind].inserted(b"x", 0, False, 100.0)
    blocks = tuple(
        rtcp.ReportBlock(
            ssrc=ssrc, fraction_lost=0, lost=lost, highest_sequence=1, jitter=0, last_sr=0, delay_since_last_sr=0
        )
        for ssrc, lost in ((1000, 5), (1001, 6))
    )
    page.say(rtcp.SenderReport(ssrc=90, ntp=ntp(5.0), rtp=1, packets=1, octets=1, blocks=blocks))
    stats = page.feedback.stats()
    assert (stats.audio_sent.lost, stats.video_sent.lost) == (5, 6)


@pytest.mark.parametrize("garbage", [b"", b"\x80", b"\x80\xc8\x00\x09abcd", bytes(40)])
def test_rtcp_that_is_none_is_counted_and_harms_nothing(garbage):
    page = Peer()
    page.feedback.heard(None, garbage, 100.0, lambda *_: None)
    assert page.feedback.stats().dropped_invalid == 4 + 1
    assert page.feedback.stats().dropped_strangers == 3


ASKED = msgspec.structs.replace(VIDEO, nack=True)
WITH_RTX = msgspec.structs.replace(ASKED, rtx_payload_type=97)


def nacks(peer):
    return [each.lost for each in peer.leg.all(rtcp.Nack)]


def test_what_is_missing_of_the_peers_video_is_asked_for_again():
    page = Peer(video=ASKED)
    for sequence in (1, 2, 5):
        page.send(Kind.VIDEO, sequence, sequence * 3000, 100.0)
    page.pass_time(100.005)
    assert nacks(page) == []
    page.pass_time(100.02)
    assert nacks(page) == [(3, 4)]
    stats = page.feedback.stats().video_received
    assert (stats.asked_again, stats.resent, stats.lost) == (2, 0, 2)


def test_what_was_only_late_is_not_asked_for():
    page = Peer(video=ASKED)
    for sequence in (1, 3, 2):
        page.send(Kind.VIDEO, sequence, 3000, 100.0)
    page.pass_time(101.0)
    assert nacks(page) == []
    assert page.feedback.stats().video_received.lost == 0


def test_what_does_not_come_is_asked_for_a_few_times_and_made_up_for_by_a_keyframe():
    page = Peer(video=ASKED)
    for sequence in (1, 3):
        page.send(Kind.VIDEO, sequence, 3000, 100.0)
    page.pass_time(100.4)
    asked = len(nacks(page))
    assert 2 <= asked <= 6
    assert page.leg.all(rtcp.PictureLoss) == []
    page.pass_time(110.0)
    assert len(nacks(page)) <= 6
    assert len(page.leg.all(rtcp.PictureLoss)) == 1
    assert page.later == []


def test_a_sender_that_takes_no_nack_is_asked_for_a_keyframe_at_once():
    phone = Peer()
    for sequence in (1, 3):
        phone.send(Kind.VIDEO, sequence, 3000, 100.0)
    phone.pass_time(100.02)
    assert nacks(phone) == []
    assert len(phone.leg.all(rtcp.PictureLoss)) == 1


def test_keyframes_for_losses_are_asked_for_once_a_second_at_most():
    phone = Peer()
    for n in range(40):
        now = 100.0 + n * 0.1
        phone.send(Kind.VIDEO, 1 + 3 * n, n * 9000, now, b"\x41delta")
        phone.send(Kind.VIDEO, 2 + 3 * n, n * 9000 + 3000, now, b"\x65\x88key")
        phone.pass_time(now + 0.05)
        phone.feedback.tick(now + 0.05, None)
    assert 3 <= len(phone.leg.all(rtcp.PictureLoss)) <= 5


def test_a_page_gets_again_what_it_asks_for():
    page = Peer(video=ASKED)
    stream = page.streams[Kind.VIDEO]
    sent = [stream.inserted(bytes([n]), n * 3000, False, 100.0) for n in range(10)]
    page.say(rtcp.ReceiverReport(ssrc=1), rtcp.Nack(sender=1, media=1001, lost=(3, 5, 4000)), now=100.1)
    assert page.leg.packets == [sent[2], sent[4]]
    stats = page.feedback.stats().video_sent
    assert (stats.asked_again, stats.resent) == (3, 2)


def test_a_nack_about_another_stream_moves_nothing():
    page = Peer(video=ASKED)
    page.streams[Kind.VIDEO].inserted(b"x", 0, False, 100.0)
    page.say(rtcp.Nack(sender=1, media=1000, lost=(1,)))
    assert page.leg.packets == []


def test_a_leg_that_was_let_go_gets_nothing_more():
    page = Peer(video=ASKED)
    for sequence in (1, 3):
        page.send(Kind.VIDEO, sequence, 3000, 100.0)
    page.feedback.stop()
    page.pass_time(102.0)
    assert page.leg.sent == []

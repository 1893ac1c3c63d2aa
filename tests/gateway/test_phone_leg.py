"""The phone's leg over real sockets: it hears its phone and nobody else."""

import asyncio
import errno
import logging
import os
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from avisiod.gateway import rtcp, rtp, sdp
from avisiod.gateway.leg import Direction, Kind
from avisiod.gateway.phone_leg import PhoneLeg, PhoneRules
from avisiod.gateway.udp_ports import UdpPorts
from avisiod.gateway.wire import NoPorts, OfferUnacceptable
from tests.gateway.test_udp_ports import free_range

DEFAULTS = PhoneRules()
PCMA, EVENT, H264 = 8, 101, 99


def media_test(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Awaitable[None]]:
    """Run an asyncio coroutine as a test on the reactor's loop."""

    async def run() -> None:
        await Deferred.fromFuture(asyncio.ensure_future(asyncio.wait_for(test(), 10)))

    run.__name__ = test.__name__
    return pytest_twisted.ensureDeferred(run)


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds; the test's own time limit ends the wait."""
    while not condition():  # noqa: ASYNC110 - a counter that is waited for tells nobody
        await asyncio.sleep(0.002)


class Listener:
    def __init__(self) -> None:
        self.packets: list[tuple[Kind, bytes]] = []
        self.reports: list[tuple[Kind | None, bytes]] = []
        self.states: list[str] = []

    def rtp(self, leg: object, kind: Kind, packet: bytes, arrival: float) -> None:
        assert abs(time.monotonic() - arrival) < 10
        self.packets.append((kind, packet))

    def rtcp(self, leg: object, kind: Kind | None, packet: bytes, arrival: float) -> None:
        self.reports.append((kind, packet))

    def state(self, leg: object, state: str) -> None:
        self.states.append(state)

    def sequences(self) -> list[int]:
        return [rtp.sequence(packet) for _, packet in self.packets]


class Phone:
    """Four sockets of a phone at one address of the loopback."""

    def __init__(self, host: str = "127.0.0.2") -> None:
        self.host = host
        self.sockets: list[socket.socket] = []
        for _ in range(4):
            self.sockets.append(self.another())
        self.audio, self.audio_rtcp, self.video, self.video_rtcp = self.sockets[:4]
        self.sequence = 0

    def another(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((self.host, 0))
        made.setblocking(False)
        if len(self.sockets) >= 4:
            self.sockets.append(made)
        return made

    def another_at(self, address: tuple[str, int]) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(address)
        self.sockets.append(made)
        return made

    def offer(self, *, direction: str = "sendrecv", extra: str = "", video: bool = True, address: str = "") -> str:
        ports = [each.getsockname()[1] for each in self.sockets]
        text = (
            f"v=0\r\no=- 1 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {address or self.host}\r\nt=0 0\r\n"
            f"m=audio {ports[0]} RTP/AVP 8 101\r\na=rtcp:{ports[1]}\r\na=rtpmap:101 telephone-event/8000\r\n"
            f"a={direction}\r\n{extra}"
        )
        if video:
            text += (
                f"m=video {ports[2]} RTP/AVP 99\r\na=rtcp:{ports[3]}\r\na=rtpmap:99 H264/90000\r\n"
                f"a=fmtp:99 profile-level-id=42e01f;packetization-mode=1\r\na={direction}\r\n"
            )
        return text

    def packet(self, payload_type: int = PCMA, *, marker: bool = False) -> bytes:
        self.sequence += 1
        return rtp.packet(
            b"x" * 160, payload_type=payload_type, sequence=self.sequence, timestamp=0, ssrc=7, marker=marker
        )

    def close(self) -> None:
        for each in self.sockets:
            each.close()


class Rig:
    """A leg and its phone."""

    def __init__(
        self,
        *,
        rules: PhoneRules = DEFAULTS,
        secure: bool = False,
        offer: str | None = None,
        **kinds: Any,
    ) -> None:
        self.phone = Phone()
        self.stranger = Phone("127.0.0.3")
        self.listener = Listener()
        self.pool = UdpPorts("127.0.0.1", free_range(8), width=2)
        self.now = time.monotonic()
        self.leg = PhoneLeg(
            "call",
            self.phone.offer(**kinds) if offer is None else offer,
            self.pool,
            self.listener,
            rules=rules,
            secure=secure,
            now=self.now,
            loop=asyncio.get_running_loop(),
        )
        self.answered(self.leg.text)
        self.leg.start()

    def answered(self, text: str) -> None:
        media = sdp.parse(text).media
        self.audio = ("127.0.0.1", media[0].port)
        self.audio_rtcp = ("127.0.0.1", media[0].number("rtcp") or 0)
        if len(media) > 1:
            self.video = ("127.0.0.1", media[1].port)

    async def __aenter__(self) -> Self:
        self.errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.errors.append(context))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leg.close()
        self.phone.close()
        self.stranger.close()
        asyncio.get_running_loop().set_exception_handler(None)
        assert self.errors == []

    async def received(self, by: socket.socket) -> bytes:
        return await asyncio.get_running_loop().sock_recv(by, 2048)

    async def locked(self) -> None:
        """The phone has been heard, and the queue from before is empty."""
        count = len(self.listener.packets)
        self.phone.audio.sendto(self.phone.packet(), self.audio)
        await until(lambda: len(self.listener.packets) > count)


@media_test
async def test_sound_and_picture_of_the_phone_are_heard_and_answered():
    async with Rig() as rig:
        assert rig.listener.states == ["connected"]
        rig.phone.audio.sendto(rig.phone.packet(PCMA), rig.audio)
        rig.phone.audio.sendto(rig.phone.packet(EVENT, marker=True), rig.audio)
        for marker in (False, False, True):
            rig.phone.video.sendto(rig.phone.packet(H264, marker=marker), rig.video)
        await until(lambda: len(rig.listener.packets) == 5)
        assert [kind for kind, _ in rig.listener.packets].count(Kind.VIDEO) == 3
        out = rig.phone.packet()
        rig.leg.send_rtp(Kind.AUDIO, out)
        assert await rig.received(rig.phone.audio) == out
        rig.leg.send_rtp(Kind.VIDEO, bytearray(out))
        assert await rig.received(rig.phone.video) == out


@media_test
async def test_a_burst_is_heard_whole_and_in_order():
    async with Rig() as rig:
        await rig.locked()
        for number in range(200):
            rig.phone.video.sendto(rig.phone.packet(H264, marker=number % 7 == 6), rig.video)
        await until(lambda: len(rig.listener.packets) == 201)
        assert rig.listener.sequences() == list(range(1, 202))


@media_test
async def test_nothing_is_heard_from_another_address_before_or_after_the_lock():
    async with Rig() as rig:
        rig.stranger.audio.sendto(rig.stranger.packet(), rig.audio)
        await until(lambda: rig.leg.dropped_strangers == 1)
        await rig.locked()
        for _ in range(3):
            rig.stranger.audio.sendto(rig.stranger.packet(), rig.audio)
        rig.phone.audio.sendto(rig.phone.packet(), rig.audio)
        await until(lambda: rig.leg.dropped_strangers == 4 and len(rig.listener.packets) == 2)
        assert rig.listener.sequences() == [1, 2]


@media_test
async def test_once_locked_another_port_of_the_phones_address_is_a_stranger_too():
    async with Rig() as rig:
        await rig.locked()
        rig.phone.another().sendto(rig.stranger.packet(), rig.audio)
        await until(lambda: rig.leg.dropped_strangers == 1)
        await rig.locked()
        assert len(rig.listener.packets) == 2


@media_test
async def test_what_strangers_sent_just_before_the_lock_is_not_heard_after_it():
    """Everything lies in the socket's queue before the loop reads it for the first time."""
    async with Rig() as rig:
        rig.phone.audio.sendto(rig.phone.packet(), rig.audio)
        for _ in range(40):
            rig.stranger.audio.sendto(rig.stranger.packet(), rig.audio)
        rig.phone.audio.sendto(rig.phone.packet(), rig.audio)
        await until(lambda: len(rig.listener.packets) == 2)
        assert rig.leg.dropped_strangers == 40
        assert rig.listener.sequences() == [1, 2]


@media_test
async def test_a_phone_may_send_from_another_port_than_it_hears_on():
    async with Rig() as rig:
        sender = rig.phone.another()
        sender.sendto(rig.phone.packet(), rig.audio)
        await until(lambda: len(rig.listener.packets) == 1)
        out = rig.phone.packet()
        rig.leg.send_rtp(Kind.AUDIO, out)
        assert await rig.received(rig.phone.audio) == out


@media_test
async def test_behind_nat_the_first_valid_source_is_the_phone_and_is_sent_to():
    async with Rig(rules=PhoneRules(behind_nat=True), address="10.9.9.9") as rig:
        assert rig.listener.states == []
        rig.leg.send_rtp(Kind.AUDIO, rig.phone.packet())  # nobody to send to yet
        rig.stranger.audio.sendto(b"nonsense", rig.audio)
        rig.stranger.audio.sendto(rig.stranger.packet(13), rig.audio)
        await until(lambda: rig.leg.dropped_invalid == 2)
        await rig.locked()
        assert rig.listener.states == ["connected"]
        rig.stranger.audio.sendto(rig.stranger.packet(), rig.audio)
        await until(lambda: rig.leg.dropped_strangers == 1)
        out = rig.phone.packet()
        rig.leg.send_rtp(Kind.AUDIO, out)
        assert await rig.received(rig.phone.audio) == out


@media_test
async def test_malformed_packets_of_the_phone_are_counted_and_not_heard():
    async with Rig() as rig:
        await rig.locked()
        valid = rig.phone.packet()
        bad = (b"", b"x", valid[:11], b"\x40" + valid[1:], rig.phone.packet(0), b"\x9f" + valid[1:20], b"x" * 4000)
        for each in bad:
            rig.phone.audio.sendto(each, rig.audio)
        rig.phone.audio_rtcp.sendto(valid, rig.audio_rtcp)
        await until(lambda: rig.leg.dropped_invalid == len(bad) + 1)
        assert len(rig.listener.packets) == 1
        assert rig.listener.reports == []


@media_test
async def test_rtcp_goes_by_the_odd_ports_and_is_locked_as_well():
    async with Rig() as rig:
        report = rtcp.build(rtcp.ReceiverReport(ssrc=7))
        rig.phone.audio_rtcp.sendto(report, rig.audio_rtcp)
        await until(lambda: rig.listener.reports == [(Kind.AUDIO, report)])
        rig.stranger.audio_rtcp.sendto(report, rig.audio_rtcp)
        rig.phone.another().sendto(report, rig.audio_rtcp)
        await until(lambda: rig.leg.dropped_strangers == 2)
        rig.leg.send_rtcp(Kind.AUDIO, report)
        assert await rig.received(rig.phone.audio_rtcp) == report


@media_test
async def test_rtcp_shares_the_even_port_where_the_phone_multiplexes():
    async with Rig(extra="a=rtcp-mux\r\n", video=False) as rig:
        report = rtcp.build(rtcp.ReceiverReport(ssrc=7))
        rig.phone.audio.sendto(report, rig.audio)
        rig.phone.audio.sendto(rig.phone.packet(), rig.audio)
        await until(lambda: len(rig.listener.packets) == 1)
        assert rig.listener.reports == [(Kind.AUDIO, report)]
        rig.leg.send_rtcp(Kind.AUDIO, report)
        assert await rig.received(rig.phone.audio) == report


@media_test
async def test_a_new_address_in_a_re_invite_is_followed_and_the_old_one_becomes_a_stranger():
    async with Rig() as rig:
        await rig.locked()
        moved = Phone("127.0.0.4")
        answer = rig.leg.update(moved.offer())
        assert sdp.parse(answer).media[0].port == rig.audio[1], "our ports stay"
        rig.phone.audio.sendto(rig.phone.packet(), rig.audio)
        await until(lambda: rig.leg.dropped_strangers == 1)
        out = rig.phone.packet()
        rig.leg.send_rtp(Kind.AUDIO, out)
        assert await rig.received(moved.audio) == out
        for _ in range(2):
            moved.audio.sendto(moved.packet(), rig.audio)
        await until(lambda: len(rig.listener.packets) == 3)
        moved.close()


@media_test
async def test_hold_stops_what_is_sent_and_resume_starts_it_again_under_the_same_lock():
    async with Rig() as rig:
        await rig.locked()
        new, old, both = Direction.RECVONLY, Direction.RECVONLY, Direction.INACTIVE
        for held, ours in (
            (rig.phone.offer(direction="sendonly"), new),
            (rig.phone.offer(address="0.0.0.0"), old),
            (rig.phone.offer(direction="inactive"), both),
        ):
            rig.leg.update(held)
            assert rig.leg.lines[Kind.AUDIO].direction is ours
            rig.leg.send_rtp(Kind.AUDIO, b"held back")
            rig.leg.update(rig.phone.offer())
            rig.leg.send_rtp(Kind.AUDIO, out := rig.phone.packet())
            assert await rig.received(rig.phone.audio) == out
            await rig.locked()


@media_test
async def test_a_picture_that_is_switched_off_is_neither_heard_nor_sent():
    async with Rig() as rig:
        rig.leg.update(rig.phone.offer(video=False))
        assert set(rig.leg.lines) == {Kind.AUDIO}
        rig.phone.video.sendto(rig.phone.packet(H264), rig.video)
        rig.leg.send_rtp(Kind.VIDEO, rig.phone.packet(H264))
        await until(lambda: rig.leg.dropped_invalid == 1)
        rig.leg.update(rig.phone.offer(), keep_codecs=True)
        assert set(rig.leg.lines) == {Kind.AUDIO, Kind.VIDEO}


@media_test
async def test_an_offer_that_drops_the_codec_in_use_is_refused_and_changes_nothing():
    async with Rig() as rig:
        other = rig.phone.offer(video=False).replace("RTP/AVP 8 101", "RTP/AVP 0 101")
        with pytest.raises(OfferUnacceptable, match="PCMA as the browser speaks it is not offered any more"):
            rig.leg.update(other, keep_codecs=True)
        assert rig.leg.lines[Kind.AUDIO].codec.name == "PCMA"
        await rig.locked()
        rig.leg.update(other)
        assert rig.leg.lines[Kind.AUDIO].codec.name == "PCMU"


@media_test
async def test_an_empty_offer_is_answered_with_ours_and_the_phones_answer_connects():
    async with Rig(offer="") as rig:
        assert rig.listener.states == []
        assert rig.leg.lines == {}
        assert rig.leg.update(rig.phone.offer()) == ""
        assert rig.listener.states == ["connected"]
        await rig.locked()
        assert rig.leg.update("").startswith("v=0")


@media_test
async def test_silence_and_its_end_are_told_once():
    async with Rig(rules=PhoneRules(silent_s=15.0)) as rig:
        rig.phone.audio_rtcp.sendto(rtcp.build(rtcp.ReceiverReport(ssrc=7)), rig.audio_rtcp)
        await until(lambda: len(rig.listener.reports) == 1)
        rig.leg.check(rig.leg.heard + 7.9)
        assert rig.listener.states == ["connected"]
        rig.leg.check(rig.leg.heard + 8.0)
        rig.leg.check(rig.leg.heard + 14.9)
        assert rig.listener.states == ["connected", "quiet"]
        rig.leg.check(rig.leg.heard + 15.0)
        rig.leg.check(rig.leg.heard + 16.0)
        assert rig.listener.states == ["connected", "quiet", "silent"]
        rig.leg.check(rig.leg.heard)
        assert rig.listener.states == ["connected", "quiet", "silent", "flowing"]
        rig.leg.update(rig.phone.offer(direction="inactive"))
        rig.leg.check(rig.leg.heard + 100.0)
        assert rig.listener.states[-1] == "flowing", "a phone on hold need not send"


@media_test
async def test_a_phone_that_never_sent_rtcp_may_be_muted_and_is_lost_later():
    async with Rig(rules=PhoneRules(silent_s=15.0, muted_s=60.0)) as rig:
        await rig.locked()
        rig.leg.check(rig.leg.heard + 59.9)
        assert rig.listener.states == ["connected", "quiet"]
        rig.leg.check(rig.leg.heard + 60.0)
        assert rig.listener.states == ["connected", "quiet", "silent"]


@media_test
async def test_a_muted_phone_lives_by_its_reports():
    async with Rig(rules=PhoneRules(silent_s=0.5)) as rig:
        await rig.locked()
        report = rtcp.build(rtcp.ReceiverReport(ssrc=7))
        for count in range(1, 4):
            heard = rig.leg.heard
            rig.phone.audio_rtcp.sendto(report, rig.audio_rtcp)
            await until(lambda: len(rig.listener.reports) == count)  # noqa: B023 - awaited here
            assert rig.leg.heard > heard


@media_test
async def test_every_m_line_that_is_not_taken_is_told_in_the_log():
    with _Said("avisiod.gateway.phone_leg") as said:
        async with Rig() as rig:
            rig.leg.update(rig.phone.offer().replace("m=video", "m=application 9 UDP/BFCP *\r\nm=video"))
            assert "line 10 (m=application): this kind of media is not taken" in said.lines[-1]
            rig.leg.update(re.sub(r"m=video \d+", "m=video 0", rig.phone.offer()))
            assert "line 10 (m=video): the phone has switched it off with port 0" in said.lines[-1]


class _Said(logging.Handler):
    """What a logger says meanwhile, from INFO on."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._logger = logging.getLogger(name)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> Self:
        self._level = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)


@media_test
async def test_reports_alone_keep_a_muted_phone_from_being_silent():
    async with Rig(rules=PhoneRules(silent_s=5.0)) as rig:
        muted_at = rig.leg.heard - 4.0
        for stream in rig.leg._streams.values():
            stream.heard = muted_at
        rig.phone.audio_rtcp.sendto(rtcp.build(rtcp.ReceiverReport(ssrc=7)), rig.audio_rtcp)
        await until(lambda: bool(rig.listener.reports))
        rig.leg.check(muted_at + 6.0)
        assert rig.listener.states == ["connected"]


@media_test
async def test_a_refused_offer_and_a_full_range_leave_nothing_behind():
    async with Rig() as rig:
        arguments = {"rules": PhoneRules(), "now": rig.now, "loop": asyncio.get_running_loop()}
        for _ in range(5):
            with pytest.raises(OfferUnacceptable):
                PhoneLeg("other", "nonsense", rig.pool, rig.listener, **arguments)
        second = PhoneLeg("second", rig.phone.offer(), rig.pool, rig.listener, **arguments)
        with pytest.raises(NoPorts):
            PhoneLeg("third", rig.phone.offer(), rig.pool, rig.listener, **arguments)
        await second.close()
        await second.close()
        with pytest.raises(NoPorts):
            PhoneLeg("third", rig.phone.offer(), rig.pool, rig.listener, **arguments)


@media_test
async def test_a_phone_whose_port_is_closed_does_not_disturb_the_leg():
    """The ICMP errors of what we send must not be taken for the end of what we hear."""
    async with Rig() as rig:
        await rig.locked()
        port = rig.phone.audio.getsockname()
        rig.phone.audio.close()
        for _ in range(5):
            rig.leg.send_rtp(Kind.AUDIO, b"nobody hears this")
        back = rig.phone.another_at(port)
        back.sendto(rig.phone.packet(), rig.audio)
        await until(lambda: len(rig.listener.packets) == 2)


@media_test
async def test_no_other_program_can_share_a_port_that_is_locked():
    async with Rig() as rig:
        await rig.locked()
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as intruder:
                intruder.setsockopt(socket.SOL_SOCKET, option, 1)
                with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
                    intruder.bind(rig.audio)


@media_test
async def test_packets_are_marked_for_the_networks_queues():
    async with Rig() as rig:
        for receiver, kind, dscp in ((rig.phone.audio, Kind.AUDIO, 46), (rig.phone.video, Kind.VIDEO, 34)):
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
            rig.leg.send_rtp(kind, b"marked")
            receiver.settimeout(5)  # loopback: it is there already
            _, ancillary, _, _ = receiver.recvmsg(100, 100)
            assert struct.unpack("B", ancillary[0][2][:1])[0] >> 2 == dscp

"""Spawned transcoders: who gets one, what they make, and what happens when one ends or hangs."""

import asyncio
import contextlib
import functools
import itertools
import os
import resource
import signal
import socket
import time

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor

from avisiod.calls.conversions import ConversionFacts, may_convert
from avisiod.clock import SystemClock
from avisiod.config.settings import Config, Media
from avisiod.gateway import rtp, wire
from avisiod.gateway.transcode_gateway import MAX_ENDS, TranscodeGateway
from avisiod.gateway.transcode_link import ConversionSettings, Way, Word, head
from avisiod.gateway.transcode_worker import MEMORY_BYTES, NICE
from tests.gateway.moving_pictures import H264, STEP, VP8, decoded, encoded, picture, unlike
from tests.gateway.webrtc_peer import run
from tests.gateway.webrtc_peer import until as waited

SETTINGS = ConversionSettings(
    phone_payload_type=H264,
    phone_fmtp={"profile-level-id": "42e01f", "packetization-mode": "0"},
    page_payload_type=VP8,
    to_page_bitrate=600_000,
    to_phone_bitrate=600_000,
    to_page_sequence=1000,
    to_phone_sequence=65_535,
)
SINCE_A_HANG_S = 30.0
"""A hang is noticed after some seconds, and starting again takes longer on a busy machine."""


def until(true, what="", within=SINCE_A_HANG_S):
    return run(waited(true, what, within))


class Rig:
    """Transcoders, the stats that they told, and the links of calls whose transcoder ended."""

    def __init__(self, ceiling):
        config = Config(media=Media(transcoded_calls=ceiling))
        self.gateway = TranscodeGateway(reactor, SystemClock(asyncio.get_event_loop()), config)
        self.stats, self.relinked = {}, []
        self.gateway.on_stats = self.stats.__setitem__
        self.gateway.on_relink = lambda call, link: self.relinked.append((call, link))

    async def __aenter__(self):
        await self.gateway.start()
        return self

    async def __aexit__(self, *_):
        for _, link in self.relinked:
            link.close()
        for worker in self.gateway.workers:
            await worker.stop()

    def pid(self, call="c1"):
        return self.gateway.workers[self.gateway._calls[call]].pid


@functools.cache
def film(codec):
    """Pictures, a keyframe every ten."""
    return encoded(codec, range(100), keys=range(0, 100, 10))


def shown(link, way=Way.TO_PHONE, pictures=10):
    """Send pictures of the page or phone into the link until so many came out of it; for a Deferred."""

    async def talk():
        codec, other = (VP8, H264) if way is Way.TO_PHONE else (H264, VP8)
        link.send(head(Word.SETTINGS) + msgspec.json.encode(SETTINGS))
        packets, sequence, end = [], 0, time.monotonic() + SINCE_A_HANG_S
        for number in itertools.count():
            for packet in film(codec)[number % 100]:
                sequence = (sequence + 1) & 0xFFFF
                with contextlib.suppress(BlockingIOError):
                    link.send(head(Word.PACKET, way) + rtp.rewritten(packet, codec, sequence, number * STEP, 9))
            await asyncio.sleep(0.02)
            packets += taken(link, way)
            if number % 10 == 0 and len(decoded(other, packets)) >= pictures:
                break
            assert time.monotonic() < end, "too few pictures come out"
        for image in decoded(other, packets).values():
            assert min(unlike(image, picture(number)) for number in range(100)) < 12

    return run(talk())


def taken(link, way):
    found = []
    with contextlib.suppress(BlockingIOError):
        while message := link.recv(4096):
            if message[:1] == head(Word.PACKET, way):
                found.append(message[1:])
    return found


@pytest.mark.parametrize(
    ("ceiling", "converted", "free", "may"), [(0, 0, 0, False), (1, 0, 1, True), (1, 1, 1, False), (2, 1, 0, False)]
)
def test_a_picture_is_converted_below_the_ceiling_where_something_is_free(ceiling, converted, free, may):
    assert may_convert(ConversionFacts(ceiling=ceiling, converted=converted, free=free)) is may


@pytest_twisted.ensureDeferred
async def test_without_any_transcoder_nothing_is_converted():
    async with Rig(0) as rig:
        assert not rig.gateway.converts
        assert await rig.gateway.take("c1") is None
        assert rig.gateway.refused == 1


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_pictures_are_converted_both_ways_behind_the_others_and_are_counted():
    async with Rig(1) as rig:
        with await rig.gateway.take("c1") as link:
            own = os.getpriority(os.PRIO_PROCESS, 0)
            assert os.getpriority(os.PRIO_PROCESS, rig.pid()) == min(own + NICE, 19)
            assert resource.prlimit(rig.pid(), resource.RLIMIT_AS)[0] == MEMORY_BYTES
            assert resource.prlimit(rig.pid(), resource.RLIMIT_CORE) == (0, 0)
            await shown(link, Way.TO_PHONE)
            await shown(link, Way.TO_PAGE)
        await until(lambda: 0 in rig.stats and rig.stats[0].pictures.get("page", 0) >= 10, "counted once it is over")
        assert rig.stats[0].pictures["phone"] >= 10


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_the_ceiling_holds_and_a_place_that_is_given_back_serves_the_next_call():
    async with Rig(1) as rig:
        link = await rig.gateway.take("c1")
        assert not rig.gateway.converts
        assert await rig.gateway.take("c2") is None
        assert (rig.gateway.refused, rig.gateway.converted) == (1, 1)
        link.close()
        rig.gateway.release("c1")
        assert rig.gateway.converts
        with await rig.gateway.take("c2") as link:
            await shown(link)


@pytest.mark.peer
@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGABRT, signal.SIGSTOP])
@pytest_twisted.ensureDeferred
async def test_a_transcoder_that_ends_or_stays_stopped_is_replaced_and_its_call_gets_the_new_one(which):
    async with Rig(1) as rig:
        with await rig.gateway.take("c1"):
            before = rig.pid()

            def gone():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(before, which)  # a stopped one is made to go on: it is stopped again and again
                return rig.relinked

            await until(gone, "the call has another transcoder")
            assert rig.relinked[0][0] == "c1"
            assert rig.pid() != before
            await shown(rig.relinked[0][1])


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_transcoder_that_somebody_stopped_goes_on_with_its_call():
    async with Rig(1) as rig:
        with await rig.gateway.take("c1") as link:
            before = rig.pid()
            os.kill(before, signal.SIGSTOP)
            await shown(link)
            assert (rig.pid(), rig.relinked) == (before, [])


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_the_death_of_one_transcoder_leaves_the_other_calls_alone():
    async with Rig(2) as rig:
        one, other = await rig.gateway.take("c1"), await rig.gateway.take("c2")
        with one, other:
            os.kill(rig.pid("c1"), signal.SIGKILL)
            await shown(other)
            await until(lambda: rig.relinked, "the call has another transcoder")
            assert {call for call, _ in rig.relinked} == {"c1"}


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_call_that_ends_every_transcoder_goes_on_with_sound_only():
    async with Rig(1) as rig:
        link = await rig.gateway.take("c1")
        for ends in range(1, MAX_ENDS + 1):
            os.kill(rig.pid(), signal.SIGKILL)
            if ends < MAX_ENDS:
                await until(lambda ends=ends: len(rig.relinked) == ends, "the call has another transcoder")
        await until(lambda: rig.gateway.converts, "the place is free for others")
        assert rig.gateway.converted == 0
        assert await rig.gateway.take("c1") is None
        rig.gateway.forget("c1")
        with await rig.gateway.take("c2") as next_link:
            await shown(next_link)
        link.close()


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_transcoder_takes_what_is_no_message_without_harm():
    async with Rig(1) as rig:
        with await rig.gateway.take("c1") as link:
            pid = rig.pid()
            for junk in (
                b"\x00",
                b"\xff" * 50,
                head(Word.SETTINGS) + b"nonsense",
                head(Word.BITRATE, Way.TO_PHONE),
                b"\x10" * 900,
            ):
                link.send(junk)
            await shown(link)
            assert rig.pid() == pid
            assert rig.gateway.workers[0].restarts == 0


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_nothing_is_left_behind_by_many_calls():
    async with Rig(1) as rig:
        worker = rig.gateway.workers[0]
        counts = []
        for number in range(30):
            with await rig.gateway.take(f"c{number}"):
                pass
            rig.gateway.forget(f"c{number}")
            await worker.call(wire.Ping)
            if number in (9, 29):
                await until(lambda: threads(worker.pid) <= 8, "threads of earlier calls end")
                counts.append((len(os.listdir(f"/proc/{worker.pid}/fd")), len(os.listdir("/proc/self/fd"))))
        assert counts[0] == counts[1]


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def test_a_socket_pair_carries_whole_messages():
    from avisiod.gateway.transcode_link import pair

    one, other = pair()
    with one, other:
        assert one.type & socket.SOCK_SEQPACKET
        one.send(b"a" * 1500)
        one.send(b"b")
        assert (other.recv(4096), other.recv(4096)) == (b"a" * 1500, b"b")
        one.close()
        assert other.recv(4096) == b""

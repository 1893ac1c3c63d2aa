"""Media that others write into a bridged call, on either side: not heard, ending nothing, all of it counted."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import msgspec
import pytest
import pytest_twisted

from avisiod.gateway import rtcp, rtp, wire
from avisiod.gateway.leg import Kind
from avisiod.gateway.stats import CallStats
from tests.gateway.plain_phone import AUDIO_TYPE, VIDEO_TYPE
from tests.gateway.test_media_call import KEY, Scene
from tests.gateway.webrtc_peer import Page, run, sdp_offer, transport_of, until

STRANGER = "127.0.0.66"
PHONE_SSRCS = (0x1000, 0x1001)
"""Those of the phone itself: whoever forges them knows more than most."""

Test = Callable[[Scene], Awaitable[None]]


def bridged(function: Test) -> Callable[[pytest.MonkeyPatch], None]:
    """A test with a call in which phone and page see each other."""

    @pytest_twisted.ensureDeferred
    async def test(monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario() -> None:
            scene = await Scene(monkeypatch).open()
            await scene.join()
            await scene.flowing()
            scene.call.bridge(time.monotonic() + 60)
            await scene.both_send(KEY, 3)
            await until(lambda: len(scene.seen(VIDEO_OUT)) >= 3)
            await function(scene)
            await scene.close()

        await run(scenario())

    test.__name__ = function.__name__
    test.__doc__ = function.__doc__
    return test


VIDEO_OUT = 102
STATS = msgspec.json.Decoder(CallStats)


def stats(scene: Scene) -> CallStats:
    return STATS.decode(scene.call._stats())


def forged_rtp(sequence: int = 104, kind: int = AUDIO_TYPE, ssrc: int = PHONE_SSRCS[0]) -> bytes:
    return rtp.packet(b"not the phone", payload_type=kind, sequence=sequence, timestamp=99, ssrc=ssrc)


def forged_rtcp() -> bytes:
    """Goodbye to both streams, and whatever else would move something."""
    return rtcp.build(
        rtcp.ReceiverReport(ssrc=PHONE_SSRCS[1]),
        rtcp.PictureLoss(sender=PHONE_SSRCS[1], media=1),
        rtcp.Goodbye(ssrcs=PHONE_SSRCS),
    )


async def goes_on(scene: Scene) -> None:
    """Both still see each other, and nobody was told of an end."""
    before_page, before_phone = len(scene.seen(VIDEO_OUT)), len(scene.phone.received[Kind.VIDEO])
    await scene.both_send(KEY)
    await until(lambda: len(scene.seen(VIDEO_OUT)) > before_page, "the page sees the phone")
    await until(lambda: len(scene.phone.received[Kind.VIDEO]) > before_phone, "the phone sees the page")
    assert {each["state"] for each in scene.events(wire.LegChanged)} == {"flowing"}
    assert all(packet[12:] != b"not the phone" for packet in scene.page.dtls.packets)


@bridged
async def test_a_stranger_on_the_phones_network_is_not_heard_whatever_he_forges(scene: Scene) -> None:
    ports = [scene.phone._to[kind] for kind in (Kind.AUDIO, Kind.VIDEO)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((STRANGER, 0))
        for number in range(20):
            for host, port in ports:
                stranger.sendto(forged_rtp(104 + number), (host, port))
                stranger.sendto(forged_rtp(104 + number, VIDEO_TYPE, PHONE_SSRCS[1]), (host, port))
                stranger.sendto(forged_rtcp(), (host, port + 1))
        await until(lambda: stats(scene).phone.dropped_strangers == 20 * 2 * 3, "each is counted")
    await goes_on(scene)


@bridged
async def test_another_phone_that_uses_this_ones_ssrc_and_numbers_is_a_stranger(scene: Scene) -> None:
    """From the same host too, where another phone behind the same NAT would be: the port is locked to one source."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        for number in range(20):
            other.sendto(forged_rtp(104 + number), scene.phone._to[Kind.AUDIO])
        await until(lambda: stats(scene).phone.dropped_strangers == 20, "each is counted")
    await goes_on(scene)


@bridged
async def test_a_goodbye_in_rtcp_ends_nothing(scene: Scene) -> None:
    """A phone says it at hold and at a change of SSRC as well: the end is told by SIP, or by silence."""
    for kind in Kind:
        host, port = scene.phone._to[kind]
        scene.phone._rtcp[kind].sendto(forged_rtcp(), (host, port + 1))
    await scene.page.dtls._send_rtp(rtcp.build(rtcp.ReceiverReport(ssrc=7), rtcp.Goodbye(ssrcs=(7, 9))))
    await goes_on(scene)


@bridged
async def test_forged_and_replayed_srtcp_is_counted_and_moves_nothing(scene: Scene) -> None:
    before = stats(scene).outside.dropped_invalid
    send = scene.page.ice._connection.send
    wish = rtcp.build(rtcp.ReceiverReport(ssrc=7), rtcp.PictureLoss(sender=7, media=1), rtcp.Goodbye(ssrcs=(7,)))
    good = scene.page.dtls._tx_srtp.protect_rtcp(rtcp.build(rtcp.ReceiverReport(ssrc=7)))
    await send(good)
    another = scene.page.dtls._tx_srtp.protect_rtcp(wish)
    damaged = another[:-1] + bytes((another[-1] ^ 1,))
    for forged in (wish, good, damaged, wish + bytes(14)):  # bare, replayed, changed, without the key
        await send(forged)
    await until(lambda: stats(scene).outside.dropped_invalid == before + 4, "each is counted")
    await goes_on(scene)


def outside_port(scene: Scene) -> int:
    """Where the leg towards the browser listens."""
    ((_, port),) = scene.call._outside._path._taken
    return int(port)


@bridged
async def test_a_stranger_outside_is_not_heard_whatever_he_forges(scene: Scene) -> None:
    before = stats(scene).outside.dropped_strangers
    port = outside_port(scene)
    replayed = scene.page.dtls._tx_srtp.protect(
        rtp.packet(b"not the page", payload_type=8, sequence=900, timestamp=9, ssrc=7)
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((STRANGER, 0))
        for _ in range(20):
            for forged in (replayed, forged_rtcp(), b"\x16\xfe\xfd" + bytes(30)):
                stranger.sendto(forged, ("127.0.0.1", port))
            await asyncio.sleep(0)
        await until(lambda: stats(scene).outside.dropped_strangers == before + 60, "each is counted")
    assert all(b"not the page" not in packet for _, packet in scene.phone.received[Kind.AUDIO])
    await goes_on(scene)


@pytest_twisted.ensureDeferred
async def test_what_a_leg_dropped_is_told_when_the_next_page_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        scene = await Scene(monkeypatch).open()
        await scene.join()
        first = scene.page
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"\x80" + bytes(40), ("127.0.0.1", outside_port(scene)))
            await until(lambda: stats(scene).outside.dropped_strangers == 1, "it is counted")
        second = Page(monkeypatch)
        transport_of(await scene.call.open_outside("s2", sdp_offer(await second.offer()), []))
        told = [STATS.decode(each["stats"]) for each in scene.events(wire.Stats)]
        assert 1 in {each.outside.dropped_strangers for each in told}
        await second.close()
        await first.close()
        await scene.close()

    await run(scenario())

"""A call inside a media worker: a plain phone, a real WebRTC peer, and control as a list of what it was told."""

import asyncio
import gc
import itertools
import json
import logging
import os
import re
import time
import weakref

import aioice
import msgspec
import pytest
import pytest_twisted
from aiortc import RTCCertificate

from avisiod.gateway import ice_path, rtcp, rtp, wire
from avisiod.gateway.browser_leg import Outside
from avisiod.gateway.ice_path import Ports
from avisiod.gateway.leg import Kind
from avisiod.gateway.manifest import RecordingFacts
from avisiod.gateway.media_call import SILENCE, MediaCall
from avisiod.gateway.settings import MediaWorkerSettings
from avisiod.gateway.stats import call_stats
from avisiod.gateway.udp_ports import UdpPorts
from tests.gateway.plain_phone import PlainPhone
from tests.gateway.webrtc_peer import Page, run, sdp_offer, transport_of, until
from tests.peers.ports import free_range

CERTIFICATE = RTCCertificate.generateCertificate()
KEY, DELTA = b"\x65\x88key", b"\x41delta"


class Shop:
    """A Workshop with prompts of a few packets, so that nothing is encoded."""

    def __init__(self):
        first, last = free_range()
        self.settings = MediaWorkerSettings(
            worker=0, phone_address="127.0.0.1", phone_ports=(first, first + 49), outside_address="127.0.0.1",
            outside_announced="", outside_ports=(first + 50, last), phone_silent_s=30,
            phone_muted_s=120, outside_silent_s=6, behind_nat=False, audio_codecs=("PCMA",),
            encryption="optional", keys_need_tls=True, prompts_folder="", keep_free_bytes=0, log_level="DEBUG",
        )  # fmt: skip
        self.phone_ports = UdpPorts("127.0.0.1", self.settings.phone_ports, width=2)
        self.outside = Outside(
            ports=(Ports(UdpPorts("127.0.0.1", self.settings.outside_ports)),),
            silent_s=6,
            certificate=CERTIFICATE,
        )
        self.prompts = self

    async def prepare(self, language, codecs):
        pass

    def audio(self, name, language, codec):
        return [f"{name} {n}".encode() for n in range(3)]

    def picture(self, name, language, codec):
        return [b"\x67", b"\x68", b"\x65" + name.encode()]


class Scene:
    """A call, its phone and its page."""

    def __init__(self, monkeypatch, confidential=True, **phone):
        self.monkeypatch = monkeypatch
        self.told = []
        self.phone = PlainPhone(**phone)
        self.page = None
        self.phone_clock = itertools.count()
        self.page_clock = itertools.count()
        self.page_ssrcs = (7, 9)
        self.call = MediaCall(
            Shop(), "c1", lambda command, **arguments: self.told.append((command, arguments)),
            confidential=confidential, language="fr",
        )  # fmt: skip

    async def open(self):
        self.phone.answered(await self.call.open(self.phone.offer()))
        return self

    async def join(self, session="s1"):
        self.page = Page(self.monkeypatch)
        offer = await self.page.offer()
        answer = transport_of(await self.call.open_outside(session, sdp_offer(offer), []))
        await self.page.ice_to(answer)
        await self.page.dtls_to(answer)

    def phone_sends(self, picture=DELTA):
        n = next(self.phone_clock)
        self.phone.send(Kind.AUDIO, b"phone %d" % n, n * 160)
        self.phone.send(Kind.VIDEO, picture, n * 1800, marker=True)

    async def page_sends(self, picture=DELTA):
        n = next(self.page_clock)
        sound, pictures = self.page_ssrcs
        for payload_type, ssrc, step, payload in ((8, sound, 160, b"page %d" % n), (102, pictures, 1800, picture)):
            packet = rtp.packet(
                payload,
                payload_type=payload_type,
                sequence=n,
                timestamp=n * step,
                ssrc=ssrc,
                marker=payload_type == 102,
            )
            await self.page.send(packet)

    async def both_send(self, picture=KEY, times=1):
        for _ in range(times):
            self.phone_sends(picture)
            await self.page_sends(picture)

    async def flowing(self):
        await self.both_send()
        await until(lambda: {s["leg"] for s in self.events(wire.LegChanged)} == {"phone", "outside"}, "both flow")

    def events(self, command):
        return [arguments for each, arguments in self.told if each is command]

    def seen(self, payload_type):
        return [each for each in self.page.dtls.packets if each[1] & 0x7F == payload_type]

    async def close(self, reason="limit_reached"):
        recording = await self.call.close(reason)
        self.phone.close()
        if self.page is not None:
            await self.page.close()
        return recording


def scene(function):
    """A test that gets an opened scene and has it closed."""

    @pytest_twisted.ensureDeferred
    async def test(monkeypatch):
        async def scenario():
            made = await Scene(monkeypatch).open()
            await function(made)
            await made.close()

        await run(scenario())

    test.__name__ = function.__name__
    return test


@scene
async def test_the_phone_gets_silence_from_the_first_moment_and_then_what_is_presented(scene):
    await until(lambda: len(scene.phone.received[Kind.AUDIO]) > 2)
    assert set(scene.phone.payloads(Kind.AUDIO)) == {SILENCE["PCMA"]}
    await scene.call.present("waiting", "waiting", 60.0)
    await until(lambda: b"waiting 2" in scene.phone.payloads(Kind.AUDIO))
    await until(lambda: scene.phone.payloads(Kind.VIDEO) == [b"\x67", b"\x68", b"\x65waiting"])
    sequences = [rtp.sequence(packet) for _, packet in scene.phone.received[Kind.AUDIO]]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(sequences))
    assert scene.events(wire.PromptOver) == []


@scene
async def test_the_end_of_a_prompt_is_told(scene):
    await scene.call.present("joining", "", 0.0)
    await until(lambda: scene.events(wire.PromptOver))
    assert scene.events(wire.PromptOver) == [{"call": "c1", "prompt": "joining"}]


@scene
async def test_a_leg_is_told_to_flow_once_sound_and_picture_came(scene):
    await scene.join("s7")
    scene.phone.send(Kind.AUDIO, b"x", 0)
    await scene.flowing()
    told = [(each["leg"], each["session"], each["state"]) for each in scene.events(wire.LegChanged)]
    assert sorted(told) == [("outside", "s7", "flowing"), ("phone", "", "flowing")]


@scene
async def test_media_passes_both_ways_once_bridged_and_not_before(scene):
    await scene.join()
    await scene.flowing()
    assert scene.page.dtls.packets == []
    assert {each[:4] for each in scene.phone.payloads(Kind.AUDIO)} == {SILENCE["PCMA"][:4]}
    scene.call.bridge(time.monotonic() + 60)
    scene.phone_sends(DELTA)
    await scene.page_sends(DELTA)
    await scene.both_send(KEY, 3)
    await until(lambda: len(scene.seen(102)) == 3 and len(scene.seen(8)) == 4, "the page has all")
    await until(lambda: len(scene.phone.received[Kind.VIDEO]) == 3, "the phone has all")
    assert {packet[12:] for packet in scene.seen(102)} == {KEY}
    assert {rtp.payload_type(packet) for _, packet in scene.phone.received[Kind.VIDEO]} == {99}
    assert scene.phone.payloads(Kind.AUDIO)[-1].startswith(b"page")


@scene
async def test_the_page_may_be_in_an_ipv6_network_while_the_phone_is_not(scene):
    shop = scene.call._shop
    ports = UdpPorts("::1", shop.settings.outside_ports)
    shop.outside = msgspec.structs.replace(shop.outside, ports=(Ports(ports),))
    page = scene.page = Page(scene.monkeypatch)
    scene.monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["::1"])
    answer = transport_of(await scene.call.open_outside("s1", sdp_offer(await page.offer()), []))
    assert {each.split()[4] for each in answer.candidates} == {"::1"}
    await page.ice_to(answer)
    await page.dtls_to(answer)
    await scene.flowing()
    scene.call.bridge(time.monotonic() + 60)
    await scene.both_send(KEY, 3)
    await until(lambda: len(scene.seen(102)) == 3, "the page has all")
    await until(lambda: len(scene.phone.received[Kind.VIDEO]) == 3, "the phone has all")


async def both_versions(scene, lives_in):
    shop = scene.call._shop
    pools = [UdpPorts(address, shop.settings.outside_ports) for address in ("::1", "127.0.0.1")]
    shop.outside = msgspec.structs.replace(shop.outside, ports=tuple(Ports(pool) for pool in pools))
    page = scene.page = Page(scene.monkeypatch)
    scene.monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: [lives_in])
    answer = transport_of(await scene.call.open_outside("s1", sdp_offer(await page.offer()), []))
    told = [each.split() for each in answer.candidates]
    assert [each[4] for each in told] == ["::1", "127.0.0.1"]
    assert int(told[0][3]) > int(told[1][3]), "IPv6 first (RFC 8421)"
    first, last = shop.settings.outside_ports
    assert all(first <= int(each[5]) <= last for each in told)
    await page.ice_to(answer)
    await page.dtls_to(answer)
    await scene.flowing()
    scene.call.bridge(time.monotonic() + 60)
    await scene.both_send(KEY, 3)
    await until(lambda: len(scene.seen(102)) == 3, "the page has all")
    await until(lambda: len(scene.phone.received[Kind.VIDEO]) == 3, "the phone has all")


@scene
async def test_of_a_box_with_both_ip_versions_a_page_takes_ipv6_where_it_has_that_alone(scene):
    await both_versions(scene, "::1")


@scene
async def test_of_a_box_with_both_ip_versions_a_page_takes_ipv4_where_it_has_that_alone(scene):
    await both_versions(scene, "127.0.0.1")


@scene
async def test_an_address_that_is_gone_keeps_nobody_away_who_comes_by_the_other(scene):
    told = []
    scene.monkeypatch.setattr(ice_path.log, "log", lambda level, text, error: told.append((level, str(error))))
    shop = scene.call._shop
    pools = [UdpPorts(address, shop.settings.outside_ports) for address in ("2001:db8::1", "127.0.0.1")]
    shop.outside = msgspec.structs.replace(shop.outside, ports=tuple(Ports(pool) for pool in pools))
    for page in ("s1", "s2"):
        offer = sdp_offer(await Page(scene.monkeypatch).offer())
        answer = transport_of(await scene.call.open_outside(page, offer, []))
        assert [each.split()[4] for each in answer.candidates] == ["127.0.0.1"]
    assert [level for level, _ in told] == [logging.WARNING, logging.DEBUG]
    assert all("2001:db8::1" in error for _, error in told)


@scene
async def test_both_senders_are_asked_for_a_keyframe_at_the_bridge(scene):
    await scene.join()
    await scene.flowing()
    to_phone, to_page = scene.phone.reports[Kind.VIDEO], scene.page.dtls.reports
    before = len(to_phone), len(to_page)
    scene.call.bridge(time.monotonic() + 60)

    def asked(reports):
        return any(isinstance(each, rtcp.PictureLoss) for report in reports for each in rtcp.parse(report))

    await until(lambda: asked(to_phone[before[0] :]), "the phone was asked")
    await until(lambda: asked(to_page[before[1] :]), "the page was asked")


@scene
async def test_the_page_s_wish_for_a_picture_reaches_the_phone(scene):
    await scene.join()
    await scene.flowing()
    scene.call.bridge(time.monotonic() + 60)
    await scene.both_send(KEY)
    await until(lambda: scene.seen(102))
    scene.phone.reports[Kind.VIDEO].clear()
    ssrc = rtp.ssrc(scene.seen(102)[0])
    await asyncio.sleep(0.6)  # past the limit of requests
    await scene.page.send(rtcp.build(rtcp.ReceiverReport(ssrc=9), rtcp.PictureLoss(sender=9, media=ssrc)))
    await until(
        lambda: any(
            isinstance(each, rtcp.PictureLoss) and each.media == 0x1001
            for report in scene.phone.reports[Kind.VIDEO]
            for each in rtcp.parse(report)
        )
    )


@scene
async def test_a_phone_that_comes_back_from_hold_gets_keyframes_once_it_decodes_again(scene):
    """The one that is asked for with our answer may be there before the answer is."""
    await scene.join()
    await scene.flowing()
    scene.call.bridge(time.monotonic() + 60)
    await scene.both_send(KEY)
    await scene.call.update_phone(scene.phone.offer("sendonly"))
    await scene.call.update_phone(scene.phone.offer())

    def asked():
        reports = (each for report in scene.page.dtls.reports for each in rtcp.parse(report))
        return sum(isinstance(each, rtcp.PictureLoss) for each in reports)

    for _ in range(3):
        scene.page.dtls.reports.clear()
        await until(lambda: asked() > 0, "the page is asked")
        await scene.page_sends(KEY)


@scene
async def test_forwarding_stops_at_the_deadline_by_itself(scene):
    await scene.join()
    await scene.flowing()
    deadline = time.monotonic() + 0.3
    scene.call.bridge(deadline)
    while not scene.events(wire.DeadlinePassed):
        await scene.both_send(KEY)
        await asyncio.sleep(0.01)
    assert time.monotonic() < deadline + 1.0, "the timer, not only the packets, knows the deadline"
    forwarded = len(scene.page.dtls.packets)
    await scene.both_send(KEY, 5)
    await asyncio.sleep(0.05)
    assert len(scene.page.dtls.packets) == forwarded > 4
    (told,) = scene.events(wire.DeadlinePassed)
    assert deadline - 0.2 < told["last_forwarded"] < deadline


@scene
async def test_a_warning_takes_the_place_of_the_sound_only_and_gives_it_back(scene):
    await scene.join()
    await scene.flowing()
    scene.call.bridge(time.monotonic() + 60)
    await scene.call.present("warning_30", "", 0.0)
    while not scene.events(wire.PromptOver):
        await scene.both_send(KEY)
        await asyncio.sleep(0.01)
    pictures = len(scene.phone.received[Kind.VIDEO])
    await scene.both_send(KEY, 3)
    await until(lambda: scene.phone.payloads(Kind.AUDIO)[-1].startswith(b"page"))
    await until(lambda: len(scene.phone.received[Kind.VIDEO]) > pictures)
    heard = [each for each in scene.phone.payloads(Kind.AUDIO) if each[:4] != SILENCE["PCMA"][:4]]
    at = [n for n, each in enumerate(heard) if each.startswith(b"warning")]
    assert at == list(range(at[0], at[0] + 3))
    assert pictures > 0


@scene
async def test_another_page_takes_the_place_of_the_first_and_needs_a_bridge_of_its_own(scene):
    await scene.join("s1")
    await scene.flowing()
    scene.call.bridge(time.monotonic() + 60)
    await scene.both_send(KEY, 2)
    await until(lambda: scene.seen(102))
    old = scene.page
    await scene.join("s2")
    await old.close()
    pictures, sounds = (len(scene.phone.received[kind]) for kind in (Kind.VIDEO, Kind.AUDIO))
    await scene.both_send(KEY, 3)
    await until(lambda: scene.events(wire.LegChanged)[-1]["session"] == "s2")
    await until(lambda: len(scene.phone.received[Kind.AUDIO]) > sounds + 5, "the phone hears us again")
    assert scene.page.dtls.packets == []
    assert len(scene.phone.received[Kind.VIDEO]) == pictures
    assert set(scene.phone.payloads(Kind.AUDIO)[sounds:]) == {SILENCE["PCMA"]}
    scene.call.bridge(time.monotonic() + 60)
    await scene.both_send(KEY, 2)
    await until(lambda: len(scene.seen(102)) == 2)
    assert [each["state"] for each in scene.events(wire.LegChanged)] == ["flowing"] * 3


@scene
async def test_an_ice_restart_interrupts_nothing(scene):
    await scene.join()
    await scene.flowing()
    scene.call.bridge(time.monotonic() + 60)
    await scene.both_send(KEY, 2)
    await until(lambda: len(scene.seen(102)) == 2)
    told, first = len(scene.told), scene.call._answers
    offer = await scene.page.restart()
    answer = await scene.call.restart_outside("s1", sdp_offer(offer), [])
    await scene.both_send(KEY, 2)
    await scene.page.move_to(transport_of(answer))
    scene.page.dtls.reports.clear()
    await until(
        lambda: any(isinstance(each, rtcp.PictureLoss) for r in scene.page.dtls.reports for each in rtcp.parse(r)),
        "what the change of paths lost is made up for by a keyframe",
    )
    await scene.both_send(KEY, 2)
    await until(lambda: len(scene.seen(102)) == 6)
    await until(lambda: len(scene.phone.received[Kind.VIDEO]) == 6)
    numbers = [rtp.sequence(packet) for packet in scene.seen(102)]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers)), "one line of numbers"
    assert len({rtp.ssrc(packet) for packet in scene.seen(102)}) == 1
    assert f"a=ssrc:{first.ssrcs[Kind.VIDEO]} " in answer
    assert re.search(r"^o=avisiod \d+ 2 ", answer, re.MULTILINE)
    assert [each for each, _ in scene.told[told:] if each is wire.LegChanged] == []
    assert scene.call._bridged


@scene
async def test_an_ice_restart_that_changes_more_or_has_no_leg_is_refused_and_the_leg_goes_on(scene):
    with pytest.raises(wire.OfferUnacceptable, match="no connection"):
        await scene.call.restart_outside("s1", "v=0", [])
    await scene.join("s1")
    await scene.flowing()
    scene.call.bridge(time.monotonic() + 60)
    same = await scene.page.offer()
    other = msgspec.structs.replace(same, fingerprints=(("sha-256", ":".join(["00"] * 32)),))
    fresh = await scene.page.restart()
    for session, offer in (
        ("s2", sdp_offer(fresh)),
        ("s1", sdp_offer(same)),
        ("s1", sdp_offer(other)),
        ("s1", sdp_offer(fresh, video=False)),
        ("s1", "v=0\r\nnonsense"),
    ):
        with pytest.raises(wire.OfferUnacceptable):
            await scene.call.restart_outside(session, offer, [])
    await scene.both_send(KEY, 2)
    await until(lambda: len(scene.seen(102)) == 2)


def is_one_line(packets):
    """One SSRC, one run of sequence numbers without a hole, a clock that never goes back, as a receiver wants."""
    steps = list(itertools.pairwise(packets))
    return (
        len({rtp.ssrc(packet) for packet in packets}) == 1
        and all((rtp.sequence(b) - rtp.sequence(a)) & 0xFFFF == 1 for a, b in steps)
        and all((rtp.timestamp(b) - rtp.timestamp(a)) & 0xFFFFFFFF < 90_000 * 60 for a, b in steps)
    )


@scene
async def test_the_phone_gets_one_line_of_sound_and_one_of_pictures_whatever_happens_behind_it(scene):
    async def heard(beginning, kind=Kind.AUDIO):
        before = len(scene.phone.received[kind])
        await until(
            lambda: any(each.startswith(beginning) for each in scene.phone.payloads(kind)[before:]), beginning
        )

    async def talk():
        before = [len(scene.phone.received[kind]) for kind in Kind]
        scene.call.bridge(time.monotonic() + 60)
        await scene.both_send(KEY, 3)
        await until(lambda: all(len(scene.phone.received[k]) >= n + 3 for k, n in zip(Kind, before, strict=True)))

    await scene.call.present("waiting", "waiting", 0.5)
    await heard(b"\x65waiting", Kind.VIDEO)
    await scene.join("s1")
    await scene.flowing()
    await talk()
    scene.page_ssrcs = (70, 90)  # the page's sender begins anew, as after a change of its camera
    scene.page_clock = itertools.count(40_000)
    await talk()
    await scene.call.present("warning_30", "", 0.0)
    await heard(b"warning")
    scene.call.unbridge()
    await scene.call.present("interrupted", "interrupted", 0.0)
    await heard(b"\x65interrupted", Kind.VIDEO)
    old, scene.page_ssrcs, scene.page_clock = scene.page, (7, 9), itertools.count()
    await scene.join("s2")
    await old.close()
    await scene.both_send(KEY)
    await until(lambda: scene.events(wire.LegChanged)[-1]["session"] == "s2")
    await talk()
    await scene.call.update_phone(scene.phone.offer("sendonly"))
    await scene.both_send(KEY, 2)
    await scene.call.update_phone(scene.phone.offer())
    await talk()
    for kind in Kind:
        assert is_one_line([packet for _, packet in scene.phone.received[kind]]), kind


@scene
async def test_the_page_gets_one_line_of_sound_and_one_of_pictures_whatever_the_phone_does(scene):
    async def talk():
        before = len(scene.seen(8)), len(scene.seen(102))
        await scene.both_send(KEY, 3)
        await until(lambda: len(scene.seen(8)) >= before[0] + 3 and len(scene.seen(102)) >= before[1] + 3, "it came")

    await scene.join()
    await scene.flowing()
    scene.call.bridge(time.monotonic() + 60)
    await talk()
    scene.phone.ssrc = {Kind.AUDIO: 0x2000, Kind.VIDEO: 0x2001}  # a phone that reboots, or resumes with other streams
    scene.phone.sequence = {Kind.AUDIO: 65_000, Kind.VIDEO: 12}
    await talk()
    await scene.call.update_phone(scene.phone.offer("sendonly"))
    await scene.both_send(KEY, 2)
    await scene.call.update_phone(scene.phone.offer())
    await talk()
    await scene.call.present("warning_30", "", 0.0)
    await talk()
    scene.call.unbridge()
    await scene.both_send(KEY, 2)
    scene.call.bridge(time.monotonic() + 60)
    await talk()
    offer = await scene.page.restart()
    await scene.page.move_to(transport_of(await scene.call.restart_outside("s1", sdp_offer(offer), [])))
    await talk()
    for payload_type in (8, 102):
        assert is_one_line(scene.seen(payload_type)), payload_type


@scene
async def test_a_page_that_leaves_is_told_as_failed(scene):
    await scene.join("s1")
    await scene.flowing()
    await scene.page.close()
    await until(lambda: scene.events(wire.LegChanged)[-1]["state"] == "failed")


@scene
async def test_a_key_press_is_told_once_and_passed_on(scene):
    await scene.join()
    await scene.flowing()
    scene.call.bridge(time.monotonic() + 60)
    for duration in (160, 320, 480):
        scene.phone.send(Kind.AUDIO, bytes((5, 10)) + duration.to_bytes(2, "big"), 5000, event=True)
    await until(lambda: len(scene.seen(126)) == 3)
    assert [each["digit"] for each in scene.events(wire.RtpDigit)] == ["5"]


@scene
async def test_nothing_can_be_bridged_without_a_page(scene):
    with pytest.raises(wire.WorkerError):
        scene.call.bridge(time.monotonic() + 60)


@scene
async def test_an_offer_of_the_page_that_cannot_be_answered_leaves_no_leg(scene):
    with pytest.raises(wire.OfferUnacceptable):
        await scene.call.open_outside("s1", "v=0\r\nnonsense", [])
    await scene.join("s2")


@scene
async def test_a_confidential_call_is_never_recorded(scene):
    with pytest.raises(wire.RecorderUnavailable, match="confidential"):
        await scene.call.open_recorder("/nowhere/x.mkv", b"{}")


@pytest_twisted.ensureDeferred
async def test_a_line_that_becomes_confidential_is_bridged_and_never_recorded_again(monkeypatch):
    async def scenario():
        scene = await Scene(monkeypatch, confidential=False).open()
        await scene.call.tailor(confidential=False, language="en")
        await scene.call.tailor(confidential=True, language="en")
        await scene.call.tailor(confidential=False, language="en")
        assert scene.call._language == "en"
        with pytest.raises(wire.RecorderUnavailable, match="confidential"):
            await scene.call.open_recorder("/nowhere/x.mkv", b"{}")
        await scene.join()
        await scene.flowing()
        scene.call.bridge(time.monotonic() + 60)
        await scene.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_call_that_is_recorded_cannot_become_confidential(monkeypatch, tmp_path):
    async def scenario():
        scene = await Scene(monkeypatch, confidential=False).open()
        facts = RecordingFacts(
            call="c1", phone="p", contact="k", started_at="2026-01-01T00:00:00+00:00",
            started_monotonic=time.monotonic(),
        )  # fmt: skip
        await scene.call.open_recorder(str(tmp_path / "call.mkv"), msgspec.json.encode(facts))
        with pytest.raises(wire.RecorderUnavailable, match="recorded already"):
            await scene.call.tailor(confidential=True, language="fr")
        assert scene.call._language == "fr"
        await scene.close()

    await run(scenario())


@scene
async def test_the_last_counters_are_told_at_the_end(scene):
    await scene.join()
    await scene.flowing()
    await scene.call.close("limit_reached")
    stats = call_stats.decode(scene.events(wire.Stats)[-1]["stats"])
    assert stats.phone.audio_received.packets >= 1
    assert stats.phone.audio_sent.packets >= 1


@pytest_twisted.ensureDeferred
async def test_a_call_that_must_be_recorded_is_bridged_only_while_the_recorder_writes(monkeypatch, tmp_path):
    async def scenario():
        scene = await Scene(monkeypatch, confidential=False).open()
        await scene.join()
        await scene.flowing()
        with pytest.raises(wire.NotRecorded):
            scene.call.bridge(time.monotonic() + 60)
        path = tmp_path / "call.mkv"
        facts = RecordingFacts(
            call="c1", phone="p", contact="k", started_at="2026-01-01T00:00:00+00:00",
            started_monotonic=time.monotonic(),
        )  # fmt: skip
        await scene.call.open_recorder(str(path), msgspec.json.encode(facts))
        scene.call.bridge(time.monotonic() + 60)
        await scene.both_send(KEY, 5)
        await until(lambda: len(scene.seen(102)) == 5)
        await scene.both_send(KEY, 5)
        await until(lambda: len(scene.seen(102)) == 10)
        manifest = json.loads(await scene.call.seal("limit_reached"))
        with pytest.raises(wire.NotRecorded):
            scene.call.bridge(time.monotonic() + 60)
        await scene.both_send(KEY, 3)
        await asyncio.sleep(0.05)
        assert len(scene.seen(102)) == 10
        assert await scene.close() == b""
        assert path.exists()
        assert {track["name"]: track["frames"] for track in manifest["tracks"]} == {
            "phone-audio": 10, "phone-video": 10, "outside-audio": 10, "outside-video": 10,
        }  # fmt: skip

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_recording_that_lacks_a_keyframe_has_both_senders_asked_for_one(monkeypatch, tmp_path):
    """Nothing is lost on the way, so nobody else asks: what the senders sent is no picture."""

    def asked(reports):
        return any(isinstance(each, rtcp.PictureLoss) for report in reports for each in rtcp.parse(report))

    async def scenario():
        scene = await Scene(monkeypatch, confidential=False).open()
        await scene.join()
        facts = RecordingFacts(
            call="c1", phone="p", contact="k", started_at="2026-01-01T00:00:00+00:00",
            started_monotonic=time.monotonic(),
        )  # fmt: skip
        await scene.call.open_recorder(str(tmp_path / "call.mkv"), msgspec.json.encode(facts))
        scene.call.bridge(time.monotonic() + 60)
        await scene.flowing()
        await scene.both_send(KEY, 5)
        feedbacks = (scene.call._phone_feedback, scene.call._outside_feedback)
        await until(lambda: not any(each._keyframes.wanted for each in feedbacks), "both have sent a keyframe")
        scene.phone.reports[Kind.VIDEO].clear()
        scene.page.dtls.reports.clear()
        await scene.both_send(b"\x5c\x01 the middle of a unit that never began")
        for _ in range(100):
            await scene.both_send(DELTA)
            await asyncio.sleep(0.05)
            if asked(scene.phone.reports[Kind.VIDEO]) and asked(scene.page.dtls.reports):
                break
        else:
            pytest.fail("one of the senders was not asked")
        await scene.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_recorder_that_fails_stops_the_forwarding_at_once(monkeypatch, tmp_path):
    async def scenario():
        scene = await Scene(monkeypatch, confidential=False).open()
        await scene.join()
        await scene.flowing()
        facts = RecordingFacts(
            call="c1", phone="p", contact="k", started_at="2026-01-01T00:00:00+00:00",
            started_monotonic=time.monotonic(),
        )  # fmt: skip
        await scene.call.open_recorder(str(tmp_path / "call.mkv"), msgspec.json.encode(facts))
        scene.call.bridge(time.monotonic() + 60)
        await asyncio.to_thread(scene.call._recording.fails, "disk_full")
        await until(lambda: scene.events(wire.RecorderFailed))
        await scene.both_send(KEY, 3)
        await asyncio.sleep(0.05)
        assert scene.page.dtls.packets == []
        assert scene.events(wire.RecorderFailed) == [{"call": "c1", "why": "disk_full"}]
        await scene.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_call_that_is_over_leaves_no_socket_no_task_and_no_memory(monkeypatch):
    async def scenario():
        def sockets():
            return sum(os.readlink(each.path).startswith("socket:") for each in os.scandir("/proc/self/fd")
                       if os.path.lexists(each.path))  # fmt: skip

        await asyncio.sleep(0)
        scene = Scene(monkeypatch)
        before, tasks = sockets() - 4, len(asyncio.all_tasks())  # without the phone's own
        await scene.open()
        await scene.join()
        await scene.flowing()
        scene.call.bridge(time.monotonic() + 60)
        await scene.both_send(KEY, 3)
        await scene.close()
        call = weakref.ref(scene.call)
        del scene
        await asyncio.sleep(0.05)
        gc.collect()
        assert call() is None
        assert (sockets(), len(asyncio.all_tasks())) == (before, tasks)

    await run(scenario())


@scene
async def test_a_silence_is_told_with_the_moment_at_which_it_began(scene):
    """It is noticed late, and nobody pays for the time between."""
    began = time.monotonic() - 20.0
    for stream in scene.call._phone._streams.values():
        stream.heard = began
    scene.call.leg_is(scene.call._phone_side, "silent")
    (told,) = scene.events(wire.LegChanged)
    assert (told["leg"], told["state"], told["at"]) == ("phone", "silent", began)

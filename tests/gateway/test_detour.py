"""A call whose page knows VP8 only, with a real converter behind the link: a plain phone, a real WebRTC peer."""

import asyncio
import contextlib
import functools
import json
import time

import av
import msgspec
import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import rtp, vp8, wire
from avisiod.gateway.conversion import Conversion
from avisiod.gateway.detour import Detour, Outlet
from avisiod.gateway.leg import Kind
from avisiod.gateway.manifest import RecordingFacts
from avisiod.gateway.rtcp import PictureLoss, build
from avisiod.gateway.transcode_link import Way, Word, head, pair, read_head
from tests.gateway import test_media_call as calls
from tests.gateway.moving_pictures import H264, STEP, VP8, decoded, encoded, picture, unlike
from tests.gateway.webrtc_peer import Page, run, sdp_offer, transport_of, until

LIKE = 12.0
LAST = 120


@functools.cache
def made():
    """What phone and page send, a keyframe every ten pictures."""
    return [encoded(codec, range(LAST), keys=range(0, LAST, 10)) for codec in (H264, VP8)]


def vp8_offer(transport):
    """As sdp_offer, from a page that knows no H264."""
    lines = sdp_offer(transport).replace("102", str(VP8)).replace("H264/90000", "VP8/90000").split("\r\n")
    return "\r\n".join(line for line in lines if "profile-level-id" not in line)


class Scene(calls.Scene):
    """Both send moving pictures; what each sees is looked at by aiortc's decoders."""

    def __init__(self, monkeypatch, **phone):
        super().__init__(monkeypatch, **phone)
        self.conversion = None
        self.number = 0
        self.sequence = 500

    def transcoder(self):
        """The media worker's end of a link to a converter of our own."""
        ours, theirs = pair()
        self.conversion = Conversion("c1", theirs, lambda: None)
        return ours

    async def join(self, session="s1", link=None, sound_only=False):
        self.page = Page(self.monkeypatch)
        offer = vp8_offer(await self.page.offer())
        answer = await self.call.open_outside(session, offer, [], link=link, sound_only=sound_only)
        await self.page.ice_to(transport_of(answer))
        await self.page.dtls_to(transport_of(answer))
        return answer

    async def talk(self, frames=0, until=lambda: True, what="", video=True):
        """Pictures, and sound, at three times their speed: so many, and on until it holds."""
        first, end = self.number, time.monotonic() + 40
        while self.number < first + frames or not until():
            if time.monotonic() > end:
                pytest.fail(f"never: {what}")
            await self._tick(self.number, video)
            self.number += 1
            await asyncio.sleep(0.013)

    async def _tick(self, number, video):
        """A film that begins anew with a keyframe, on one timeline."""
        stamp = number * STEP & 0xFFFFFFFF
        phone, page = (film[number % LAST] for film in made())
        for packet in phone if video else ():
            self.phone.send(Kind.VIDEO, rtp.payload(packet), stamp, marker=rtp.marker(packet))
        for packet in page if video else ():
            self.sequence = (self.sequence + 1) & 0xFFFF
            await self.page.send(rtp.rewritten(packet, VP8, self.sequence, stamp, 9))
        self.phone.send(Kind.AUDIO, b"phone %d" % number, number * 320)
        sound = b"page %d" % number
        await self.page.send(
            rtp.packet(sound, payload_type=8, sequence=number, timestamp=number * 320, ssrc=7, marker=False)
        )

    def hears(self, number):
        """Whether the phone has heard the sound of a tick this late."""
        heard = [packet for packet in self.phone.payloads(Kind.AUDIO) if packet.startswith(b"page ")]
        return bool(heard) and int(heard[-1].split()[1]) >= number

    def page_sees(self):
        return [packet for packet in self.page.dtls.packets if packet[1] & 0x7F == VP8]

    def phone_sees(self):
        return [packet for _, packet in self.phone.received[Kind.VIDEO]]

    async def close(self, reason="limit_reached"):
        if self.conversion is not None:
            self.conversion.close()
        return await super().close(reason)


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


def is_right(codec, packets):
    """Whether every picture is one of those that were sent; how many there are."""
    found = decoded(codec, packets).values()
    assert found
    for image in found:
        assert min(unlike(image, picture(number)) for number in range(LAST)) < LIKE
    return len(found)


@scene
async def test_without_a_transcoder_the_older_page_stays_and_nothing_is_changed(scene):
    await calls.Scene.join(scene)
    await scene.flowing()
    first = scene.page
    with pytest.raises(wire.TranscodingNeeded):
        await scene.call.open_outside("s2", vp8_offer(await first.offer()), [])
    assert scene.call.picture == "relayed"
    assert {event["state"] for event in scene.events(wire.LegChanged)} == {"flowing"}
    scene.call.bridge(time.monotonic() + 60)
    await scene.both_send(times=3)
    await until(lambda: scene.seen(102), "the older page still gets the phone's picture")


@scene
async def test_with_sound_only_the_picture_is_refused_and_the_sound_goes_both_ways(scene):
    answer = await scene.join(sound_only=True)
    assert "m=video 0 " in answer
    assert scene.call.picture == "none"
    await until(lambda: scene.page.dtls.state == "connected")
    scene.call.bridge(time.monotonic() + 60)
    await scene.talk(until=lambda: scene.hears(5), what="the phone hears", video=False)


@scene
async def test_each_side_sees_the_other_in_its_own_codec(scene):
    answer = await scene.join(link=scene.transcoder())
    assert f"a=rtpmap:{VP8} VP8/90000" in answer
    assert scene.call.picture == "transcoded"
    scene.call.bridge(time.monotonic() + 60)
    await scene.talk(
        until=lambda: min(len(times(scene.page_sees())), len(times(scene.phone_sees()))) > 25, what="both see"
    )
    assert is_right(VP8, scene.page_sees()) > 20
    assert is_right(H264, scene.phone_sees()) > 20
    assert scene.hears(1)
    for packets in (scene.page_sees(), scene.phone_sees()):
        first = rtp.sequence(packets[0])
        assert [rtp.sequence(each) for each in packets] == [(first + n) & 0xFFFF for n in range(len(packets))]


def times(packets):
    return {rtp.timestamp(each) for each in packets}


@scene
async def test_a_transcoder_that_ends_stops_the_picture_only_and_another_one_takes_over(scene):
    await scene.join(link=scene.transcoder())
    scene.call.bridge(time.monotonic() + 60)
    await scene.talk(until=lambda: scene.phone_sees() and scene.page_sees(), what="both see")
    scene.conversion.close()
    await until(lambda: scene.call._conversion._detour._link is None, "the end is noticed")
    await scene.talk(5)
    seen, silent = len(scene.phone_sees()), scene.number
    await scene.talk(10, until=lambda: scene.hears(silent), what="the sound goes on")
    assert len(scene.phone_sees()) == seen
    scene.call.relink(scene.transcoder())
    page, phone = len(times(scene.page_sees())), len(times(scene.phone_sees()))
    await scene.talk(until=lambda: len(times(scene.page_sees())) > page + 15, what="the page sees again")
    await scene.talk(until=lambda: len(times(scene.phone_sees())) > phone + 15, what="the phone sees again")
    is_right(VP8, scene.page_sees())
    is_right(H264, scene.phone_sees())


@scene
async def test_a_transcoder_that_hangs_costs_packets_but_neither_sound_nor_time(scene):
    ours, theirs = pair()
    with theirs:
        await scene.join(link=ours)
        scene.call.bridge(time.monotonic() + 60)
        packets = [packet for frame in made()[0] for packet in frame]
        take = scene.call._conversion._detour.taker(Way.TO_PAGE)

        def full():
            for packet in packets:
                take(packet, 0.0)
            return scene.call._conversion._detour.dropped > 0

        await scene.talk(20, until=full, what="the link is full")
        now = scene.number
        await scene.talk(until=lambda: scene.hears(now), what="the sound goes on", video=False)
        stats = json.loads(scene.call._stats())
        assert stats["not_converted"] > 0


@scene
async def test_the_receivers_wish_for_a_keyframe_goes_to_the_encoder_and_not_to_the_sender(scene):
    await scene.join(link=scene.transcoder())
    scene.call.bridge(time.monotonic() + 60)
    await scene.talk(until=scene.page_sees, what="the page sees")
    await scene.talk(30)  # what was asked for at the beginning has been answered
    asked = scene.call._phone_feedback.stats().pictures_asked
    keys = sum(vp8_key(packet) for packet in scene.page_sees())
    own = rtp.ssrc(scene.page_sees()[0])
    scene.call._outside_side.rtcp(None, None, build(PictureLoss(sender=9, media=own)), time.monotonic())
    assert scene.call._phone_feedback.stats().pictures_asked == asked
    await scene.talk(until=lambda: sum(map(vp8_key, scene.page_sees())) > keys, what="a keyframe for the page")


def vp8_key(packet):
    return vp8.starts_keyframe(packet, 12)


@scene
async def test_what_no_transcoder_would_say_goes_nowhere(scene):
    ours, theirs = pair()
    with theirs:
        await scene.join(link=ours)
        scene.call.bridge(time.monotonic() + 60)
        await until(lambda: scene.page.dtls.state == "connected")
        junk = [b"\x99", b"\x10", b"\x10short", b"\x1f" + bytes(20), head(Word.PACKET, Way.TO_PHONE) + b"\xc8" * 40,
                head(Word.SETTINGS) + b"{}", head(Word.BITRATE) + b"1234", b"\x10\xbf" + bytes(30)]  # fmt: skip
        for message in junk:
            theirs.send(message)
        await until(lambda: scene.call._conversion._detour.dropped >= len(junk), "all of it is counted")
        await scene.talk(until=lambda: scene.hears(2), what="the sound goes on")
        assert scene.phone_sees() == []


@given(st.binary(max_size=40))
def test_the_head_of_any_message_is_read_without_harm(message):
    known = read_head(message)
    assert known is None or head(*known) == message[:1]


@pytest_twisted.ensureDeferred
async def test_the_recording_holds_both_parties_in_the_phones_codec(monkeypatch, tmp_path):
    async def scenario():
        scene = await Scene(monkeypatch, confidential=False).open()
        facts = RecordingFacts(
            call="c1",
            phone="p",
            contact="c",
            started_at="2026-01-01T00:00:00+00:00",
            started_monotonic=time.monotonic(),
        )
        path = tmp_path / "call.mkv"
        await scene.call.open_recorder(str(path), msgspec.json.encode(facts))
        await scene.join(link=scene.transcoder())
        scene.call.bridge(time.monotonic() + 60)
        await scene.talk(60, until=lambda: len(times(scene.phone_sees())) > 25, what="the phone sees")
        manifest = json.loads(await scene.close())
        frames = {track["name"]: (track["codec"], track["frames"]) for track in manifest["tracks"]}
        assert frames["phone-video"][0] == frames["outside-video"][0] == "H264"
        assert frames["phone-video"][1] > 40
        assert frames["outside-video"][1] > 20
        for number in (1, 3):
            with contextlib.closing(av.open(str(path))) as file:
                for frame in file.decode(file.streams[number]):
                    image = frame.to_image()
                    assert min(unlike(image, picture(each)) for each in range(LAST)) < LIKE

    await run(scenario())


@scene
async def test_another_transcoder_numbers_its_packets_behind_those_of_the_former_one(scene):
    """The recorder takes far numbers for late packets, or for another source, as it happens."""
    await scene.join(link=scene.transcoder())
    scene.call.bridge(time.monotonic() + 60)
    numbers = []
    outlet = scene.call._inward.outlet
    outlet.open(
        time.monotonic() + 60, lambda kind, packet: None, lambda packet, at: numbers.append(rtp.sequence(packet))
    )
    for _ in range(3):
        count = len(numbers)
        await scene.talk(until=lambda count=count: len(numbers) > count + 5, what="packets come")
        scene.call.relink(scene.transcoder())
    first = numbers[0]
    steps = [(number - first - place) & 0xFFFF for place, number in enumerate(numbers)]
    assert sorted(set(steps)) == list(range(3))


class Stream:
    """In place of relay.OutStream."""

    def __init__(self):
        self.seams = self.packets = self.octets = 0

    def seam(self):
        self.seams += 1

    def rewritten(self, packet, arrival):
        return bytearray(packet)


def test_what_comes_back_is_forwarded_from_a_keyframe_until_the_deadline_and_recorded_all_the_same():
    outlet = Outlet(Stream(), lambda packet, offset: packet[offset:] == b"key")
    sent, taped = [], []
    key, delta = bytes(12) + b"key", bytes(12) + b"delta"
    outlet.packet(key, 1.0)
    outlet.open(10.0, lambda kind, packet: sent.append(bytes(packet)), lambda packet, at: taped.append(packet))
    for packet, at in ((delta, 2.0), (key, 3.0), (delta, 4.0)):
        outlet.packet(packet, at)
    assert sent == [key, delta]
    assert taped == [delta, key, delta]
    assert outlet.last_forwarded == 4.0
    outlet.mute()
    outlet.packet(delta, 5.0)
    outlet.unmute(lambda kind, packet: sent.append(bytes(packet)))
    outlet.packet(delta, 6.0)
    outlet.packet(key, 7.0)
    assert sent == [key, delta, key]
    outlet.packet(key, 10.0)
    outlet.shut()
    outlet.packet(key, 9.0)
    assert (len(sent), len(taped)) == (3, 6)


class Receiver:
    """In place of LegFeedback."""

    def __init__(self, takes=0, lost=0.0):
        self.told = takes, lost

    def takes(self, now):
        return self.told


@pytest_twisted.ensureDeferred
async def test_each_way_gets_the_bitrate_that_its_receiver_takes():
    async def scenario():
        ours, theirs = pair()
        streams = {way: Stream() for way in Way}
        outlets = {way: Outlet(stream, lambda packet, offset: True) for way, stream in streams.items()}
        detour = Detour(ours, outlets, lambda way: None, {Way.TO_PAGE: 1_500_000, Way.TO_PHONE: 500_000}, {})
        ours.close()
        detour.settle(H264, {"profile-level-id": "42e01f"}, VP8)
        page, phone = Receiver(takes=300_000), Receiver()
        for second in range(20):
            for stream in streams.values():
                stream.packets += 50
                stream.octets += 40_000
            detour.look(100.0 + second, {Way.TO_PAGE: page, Way.TO_PHONE: phone})
        phone.told = 0, 0.3
        for second in range(20, 30):
            streams[Way.TO_PHONE].packets += 50
            streams[Way.TO_PHONE].octets += 40_000
            detour.look(100.0 + second, {Way.TO_PAGE: None, Way.TO_PHONE: phone})
        detour.close()
        messages = []
        with theirs:
            while message := theirs.recv(4096):
                messages.append(message)
        first = json.loads(messages[0][1:])
        assert (first["to_page_bitrate"], first["to_phone_bitrate"]) == (800_000, 500_000)
        rates = {
            way: [int.from_bytes(m[1:], "big") for m in messages[1:] if m[:1] == head(Word.BITRATE, way)]
            for way in Way
        }
        assert rates[Way.TO_PAGE] == [300_000]
        assert rates[Way.TO_PHONE][-1] < 300_000, "a third of it was lost"

    await run(scenario())

"""What the phone gets while nobody is on the other side."""

import asyncio

import pytest_twisted

from avisiod.gateway import rtp
from avisiod.gateway.leg import Kind
from avisiod.gateway.presenter import Presenter
from avisiod.gateway.relay import OutStream
from tests.gateway.webrtc_peer import LINES, run, until

SILENCE = b"\xd5" * 160


class Phone:
    def __init__(self):
        self.sound, self.pictures = [], []
        self.presenter = Presenter(asyncio.get_running_loop(), self.send)
        audio = OutStream(Kind.AUDIO, 8000, ssrc=1, sequence=0, timestamp=0)
        video = OutStream(Kind.VIDEO, 90000, ssrc=2, sequence=0, timestamp=0)
        audio.translate(LINES[Kind.AUDIO], LINES[Kind.AUDIO])
        video.translate(LINES[Kind.VIDEO], LINES[Kind.VIDEO])
        self.presenter.voice(audio, SILENCE, 160)
        self.presenter.canvas(video)

    def send(self, kind, packet):
        (self.sound if kind is Kind.AUDIO else self.pictures).append(packet)

    def heard(self):
        return [each[12:] for each in self.sound]


@pytest_twisted.ensureDeferred
async def test_a_prompt_is_followed_by_silence_in_one_stream_and_its_end_is_told():
    async def scenario():
        phone, over = Phone(), []
        phone.presenter.start()
        phone.presenter.say([b"one", b"two", b"three"], 0, lambda: over.append(len(phone.sound)))
        await until(lambda: len(phone.sound) >= 5)
        phone.presenter.stop()
        assert phone.heard()[:5] == [b"one", b"two", b"three", SILENCE, SILENCE]
        assert over == [3]
        assert [rtp.sequence(each) for each in phone.sound[:5]] == [1, 2, 3, 4, 5]
        assert [rtp.timestamp(each) for each in phone.sound[:5]] == [0, 160, 320, 480, 640]
        assert {rtp.payload_type(each) for each in phone.sound} == {8}

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_repeated_prompt_comes_again_after_its_pause_and_never_ends():
    async def scenario():
        phone, over = Phone(), []
        phone.presenter.start()
        phone.presenter.say([b"one", b"two"], 0.4, lambda: over.append(1))
        await until(lambda: phone.heard().count(b"two") >= 2)
        phone.presenter.stop()
        heard = phone.heard()
        over_once = heard.index(b"two") + 1
        gap = heard[over_once : heard.index(b"one", over_once)]
        assert set(gap) == {SILENCE}
        assert len(gap) >= 2
        assert over == []

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_picture_is_one_frame_and_comes_again_when_the_phone_asks():
    async def scenario():
        phone = Phone()
        phone.presenter.show([b"\x67sps", b"\x68pps", b"\x65idr"])
        phone.presenter.start()
        await until(lambda: len(phone.pictures) == 3)
        phone.presenter.refresh()
        phone.presenter.refresh()
        await until(lambda: len(phone.pictures) == 6)
        phone.presenter.stop()
        assert [rtp.marker(each) for each in phone.pictures] == [False, False, True] * 2
        assert len({rtp.timestamp(each) for each in phone.pictures[:3]}) == 1
        assert [rtp.sequence(each) for each in phone.pictures] == [1, 2, 3, 4, 5, 6]

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_the_end_of_a_prompt_may_stop_or_begin_anew():
    async def scenario():
        phone = Phone()

        def again():
            phone.presenter.stop()
            phone.presenter.start()
            phone.presenter.say([b"next"], 0, phone.presenter.stop)

        phone.presenter.start()
        phone.presenter.say([b"one"], 0, again)
        await until(lambda: not phone.presenter.running)
        assert phone.heard() == [b"one", b"next"]

    await run(scenario())

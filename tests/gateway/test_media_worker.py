"""A spawned media worker between a plain-RTP phone and a real Chromium, spoken to over AMP as control does."""

import asyncio
import base64
import functools
import http.server
import threading
import time
from typing import NamedTuple

import av
import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from avisiod.clock import SystemClock
from avisiod.config.settings import Config, Media, Recordings
from avisiod.gateway.leg import Kind
from avisiod.gateway.manifest import RecordingFacts, decode
from avisiod.gateway.media_call import SILENCE
from avisiod.gateway.media_gateway import MediaGateway
from tests.gateway.h264_clip import clip, decoded
from tests.gateway.plain_phone import PlainPhone
from tests.peers.browser import Chromium
from tests.peers.offreactor import aside
from tests.peers.ports import free_range

PAGE = b"""<!doctype html><video id=v autoplay playsinline></video><script>
async function offer() {
  const pc = window.pc = new RTCPeerConnection();
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 480}});
  media.getTracks().forEach(track => pc.addTrack(track, media));
  pc.ontrack = event => { document.getElementById('v').srcObject = event.streams[0]; };
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
}
async function accept(sdp) { await pc.setRemoteDescription({type: 'answer', sdp}); }
async function outgoing() {
  const found = {};
  (await pc.getStats()).forEach(s => { if (s.type === 'outbound-rtp') found[s.kind] = s; });
  return found;
}
</script>"""


class Manner(NamedTuple):
    """How a phone speaks of its H.264, and how it then packs it."""

    states: int | None
    packs: int
    sets_in_sdp_only: bool = False


class SpeakingPhone:
    """A PlainPhone on a loop and thread of its own: it goes on while the test's reactor does nothing."""

    def __init__(self, manner: Manner) -> None:
        self._frames = clip(manner.packs)
        sprop = ""
        if manner.sets_in_sdp_only:
            sets = [each for each in self._frames[0] if each[0] & 0x1F in (7, 8)]
            self._frames = tuple(tuple(each for each in frame if each not in sets) for frame in self._frames)
            sprop = ";sprop-parameter-sets=" + ",".join(base64.b64encode(each).decode() for each in sets)
        self.phone = PlainPhone(mode=manner.states, sprop=sprop)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._task: asyncio.Task[None] | None = None

    def start(self, answer: str) -> None:
        def go() -> None:
            self.phone.answered(answer)
            self._task = self._loop.create_task(self._speak())

        self._loop.call_soon_threadsafe(go)

    async def _speak(self) -> None:
        tick, frame = 0, 0
        begun = time.monotonic()
        while True:
            self.phone.send(Kind.AUDIO, bytes((tick * 7 + n) % 256 for n in range(160)), tick * 160)
            if tick % 2 == 0:
                if self.phone.reports[Kind.VIDEO]:  # a wish for a keyframe, most likely
                    self.phone.reports[Kind.VIDEO].clear()
                    frame = 0
                payloads = self._frames[frame % len(self._frames)]
                for payload in payloads:
                    self.phone.send(Kind.VIDEO, payload, tick * 1800, marker=payload is payloads[-1])
                frame += 1
            tick += 1
            await asyncio.sleep(max(0.0, begun + tick * 0.02 - time.monotonic()))

    def at(self, due: float) -> threading.Event:
        """Set at this monotonic time, by the phone's own thread."""
        event = threading.Event()
        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(due - time.monotonic(), event.set))
        return event

    def stop(self) -> None:
        done = threading.Event()

        def end() -> None:
            if self._task is not None:
                self._task.cancel()
            self.phone.close()
            done.set()

        self._loop.call_soon_threadsafe(end)
        done.wait(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class Control:
    """What the switchboard is to the gateway: it remembers."""

    def __init__(self, gateway: MediaGateway) -> None:
        self.told: list[tuple[object, ...]] = []
        gateway.listener = self

    def __getattr__(self, name: str):
        return lambda *arguments: self.told.append((name, *arguments))

    def count(self, *beginning: object) -> int:
        return sum(each[: len(beginning)] == beginning for each in self.told)


def shortly(seconds: float) -> Deferred[None]:
    return Deferred.fromFuture(asyncio.ensure_future(asyncio.sleep(seconds)))


async def until(true, what: str, within: float = 15.0) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"did not happen within {within:.0f} s: {what}"
        await shortly(0.02)


@pytest.fixture(scope="module")
def site():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def chromium():
    with Chromium() as browser:
        yield browser


class Stage:
    def __init__(self, chromium, site, folder, mode):
        first, last = free_range()
        media = Media(workers=1, phone_ports=(first, first + 49), outside_ports=(first + 50, last))
        config = Config(media=media, recordings=Recordings(folder=str(folder), keep_free_bytes=0))
        self.gateway = MediaGateway(reactor, SystemClock(asyncio.get_event_loop()), config)
        self.control = Control(self.gateway)
        self.phone = SpeakingPhone(mode if isinstance(mode, Manner) else Manner(mode, mode))
        self.relative = chromium.relative()
        self.site = site
        self.path = folder / "call.mkv"

    async def join(self):
        await self.gateway.start()
        self.phone.start(
            await self.gateway.open_call(
                "c1", self.phone.phone.offer(), confidential=False, language="fr", secure=False
            )
        )
        await self.gateway.present("c1", "waiting", "waiting", 5.0)
        facts = RecordingFacts(call="c1", phone="p", contact="k", started_at="2026-01-01T00:00:00+00:00",
                               started_monotonic=time.monotonic())  # fmt: skip
        await self.gateway.open_recorder("c1", str(self.path), msgspec.json.encode(facts))
        await aside(self.relative.open, self.site)
        offer = await aside(self.relative.evaluate, "offer()")
        answer = await self.introduce(offer)
        await aside(self.relative.evaluate, "sdp => accept(sdp)", answer)
        for leg, session in (("phone", ""), ("outside", "s1")):
            await until(lambda: self.control.count("leg_changed", "c1", leg, session, "flowing") == 1, f"{leg} flows")  # noqa: B023

    async def introduce(self, offer):
        """The worker's answer to the page."""
        return await self.gateway.open_browser_leg("c1", "s1", offer, b"[]")

    async def close(self):
        await aside(self.relative.close)
        for worker in self.gateway.workers:
            await worker.stop()
        self.phone.stop()

    def relayed(self, kind):
        """What the phone got that was not ours."""
        return [(at, packet) for at, packet in self.phone.phone.received[kind] if packet[12:] != SILENCE["PCMA"]]


def stage(mode, made_of=Stage):
    def decorate(function):
        @pytest.mark.peer
        @pytest_twisted.ensureDeferred
        @functools.wraps(function)
        async def test(chromium, site, tmp_path):
            made = made_of(chromium, site, tmp_path, mode)
            try:
                await function(made)
            finally:
                await made.close()

        test.__wrapped__ = None
        del test.__wrapped__
        return test

    return decorate


async def _see_and_hear_each_other(stage):
    await stage.join()
    await stage.gateway.bridge("c1", time.monotonic() + 60)
    seen = await aside(stage.relative.wait_frames, 60)
    heard = await aside(stage.relative.wait_heard, -40.0)
    await until(lambda: len(stage.relayed(Kind.VIDEO)) > 200, "the phone sees")
    sent = await aside(stage.relative.evaluate, "outgoing()")
    manifest = decode(await stage.gateway.close_call("c1", "relative_hung_up"))
    packets = [packet for _, packet in stage.relayed(Kind.VIDEO) if packet[12] & 0x1F != 9]
    assert (seen.width, seen.height, seen.lost) == (320, 240, 0)
    assert heard > -40
    assert decoded(packets) >= 20
    assert sent["video"]["framesSent"] >= 20
    assert {track.name: track.frames > 20 for track in manifest.tracks} == {
        "phone-audio": True, "phone-video": True, "outside-audio": True, "outside-video": True,
    }  # fmt: skip


@stage(mode=1)
async def test_chromium_and_a_phone_of_packetization_mode_1_see_and_hear_each_other(stage):
    await _see_and_hear_each_other(stage)


@stage(mode=0)
async def test_chromium_and_a_phone_of_packetization_mode_0_see_and_hear_each_other(stage):
    await _see_and_hear_each_other(stage)


@stage(mode=Manner(states=None, packs=0))
async def test_chromium_and_a_phone_without_packetization_mode_see_and_hear_each_other(stage):
    await _see_and_hear_each_other(stage)


@stage(mode=Manner(states=0, packs=1))
async def test_a_phone_that_states_packetization_mode_0_and_sends_fu_a_is_seen(stage):
    await _see_and_hear_each_other(stage)


@stage(mode=Manner(states=1, packs=1, sets_in_sdp_only=True))
async def test_a_phone_with_its_parameter_sets_in_the_sdp_only_is_seen_and_its_recording_can_be_decoded(stage):
    await _see_and_hear_each_other(stage)
    with av.open(str(stage.path)) as container:
        assert sum(1 for _ in container.decode(container.streams.video[0])) > 20


@stage(mode=1)
async def test_forwarding_stops_at_the_deadline_while_control_is_frozen(stage):
    await stage.join()
    deadline = time.monotonic() + 2.0
    await stage.gateway.bridge("c1", deadline)
    stage.phone.at(deadline + 1.0).wait(10)  # blocks this thread, and with it all that control does
    last = stage.relayed(Kind.VIDEO)[-1][0]
    assert deadline - 0.3 < last < deadline + 0.2
    await until(lambda: stage.control.count("deadline_passed", "c1") == 1, "control was told")


@stage(mode=1)
async def test_a_worker_whose_control_is_gone_stops_forwarding_and_seals_the_recording(stage):
    await stage.join()
    await stage.gateway.bridge("c1", time.monotonic() + 60)
    await until(lambda: len(stage.relayed(Kind.VIDEO)) > 30, "pictures are forwarded")
    (worker,) = stage.gateway.workers
    told_at = time.monotonic()
    await worker.stop()
    assert stage.relayed(Kind.VIDEO)[-1][0] < told_at + 1.0
    assert decode(stage.path.with_name("call.mkv.json").read_bytes()).end_reason == "service_restarted"

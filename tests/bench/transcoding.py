"""What one converted call costs, and what a relayed call beside it notices: docs/benchmarks-transcoding.md.

    python -m tests.bench.transcoding [--rounds 3] [--seconds 15]

One media worker carries two calls between plain phones and pages of aiortc. The first is relayed and measured; the
second is, turn by turn, relayed as well, and converted: the load that the parties themselves make is the same.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet import asyncioreactor

if __name__ == "__main__":
    asyncio.set_event_loop(asyncio.new_event_loop())
    asyncioreactor.install(asyncio.get_event_loop())

import av
import pytest
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred

from avisiod.clock import SystemClock
from avisiod.config.settings import Config, Media
from avisiod.gateway import rtp
from avisiod.gateway.leg import Kind
from avisiod.gateway.media_gateway import MediaGateway
from avisiod.gateway.transcode_gateway import TranscodeGateway
from tests.bench import machine
from tests.bench.figures import percentile
from tests.gateway.plain_phone import PlainPhone
from tests.gateway.webrtc_peer import Page, sdp_offer, transport_of, until
from tests.peers import assets
from tests.peers.ports import free_range

reactor: Any = _reactor

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks-transcoding.md"
TEXT = Path(__file__).with_name("texts") / "transcoding.md"
BITRATE = 880_000
FRAMES = 100
STEP = 3600
FRAME_S = 0.04
H264_TYPE, VP8_TYPE = 99, 102
"""The page's video has the same payload type whichever codec it is."""


def film(encoder: Any, party: str) -> list[list[bytes]]:
    """The payloads of each picture, the first a keyframe."""
    encoder.target_bitrate = BITRATE
    found = []
    with av.open(str(assets.camera(party))) as source:
        for number, frame in enumerate(source.decode(video=0)):
            if number == FRAMES:
                break
            picture = frame.reformat(format="yuv420p")
            picture.pts = number
            found.append(encoder.encode(picture, force_keyframe=number == 0)[0])
    return found


class Talk:
    """One call's two parties, what they sent and what they got, each with its moment."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, films: dict[str, list[list[bytes]]], *, converted: bool
    ) -> None:
        self.phone = PlainPhone()
        self.page = Page(monkeypatch)
        self.films = films["H264"], films["VP8" if converted else "H264"]
        self.converted = converted
        self.sent: dict[str, dict[int, float]] = {"phone": {}, "page": {}}
        """By RTP timestamp: when the last packet of the picture was sent."""
        self.came: list[tuple[float, bytes]] = []
        self.page.dtls._handle_rtp_data = self._heard  # type: ignore[method-assign]
        self._sequence: dict[int, int] = {}

    async def _heard(self, data: bytes, arrival_time_ms: int) -> None:
        self.came.append((time.monotonic(), data))

    async def join(self, gateway: MediaGateway, call: str) -> None:
        opened = await _future(
            gateway.open_call(call, self.phone.offer(), confidential=True, secure=False, language="fr")
        )
        self.phone.answered(opened)
        offer = sdp_offer(await self.page.offer())
        if self.converted:
            offer = offer.replace("H264/90000", "VP8/90000")
        answer = transport_of(await _future(gateway.open_browser_leg(call, "s", offer, b"[]")))
        await self.page.ice_to(answer)
        await self.page.dtls_to(answer)
        await until(lambda: self.page.dtls.state == "connected")
        await _future(gateway.bridge(call, time.monotonic() + 3600))

    async def frame(self, number: int) -> None:
        """One picture of each, and the sound of its time."""
        stamp = (number * STEP) & 0xFFFFFFFF
        phone, page = (film[number % FRAMES] for film in self.films)
        for n, payload in enumerate(phone, 1):
            self.phone.send(Kind.VIDEO, payload, stamp, marker=n == len(phone))
        self.sent["phone"][stamp] = time.monotonic()
        for n, payload in enumerate(page, 1):
            await self._page_sends(payload, VP8_TYPE, stamp, 9, marker=n == len(page))
        self.sent["page"][stamp] = time.monotonic()
        for half in (0, 1):
            self.phone.send(Kind.AUDIO, bytes(160), number * 320 + half * 160)
            await self._page_sends(bytes(160), 8, number * 320 + half * 160, 7, marker=False)

    async def _page_sends(self, payload: bytes, payload_type: int, stamp: int, ssrc: int, *, marker: bool) -> None:
        self._sequence[ssrc] = self._sequence.get(ssrc, 0) + 1
        packet = rtp.packet(
            payload,
            payload_type=payload_type,
            sequence=self._sequence[ssrc] & 0xFFFF,
            timestamp=stamp & 0xFFFFFFFF,
            ssrc=ssrc,
            marker=marker,
        )
        await self.page.send(packet)

    def latencies(self) -> dict[str, list[float]]:
        """Ms from a picture's last packet at its sender to its last packet at its receiver, by direction.

        The streams have timelines of their own; the last picture, after which all is quiet, tells how far apart.
        """
        towards = {
            "to the page": (self.sent["phone"], [each for each in self.came if each[1][1] & 0x7F == VP8_TYPE]),
            "to the phone": (self.sent["page"], self.phone.received[Kind.VIDEO]),
        }
        return {name: delays(sent, came) for name, (sent, came) in towards.items()}

    async def leave(self, gateway: MediaGateway, call: str) -> None:
        await _future(gateway.close_call(call, "bench"))
        self.phone.close()
        await self.page.close()


def delays(sent: dict[int, float], came: Iterable[tuple[float, bytes]]) -> list[float]:
    """Ms from `sent`, by RTP timestamp, to the marker of the same picture; the last of both is the same."""
    ends = {rtp.timestamp(packet): at for at, packet in came if rtp.marker(packet)}
    if not ends:
        raise RuntimeError("nothing came")
    shift = (max(ends, key=ends.__getitem__) - max(sent, key=sent.__getitem__)) & 0xFFFFFFFF
    moments = ((at, sent.get((stamp - shift) & 0xFFFFFFFF)) for stamp, at in ends.items())
    return [(at - began) * 1000 for at, began in moments if began is not None]


async def _future(awaitable: Any) -> Any:
    """A coroutine of control's side, awaited on asyncio's."""
    return await Deferred.fromCoroutine(_awaiting(awaitable)).asFuture(asyncio.get_running_loop())


async def _awaiting(awaitable: Any) -> Any:
    return await awaitable


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process's threads have used."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory_mib(pid: int) -> float:
    """Resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def turn(
    gateway: MediaGateway, films: dict[str, list[list[bytes]]], seconds: float, *, converted: bool
) -> dict[str, Any]:
    """One turn of both calls; its figures."""
    monkeypatch = pytest.MonkeyPatch()
    relayed, beside = Talk(monkeypatch, films, converted=False), Talk(monkeypatch, films, converted=converted)
    talks = {"c0": relayed, "c1": beside}
    for call, talk in talks.items():
        await talk.join(gateway, call)
    media, transcoder = gateway.workers[0].pid, gateway.transcoders and gateway.transcoders.workers[0].pid
    assert media is not None
    assert transcoder is not None
    began = time.monotonic()
    before = cpu_s(media), cpu_s(transcoder)
    for number in range(round(seconds / FRAME_S)):
        await asyncio.sleep(max(0.0, began + number * FRAME_S - time.monotonic()))
        for talk in talks.values():
            await talk.frame(number)
    await asyncio.sleep(1.0)
    passed = time.monotonic() - began
    figures = {
        "relayed": relayed.latencies(),
        "beside": beside.latencies(),
        "media": (cpu_s(media) - before[0]) / passed * 100,
        "transcoder": (cpu_s(transcoder) - before[1]) / passed * 100,
        "memory": memory_mib(transcoder),
    }
    for call, talk in talks.items():
        await talk.leave(gateway, call)
    monkeypatch.undo()
    return figures


async def measure(rounds: int, seconds: float) -> dict[bool, list[dict[str, Any]]]:
    """Turns without and with conversion, one after the other."""
    films = {"H264": film(H264Encoder(), "CELLULE"), "VP8": film(Vp8Encoder(), "FAMILLE")}
    first, last = free_range()
    media = Media(workers=1, phone_ports=(first, first + 49), outside_ports=(first + 50, last), transcoded_calls=1)
    clock = SystemClock(asyncio.get_running_loop())
    transcoders = TranscodeGateway(reactor, clock, Config(media=media))
    gateway = MediaGateway(reactor, clock, Config(media=media), transcoders)
    for pool in (transcoders, gateway):
        await _future(pool.start())
    turns: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    await turn(gateway, films, seconds, converted=True)  # prompts are encoded once, beside the first call
    for number in range(2 * rounds):
        converted = bool(number % 2)
        turns[converted].append(await turn(gateway, films, seconds, converted=converted))
    for worker in (*gateway.workers, *transcoders.workers):
        await _future(worker.stop())
    return turns


def page(turns: dict[bool, list[dict[str, Any]]], rounds: int, seconds: float) -> str:
    facts = machine.facts()

    def row(name: str, found: list[float]) -> str:
        return f"| {name} | {' | '.join(f'{percentile(found, share):.2f}' for share in (0.5, 0.95, 0.99, 1.0))} |"

    def of(converted: bool, call: str, way: str) -> list[float]:
        return [ms for each in turns[converted] for ms in each[call][way]]

    def mean(converted: bool, name: str) -> float:
        return sum(each[name] for each in turns[converted]) / len(turns[converted])

    rows = [row(f"converted, {way}", of(True, "beside", way)) for way in ("to the page", "to the phone")] + [
        row(f"relayed beside a {'converted' if converted else 'relayed'} call, {way}", of(converted, "relayed", way))
        for way in ("to the page", "to the phone")
        for converted in (False, True)
    ]
    return TEXT.read_text().format(
        rounds=rounds,
        seconds=seconds,
        kbps=BITRATE // 1000,
        facts=facts,
        latencies="\n".join(rows),
        media=[mean(converted, "media") for converted in (False, True)],
        transcoder=[mean(converted, "transcoder") for converted in (False, True)],
        memory=[mean(converted, "memory") for converted in (False, True)],
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    asked = parser.parse_args()
    turns = await measure(asked.rounds, asked.seconds)
    DOCUMENT.write_text(page(turns, asked.rounds, asked.seconds))
    sys.stdout.write(f"written: {DOCUMENT}\n")


if __name__ == "__main__":
    failures: list[BaseException] = []

    async def run() -> None:
        try:
            await main()
        except BaseException as error:
            failures.append(error)
        finally:
            with contextlib.suppress(Exception):
                reactor.stop()

    reactor.callWhenRunning(lambda: asyncio.ensure_future(run()))
    reactor.run()
    if failures:
        raise failures[0]

"""Answers a page's offer as the box would, with a picture and a tone of its own: aiortc decodes and encodes."""

import asyncio
import fractions
import math
import pathlib
from array import array
from collections.abc import Awaitable

import av
from aiortc import MediaStreamTrack, RTCIceCandidate, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp
from PIL import Image, ImageDraw
from twisted.internet.defer import Deferred

RATE = 8000


class Picture(MediaStreamTrack):
    """A seated figure that moves a little, 640x480, ten pictures a second."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(0.1)
        frame = av.VideoFrame.from_image(figure(self._count))
        frame.pts, frame.time_base = self._count * 9000, fractions.Fraction(1, 90000)
        self._count += 1
        return frame


class Tone(MediaStreamTrack):
    """A soft tone."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(0.02)
        size = RATE // 50
        samples = (int(3000 * math.sin((self._at + n) * 2 * math.pi * 300 / RATE)) for n in range(size))
        frame = av.AudioFrame(format="s16", layout="mono", samples=size)
        frame.planes[0].update(array("h", samples).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, fractions.Fraction(1, RATE)
        self._at += size
        return frame


def relative(count: int) -> Image.Image:
    """Somebody at home, as the page's own camera sees them."""
    image = Image.new("RGB", (640, 480), "#e9dcc8")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 360, 640, 480), fill="#c79a6b")
    pen.rounded_rectangle((60, 60, 210, 190), radius=8, fill="#f7f3ea", outline="#9c7c58", width=7)
    pen.polygon([(75, 178), (120, 105), (150, 150), (172, 122), (196, 178)], fill="#7fa38a")
    sway = round(6 * math.sin(count / 5))
    pen.ellipse((196 + sway, 70, 444 + sway, 400), fill="#5a3a24")
    pen.ellipse((150 + sway, 300, 490 + sway, 640), fill="#a5485a")
    pen.rounded_rectangle((286 + sway, 250, 354 + sway, 335), radius=24, fill="#d9a987")
    pen.ellipse((240 + sway, 98, 400 + sway, 302), fill="#e6b999")
    pen.pieslice((226 + sway, 70, 414 + sway, 232), 180, 360, fill="#5a3a24")
    for eye in (288, 352):
        pen.ellipse((eye + sway - 8, 182, eye + sway + 8, 198), fill="#33261d")
    pen.chord((286 + sway, 228, 354 + sway, 268), 0, 180, fill="#9a4a45")
    return image


def camera_film(file: pathlib.Path) -> pathlib.Path:
    """Write what the page's camera is to see, as Chromium reads it."""
    with file.open("wb") as film:
        for count in range(60):
            relative(count).save(film, "JPEG", quality=88)
    return file


def figure(count: int) -> Image.Image:
    """Somebody in front of a wall phone: drawn, nobody's face."""
    image = Image.new("RGB", (640, 480), "#c9c2b4")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 330, 640, 480), fill="#a69d8c")
    pen.rectangle((430, 40, 590, 200), fill="#dfe8ee", outline="#8d8778", width=8)
    for bar in range(462, 590, 32):
        pen.line((bar, 44, bar, 196), fill="#8d8778", width=5)
    sway = round(8 * math.sin(count / 6))
    pen.ellipse((160 + sway, 290, 460 + sway, 620), fill="#3f5f73")
    pen.rounded_rectangle((280 + sway, 240, 340 + sway, 330), radius=22, fill="#a9785a")
    pen.ellipse((232 + sway, 90, 388 + sway, 290), fill="#b98765")
    pen.pieslice((224 + sway, 70, 396 + sway, 250), 180, 360, fill="#2f2620")
    for eye in (278, 342):
        pen.ellipse((eye + sway - 8, 170, eye + sway + 8, 186), fill="#2a211c")
    mouth = 8 + round(6 * abs(math.sin(count / 3)))
    pen.chord((276 + sway, 222, 344 + sway, 234 + 2 * mouth), 0, 180, fill="#7a3f35")
    return image


def _candidate(text: str) -> RTCIceCandidate:
    candidate = candidate_from_sdp(text.removeprefix("candidate:"))
    candidate.sdpMid, candidate.sdpMLineIndex = "0", 0
    return candidate


class MediaBox:
    """Answers one offer after the other; `answer` is a FakeDesk's."""

    def __init__(self) -> None:
        self.connections: list[RTCPeerConnection] = []
        self.offers: list[str] = []
        self.connected: Deferred[None] = Deferred()
        self._early: list[str] | None = []

    def answer(self, sdp: str) -> Awaitable[str]:
        self.offers.append(sdp)
        return Deferred.fromFuture(asyncio.ensure_future(self._answer(sdp)))

    async def _answer(self, sdp: str) -> str:
        connection = RTCPeerConnection()
        self.connections.append(connection)
        self._early = []

        @connection.on("connectionstatechange")
        def changed() -> None:
            if connection.connectionState == "connected" and not self.connected.called:
                self.connected.callback(None)

        await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        connection.addTrack(Tone())
        connection.addTrack(Picture())
        h264 = [c for c in RTCRtpSender.getCapabilities("video").codecs if c.mimeType == "video/H264"]
        for transceiver in connection.getTransceivers():
            if transceiver.kind == "video":
                transceiver.setCodecPreferences(h264)
        await connection.setLocalDescription(await connection.createAnswer())
        for text in self._early or ():
            await connection.addIceCandidate(_candidate(text))
        self._early = None
        return connection.localDescription.sdp

    def candidate(self, text: str) -> None:
        if not text:
            return
        if self._early is not None:
            self._early.append(text)
        else:
            self._adding = asyncio.ensure_future(self.connections[-1].addIceCandidate(_candidate(text)))

    def vanish(self) -> None:
        """The latest connection's network path is gone, without a word."""
        ice = self.connections[-1].getSenders()[0].transport.transport
        self._vanishing = asyncio.ensure_future(ice._connection.close())

    async def close(self) -> None:
        for connection in self.connections:
            await connection.close()

"""What the phone sees and hears from us: a picture, a prompt, and silence in between, as continuous RTP.

Sound goes out at the pace of its packets, on a schedule that neither drifts nor bunches; the picture is one keyframe,
sent again about every second, so that a phone that missed it is never left black.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from avisiod.gateway.leg import Kind
from avisiod.gateway.relay import OutStream

PACKET_S = 0.020
PICTURE_EVERY_S = 1.0
REFRESH_EVERY_S = 0.3
"""A phone that asks for pictures faster than this has to wait."""
MAX_BEHIND = 5
"""Sound packets sent at once after the loop was held up; what is later than that is left out."""

VIDEO_RATE = 90000


class Presenter:
    """Speaks on the streams to the phone. `start` and `stop` may come any number of times."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[Kind, bytes], None]) -> None:
        self._loop = loop
        self._send = send
        self._audio: OutStream | None = None
        self._video: OutStream | None = None
        self._step = 160
        self._silence = b""
        self._sound: Sequence[bytes] = ()
        self._at = 0
        self._picture: Sequence[bytes] = ()
        self._picture_due = 0.0
        self._repeat_s = 0.0
        self._quiet_until = 0.0
        self._over: Callable[[], None] | None = None
        self._sent = 0
        self._due = 0.0
        self._painted = 0.0
        self._running = False
        self._timer: asyncio.Handle | None = None

    def voice(self, stream: OutStream, silence: bytes, step: int) -> None:
        """Where sound goes, one packet of silence, and how far a packet moves the RTP clock."""
        self._audio, self._silence, self._step = stream, silence, step

    def canvas(self, stream: OutStream | None) -> None:
        """Where the picture goes; None where the phone has no video."""
        self._video = stream

    def say(self, sound: Sequence[bytes], repeat_s: float, over: Callable[[], None] | None) -> None:
        """Play these packets; again after `repeat_s` of silence where that is not 0, else call `over` at the end.

        What was being said is cut off, without its `over`.
        """
        self._sound, self._at, self._repeat_s, self._over = sound, 0, repeat_s, over
        self._quiet_until = 0.0

    def show(self, picture: Sequence[bytes]) -> None:
        """Payloads of one keyframe, to be shown until another one; empty: none."""
        self._picture = picture
        self._picture_due = 0.0

    def refresh(self) -> None:
        """The phone asks for a keyframe: send the picture again, soon."""
        self._picture_due = min(self._picture_due, self._painted + REFRESH_EVERY_S)

    @property
    def running(self) -> bool:
        """Whether anything is being sent."""
        return self._running

    def start(self) -> None:
        """Send from now on."""
        if not self._running:
            self._running = True
            self._due = time.monotonic()
            self._timer = self._loop.call_soon(self._tick)

    def stop(self) -> None:
        """Send nothing more; what was being said is forgotten, the picture is not."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._sound, self._over, self._repeat_s = (), None, 0.0

    def _tick(self) -> None:
        self._timer = None
        now = time.monotonic()
        if now - self._due > MAX_BEHIND * PACKET_S:
            self._due = now
        while self._running and self._due <= now:
            self._due += PACKET_S
            self._speak(now)
        if not self._running or self._timer is not None:  # `over` stopped us, or began anew
            return
        if self._picture and self._video is not None and now >= self._picture_due:
            self._painted = now
            self._picture_due = now + PICTURE_EVERY_S
            self._paint(self._video, now)
        self._timer = self._loop.call_later(max(0.0, self._due - time.monotonic()), self._tick)

    def _speak(self, now: float) -> None:
        """One packet of sound: of the prompt, or silence."""
        payload, ended = self._silence, False
        if self._at < len(self._sound):
            payload = self._sound[self._at]
            self._at += 1
            ended = self._at == len(self._sound)
        elif self._sound and self._repeat_s and now >= self._quiet_until:
            self._at = 1
            payload = self._sound[0]
            ended = len(self._sound) == 1
        if self._audio is not None and payload:
            self._send(Kind.AUDIO, self._audio.inserted(payload, self._sent * self._step, False, now))
        self._sent += 1
        if ended:
            self._quiet_until = now + self._repeat_s
            over, self._over = self._over, None
            if over is not None and not self._repeat_s:
                over()

    def _paint(self, stream: OutStream, now: float) -> None:
        timestamp = int(now * VIDEO_RATE)
        last = len(self._picture) - 1
        for number, payload in enumerate(self._picture):
            self._send(Kind.VIDEO, stream.inserted(payload, timestamp, number == last, now))

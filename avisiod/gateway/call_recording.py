"""The recording of one call, as the call uses it: opened once, tapped while it writes, sealed once."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from avisiod.gateway.leg import Kind, MediaLine
from avisiod.gateway.manifest import encode, recording_facts
from avisiod.gateway.recorder import TEND_S, Recorder
from avisiod.gateway.recording_track import Track, TrackFormat
from avisiod.gateway.stats import RecorderStats
from avisiod.gateway.wire import RecorderUnavailable

log = logging.getLogger(__name__)

TRACKS = {
    "phone": {Kind.AUDIO: Track.PHONE_AUDIO, Kind.VIDEO: Track.PHONE_VIDEO},
    "outside": {Kind.AUDIO: Track.OUTSIDE_AUDIO, Kind.VIDEO: Track.OUTSIDE_VIDEO},
}

ASK_EVERY_S = 1.0
"""Between two keyframes asked for in a recording's name; whoever carries such a wish repeats it by itself."""

_DISK = ThreadPoolExecutor(max_workers=6, thread_name_prefix="disk")
"""Apart from the loop's own threads: a disk that hangs must not hold up what phones are shown."""

Tap = Callable[[bytes, float], None]


class CallRecording:
    """See the module. `failed` is called on the loop, at most once, with why the recorder writes no more.

    `lacks_keyframe` is called on the loop with the party (`phone`, `outside`) whose pictures are left out until the
    next keyframe, once a second while they are.
    """

    def __init__(
        self, failed: Callable[[str], None], lacks_keyframe: Callable[[str], None], extra: dict[str, str]
    ) -> None:
        self.writes = False
        """Whether what is tapped now reaches the disk."""
        self._failed = failed
        self._lacks_keyframe = lacks_keyframe
        self._ask_due = 0.0
        self._extra = extra
        self._loop = asyncio.get_running_loop()
        self._recorder: Recorder | None = None
        self._tending: asyncio.TimerHandle | None = None

    @property
    def opened(self) -> bool:
        """Whether there is, or was, a file."""
        return self._recorder is not None

    async def open(self, path: str, facts: bytes, lines: dict[Kind, MediaLine], keep_free_bytes: int) -> None:
        """Create the file. Both parties' tracks have the phone's codecs. RecorderUnavailable where it cannot be."""
        if self._recorder is not None:
            raise RecorderUnavailable("io: the call has a recorder already, which goes on")
        try:
            known = recording_facts.decode(facts)
        except msgspec.DecodeError as error:
            raise RecorderUnavailable(f"io: the facts cannot be read: {error}") from error
        formats = [
            TrackFormat(track=tracks[kind], codec=line.codec)
            for tracks in TRACKS.values()
            for kind, line in lines.items()
        ]
        recorder = Recorder(Path(path), formats, known, keep_free_bytes=keep_free_bytes, on_failure=self.fails)
        await self._loop.run_in_executor(_DISK, recorder.open)
        self._recorder = recorder
        self.writes = True
        self._tend()

    def follow(self, party: str, lines: dict[Kind, MediaLine]) -> None:
        """The payload types that a party (`phone`, `outside`) uses from now on."""
        if self._recorder is not None:
            for kind, line in lines.items():
                self._recorder.renegotiated(TRACKS[party][kind], line.codec.payload_type)

    def taps(self, party: str) -> dict[Kind, Tap]:
        """What takes the packets of a party; nothing where nothing is written."""
        if self._recorder is None or not self.writes:
            return {}
        return {kind: self._recorder.tap(track) for kind, track in TRACKS[party].items()}

    def sender_report(self, party: str, kind: Kind, ntp_s: float, timestamp: int, arrival: float) -> None:
        """The times that a sender tells."""
        if self._recorder is not None and self.writes:
            self._recorder.sender_report(TRACKS[party][kind], ntp_s, timestamp, arrival)

    def _tend(self) -> None:
        if self._recorder is not None:
            self._tending = self._loop.call_later(TEND_S, self._tend)
            now = time.monotonic()
            self._recorder.tend(now)
            if now >= self._ask_due:
                lacking = self._recorder.lacks_keyframe()
                for party, tracks in TRACKS.items():
                    if tracks[Kind.VIDEO] in lacking:
                        self._ask_due = now + ASK_EVERY_S
                        self._lacks_keyframe(party)

    def fails(self, why: str) -> None:
        """The recorder writes no more; called from the loop or from its thread."""
        self._loop.call_soon_threadsafe(self._stop, why)

    def _stop(self, why: str) -> None:
        if self.writes:
            self.writes = False
            log.warning("the recorder failed (%s); nothing is forwarded any more", why, extra=self._extra)
            self._failed(why)

    def stats(self) -> RecorderStats | None:
        """Counters; None where there is no recorder."""
        return self._recorder.stats if self._recorder is not None else None

    async def seal(self, reason: str) -> bytes:
        """Seal in a thread; the manifest, empty where there is nothing to seal. RecorderUnavailable: see Recorder."""
        recorder, self._recorder = self._recorder, None
        self.writes = False
        if self._tending is not None:
            self._tending.cancel()
        if recorder is None:
            return b""
        return encode(await self._loop.run_in_executor(_DISK, recorder.seal, reason))

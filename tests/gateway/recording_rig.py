"""A recorder with sources around it, for tests: packets come at made-up times, the file is read back with PyAV."""

import subprocess
import threading
import time
from collections import defaultdict
from pathlib import Path

import av

from avisiod.calls.ids import CallId
from avisiod.gateway.leg import Codec
from avisiod.gateway.manifest import RecordingFacts
from avisiod.gateway.recorder import Recorder
from avisiod.gateway.recording_track import Track, TrackFormat
from tests.gateway.rtp_source import H264, OPUS, PCMA

FORMATS = (
    TrackFormat(track=Track.PHONE_AUDIO, codec=PCMA),
    TrackFormat(track=Track.PHONE_VIDEO, codec=H264),
    TrackFormat(track=Track.OUTSIDE_AUDIO, codec=OPUS),
    TrackFormat(track=Track.OUTSIDE_VIDEO, codec=H264),
)


def facts(started: float | None = None) -> RecordingFacts:
    """Facts of a call that began now, or at `started`."""
    return RecordingFacts(
        call=CallId("a" * 24),
        phone="cell-12",
        contact="c" * 24,
        started_at="2026-03-01T12:00:00+00:00",
        started_monotonic=time.monotonic() if started is None else started,
    )


class Rig:
    """One recorder and what it told."""

    def __init__(self, folder: Path, *, formats: tuple[TrackFormat, ...] = FORMATS, keep_free_bytes: int = 0) -> None:
        self.path = folder / "call.mkv"
        self.zero = time.monotonic() - 60.0
        self.failures: list[str] = []
        self.failed = threading.Event()
        self.recorder = Recorder(
            self.path, formats, facts(self.zero), keep_free_bytes=keep_free_bytes, on_failure=self._fail
        )

    def _fail(self, why: str) -> None:
        self.failures.append(why)
        self.failed.set()

    def tend(self, now: float) -> None:
        """A turn of both parties."""
        for _ in range(2):
            self.recorder.tend(now)

    def at(self, seconds: float) -> float:
        """The monotonic instant of a moment of the file."""
        return self.zero + seconds


def one(track: Track, codec: Codec) -> tuple[TrackFormat, ...]:
    """A recording of a single track."""
    return (TrackFormat(track=track, codec=codec),)


def read(path: Path) -> dict[str, list[tuple[float, bytes]]]:
    """Every packet of a file, by track name: time in seconds, and bytes."""
    found: dict[str, list[tuple[float, bytes]]] = defaultdict(list)
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.pts is not None and packet.size:
                found[packet.stream.metadata["title"]].append((float(packet.pts * packet.time_base), bytes(packet)))
    return dict(found)


def probe(path: Path, *arguments: str) -> str:
    """What ffprobe prints; its complaints fail the test."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", *arguments, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout


def decoded_frames(path: Path, stream: str) -> int:
    """Frames that ffmpeg decodes of a stream; any error it finds fails the test."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", stream, "-count_frames", "-show_entries",
         "stream=nb_read_frames", "-of", "csv=p=0", str(path)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return int(done.stdout.strip().rstrip(","))

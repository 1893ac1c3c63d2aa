"""The recorder of one call: up to four tracks in one Matroska file, as received, on one clock.

The media call hands over every packet from its loop, which costs an append to a bounded queue. A thread wakes a few
times a second and does the rest in one go, so that it seldom contends for the interpreter with the relay: frames are
put together, placed in time, and written as one cluster a second in one system call. A killed worker thus loses at
most the cluster in hand and what waits before it: CLUSTER_S + HOLD_S + WAKE_S, 1.6 s.

Calls on confidential lines never get here: there is nothing in this module that knows of them.
"""

import bisect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from avisiod.gateway import matroska
from avisiod.gateway.leg import Kind
from avisiod.gateway.manifest import (
    Manifest,
    RecordingFacts,
    digest,
    write_durably,
)
from avisiod.gateway.recording_file import RecordingFile, facts_path, unavailable
from avisiod.gateway.recording_track import Block, Track, TrackFormat, TrackWriter
from avisiod.gateway.sealing import put_in_place
from avisiod.gateway.stats import RecorderStats
from avisiod.gateway.wire import RecorderUnavailable

log = logging.getLogger(__name__)

MAX_QUEUED = 4096
"""Packets that may wait for the writer: about 10 s of a call, more than a busy disk ever takes."""
WAKE_S = 0.2
HOLD_S = 0.4
"""Frames wait this long for those of other tracks, so that they lie in the file in order of time."""
CLUSTER_S = 1.0
SEAL_TIMEOUT_S = 60.0
"""A disk that takes longer for what waits is given up; what it holds by then is sealed at the next start."""


class Recorder:
    """One recording. `packet`, `sender_report` and `stats` are for the loop; `open` and `seal` block: use a thread.

    `on_failure` is called at most once, **from the writer's thread**, with `disk_full`, `io` or `overrun` (the last
    from the caller of `packet`); nothing is recorded after it, and `seal` still seals what was. Times in the file
    count from `facts.started_monotonic`.
    """

    def __init__(
        self,
        path: Path,
        tracks: Sequence[TrackFormat],
        facts: RecordingFacts,
        *,
        keep_free_bytes: int,
        on_failure: Callable[[str], None],
    ) -> None:
        self._path = path
        self._facts = facts
        self._keep_free_bytes = keep_free_bytes
        self._on_failure = on_failure
        self._writers = {form.track: TrackWriter(number, form) for number, form in enumerate(tracks, 1)}
        self._video_numbers = {writer.number for writer in self._writers.values() if writer.track.kind is Kind.VIDEO}
        self._queue: deque[tuple[TrackWriter, bytes | tuple[float, int] | int, float]] = deque()
        self._file: RecordingFile | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._failure = ""
        self._failure_lock = threading.Lock()
        self._pending: list[Block] = []
        self._cluster_ms = 0
        self._cues: list[matroska.Cue] = []
        self._manifest: Manifest | None = None

    def open(self) -> None:
        """Create the file, put its header on disk, start the writer. Blocks.

        RecorderUnavailable, `disk_full: …` or `io: …`, when that cannot be; nothing is then left behind.
        """
        unknown = [writer.codec.name for writer in self._writers.values() if not matroska.is_storable(writer.codec)]
        if unknown:
            raise RecorderUnavailable(f"io: a recording cannot hold {', '.join(unknown)}")
        file = RecordingFile(self._path, self._keep_free_bytes)
        try:
            file.append(self._header())
            file.sync()
            forms = [{"track": writer.track.value, "codec": writer.codec} for writer in self._writers.values()]
            left_behind = msgspec.json.encode({"facts": self._facts, "tracks": forms})
            write_durably(facts_path(self._path), left_behind)
        except (OSError, ValueError, RecorderUnavailable) as error:
            file.close()
            file.part.unlink(missing_ok=True)
            facts_path(self._path).unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise unavailable(self._path, error) from error
            if isinstance(error, ValueError):
                raise RecorderUnavailable(f"io: {error}") from error
            raise
        self._file = file
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def packet(self, track: Track, packet: bytes, arrival: float) -> None:
        """Take one RTP packet as received, before any rewriting. Never blocks, never raises.

        A track that is not recorded and a payload type that is not the track's are left aside.
        """
        self._enqueue(track, packet, arrival)

    def sender_report(self, track: Track, ntp: float, rtp: int, arrival: float) -> None:
        """Take the times of a sender report: NTP in seconds (any epoch), the 32-bit RTP timestamp. As `packet`."""
        self._enqueue(track, (ntp, rtp), arrival)

    def renegotiated(self, track: Track, payload_type: int) -> None:
        """The source of a track goes on with the same codec under another payload type."""
        self._enqueue(track, payload_type, 0.0)

    @property
    def stats(self) -> RecorderStats:
        """Counters so far."""
        writers = self._writers.values()
        return RecorderStats(
            queued=len(self._queue),
            written_bytes=self._file.size if self._file is not None else 0,
            frames=sum(writer.frames for writer in writers),
            gaps=sum(writer.gap_count for writer in writers),
        )

    def seal(self, reason: str) -> Manifest:
        """Write what waits, index, sync, digest and name the recording; put its manifest beside it. Blocks.

        Called again, it returns the same. RecorderUnavailable when the disk refuses: the `.part` then stays and is
        sealed as truncated at the next start.
        """
        if self._manifest is not None:
            return self._manifest
        file = self._file
        if file is None or self._thread is None:
            raise RecorderUnavailable(f"io: {self._path} was never opened")
        self._stop.set()
        self._thread.join(SEAL_TIMEOUT_S)
        if self._thread.is_alive():
            raise RecorderUnavailable(f"io: {file.part}: the disk has not answered for {SEAL_TIMEOUT_S:.0f} s")
        duration_ms = max([0, *(writer.last_ms for writer in self._writers.values())])
        try:
            self._finish(file, duration_ms)
            manifest = Manifest(
                file=self._path.name,
                facts=self._facts,
                ended_at=self._facts.utc(duration_ms / 1000).isoformat(timespec="milliseconds"),
                duration_s=duration_ms / 1000,
                end_reason=reason,
                truncated=bool(self._failure),
                tracks=tuple(writer.facts() for writer in self._writers.values()),
                bytes=file.size,
                sha256=digest(file.part),
            ).sealed()
            put_in_place(manifest, self._path)
        except OSError as error:
            raise unavailable(self._path, error) from error
        finally:
            file.close()
        self._manifest = manifest
        return manifest

    def _enqueue(self, track: Track, item: bytes | tuple[float, int] | int, arrival: float) -> None:
        writer = self._writers.get(track)
        if writer is None or self._failure or self._stop.is_set():
            return
        if len(self._queue) >= MAX_QUEUED:
            self._fail("overrun", f"the disk took nothing while {MAX_QUEUED} packets came")
            return
        self._queue.append((writer, item, arrival))

    def _run(self) -> None:
        try:
            while not self._stop.wait(WAKE_S):
                self._work(time.monotonic(), final=False)
            self._work(time.monotonic(), final=True)
        except RecorderUnavailable as error:
            self._fail(str(error).partition(":")[0], str(error))
        except Exception as error:
            log.exception("the recorder of this call broke down", extra={"call": self._facts.call})
            self._fail("io", repr(error))

    def _fail(self, why: str, text: str) -> None:
        with self._failure_lock:
            if self._failure:
                return
            self._failure = why
        log.warning(
            "recording stopped, what was written is kept: %s. Free space or mend the disk.",
            text,
            extra={"call": self._facts.call},
        )
        self._on_failure(why)

    def _work(self, now: float, *, final: bool) -> None:
        """Turn what waits in the queue into clusters."""
        reports: list[tuple[TrackWriter, float, int, float]] = []
        for _ in range(len(self._queue)):
            writer, item, arrival = self._queue.popleft()
            if isinstance(item, bytes):
                writer.depacketizer.push(item, arrival)
            elif isinstance(item, tuple):
                reports.append((writer, *item, arrival))
            else:
                writer.depacketizer.payload_type = item
        zero = self._facts.started_monotonic
        for writer in sorted(self._writers.values(), key=lambda writer: writer.track.kind is Kind.VIDEO):
            beside = self._writers.get(writer.track.audio_beside)
            offset = beside.clock.wallclock_offset() if beside is not None and beside is not writer else None
            self._pending += writer.blocks(now, zero, offset, final=final)
        for writer, ntp, rtp, arrival in reports:
            writer.report(ntp, rtp, arrival)
        self._write_clusters(now - zero, final=final)

    def _write_clusters(self, now_s: float, *, final: bool) -> None:
        file = self._file
        if file is None:
            return
        self._pending.sort()
        settled_ms = (now_s - HOLD_S) * 1000
        while self._pending:
            end_ms = self._pending[0].at_ms + CLUSTER_S * 1000
            if settled_ms < end_ms and not final:
                break
            count = bisect.bisect_left(self._pending, end_ms, key=lambda block: block.at_ms)
            self._write_cluster(file, self._pending[:count])
            del self._pending[:count]
        file.tend(time.monotonic())

    def _write_cluster(self, file: RecordingFile, blocks: list[Block]) -> None:
        # A track that was held up by a missing packet may reach behind the former cluster: its offset is negative.
        at_ms = self._cluster_ms = max(self._cluster_ms, blocks[0].at_ms)
        data = [
            matroska.block(block.number, max(-32768, block.at_ms - at_ms), block.data, key=block.key)
            for block in blocks
        ]
        for block in blocks:
            if block.key and (block.number in self._video_numbers or not self._video_numbers):
                self._cues.append(matroska.Cue(block.at_ms, block.number, file.size))
                break
        file.append(matroska.cluster(at_ms, data))

    def _finish(self, file: RecordingFile, duration_ms: int) -> None:
        """Add the index and the final header, as far as the disk still takes them."""
        try:
            if self._cues:
                cues_at = file.size
                file.append(matroska.cues(self._cues))
            else:
                cues_at = None
            file.overwrite_start(self._header(duration_ms, cues_at, file.size))
            file.sync()
        except RecorderUnavailable as error:
            self._fail(str(error).partition(":")[0], str(error))

    def _header(
        self, duration_ms: int | None = None, cues_at: int | None = None, file_bytes: int | None = None
    ) -> bytes:
        return matroska.header(
            [writer.header() for writer in self._writers.values()],
            title=self._facts.call,
            started=self._facts.utc(0),
            duration_ms=duration_ms,
            cues_at=cues_at,
            file_bytes=file_bytes,
        )

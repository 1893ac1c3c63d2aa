"""The recorder of one call: up to four tracks in one Matroska file, as received, on one clock.

Packets become frames on the media call's loop, as they come: that costs a few microseconds each, less than to wake a
thread which then competes with the relay for the interpreter. `tend` places what is whole in time, of one party at a
time so that the relay never waits for long, and hands clusters of a second to a thread, which writes and syncs. A
killed worker thus loses at most the cluster in hand and what waits before it: CLUSTER_S + HOLD_S + 2 TEND_S, 1.65 s.

Calls on confidential lines never get here: there is nothing in this module that knows of them.
"""

import bisect
import logging
import math
import queue
import threading
import time
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

MAX_QUEUED = 10
"""Clusters that may wait for the disk: 10 s of a call, more than a busy one ever takes."""
TEND_S = 0.125
"""How often `tend` is called: each party has its turn twice as seldom."""
IDLE_S = 1.0
"""How often the writer looks after the disk when nothing comes."""
HOLD_S = 0.4
"""Frames wait this long for those of other tracks, so that they lie in the file in order of time."""
CLUSTER_S = 1.0
SEAL_TIMEOUT_S = 60.0
"""A disk that takes longer for what waits is given up; what it holds by then is sealed at the next start."""


_PARTIES = ((Track.PHONE_AUDIO, Track.PHONE_VIDEO), (Track.OUTSIDE_AUDIO, Track.OUTSIDE_VIDEO))


class _Party:
    """The tracks of one party, its sound first, beside which its pictures are placed."""

    def __init__(self, writers: list[TrackWriter]) -> None:
        self.writers = writers
        self.reports: list[tuple[TrackWriter, float, int, float]] = []
        """Sender reports that are taken after the packets that came with them."""
        self.placed_at = -math.inf


class Recorder:
    """One recording. `open` and `seal` block: use a thread; the rest is for the loop.

    `on_failure` is called at most once, from the loop **or from the writer's thread**, with `disk_full`, `io` or
    `overrun`; nothing is recorded after it, and `seal` still seals what was. Once `seal` is called nothing else may
    be. Times in the file count from `facts.started_monotonic`.
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
        self._queue: queue.SimpleQueue[tuple[list[Block], int] | None] = queue.SimpleQueue()
        self._file: RecordingFile | None = None
        self._thread: threading.Thread | None = None
        self._parties = [party for party in map(self._party, _PARTIES) if party.writers]
        self._turn = 0
        self._handed_packets = 0
        self._written_packets = 0
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
            file.append(self._header() + matroska.cluster(0, ()))  # players refuse a file without any cluster
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

    def tap(self, track: Track) -> Callable[[bytes, float], None]:
        """What takes the packets of a track, each as received, before any rewriting, with its arrival.

        It never blocks and never raises. A track that is not recorded and a payload type that is not the track's are
        left aside.
        """
        writer = self._writers.get(track)
        if writer is None:
            return _leave_aside
        return writer.take

    def packet(self, track: Track, packet: bytes, arrival: float) -> None:
        """Take one RTP packet, as `tap` does."""
        self.tap(track)(packet, arrival)

    def sender_report(self, track: Track, ntp: float, rtp: int, arrival: float) -> None:
        """Take the times of a sender report: NTP in seconds (any epoch), the 32-bit RTP timestamp. As `tap`."""
        for party in self._parties if self._takes else ():
            for writer in party.writers:
                if writer.track is track:
                    party.reports.append((writer, ntp, rtp, arrival))

    def renegotiated(self, track: Track, payload_type: int) -> None:
        """The source of a track goes on with the same codec under another payload type."""
        writer = self._writers.get(track)
        if writer is not None:
            writer.depacketizer.payload_type = payload_type

    @property
    def _takes(self) -> bool:
        return all(writer.takes for writer in self._writers.values())

    def _take_no_more(self) -> None:
        for writer in self._writers.values():
            writer.takes = False

    def _party(self, tracks: Sequence[Track]) -> _Party:
        return _Party([self._writers[track] for track in tracks if track in self._writers])

    def tend(self, now: float) -> None:
        """Place what is whole of the next party; to be called every TEND_S. Never blocks, never raises."""
        if not self._takes:
            return
        if self._queue.qsize() > MAX_QUEUED:
            self._fail("overrun", f"the disk took nothing for {MAX_QUEUED} s")
            return
        self._turn = (self._turn + 1) % len(self._parties)
        self._work(now, [self._parties[self._turn]])

    @property
    def stats(self) -> RecorderStats:
        """Counters so far."""
        writers = self._writers.values()
        return RecorderStats(
            queued=self._handed_packets - self._written_packets,
            written_bytes=self._file.size if self._file is not None else 0,
            frames=sum(writer.frames for writer in writers),
            gaps=sum(writer.gap_count for writer in writers),
            left_out=sum(writer.left_out for writer in writers),
        )

    def lacks_keyframe(self) -> list[Track]:
        """The tracks of which pictures were left out for want of a keyframe since this was called last."""
        lacking = [writer for writer in self._writers.values() if writer.wants_keyframe]
        for writer in lacking:
            writer.wants_keyframe = False
        return [writer.track for writer in lacking]

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
        self._take_no_more()
        self._work(time.monotonic(), self._parties, final=True)
        self._queue.put(None)
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

    def _run(self) -> None:
        """The writer: clusters from the queue to the file, until None."""
        file = self._file
        if file is None:
            return
        try:
            while True:
                try:
                    handed = self._queue.get(timeout=IDLE_S)
                except queue.Empty:
                    file.tend(time.monotonic())
                    continue
                if handed is None:
                    return
                blocks, packets = handed
                self._write_cluster(file, blocks)
                self._written_packets = packets
                file.tend(time.monotonic())
        except RecorderUnavailable as error:
            self._fail(str(error).partition(":")[0], str(error))
        except Exception as error:  # noqa: BLE001 - what we do not understand costs this recording at most
            self._broke(error)

    def _fail(self, why: str, text: str) -> None:
        with self._failure_lock:
            if self._failure:
                return
            self._failure = why
            self._take_no_more()
        log.warning(
            "recording stopped, what was written is kept: %s. Free space or mend the disk.",
            text,
            extra={"call": self._facts.call},
        )
        self._on_failure(why)

    def _work(self, now: float, parties: Sequence[_Party], *, final: bool = False) -> None:
        """Turn what has come from these parties into clusters."""
        try:
            for party in parties:
                self._place(party, now, final=final)
            self._hand_over(min(party.placed_at for party in self._parties), final=final)
        except Exception as error:  # noqa: BLE001 - as in _run
            self._broke(error)

    def _broke(self, error: Exception) -> None:
        log.error("the recorder of this call broke down", exc_info=error, extra={"call": self._facts.call})
        self._fail("io", repr(error))

    def _place(self, party: _Party, now: float, *, final: bool) -> None:
        zero = self._facts.started_monotonic
        sound = party.writers[0]
        for writer in party.writers:
            offset = sound.clock.wallclock_offset() if writer is not sound else None
            self._pending += writer.blocks(now, zero, offset, final=final)
        for writer, ntp, rtp, arrival in party.reports:
            writer.report(ntp, rtp, arrival)
        party.reports.clear()
        party.placed_at = now

    def _hand_over(self, placed_at: float, *, final: bool) -> None:
        self._pending.sort()
        settled_ms = (placed_at - HOLD_S - self._facts.started_monotonic) * 1000
        while self._pending:
            end_ms = self._pending[0].at_ms + CLUSTER_S * 1000
            if settled_ms < end_ms and not final:
                break
            count = bisect.bisect_left(self._pending, end_ms, key=lambda block: block.at_ms)
            self._handed_packets = sum(writer.depacketizer.counters.packets for writer in self._writers.values())
            self._queue.put((self._pending[:count], self._handed_packets))
            del self._pending[:count]

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
            written = [cue for cue in self._cues if cue.position < file.size]  # not the one that failed
            if written:
                cues_at = file.size
                file.append(matroska.cues(written))
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


def _leave_aside(_packet: bytes, _arrival: float) -> None:
    """A track that is not recorded."""

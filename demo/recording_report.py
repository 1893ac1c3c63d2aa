"""What lies in a recording: its tracks, how long and how full they are, how loud, and how well in sync."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.peers.sync import beeps_at, flashes_at, offsets, typical

PARTIES = ("phone", "outside")


@dataclasses.dataclass(frozen=True)
class Track:
    """One track. Times are seconds of the file; `loudness_dbfs` is the mean of an audio track, None for video."""

    index: int
    name: str
    kind: str
    codec: str
    start_s: float
    end_s: float
    packets: int
    size: str
    loudness_dbfs: float | None

    @property
    def party(self) -> str:
        """`phone` or `outside`, by the track's name."""
        return "phone" if "phone" in self.name.lower() else "outside"


class Report(NamedTuple):
    """A whole recording."""

    path: Path
    bytes: int
    duration_s: float
    tracks: list[Track]

    def track(self, party: str, kind: str) -> Track | None:
        """The party's audio or video track."""
        return next((track for track in self.tracks if (track.party, track.kind) == (party, kind)), None)

    def lines(self) -> list[str]:
        """For people: one line a track."""
        found = [f"{self.bytes / 1e6:.1f} MB, {self.duration_s:.2f} s, {len(self.tracks)} tracks"]
        for track in self.tracks:
            loud = f", {track.loudness_dbfs:.1f} dBFS" if track.loudness_dbfs is not None else ""
            size = f" {track.size}" if track.size else ""
            packets = "frames" if track.kind == "video" else "packets"
            found.append(
                f"{track.index}: {track.name or '(no name)'}: {track.kind} {track.codec}{size}, "
                f"{track.start_s:.2f}–{track.end_s:.2f} s, {track.packets} {packets}{loud}"
            )
        return found


class Sync(NamedTuple):
    """Measured on flashes and beeps, in ms, medians; None where there were none."""

    sound_after_picture: dict[str, float | None]
    """For each party: positive where the sound lags."""
    outside_after_phone: float | None
    """Picture against picture; meaningful where both parties flash on the same clock."""


def report(path: Path) -> Report:
    """Read the file with ffprobe; RuntimeError with its words where it is not readable."""
    facts = _ffprobe(path, "-show_format", "-show_streams")
    packets = _ffprobe(path, "-show_entries", "packet=stream_index,pts_time,duration_time")["packets"]
    tracks = [_track(path, stream, packets) for stream in facts["streams"]]
    ends = [track.end_s for track in tracks]
    duration = float(facts["format"].get("duration") or max(ends, default=0.0))
    return Report(path, path.stat().st_size, duration, tracks)


def sync(recording: Report) -> Sync:
    """Find flashes and beeps; decodes everything, so it takes a while on a long file."""
    flashes, lag = {}, {}
    for party in PARTIES:
        audio, video = recording.track(party, "audio"), recording.track(party, "video")
        flashes[party] = flashes_at(recording.path, video.index) if video else []
        beeps = beeps_at(recording.path, audio.index) if audio else []
        lag[party] = _ms(typical(offsets(beeps, flashes[party])))
    return Sync(lag, _ms(typical(offsets(flashes["outside"], flashes["phone"]))))


def _track(path: Path, stream: dict[str, Any], packets: list[dict[str, Any]]) -> Track:
    index = int(stream["index"])
    own = [packet for packet in packets if packet["stream_index"] == index and "pts_time" in packet]
    times = [float(packet["pts_time"]) for packet in own]
    last = max(own, key=lambda packet: float(packet["pts_time"]), default={})
    kind = str(stream["codec_type"])
    tags = stream.get("tags", {})
    return Track(
        index=index,
        name=str(tags.get("title", "")),
        kind=kind,
        codec=str(stream.get("codec_name", "?")),
        start_s=min(times, default=0.0),
        end_s=max(times, default=0.0) + float(last.get("duration_time", 0.0)),
        packets=len(own),
        size=f"{stream['width']}x{stream['height']}" if kind == "video" else "",
        loudness_dbfs=_loudness(path, index) if kind == "audio" else None,
    )


def _loudness(path: Path, index: int) -> float | None:
    done = subprocess.run(
        [
            "ffmpeg",
            "-nostdin",
            "-hide_banner",
            "-i",
            path,
            "-map",
            f"0:{index}",
            "-af",
            "volumedetect",
            "-f",
            "null",
            "-",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.search(r"mean_volume: (-?[\d.]+|-inf) dB", done.stderr)
    return float(match[1]) if match else None


def _ffprobe(path: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        ["ffprobe", "-v", "error", *options, "-of", "json", path], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"ffprobe cannot read {path}: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        found = report(Path(name))
        print(name, *found.lines(), sync(found), sep="\n  ")

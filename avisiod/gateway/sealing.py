"""Sealing: the last step of a recording, and the rescue of those whose writer died.

The manifest is written first, then the recording gets its name: a recording never stands under its own name without
a manifest that fits. Whatever moment the machine stops, `seal_truncated` goes on from there.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import av
import msgspec

from avisiod.gateway.manifest import (
    Manifest,
    RecordingFacts,
    TrackFacts,
    decode,
    digest,
    encode,
    fsync_folder,
    manifest_path,
    write_durably,
)
from avisiod.gateway.recording_file import facts_path, part_path

log = logging.getLogger(__name__)


class _LeftBehind(msgspec.Struct):
    """What lies beside a recording that was not sealed."""

    facts: RecordingFacts


_left_behind: msgspec.json.Decoder[_LeftBehind] = msgspec.json.Decoder(_LeftBehind)

BEGINNING_BYTES = 65536
"""No file is larger before its facts lie beside it."""

UNREADABLE = ".unreadable"
"""Added to the name of a recording that no player opens; it is kept for whoever can mend it."""


def put_in_place(manifest: Manifest, path: Path) -> None:
    """Store the manifest beside `path`, then rename the `.part` to `path`; OSError when the disk refuses."""
    write_durably(manifest_path(path), encode(manifest))
    part_path(path).rename(path)
    fsync_folder(path.parent)
    facts_path(path).unlink(missing_ok=True)


def seal_truncated(folder: Path, reason: str) -> list[Manifest]:
    """Seal every recording below `folder` whose writer is gone, and return their manifests. Blocks.

    A recording that is still being written is left alone, an unreadable one is kept under another name, a file that
    died before its first byte is removed: its recorder was never opened. Doing it again changes nothing. One that
    cannot be sealed now is logged and left for the next time.
    """
    sealed = []
    for part in sorted(folder.rglob("*.part")):
        path = part.with_name(part.name.removesuffix(".part"))
        try:
            manifest = _seal_one(part, path, reason)
        except OSError as error:
            log.warning("recording %s could not be sealed and stays as it is: %s", part, error)
            continue
        if manifest is not None:
            sealed.append(manifest)
    for left in folder.rglob("*.facts.json"):
        path = left.with_name(left.name.removesuffix(".facts.json"))
        if path.exists() and not part_path(path).exists():
            left.unlink(missing_ok=True)
    return sealed


def unsealed(folder: Path, calls: AbstractSet[str]) -> set[str]:
    """Of these calls, those whose recording below `folder` still waits to be sealed. Blocks."""
    waiting = {part.name.partition(".")[0] for part in folder.rglob("*.part")}
    return waiting & calls


def manifests(folder: Path) -> Iterator[tuple[Path, Manifest]]:
    """Every recording below `folder` with its manifest, for whoever keeps a list of them. Blocks.

    A manifest that was changed, or that belongs to another file, is logged and left out; contents are not checked.
    """
    for path in sorted(folder.rglob("*.json")):
        recording = path.with_name(path.name.removesuffix(".json"))
        if not recording.is_file():
            continue
        try:
            manifest = decode(path.read_bytes())
        except (OSError, ValueError) as error:
            log.warning("manifest %s is left out: %s", path, error)
            continue
        if manifest.file == recording.name:
            yield recording, manifest
        else:
            log.warning("manifest %s is left out: it belongs to %s", path, manifest.file)


def _seal_one(part: Path, path: Path, reason: str) -> Manifest | None:
    descriptor = os.open(part, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if not part.exists():
            return None
        if _never_began(part, path):
            part.unlink()
            log.warning(
                "removed %s: its writer was killed before it wrote anything; no call was recorded there", part
            )
            return None
        manifest = _already_sealed(part, path)
        if manifest is None:
            os.fsync(descriptor)
            manifest = _examine(part, path, reason)
        target = path.with_name(manifest.file)
        if target.exists():
            log.warning("recording %s is left as it is: %s is already there", part, target)
            return None
        write_durably(manifest_path(target), encode(manifest))
        part.rename(target)
        fsync_folder(target.parent)
        facts_path(path).unlink(missing_ok=True)
        log.warning(
            "sealed recording %s, whose writer was killed: %s",
            target,
            "it cannot be read and is kept as it is" if not manifest.readable else f"{manifest.duration_s:.1f} s",
            extra={"call": manifest.facts.call} if manifest.facts else {},
        )
        return manifest
    finally:
        os.close(descriptor)


def _never_began(part: Path, path: Path) -> bool:
    """Whether the file was created and no more: it has no byte, or its blocks never reached the disk.

    Its facts are laid beside it after its header, and only then is the recorder open.
    """
    return not facts_path(path).exists() and part.stat().st_size <= BEGINNING_BYTES and not any(part.read_bytes())


def _already_sealed(part: Path, path: Path) -> Manifest | None:
    """The manifest of a recording that lacks but its name."""
    try:
        manifest = decode(manifest_path(path).read_bytes())
    except (OSError, ValueError):
        return None
    return manifest if manifest.sha256 == digest(part) else None


def _examine(part: Path, path: Path, reason: str) -> Manifest:
    facts = _facts(path)
    tracks = _read_tracks(part)
    duration = max((track.last_s or 0.0 for track in tracks), default=0.0)
    return Manifest(
        file=path.name if tracks else path.name + UNREADABLE,
        facts=facts,
        ended_at=facts.utc(duration).isoformat(timespec="milliseconds") if facts else "",
        duration_s=duration,
        end_reason=reason,
        truncated=True,
        readable=bool(tracks),
        tracks=tracks,
        bytes=part.stat().st_size,
        sha256=digest(part),
    ).sealed()


def _facts(path: Path) -> RecordingFacts | None:
    try:
        facts = _left_behind.decode(facts_path(path).read_bytes()).facts
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        log.warning("what was known of recording %s is lost: %s", path, error)
        return None
    return facts


def _read_tracks(part: Path) -> tuple[TrackFacts, ...]:
    """Count what a player would find; nothing where it would refuse the file."""
    try:
        with av.open(str(part), format="matroska") as container:
            counts = {stream.index: _Count() for stream in container.streams}
            for packet in container.demux():
                if packet.pts is not None and packet.size:
                    counts[packet.stream_index].add(float(packet.pts * packet.time_base), packet)
            return tuple(
                counts[stream.index].facts(stream.metadata.get("title", ""), stream.codec_context.name)
                for stream in container.streams
            )
    except (av.FFmpegError, ValueError) as error:
        log.warning("recording %s cannot be read: %s", part, error)
        return ()


class _Count:
    def __init__(self) -> None:
        self.frames = self.keyframes = self.bytes = 0
        self.first: float | None = None
        self.last: float | None = None

    def add(self, at_s: float, packet: av.Packet) -> None:  # type: ignore[type-arg] # any stream's
        self.frames += 1
        self.keyframes += packet.is_keyframe
        self.bytes += packet.size
        self.first = at_s if self.first is None else min(self.first, at_s)
        self.last = at_s if self.last is None else max(self.last, at_s)

    def facts(self, name: str, codec: str) -> TrackFacts:
        return TrackFacts(
            name=name,
            codec=_CODEC_NAMES.get(codec, codec),
            frames=self.frames,
            keyframes=self.keyframes,
            bytes=self.bytes,
            first_s=self.first,
            last_s=self.last,
        )


_CODEC_NAMES = {"h264": "H264", "opus": "OPUS", "pcm_alaw": "PCMA", "pcm_mulaw": "PCMU", "g722": "G722"}

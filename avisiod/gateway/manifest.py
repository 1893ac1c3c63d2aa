"""The manifest of a recording: what was recorded, when, of whom by pseudonymous ids, and the digests that bind it.

`sha256` is the digest of the file's content. `seal` is the digest of the manifest itself without that field, in the
very form it is stored: it binds the content's digest to the file's name, the call and everything else that is said
here, so that a manifest put beside another recording, or edited, does not verify. Neither is keyed: they prove that
nothing was changed by accident or carelessly. Against a deliberate hand, the call's journal keeps a copy of both.
"""

import datetime
import hashlib
import hmac
import os
from pathlib import Path

import msgspec

from avisiod.calls.ids import CallId
from avisiod.ports import Recording

VERSION = 1


class RecordingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a recording is opened. Pseudonymous: no telephone number, no name.

    ValueError where `started_at` is no time with an offset from UTC.
    """

    call: CallId
    phone: str
    contact: str
    """Pseudonymous id of the relative."""
    started_at: str
    """UTC, ISO 8601: the file's zero."""
    started_monotonic: float
    """The same instant in seconds of CLOCK_MONOTONIC."""

    def __post_init__(self) -> None:
        if datetime.datetime.fromisoformat(self.started_at).tzinfo is None:
            raise ValueError("started_at lacks its offset from UTC")

    def utc(self, offset_s: float) -> datetime.datetime:
        """The wall-clock time `offset_s` after the start."""
        return datetime.datetime.fromisoformat(self.started_at) + datetime.timedelta(seconds=offset_s)


recording_facts: msgspec.json.Decoder[RecordingFacts] = msgspec.json.Decoder(RecordingFacts)


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a track in which something is missing, in seconds of the file."""

    from_s: float
    to_s: float
    lost_packets: int
    """0: nothing was lost; the source was silent, or sent what is no picture."""


class PictureSize(msgspec.Struct, frozen=True, kw_only=True):
    """The picture size of a video track from a moment on."""

    at_s: float
    width: int
    height: int


class TrackFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One track as it lies in the file. Times are seconds of the file; None where the track is empty or unknown."""

    name: str
    codec: str
    frames: int
    keyframes: int
    bytes: int
    first_s: float | None
    last_s: float | None
    packets: int | None = None
    lost_packets: int | None = None
    incomplete_frames: int | None = None
    """Pictures of which a packet was lost, and those that build on one; they are not in the file."""
    duplicate_packets: int | None = None
    malformed_packets: int | None = None
    gaps: tuple[Gap, ...] = ()
    gaps_left_out: int = 0
    """Gaps beyond those listed."""
    sizes: tuple[PictureSize, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A recording, whole or truncated."""

    version: int = VERSION
    file: str
    """Name of the file beside which the manifest lies."""
    facts: RecordingFacts | None
    """None where a truncated recording's facts were lost as well."""
    ended_at: str
    """UTC, ISO 8601: the end of the file; empty without facts."""
    duration_s: float
    end_reason: str
    truncated: bool
    """The writer died, or could write no more, before the end."""
    readable: bool = True
    tracks: tuple[TrackFacts, ...] = ()
    bytes: int
    sha256: str
    seal: str = ""

    def sealed(self) -> "Manifest":
        """Return the same with its seal."""
        return msgspec.structs.replace(self, seal=self._digest())

    def is_intact(self) -> bool:
        """Whether the seal fits."""
        return hmac.compare_digest(self.seal, self._digest())

    def _digest(self) -> str:
        return hashlib.sha256(encode(msgspec.structs.replace(self, seal=""))).hexdigest()

    def recording(self, folder: Path) -> Recording:
        """As the store keeps it."""
        return Recording(
            call=self.facts.call if self.facts else CallId(self.file.partition(".")[0]),
            path=str(folder / self.file),
            bytes=self.bytes,
            sha256=self.sha256,
            duration_s=self.duration_s,
            truncated=self.truncated,
            manifest=encode(self).decode(),
        )


_manifest: msgspec.json.Decoder[Manifest] = msgspec.json.Decoder(Manifest)


def encode(manifest: Manifest) -> bytes:
    """The manifest as it is stored: JSON, two spaces of indentation, fields in a fixed order."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=2) + b"\n"


def decode(data: bytes) -> Manifest:
    """Read a manifest; ValueError where it is none, or its seal does not fit."""
    try:
        manifest = _manifest.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a manifest: {error}") from None
    if not manifest.is_intact():
        raise ValueError(f"the manifest of {manifest.file} was changed after it was sealed")
    return manifest


def manifest_path(recording: Path) -> Path:
    """Where the manifest of a recording lies."""
    return recording.with_name(recording.name + ".json")


def verify(recording: Path) -> Manifest:
    """Check a recording against its manifest: seal, name, length and digest.

    ValueError names what does not fit, FileNotFoundError what is not there.
    """
    manifest = decode(manifest_path(recording).read_bytes())
    if manifest.file != recording.name:
        raise ValueError(f"the manifest beside {recording.name} belongs to {manifest.file}")
    if recording.stat().st_size != manifest.bytes or digest(recording) != manifest.sha256:
        raise ValueError(f"{recording.name} is not what was sealed")
    return manifest


def digest(path: Path) -> str:
    """SHA-256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, data: bytes) -> None:
    """Write aside, fsync, rename, fsync the folder: after this the file is there whole, or as it was before."""
    aside = path.with_name(path.name + ".tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    aside.replace(path)
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make renames in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

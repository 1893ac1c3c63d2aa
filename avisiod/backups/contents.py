"""What is in a backup, and where on the box it comes from.

A backup is `age( gzip( tar ) )`. The tar's first member is CONTENTS, which names every other one with its digest:

- DATABASE: an SQLite file, or a dump of pg_dump in its custom format;
- `configuration/…`: the files of the settings' folder, by their path below it;
- `keys/N`: the keys that the settings name, and private keys among the settings, where they were asked for;
- RECORDINGS: digest, two spaces, path below the recordings' folder, as `sha256sum --check` reads them.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from avisiod import secret_files
from avisiod.config import paths
from avisiod.config.settings import Config
from avisiod.gateway import manifest

VERSION = 1
CONTENTS = "contents.json"
DATABASE = "database"
RECORDINGS = "recordings.sha256"
CONFIGURATION = "configuration/"
KEYS = "keys/"
LARGEST_FILE = 16 * 1024 * 1024
"""Settings and keys are read as a whole; what is larger is neither."""
_PRIVATE = (b"PRIVATE KEY-----", b"AGE-SECRET-KEY-")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a backup."""

    name: str
    """In the tar."""
    path: str = ""
    """Where it was; empty for what has its place by the settings."""
    bytes: int
    sha256: str
    mode: int = 0o640
    owner: str = ""
    group: str = ""
    """Names, for numbers differ from box to box; empty where they had none."""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    version: int = VERSION
    program: str
    """Version of avisiod that wrote it."""
    schema: tuple[str, ...]
    """Revisions of the database."""
    made_utc: str
    site: str
    database: Literal["sqlite", "postgresql"]
    config_file: str
    """Path of the settings."""
    owner: str = ""
    group: str = ""
    """Whose the database was: so is what is made anew where it was."""
    with_keys: bool
    left_out: tuple[str, ...] = ()
    """Keys that were not asked for, and what could not be read."""
    recordings: int
    recordings_bytes: int
    members: tuple[Member, ...]


decoder: msgspec.json.Decoder[Contents] = msgspec.json.Decoder(Contents)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the box that belongs into a backup, read."""

    path: Path
    data: bytes
    mode: int
    owner: int
    group: int
    is_key: bool


def gather(config: Config, config_file: Path) -> tuple[list[Found], list[str]]:
    """Read the settings' folder and the keys that the settings name; beside them what could not be read, with why."""
    # What systemd hands over is kept as the file that it is a copy of, which perhaps only root can read.
    named = {secret_files.origin(Path(path)): Path(path) for _, path in paths.secrets(config)}
    folder = config_file.parent
    beside = [Path(here, name) for here, _, names in os.walk(folder) for name in sorted(names)]
    found, unread = [], []
    for path in [*sorted(beside), *(path for path in named if not path.is_relative_to(folder))]:
        try:
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):
                continue
            if about.st_size > LARGEST_FILE:
                unread.append(f"{path}: larger than {LARGEST_FILE // 2**20} MiB")
                continue
            data = named.get(path, path).read_bytes()
        except FileNotFoundError:
            continue  # a key that is made later, or a name that leads nowhere
        except OSError as error:
            unread.append(f"{path}: {error.strerror}")
            continue
        is_key = path in named or any(mark in data for mark in _PRIVATE)
        mode = stat.S_IMODE(about.st_mode)
        found.append(Found(path=path, data=data, mode=mode, owner=about.st_uid, group=about.st_gid, is_key=is_key))
    return found, unread


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The list of recordings."""

    text: bytes
    count: int
    bytes: int
    unread: tuple[str, ...]


def list_recordings(folder: Path) -> Listed:
    """The sealed recordings by their manifests: the digests that were sealed, so nothing large is read."""
    lines, octets, unread = [], 0, []
    for path, recorded in _manifests(folder):
        if isinstance(recorded, str):
            unread.append(recorded)
        else:
            lines.append(f"{recorded.sha256}  {path}\n")
            octets += recorded.bytes
    return Listed(text="".join(lines).encode(), count=len(lines), bytes=octets, unread=tuple(unread))


def _manifests(folder: Path) -> Iterator[tuple[Path, manifest.Manifest | str]]:
    for path in sorted(folder.glob("*/*/*/*.json")):
        if path.name.endswith(".facts.json"):
            continue
        try:
            recorded = manifest.decode(path.read_bytes())
        except FileNotFoundError:
            continue  # retention was here meanwhile
        except (OSError, ValueError) as error:
            yield path, f"{path}: {error}"
            continue
        yield (path.parent / recorded.file).relative_to(folder), recorded

"""Making a backup of the whole box while it runs."""

import contextlib
import datetime
import grp
import hashlib
import os
import pwd
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from avisiod.backups import contents, rotation, sealed
from avisiod.backups.contents import Contents, Found, Member
from avisiod.config.settings import Config
from avisiod.gateway.manifest import fsync_folder
from avisiod.store import backup
from avisiod.store.backup import Progress
from avisiod.store.opening import is_url


class CannotBackUp(Exception):
    """No backup was made, and the former ones are all there; the text says why and what to do."""


def make(
    config: Config,
    config_file: Path,
    target: Path,
    recipients: Sequence[str],
    *,
    with_keys: bool,
    now: datetime.datetime,
    progress: Progress,
) -> Mapping[str, Any]:
    """Seal the whole box into `target`, whole or not at all; what was sealed, with the file's digest.

    CannotBackUp or StoreUnavailable, and no file, where anything fails; FileExistsError where the file is there.
    """
    if not recipients:
        raise CannotBackUp("backups are sealed for nobody: name a public key of age in backup.recipients")
    keys = [sealed.recipient(text) for text in recipients]
    if target.exists():
        raise FileExistsError(f"{target} is there already: a backup is never written over")
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with _staged(config) as folder:
            # First the database: whoever changes people and settings in this moment has them in the next backup.
            copy = folder / contents.DATABASE
            found = backup.back_up(_where(config), copy, progress)
            listed = contents.list_recordings(Path(config.recordings.folder))
            files, unread = contents.gather(config, config_file)
            taken = [each for each in files if with_keys or not each.is_key]
            left_out = (*(str(each.path) for each in files if each not in taken), *unread, *listed.unread)
            members = [
                Member(name=contents.DATABASE, bytes=found["bytes"], sha256=found["sha256"]),
                _member(contents.RECORDINGS, listed.text),
                *(_file_member(number, each, config_file) for number, each in enumerate(taken)),
            ]
            state = _state(config).stat()
            about = Contents(
                owner=_user(state.st_uid),
                group=_group(state.st_gid),
                program=version("avisiod"),
                schema=tuple(sorted(backup.revisions(_where(config), copy))),
                made_utc=now.isoformat(timespec="seconds"),
                site=config.site.name,
                database="postgresql" if config.store.url else "sqlite",
                config_file=str(config_file),
                with_keys=with_keys,
                left_out=left_out,
                recordings=listed.count,
                recordings_bytes=listed.bytes,
                members=tuple(members),
            )

            def fill(tar: tarfile.TarFile) -> None:
                sealed.add_bytes(tar, contents.CONTENTS, msgspec.json.encode(about))
                with copy.open("rb") as opened:
                    sealed.add(tar, contents.DATABASE, opened, found["bytes"])
                sealed.add_bytes(tar, contents.RECORDINGS, listed.text)
                for member, each in zip(members[2:], taken, strict=True):
                    sealed.add_bytes(tar, member.name, each.data)

            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                sealed.seal(file, keys, fill)
                file.flush()
                os.fsync(descriptor)
        os.link(partial, target)  # never over another file, as a rename would
        fsync_folder(target.parent)
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise
        place = error.filename or target
        raise CannotBackUp(
            f"{place}: {error.strerror or error}; no backup was made, the former ones are there"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    with target.open("rb") as done:
        digest = hashlib.file_digest(done, "sha256").hexdigest()
    return {
        "file": str(target),
        "bytes": target.stat().st_size,
        "sha256": digest,
        "files": len(taken),
        "recordings": listed.count,
        "with_keys": with_keys,
        "left_out": list(left_out),
    }


def rotate(folder: Path, daily: int, weekly: int) -> list[str]:
    """Delete the backups of that folder that are no longer wanted; their names. OSError where one cannot be."""
    gone = sorted(rotation.superfluous((path.name for path in folder.iterdir()), daily, weekly))
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    return gone


def _where(config: Config) -> str | Path:
    return config.store.url or Path(config.store.path)


@contextlib.contextmanager
def _staged(config: Config) -> Iterator[Path]:
    """A folder for the copy of the database, where the database is: the backups' own may be another machine's."""
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=_state(config)) as folder:
        yield Path(folder)


def _state(config: Config) -> Path:
    where = _where(config)
    return Path(config.store.code_key_file).parent if is_url(where) else Path(where).parent


def _member(name: str, data: bytes) -> Member:
    return Member(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _file_member(number: int, each: Found, config_file: Path) -> Member:
    folder = config_file.parent
    place = contents.CONFIGURATION + str(each.path.relative_to(folder)) if each.path.is_relative_to(folder) else ""
    name = f"{contents.KEYS}{number}" if each.is_key else place
    return msgspec.structs.replace(
        _member(name, each.data),
        path=str(each.path),
        mode=each.mode,
        owner=_user(each.owner),
        group=_group(each.group),
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return ""


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""

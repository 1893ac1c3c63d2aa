"""Putting a backup of the whole box back: everything is opened and checked beside its place before anything moves."""

import contextlib
import dataclasses
import grp
import hashlib
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import msgspec

from avisiod.backups import contents, sealed
from avisiod.backups.contents import Contents, Member
from avisiod.backups.sealed import Unreadable
from avisiod.config import check, paths
from avisiod.config.settings import Config
from avisiod.store import backup
from avisiod.store.backup import Progress
from avisiod.store.database import refuse_newer

_BLOCK = 1024 * 1024


class InTheWay(Exception):
    """Files would be replaced; `paths` names them. Nothing was changed."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(f"would replace {', '.join(paths)}; nothing was changed")
        self.paths = tuple(paths)


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A backup that was read to its end and is whole, in a folder of its own."""

    about: Contents
    config: Config
    folder: Path
    """Members lie here by their number."""

    def file(self, member: Member) -> Path:
        """Where the member's content is."""
        return self.folder / str(self.about.members.index(member))

    @property
    def database(self) -> Path:
        """The copy of the database."""
        return self.file(next(each for each in self.about.members if each.name == contents.DATABASE))


@contextlib.contextmanager
def opened(source: Path, secrets: Sequence[sealed.Identity], beside: Path) -> Iterator[Opened]:
    """Open a backup into a folder that is made in `beside` and goes with the block.

    Unreadable where it was altered, cut off, is for other keys, or is nothing of ours; StoreUnavailable where it is
    of a newer program or its database is damaged.
    """
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=beside) as name:
        folder = Path(name)
        with sealed.opened(source, secrets) as members:
            about = _contents(members, source)
            for member in about.members:
                _unpack(members, member, folder / str(about.members.index(member)))
        found = Opened(about=about, config=_settings(about, folder), folder=folder)
        if about.database == "sqlite":
            backup.check(found.database)
        yield found


def put_back(found: Opened, *, overwrite: bool, progress: Progress) -> Mapping[str, Any]:
    """Put everything in its place; what was there is kept beside it. What was put, and what is missing now.

    InTheWay where something is there that is not the same, and `overwrite` was not said; StoreUnavailable or OSError
    where it failed: then every file is as it was before.
    """
    about, config = found.about, found.config
    files = [member for member in about.members if member.path]
    listed = next(member for member in about.members if member.name == contents.RECORDINGS)
    state = Path(config.store.code_key_file).parent
    places = [(member, Path(member.path)) for member in files]
    listed_owned = msgspec.structs.replace(listed, owner=about.owner, group=about.group)
    places.append((listed_owned, state / contents.RECORDINGS))
    changed = [(member, path) for member, path in places if not _same(path, member)]
    if not overwrite and (taken := _in_the_way(found, [path for _, path in changed if path.exists()])):
        raise InTheWay(taken)
    undo: list[tuple[Path, Path | None]] = []
    try:
        for member, path in changed:
            _place(found.file(listed if member is listed_owned else member), member, path, undo)
        if not config.store.url:
            _folder(Path(config.store.path).parent, listed_owned)
        done = backup.restore(config.store.url or Path(config.store.path), found.database, progress)
    except BaseException:
        for path, kept in reversed(undo):
            if kept is None:
                path.unlink(missing_ok=True)
            else:
                kept.replace(path)
        raise
    return {
        "config_file": about.config_file,
        "made_utc": about.made_utc,
        "files": [str(path) for _, path in changed],
        "kept": [*(str(kept) for _, kept in undo if kept is not None), *([done["kept"]] if done["kept"] else [])],
        "left_out": list(about.left_out),
        "recordings": about.recordings,
        "recordings_missing": missing_recordings(found),
        "recordings_list": str(state / contents.RECORDINGS),
    }


def missing_recordings(found: Opened) -> int:
    """How many recordings of the list are not on this disk; their content is not read."""
    listed = next(member for member in found.about.members if member.name == contents.RECORDINGS)
    folder = Path(found.config.recordings.folder)
    lines = found.file(listed).read_text(encoding="utf-8").splitlines()
    return sum(not (folder / line.partition("  ")[2]).is_file() for line in lines)


def _contents(members: Iterator[tuple[str, BinaryIO]], source: Path) -> Contents:
    name, content = next(members, ("", None))
    if name != contents.CONTENTS or content is None:
        raise Unreadable(f"{source} is sealed well, but what is in it is no backup of avisiod")
    data = content.read(_BLOCK * 16)
    try:
        about = contents.decoder.decode(data)
    except msgspec.MsgspecError:
        raise Unreadable(f"{source} says of itself what this program does not understand") from None
    if about.version != contents.VERSION:
        raise Unreadable(f"{source} was written by avisiod {about.program} in a newer form: install that version")
    refuse_newer(str(source), set(about.schema))
    return about


def _unpack(members: Iterator[tuple[str, BinaryIO]], member: Member, target: Path) -> None:
    name, content = next(members, ("", None))
    if name != member.name or content is None:
        raise Unreadable(f"{member.name} is missing in the backup, so nothing of it is used")
    digest, octets = hashlib.sha256(), 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while block := content.read(_BLOCK):
            digest.update(block)
            octets += len(block)
            file.write(block)
    if octets != member.bytes or digest.hexdigest() != member.sha256:
        raise Unreadable(f"{member.name} in the backup is not what was backed up, so nothing of it is used")


def _settings(about: Contents, folder: Path) -> Config:
    """The settings of the backup; Unreadable where a member is to go where it does not belong."""
    where = Path(about.config_file)
    numbered = enumerate(about.members)
    own = [number for number, member in numbered if member.path == about.config_file]
    if not own or not where.is_absolute():
        raise Unreadable("the backup has no settings, so nothing of it is used")
    try:
        config = check.load(folder / str(own[0]), files=False)
    except check.ConfigError as error:
        said = "; ".join(str(problem) for problem in error.problems)
        raise Unreadable(f"the settings in the backup are not good for this program ({said})") from None
    keys = {path for _, path in paths.secrets(config)}
    for member in about.members:
        path = PurePosixPath(member.path)
        inside = path.is_relative_to(where.parent) and ".." not in path.parts
        if member.path and not inside and member.path not in keys:
            raise Unreadable(f"{member.path} in the backup belongs neither to the settings nor to the keys they name")
    return config


def _in_the_way(found: Opened, paths: list[Path]) -> list[str]:
    config = found.config
    if config.store.url:
        if backup.revisions(config.store.url, None):
            return [*map(str, paths), "the database of store.url"]
    elif Path(config.store.path).exists():
        paths = [*paths, Path(config.store.path)]
    return [str(path) for path in paths]


def _same(path: Path, member: Member) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == member.sha256
    except FileNotFoundError:
        return False


def _place(content: Path, member: Member, path: Path, undo: list[tuple[Path, Path | None]]) -> None:
    """Bring one file to its place with owner and mode; `undo` learns of it before anything is done."""
    _folder(path.parent, member)
    aside = path.with_name(f".{path.name}.restored")
    try:
        shutil.copyfile(content, aside)
        _own(aside, member)
        aside.chmod(member.mode)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        undo.append((path, _kept(path)))
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _kept(path: Path) -> Path | None:
    """What is there, by a second name; None where nothing is."""
    if not path.exists():
        return None
    number = 1
    while (kept := path.with_name(f"{path.name}.before-restore-{number}")).exists():
        number += 1
    os.link(path, kept)
    return kept


def _folder(folder: Path, member: Member) -> None:
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o750)
        _own(missing, member)


def _own(path: Path, member: Member) -> None:
    """Only root gives files away; a name that this box does not know changes nothing."""
    if os.geteuid() != 0:
        return
    owner = group = -1
    with contextlib.suppress(KeyError):
        owner = pwd.getpwnam(member.owner).pw_uid
    with contextlib.suppress(KeyError):
        group = grp.getgrnam(member.group).gr_gid
    os.chown(path, owner, group)

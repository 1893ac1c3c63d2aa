"""avisioctl backup and restore."""

import sys
from pathlib import Path
from typing import Any

import click

from avisiod.backups import making, outcome, restoring, rotation, sealed
from avisiod.cli.reach import CannotReach, where_of
from avisiod.cli.session import Session, common
from avisiod.clock import wall_utc
from avisiod.config.settings import Config
from avisiod.office.plan import Problem, Refused
from avisiod.ports import StoreUnavailable
from avisiod.store import backup

_LARGEST_IDENTITY = 64 * 1024


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--whole", is_flag=True, help="The whole box into FILE, sealed, as without FILE.")
@click.option("--with-keys/--without-keys", default=None, help="Keys and secrets too; else as backup.with_keys says.")
@common
def back_up(session: Session, file: Path | None, *, whole: bool, with_keys: bool | None) -> None:
    """Make a backup while calls run: of the whole box, or with FILE of the database alone.

    Without FILE, database, settings, list of recordings and, where wanted, keys go into one file in backup.folder,
    sealed for backup.recipients; old ones are deleted as backup.keep_daily and keep_weekly say. With FILE, only the
    database is copied, as it is. Both are checked before they get their name, and never written over.
    """
    if file is not None and not whole:
        _copy_database(session, file)
    else:
        _back_up_box(session, file, with_keys)


def _copy_database(session: Session, file: Path) -> None:
    session.do("backup.note", file=str(file))
    try:
        with session.progress() as progress:
            found = backup.back_up(where_of(session.config), file.absolute(), progress)
    except OSError as error:
        raise Refused(Problem(reason=f"{file}: {error.strerror or error}", remedy="take another place")) from None

    def shown(done: dict[str, Any]) -> None:
        session.say(f"{done['file']}: {done['bytes']} bytes, SHA-256 {done['sha256']}")

    session.give(dict(found), shown)


def _back_up_box(session: Session, file: Path | None, with_keys: bool | None) -> None:
    config = session.config
    record = Path(config.backup.record_file)
    try:
        found = _sealed(session, config, file, config.backup.with_keys if with_keys is None else with_keys)
    except (Refused, StoreUnavailable, CannotReach) as error:
        if file is None:
            _note(session, record, problem=str(error))
        raise
    if file is None:
        _note(session, record, octets=int(found["bytes"]))

    def shown(done: dict[str, Any]) -> None:
        session.say(f"{done['file']}: {done['bytes']} bytes, SHA-256 {done['sha256']}")
        keys = "with keys" if done["with_keys"] else "without keys"
        session.say(f"database, {done['files']} files {keys}, a list of {done['recordings']} recordings")
        for path in done["left_out"]:
            session.say(f"left out: {path}")
        for name in done["deleted"]:
            session.say(f"deleted: {name}")

    session.give(found, shown)


def _sealed(session: Session, config: Config, file: Path | None, with_keys: bool) -> dict[str, Any]:
    own = Path(config.backup.folder)
    now = wall_utc()
    target = (file or own / rotation.name_of(now)).absolute()
    deleted: list[str] = []
    try:
        if file is None:
            own.mkdir(mode=0o750, parents=True, exist_ok=True)
        session.do("backup.note", file=str(target))
        with session.progress() as progress:
            found = making.make(
                config,
                Path(session.config_file).absolute(),
                target,
                config.backup.recipients,
                with_keys=with_keys,
                now=now,
                progress=progress,
            )
        if file is None:
            deleted = making.rotate(own, config.backup.keep_daily, config.backup.keep_weekly)
    except making.CannotBackUp as error:
        raise StoreUnavailable(str(error)) from None
    except OSError as error:
        remedy = "take another place, or correct backup.folder"
        raise Refused(
            Problem(reason=f"{error.filename or target}: {error.strerror or error}", remedy=remedy)
        ) from None
    return {**found, "deleted": deleted}


def _note(session: Session, record: Path, *, problem: str = "", octets: int = 0) -> None:
    try:
        outcome.note(record, wall_utc(), problem=problem, octets=octets)
    except OSError as error:
        session.err.print(f"{record} cannot be written ({error.strerror}): the metrics do not know of this backup")


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--identity", metavar="FILE", help="The secret key of age or SSH that opens it; - for standard input.")
@click.option("--overwrite", is_flag=True, help="Replace what is there; it is kept beside its place.")
@click.option("--check", is_flag=True, help="Open and check everything, and change nothing.")
@common
def restore(session: Session, file: Path, *, identity: str | None, overwrite: bool, check: bool) -> None:
    """Put a backup in its place: of the whole box, or of the database alone. The daemon must be down.

    Everything is checked first: a backup that was altered or cut off, or is of a newer avisiod, changes nothing.
    """
    running = Path(session.config_file).exists() and session.reach.daemon_runs
    if running and not check:
        remedy = "systemctl stop avisiod avisiod-edge, restore, start both again"
        raise Refused(Problem(reason="the daemon runs", remedy=remedy))
    try:
        whole = sealed.is_sealed(file)
    except OSError as error:
        raise Refused(Problem(reason=f"{file}: {error.strerror}", remedy="correct path or mode")) from None
    if whole:
        _restore_box(session, file.absolute(), identity, overwrite=overwrite, check=check)
    elif check:
        verdict = backup.check(file)
        session.give({"audit_last": verdict.last}, lambda _: session.say(f"{file} is whole"))
    else:
        _restore_database(session, file)


def _restore_database(session: Session, file: Path) -> None:
    try:
        with session.progress() as progress:
            found = backup.restore(where_of(session.config), file.absolute(), progress)
    except OSError as error:
        raise Refused(Problem(reason=f"{file}: {error.strerror or error}", remedy="correct path or mode")) from None
    session.do("restore.note", file=str(file))

    def shown(done: dict[str, Any]) -> None:
        kept = f"; what was there is kept as {done['kept']}" if done["kept"] else ""
        session.say(f"restored{kept}")

    session.give(dict(found), shown)


def _restore_box(session: Session, file: Path, identity: str | None, *, overwrite: bool, check: bool) -> None:
    if identity is None:
        remedy = "give the file of the secret key with --identity"
        raise Refused(Problem(reason=f"{file} is sealed", remedy=remedy))
    try:
        secrets = sealed.identities(_read_identity(identity))
        # The folder of the backup may be another machine's: what is opened stays on this one.
        with restoring.opened(file, secrets, _own_folder(session)) as found, session.progress() as progress:
            if check:
                result: dict[str, Any] = {
                    "made_utc": found.about.made_utc,
                    "program": found.about.program,
                    "files": [member.path for member in found.about.members if member.path],
                    "left_out": list(found.about.left_out),
                    "recordings": found.about.recordings,
                    "recordings_missing": restoring.missing_recordings(found),
                }
            else:
                result = dict(restoring.put_back(found, overwrite=overwrite, progress=progress))
    except sealed.Unreadable as error:
        raise StoreUnavailable(str(error)) from None
    except restoring.InTheWay as error:
        raise Refused(Problem(reason=str(error), remedy="--overwrite keeps what is there beside its place")) from None
    except OSError as error:
        reason = f"{error.filename or file}: {error.strerror or error}; everything is as it was"
        raise Refused(Problem(reason=reason, remedy="correct path or mode, or free space")) from None
    if not check:
        session.begin_again(result.pop("config_file"))
        session.do("restore.note", file=str(file))
    session.give(result, lambda done: _show_restored(session, done, check=check))


def _own_folder(session: Session) -> Path:
    """Where the box keeps its state, or the nearest folder above it that is there."""
    state = Path(session.config.store.code_key_file if Path(session.config_file).exists() else Config().store.path)
    return next(folder for folder in state.parents if folder.is_dir())


def _read_identity(identity: str) -> bytes:
    if identity == "-":
        return sys.stdin.buffer.read(_LARGEST_IDENTITY)
    with Path(identity).open("rb") as file:
        return file.read(_LARGEST_IDENTITY)


def _show_restored(session: Session, done: dict[str, Any], *, check: bool) -> None:
    session.say(f"backup of {done['made_utc']}: {'whole, nothing was changed' if check else 'restored'}")
    for path in done["files"]:
        session.say(f"  {path}")
    for path in done.get("kept", ()):
        session.say(f"what was there is kept as {path}")
    for path in done["left_out"]:
        session.say(f"not in the backup: {path}")
    session.say(
        f"recordings: {done['recordings']} are listed, {done['recordings_missing']} of them are not on this disk"
    )

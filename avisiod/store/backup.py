"""Copies of the database, made while calls run, and their way back."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avisiod.ports import StoreUnavailable
from avisiod.store import database, dumps
from avisiod.store.database import Database, inspect
from avisiod.store.opening import is_url, open_database
from avisiod.store.trail_check import Verdict, verify

_MODE = 0o600
PAGES = 2000
"""Pages copied between two reports of progress."""
Progress = Callable[[str, int, int], None]


def back_up(where: str | Path, target: Path, progress: Progress) -> Mapping[str, Any]:
    """Copy the database into a file, whole or not at all; what was copied, with the copy's digest.

    The copy is checked before it gets its name. StoreUnavailable, and no file, where anything fails; FileExistsError
    where the file is there: a backup is never written over.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already: a backup is never written over")
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE))
    try:
        if is_url(where):
            dumps.dump(str(where), partial)
            verdict = None
        else:
            _copy(Path(where), partial, progress)
            verdict = _checked(partial)
        _to_disk(partial)
        os.link(partial, target)  # never over another file, as a rename would
        _to_disk(target.parent)
    finally:
        for name in (partial, *(partial.with_name(partial.name + end) for end in ("-wal", "-shm", "-journal"))):
            name.unlink(missing_ok=True)
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    found: dict[str, Any] = {"file": str(target), "bytes": target.stat().st_size, "sha256": digest}
    if verdict is not None:
        found |= {"audit_last": verdict.last, "audit_digest": verdict.digest}
    return found


def restore(where: str | Path, source: Path, progress: Progress) -> Mapping[str, Any]:
    """Put a backup in the place of the database; the daemon must be down. What was there is kept beside it.

    StoreUnavailable, and nothing changed, where the backup is damaged, newer than this program, or its trail broken.
    """
    if is_url(where):
        verdict, schema = dumps.undump(str(where), source)
        return {"restored": str(source), "kept": f"schema {schema}" if schema else "", "audit_last": verdict.last}
    path = Path(where)
    if not source.is_file():
        raise StoreUnavailable(f"there is no backup {source}; nothing was changed")
    partial = path.with_name(f".{path.name}.restored")
    partial.unlink(missing_ok=True)
    shutil.copyfile(source, partial)
    try:
        verdict = check(partial)
        kept = _set_aside(path)
        like = kept if kept is not None else path.parent
        owner = like.stat()
        os.chown(partial, owner.st_uid, owner.st_gid)
        partial.chmod(database._MODE)
        _to_disk(partial)
        partial.rename(path)
        _to_disk(path.parent)
    finally:
        partial.unlink(missing_ok=True)
    progress("restoring", 1, 1)
    return {"restored": str(source), "kept": str(kept or ""), "audit_last": verdict.last}


def check(source: Path) -> Verdict:
    """Look whether this copy of an SQLite database would be restored. StoreUnavailable says why not."""
    inspect(source)
    verdict = _checked(source)
    if verdict.problem:
        raise StoreUnavailable(f"the trail in {source} is broken ({verdict.problem}); nothing was changed")
    return verdict


def revisions(where: str | Path, copy: Path | None) -> set[str]:
    """The schema's revisions: of the copy of an SQLite file, or of a PostgreSQL database; none where it is empty."""
    if is_url(where):
        there = dumps.asked(str(where), "SELECT to_regclass('alembic_version')")
        return set(dumps.asked(str(where), "SELECT version_num FROM alembic_version").split()) if there else set()
    connection = sqlite3.connect(f"file:{copy}?mode=ro", uri=True)
    try:
        return {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}
    finally:
        connection.close()


def _copy(path: Path, partial: Path, progress: Progress) -> None:
    """One state of the database throughout: with WAL readers do not keep writers waiting."""
    if not path.exists():
        raise StoreUnavailable(f"there is no database {path}; nothing was written")
    inspect(path)
    try:
        source, copy = sqlite3.connect(f"file:{path}?mode=ro", uri=True), sqlite3.connect(partial)
        try:
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on nothing new is seen
            source.backup(copy, pages=PAGES, progress=lambda _, left, of: progress("copying", of - left, of))
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, that a backup programme takes as it is
        finally:
            copy.close()
            source.close()
    except sqlite3.Error as error:
        raise database.explained(error, path) from None


def _checked(path: Path) -> Verdict:
    """Open the copy as the daemon would, on another copy: opening brings it up to date."""
    inspect(path)
    trial = path.with_name(path.name + ".trial")
    shutil.copyfile(path, trial)
    try:
        opened: Database = open_database(trial)
        try:
            with opened.reading() as connection:
                return verify(connection)
        finally:
            opened.close()
    finally:
        for end in ("", "-wal", "-shm"):
            trial.with_name(trial.name + end).unlink(missing_ok=True)


def _set_aside(path: Path) -> Path | None:
    """Keep what is there, with its write-ahead log folded in; None where nothing is."""
    if not path.exists():
        return None
    try:
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA busy_timeout = 2000")
            connection.execute("PRAGMA journal_mode = DELETE")  # folds the log in; refused while others have it open
        finally:
            connection.close()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
            text = f"another program has {path} open: stop avisiod and avisiod-edge first; nothing was changed"
            raise StoreUnavailable(text) from None
        # damaged: that is why a backup is restored; it is kept as it is
    number = 1
    while (kept := path.with_name(f"{path.name}.before-restore-{number}")).exists():
        number += 1
    for end in ("-wal", "-shm"):
        log = path.with_name(path.name + end)
        if log.exists():
            log.rename(kept.with_name(kept.name + end))
    path.rename(kept)
    return kept


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

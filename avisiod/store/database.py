"""The database: how it is opened, checked, brought up to date, and how its failures are told. This is SQLite's.

WAL with synchronous=FULL: a commit is on the disk before a command leaves. NORMAL would survive a crash of the
program just as well, but could forget the last commits when the power fails, and a code that was spent must stay
spent. A call commits a dozen times in 20 minutes; the price is not felt.
"""

import importlib.resources
import os
import sqlite3
import urllib.parse
from pathlib import Path
from typing import Any

import alembic.command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from avisiod.ports import StoreRefused, StoreUnavailable
from avisiod.store import schema, schema_books, schema_devices, schema_rules, schema_staff

BUSY_TIMEOUT_MS = 5000
"""So long another program (a backup, Kamailio) may hold the database before we give up."""

SCHEMA = (schema, schema_rules, schema_books, schema_devices, schema_staff)
"""The modules with tables; to import them is to know all of them."""

_MAGIC = b"SQLite format 3\0"
_MODE = 0o640
"""The file holds HA1 values and numbers: the daemon's user and group only."""


class Database:
    """An open, checked and current database. Blocks: only ever used in the store's threads."""

    errors: tuple[type[Exception], ...] = (StatementError, sqlite3.Error)
    """What `explained` puts into words."""

    def __init__(self, path: Path) -> None:
        """Open or create. StoreUnavailable where it is damaged, newer than this program, or not ours."""
        self.path = path
        try:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE))
        except OSError as error:
            text = f"the database {path} cannot be opened ({error.strerror}): correct store.path or its mode"
            raise StoreUnavailable(text) from None
        inspect(path)
        self._engine: Engine = _engine(path)
        self._reader = self._engine
        self._writer: Engine = self._engine.execution_options(avisiod_write=True)
        try:
            with self._writer.begin() as connection:
                migrate(connection)
        except (DBAPIError, sqlite3.Error) as error:
            self.close()
            raise explained(error, path) from None

    def explained(self, error: Any) -> StoreUnavailable:
        """The failure in words for who must act."""
        return explained(error, self.path)

    def writing(self) -> Any:
        """Context manager: a connection in a transaction that holds the write lock; commits at its end."""
        return self._writer.begin()

    def reading(self) -> Any:
        """Context manager: a connection that sees one state of the database throughout."""
        return self._reader.begin()

    def close(self) -> None:
        """Close every connection; SQLite then folds the write-ahead log into the file."""
        self._engine.dispose()


def _engine(path: Path) -> Engine:
    # hide_parameters: an error's text must not quote numbers or HA1 values
    engine = create_engine(
        URL.create("sqlite", database=str(path)), hide_parameters=True, pool_size=4, max_overflow=0
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver would begin transactions late; `begin` below does it
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is personal data
        connection.execute("PRAGMA trusted_schema = OFF")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("avisiod_write", False)
        # IMMEDIATE: a transaction that will write waits for its turn now instead of failing half way
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def inspect(path: Path) -> None:
    """Look at the file without changing a byte of it. StoreUnavailable where it should not be opened."""
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
    if not magic:
        return  # new
    if magic != _MAGIC:
        raise _damaged(path, "it does not begin as an SQLite file does")
    # with `immutable` SQLite makes no files beside it; not where a write-ahead log waits to be read
    how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    uri = f"file:{urllib.parse.quote(str(path))}?{how}"
    try:
        connection = sqlite3.connect(uri, uri=True)
        try:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            verdict = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = (
                connection.execute("SELECT version_num FROM alembic_version") if "alembic_version" in tables else ()
            )
            revisions = {row[0] for row in version}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise explained(error, path) from None
    if verdict != ["ok"]:
        raise _damaged(path, verdict[0] if verdict else "its check says nothing")
    if tables and not revisions:
        text = f"{path} is a database of another program; it was left untouched: correct store.path"
        raise StoreUnavailable(text)
    refuse_newer(str(path), revisions)


def refuse_newer(name: str, revisions: set[str]) -> None:
    """StoreUnavailable where the schema is one that this program does not know."""
    if unknown := revisions - {script.revision for script in _scripts().walk_revisions()}:
        text = (
            f"{name} was written by a newer avisiod (schema {', '.join(sorted(unknown))}); it was left untouched: "
            "install that version again, or restore the backup made before the upgrade"
        )
        raise StoreUnavailable(text)


def _damaged(path: Path, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the database {path} is damaged ({why}); it was left untouched: copy it aside, then restore the last backup "
        f"or try `sqlite3 {path} .recover`"
    )


def _alembic() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(importlib.resources.files("avisiod.store") / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_alembic())


def migrate(connection: Connection) -> None:
    """Bring the schema up to date, in the connection's transaction: all steps or none."""
    heads = set(_scripts().get_heads())
    if set(MigrationContext.configure(connection).get_current_heads()) == heads:
        return
    config = _alembic()
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


_EXPLANATIONS = {
    "SQLITE_FULL": "the disk is full: free space",
    "SQLITE_BUSY": "another program holds the database: end it",
    "SQLITE_LOCKED": "another program holds the database: end it",
    "SQLITE_IOERR": "the disk does not answer as it should: look at the kernel's log",
    "SQLITE_READONLY": "it may only be read: correct the mode of file and folder",
    "SQLITE_CANTOPEN": "it cannot be opened: correct the mode of file and folder",
    "SQLITE_PERM": "access is denied: correct the mode of file and folder",
}
_BELOW_ZERO = "never_below_zero"
"""The rule of the accounts, as both databases name it when it is broken."""


def explained(error: StatementError | sqlite3.Error, path: Path) -> StoreUnavailable:
    """The failure in words for who must act, without values or statements."""
    original = error.orig if isinstance(error, StatementError) else error
    name = getattr(original, "sqlite_errorname", "")
    if isinstance(error, IntegrityError | sqlite3.IntegrityError) or isinstance(original, ValueError):
        return refusal(str(original))
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return _damaged(path, str(original))
    for prefix, text in _EXPLANATIONS.items():
        if name.startswith(prefix):
            return StoreUnavailable(f"{path}: {text}; nothing was changed")
    return StoreUnavailable(f"{path}: {name or type(original).__name__}: {original}; nothing was changed")


def refusal(text: str) -> StoreRefused:
    """What the database's own rules refused, in its words; ours where a person at a counter meets them."""
    if _BELOW_ZERO in text:
        return StoreRefused("the account does not hold so much; nothing was booked")
    return StoreRefused(f"the database refused the change: {text}")

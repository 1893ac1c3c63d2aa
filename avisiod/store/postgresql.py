"""PostgreSQL as the store of several boxes: how it is opened, checked, brought up to date, its failures told.

As with SQLite one transaction writes at a time: each takes the same advisory lock first, since each adds to the one
trail. What reads sees one state throughout.
"""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, IntegrityError, StatementError

from avisiod.ports import StoreUnavailable
from avisiod.store.database import Database, migrate, refusal, refuse_newer

LOCK = 0x617669736961
"""Number of the advisory lock that makes writers take turns: the letters `avisia`."""
LOCK_WITHIN_MS = 5000
"""So long another writer may keep us waiting before we give up."""
OLDEST = 15
"""Versions of the server that are tested begin here."""


class PostgresDatabase(Database):
    """An open, checked and current database of a PostgreSQL server. Blocks, as Database does."""

    errors = (StatementError,)

    def __init__(self, url: str) -> None:
        """Connect. StoreUnavailable where there is no such database, it is newer than this program, or not ours."""
        try:
            parsed = make_url(url).set(drivername="postgresql+psycopg")
        except ArgumentError:
            raise StoreUnavailable("store.url is not an address of a database: write postgresql:///name") from None
        self.name = parsed.render_as_string(hide_password=True).replace("+psycopg", "")
        self._engine = create_engine(parsed, **_ENGINE)
        self._reader, self._writer = _engines(self._engine)
        try:
            with self._writer.begin() as connection:
                self._inspect(connection)
                migrate(connection)
        except StatementError as error:
            self.close()
            raise self.explained(error) from None
        except StoreUnavailable:
            self.close()
            raise

    def _inspect(self, connection: Connection) -> None:
        """Refuse what should not be written to, before anything is."""
        version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
        if version < OLDEST * 10_000:
            raise StoreUnavailable(f"{self.name}: PostgreSQL {OLDEST} or newer is needed; nothing was changed")
        tables = set(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")))
        if "alembic_version" not in tables:
            if tables:
                raise StoreUnavailable(
                    f"{self.name} is a database of another program; it was left untouched: correct store.url"
                )
            return
        refuse_newer(self.name, set(connection.scalars(text("SELECT version_num FROM alembic_version"))))

    def explained(self, error: Any) -> StoreUnavailable:
        """The failure in words for who must act, without values or statements."""
        original = error.orig if isinstance(error, StatementError) else error
        diagnosis = getattr(original, "diag", None)
        said = (getattr(diagnosis, "message_primary", None) or str(original).partition("\n")[0]).strip()
        if isinstance(error, IntegrityError) or isinstance(original, ValueError):
            return refusal(said)
        state = getattr(original, "sqlstate", None) or ""
        for prefix, remedy in _EXPLANATIONS.items():
            if state.startswith(prefix):
                return StoreUnavailable(f"{self.name}: {remedy}; nothing was changed")
        if not state:
            return StoreUnavailable(
                f"{self.name} does not answer ({said}): look whether the server runs, and at store.url"
            )
        return StoreUnavailable(f"{self.name}: {state}: {said}; nothing was changed")


_ENGINE: dict[str, Any] = {
    "hide_parameters": True,  # an error's text must not quote numbers or HA1 values
    "pool_size": 4,
    "max_overflow": 0,
    "pool_pre_ping": True,  # a server that was restarted is found again without a lost call
    "connect_args": {"connect_timeout": 5, "application_name": "avisiod"},
}

_EXPLANATIONS = {
    "53100": "the server's disk is full: free space",
    "55P03": "another program holds the database: end it",
    "25006": "the server only reads: it is a standby, or its disk failed",
    "28": "the server does not let us in: correct user or password in store.url, or pg_hba.conf",
    "3D": "there is no such database: createdb it",
    "42501": "access is denied: make the database ours (ALTER DATABASE … OWNER TO)",
    "57P": "the server is stopping or starting: it is tried again",
    "58": "the server's disk does not answer as it should: look at its log",
    "XX001": "the database is damaged: restore the last backup",
}
"""Causes by SQLSTATE, or its first characters."""


def _engines(engine: Engine) -> tuple[Engine, Engine]:
    """One that reads, one that writes, on the same connections."""
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    writer = engine.execution_options(isolation_level="READ COMMITTED", avisiod_write=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("avisiod_write", False):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_WITHIN_MS}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")

    return reader, writer

"""Which database a box has: a PostgreSQL server's by its URL, else the SQLite file at a path."""

from pathlib import Path

from avisiod.store.database import Database


def open_database(where: str | Path) -> Database:
    """Open, check and bring up to date: a PostgreSQL database by its URL, else the SQLite file at this path."""
    if is_url(where):
        from avisiod.store.postgresql import PostgresDatabase  # needs libpq, which a box with a file need not have

        return PostgresDatabase(str(where))
    return Database(Path(where))


def is_url(where: str | Path) -> bool:
    """Whether this names a database of a PostgreSQL server."""
    return str(where).startswith(("postgresql:", "postgresql+psycopg:"))

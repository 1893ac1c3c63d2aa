"""What all tables share: how moments, days and ids are written, and how constraints are named."""

import datetime

from sqlalchemy import BigInteger, Column, Dialect, Integer, MetaData, String, Table, TypeDecorator
from sqlalchemy.dialects import postgresql, sqlite


class UtcText(TypeDecorator[datetime.datetime]):
    """A moment as text, `2026-11-23T16:57:31.123456Z`: readable in any tool, and sorted as text is sorted in time."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To text. ValueError on a moment without time zone: nobody could say later which one was meant."""
        return None if value is None else utc_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime.datetime | None:  # noqa: ARG002
        """From text."""
        return None if value is None else datetime.datetime.fromisoformat(value)


def utc_text(moment: datetime.datetime) -> str:
    """The moment as the tables write it. ValueError on one without time zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment without time zone cannot be kept")
    return moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class DayText(TypeDecorator[datetime.date]):
    """A day of the site's calendar as text, `2026-11-23`."""

    impl = String(10)
    cache_ok = True

    def process_bind_param(self, value: datetime.date | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To text."""
        return None if value is None else value.isoformat()

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime.date | None:  # noqa: ARG002
        """From text."""
        return None if value is None else datetime.date.fromisoformat(value)


class LocalText(TypeDecorator[datetime.datetime]):
    """A wall-clock time of the site's zone as text, to the minute, `2026-12-24T18:00`."""

    impl = String(16)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To text. ValueError on a moment with a time zone: the zone is the site's, and may be corrected later."""
        if value is not None and value.tzinfo is not None:
            raise ValueError("a local time is kept without time zone")
        return None if value is None else value.isoformat(timespec="minutes")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime.datetime | None:  # noqa: ARG002
        """From text."""
        return None if value is None else datetime.datetime.fromisoformat(value)


BigId = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
"""SQLite counts by itself in a column of the type INTEGER only."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def name_column(name: str = "id", **how: object) -> Column[str]:
    """An id that people gave, or that was made of random bytes."""
    return Column(name, String(64), **how)  # type: ignore[arg-type]


def version_column() -> Column[int]:
    """Counts the edits of a row: who edits it names the version that they saw."""
    return Column("version", Integer, nullable=False, server_default="1")


def upsert(dialect: Dialect, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, in the words of this database."""
    return postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)

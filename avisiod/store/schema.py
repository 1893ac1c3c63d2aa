"""The tables. What a table promises beyond its columns (views, triggers) stands in the migrations."""

import datetime

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)


class UtcText(TypeDecorator[datetime.datetime]):
    """A moment as text, `2026-11-23T16:57:31.123456Z`: readable in any tool, and sorted as text is sorted in time."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To text. ValueError on a moment without time zone: nobody could say later which one was meant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without time zone cannot be kept")
        return value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime.datetime | None:  # noqa: ARG002
        """From text."""
        return None if value is None else datetime.datetime.fromisoformat(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

phones = Table(
    "phones",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("cell", Text, nullable=False),
    Column("realm", Text, nullable=False),
    Column("ha1", String(32), nullable=False),
    Column("language", String(16), nullable=False),
    Column("listed", Boolean, nullable=False),
)
"""Phones of the inventory. One that has left it stays, unlisted: old calls refer to it."""

contacts = Table(
    "contacts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("number", String(16), nullable=False),
    Column("confidential", Boolean, nullable=False),
    Column("listed", Boolean, nullable=False),
)
"""Contacts of the inventory; the only place where a number stands."""
Index("uq_contacts_number", contacts.c.number, unique=True, sqlite_where=contacts.c.listed)

contact_phones = Table(
    "contact_phones",
    metadata,
    Column("contact", String(64), ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True),
    Column("phone", String(64), ForeignKey("phones.id", ondelete="CASCADE"), primary_key=True),
)
"""Which phones may call a contact; none here: every phone."""

calls = Table(
    "calls",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("phone", String(64), nullable=False),  # no foreign key: an unknown phone's attempt is kept too
    Column("contact", String(64), ForeignKey("contacts.id")),
    Column("state", String(16), nullable=False),
    Column("confidential", Boolean, nullable=False),
    Column("created_utc", UtcText, nullable=False, index=True),
    Column("connected_utc", UtcText),
    Column("ended_utc", UtcText),
    Column("connected_s", Float, nullable=False),
    Column("limit_s", Float, nullable=False),
    Column("end_reason", String(32)),
    Column("charged", Boolean, nullable=False),
    CheckConstraint("(state = 'ended') = (ended_utc IS NOT NULL)", name="ended_has_time"),
    CheckConstraint("state != 'ended' OR end_reason IS NOT NULL", name="ended_has_reason"),
    CheckConstraint("connected_s >= 0", name="connected_s"),
)
Index("ix_calls_open", calls.c.state, sqlite_where=calls.c.state != "ended")

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("call", String(32), ForeignKey("calls.id"), nullable=False, index=True),
    Column("at_utc", UtcText, nullable=False),
    Column("at_monotonic", Float, nullable=False),
    Column("event", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("details", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""The journal of each call, in the order of `id`; rows are never changed."""

invitations = Table(
    "invitations",
    metadata,
    Column("call", String(32), ForeignKey("calls.id"), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("issued_utc", UtcText, nullable=False),
    Column("expires_utc", UtcText),
    Column("spent_utc", UtcText),
)

acceptances = Table(
    "acceptances",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("call", String(32), ForeignKey("calls.id"), nullable=False, index=True),
    Column("at_utc", UtcText, nullable=False),
    Column("language", String(16), nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    sqlite_autoincrement=True,
)

recordings = Table(
    "recordings",
    metadata,
    Column("call", String(32), ForeignKey("calls.id"), primary_key=True),
    Column("path", Text, nullable=False, unique=True),
    Column("bytes", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("manifest", Text, nullable=False),
)

"""The tables of calls, phones and contacts. What a table promises beyond its columns stands in the migrations.

Those of the rules (who may call whom, when, at what price) stand in schema_rules.py, ledger and audit in
schema_books.py.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from avisiod.store.columns import UtcText, metadata, name_column, version_column

phones = Table(
    "phones",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("cell", Text, nullable=False),
    Column("realm", Text, nullable=False),
    Column("ha1", String(32), nullable=False),
    Column("language", String(16), nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("building", String(64), nullable=False, server_default=""),
    Column("floor", String(64), nullable=False, server_default=""),
    Column("shared", Boolean, nullable=False, server_default="0"),
    name_column("occupant"),
    Column("origin", String(16), nullable=False, server_default="inventory"),
    version_column(),
    ForeignKeyConstraint(["occupant"], ["detainees.id"], name="fk_phones_occupant"),
    CheckConstraint("origin IN ('inventory', 'office')", name="origin"),
)
"""Phones, by the inventory file or by staff (`origin`). One that has left stays, unlisted: old calls refer to it."""

contacts = Table(
    "contacts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("number", String(16), nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("relation", Text, nullable=False, server_default=""),
    Column("language", String(16), nullable=False, server_default=""),
    Column("class", String(64), key="cls"),  # set in every row: SQLite adds no column that must be and refers
    Column("origin", String(16), nullable=False, server_default="inventory"),
    version_column(),
    ForeignKeyConstraint(["cls"], ["contact_classes.id"], name="fk_contacts_class"),
    CheckConstraint("origin IN ('inventory', 'office')", name="origin"),
)
"""Contacts, by the inventory file or by staff (`origin`); the only place where a number stands."""
Index(
    "uq_contacts_number",
    contacts.c.number,
    unique=True,
    sqlite_where=contacts.c.listed,
    postgresql_where=contacts.c.listed,
)

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
    name_column("detainee"),
    Column("class", String(64), key="cls"),
    Column("tariff", String(64)),
    Column("tariff_unit", String(8)),
    Column("tariff_price", BigInteger),
    Column("hold_cents", BigInteger, nullable=False, server_default="0"),
    Column("charge_cents", BigInteger, nullable=False, server_default="0"),
    Column("extra", String(64)),
    Column("box", String(64), nullable=False, server_default=""),
    ForeignKeyConstraint(["detainee"], ["detainees.id"], name="fk_calls_detainee"),
    CheckConstraint("hold_cents >= 0", name="hold_cents"),
    CheckConstraint("charge_cents >= 0", name="charge_cents"),
    CheckConstraint("(state = 'ended') = (ended_utc IS NOT NULL)", name="ended_has_time"),
    CheckConstraint("state != 'ended' OR end_reason IS NOT NULL", name="ended_has_reason"),
    CheckConstraint("connected_s >= 0", name="connected_s"),
)
Index(
    "ix_calls_open",
    calls.c.state,
    sqlite_where=calls.c.state != "ended",
    postgresql_where=calls.c.state != "ended",
)
Index("ix_calls_detainee", calls.c.detainee, calls.c.connected_utc)
Index(
    "ix_calls_extra",
    calls.c.extra,
    sqlite_where=calls.c.extra.is_not(None),
    postgresql_where=calls.c.extra.is_not(None),
)

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

Index("ix_invitations_hash", invitations.c.hash)

boxes = Table(
    "boxes",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("public_url", Text, nullable=False),
    Column("code_key", String(64), nullable=False),
    Column("calls", Integer, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("beat_s", Float, nullable=False),
)
"""Boxes that share the database; `beat_s` is the last sign of life, in seconds of the database's clock."""

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

destructions = Table(
    "destructions",
    metadata,
    Column("box", String(64), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("call", String(64), nullable=False, unique=True),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    name_column("detainee"),
    Column("rule", Text, nullable=False),
    Column("ended_utc", UtcText, nullable=False),
    Column("begun_utc", UtcText, nullable=False),
)
"""Recordings that are being destroyed, from before the first byte goes until the trail has the record of it."""

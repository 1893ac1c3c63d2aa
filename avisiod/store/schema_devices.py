"""The tables of the phones as things: what hangs where, how it is, what it runs, and what came of roll-outs."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from avisiod.store.columns import BigId, UtcText, metadata, name_column, version_column

phone_devices = Table(
    "phone_devices",
    metadata,
    name_column("phone", primary_key=True),
    Column("mac", String(12), nullable=False),
    Column("vendor", String(16), nullable=False),
    Column("model", String(64), nullable=False, server_default=""),
    Column("firmware", String(64), nullable=False, server_default=""),
    Column("self_test", Boolean, nullable=False, server_default="0"),
    version_column(),
    ForeignKeyConstraint(["phone"], ["phones.id"], name="fk_phone_devices_phone"),
    Index("uq_phone_devices_mac", "mac", unique=True),
)
"""The device behind a phone, as staff entered it. `firmware`: the version that it should run; empty: any."""

phone_keys = Table(
    "phone_keys",
    metadata,
    name_column("phone", primary_key=True),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("token_hash", String(64), nullable=False, server_default=""),
    Column("token_ends_utc", UtcText),
    Column("token_used_utc", UtcText),
    Column("token_address", String(45), nullable=False, server_default=""),
    Column("served_utc", UtcText),
    ForeignKeyConstraint(["phone"], ["phones.id"], name="fk_phone_keys_phone"),
)
"""Which generation of a phone's secrets is in force (0: none yet), and its one-time token. No secret stands here."""

phone_health = Table(
    "phone_health",
    metadata,
    name_column("phone", primary_key=True),
    Column("state", String(16), nullable=False),
    Column("since_utc", UtcText, nullable=False),
    Column("tampered", Boolean, nullable=False),
    Column("firmware", String(64), nullable=False, server_default=""),
    Column("registered_utc", UtcText),
    Column("answered_utc", UtcText),
    Column("event", String(32), nullable=False, server_default=""),
    Column("event_utc", UtcText),
    Column("heard", Text, nullable=False, server_default="{}"),
    ForeignKeyConstraint(["phone"], ["phones.id"], name="fk_phone_health_phone"),
)
"""How a phone is, as it was written last. `heard`: JSON of calls.replay.Heard."""

phone_events = Table(
    "phone_events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    name_column("phone", nullable=False),
    Column("at_utc", UtcText, nullable=False),
    Column("event", String(32), nullable=False),
    Column("details", Text, nullable=False),
    Index("ix_phone_events_phone", "phone", "at_utc"),
    Index("ix_phone_events_at_utc", "at_utc"),
    sqlite_autoincrement=True,
)
"""What phones said, and how their state changed; the oldest are deleted. No foreign key: strangers are noted too."""

firmware = Table(
    "firmware",
    metadata,
    name_column(primary_key=True),
    Column("vendor", String(16), nullable=False),
    Column("model", String(64), nullable=False),
    Column("release", String(64), nullable=False),
    Column("file", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("key", String(16), nullable=False),
    Column("added_utc", UtcText, nullable=False),
)
"""Firmware files whose digest and signature were checked; `key` signed it."""

rollouts = Table(
    "rollouts",
    metadata,
    name_column(primary_key=True),
    name_column("firmware", nullable=False),
    Column("state", String(16), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("stages", Text, nullable=False),
    Column("begins", Integer, nullable=False),
    Column("ends", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("created_utc", UtcText, nullable=False),
    ForeignKeyConstraint(["firmware"], ["firmware.id"], name="fk_rollouts_firmware"),
    CheckConstraint("state IN ('running', 'paused', 'stopped', 'done')", name="state"),
)
"""A version on its way to the phones of a model. `begins`, `ends`: minutes of the site's day."""

rollout_phones = Table(
    "rollout_phones",
    metadata,
    name_column("rollout", primary_key=True),
    name_column("phone", primary_key=True),
    Column("place", Integer, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("before", String(64), nullable=False),
    Column("changed_utc", UtcText, nullable=False),
    ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_rollout_phones_rollout"),
    CheckConstraint("state IN ('waiting', 'asked', 'done', 'failed')", name="state"),
)
"""Each phone of a roll-out, and how far it is; `before`: what it ran."""

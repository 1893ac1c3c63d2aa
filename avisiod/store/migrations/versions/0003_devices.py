"""The phones as things: devices, keys, health, events, firmware and its roll-outs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.String(length=64)
UTC = sa.String(length=27)
COUNTER = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    """Create what is new."""
    op.create_table(
        "phone_devices",
        sa.Column("phone", ID, nullable=False),
        sa.Column("mac", sa.String(length=12), nullable=False),
        sa.Column("vendor", sa.String(length=16), nullable=False),
        sa.Column("model", ID, nullable=False, server_default=""),
        sa.Column("firmware", ID, nullable=False, server_default=""),
        sa.Column("self_test", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.ForeignKeyConstraint(["phone"], ["phones.id"], name=op.f("fk_phone_devices_phone")),
        sa.PrimaryKeyConstraint("phone", name=op.f("pk_phone_devices")),
    )
    op.create_index("uq_phone_devices_mac", "phone_devices", ["mac"], unique=True)
    op.create_table(
        "phone_keys",
        sa.Column("phone", ID, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("token_hash", ID, nullable=False, server_default=""),
        sa.Column("token_ends_utc", UTC, nullable=True),
        sa.Column("token_used_utc", UTC, nullable=True),
        sa.Column("token_address", sa.String(length=45), nullable=False, server_default=""),
        sa.Column("served_utc", UTC, nullable=True),
        sa.ForeignKeyConstraint(["phone"], ["phones.id"], name=op.f("fk_phone_keys_phone")),
        sa.PrimaryKeyConstraint("phone", name=op.f("pk_phone_keys")),
    )
    op.create_table(
        "phone_health",
        sa.Column("phone", ID, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since_utc", UTC, nullable=False),
        sa.Column("tampered", sa.Boolean(), nullable=False),
        sa.Column("firmware", ID, nullable=False, server_default=""),
        sa.Column("registered_utc", UTC, nullable=True),
        sa.Column("answered_utc", UTC, nullable=True),
        sa.Column("event", sa.String(length=32), nullable=False, server_default=""),
        sa.Column("event_utc", UTC, nullable=True),
        sa.ForeignKeyConstraint(["phone"], ["phones.id"], name=op.f("fk_phone_health_phone")),
        sa.PrimaryKeyConstraint("phone", name=op.f("pk_phone_health")),
    )
    op.create_table(
        "phone_events",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("phone", ID, nullable=False),
        sa.Column("at_utc", UTC, nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phone_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_phone_events_phone", "phone_events", ["phone", "at_utc"], unique=False)
    op.create_index("ix_phone_events_at_utc", "phone_events", ["at_utc"], unique=False)
    op.create_table(
        "firmware",
        sa.Column("id", ID, nullable=False),
        sa.Column("vendor", sa.String(length=16), nullable=False),
        sa.Column("model", ID, nullable=False),
        sa.Column("release", ID, nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", ID, nullable=False),
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("added_utc", UTC, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_firmware")),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", ID, nullable=False),
        sa.Column("firmware", ID, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("stages", sa.Text(), nullable=False),
        sa.Column("begins", sa.Integer(), nullable=False),
        sa.Column("ends", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("created_utc", UTC, nullable=False),
        sa.CheckConstraint("state IN ('running', 'paused', 'stopped', 'done')", name=op.f("ck_rollouts_state")),
        sa.ForeignKeyConstraint(["firmware"], ["firmware.id"], name=op.f("fk_rollouts_firmware")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
    )
    op.create_table(
        "rollout_phones",
        sa.Column("rollout", ID, nullable=False),
        sa.Column("phone", ID, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("before", ID, nullable=False),
        sa.Column("changed_utc", UTC, nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'asked', 'done', 'failed')", name=op.f("ck_rollout_phones_state")),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name=op.f("fk_rollout_phones_rollout")),
        sa.PrimaryKeyConstraint("rollout", "phone", name=op.f("pk_rollout_phones")),
    )

"""The first schema."""

import sqlalchemy as sa
from alembic import op

RULES = (
    # What Kamailio's auth_db reads; the realm stands for the domain, HA1B is not used.
    """
    CREATE VIEW subscriber AS
    SELECT rowid AS id, id AS username, realm AS domain, '' AS password, ha1, '' AS ha1b FROM phones WHERE listed
    """,
    """
    CREATE TRIGGER calls_end_is_final BEFORE UPDATE ON calls
    WHEN OLD.state = 'ended' AND (
        NEW.state IS NOT OLD.state OR NEW.end_reason IS NOT OLD.end_reason OR NEW.ended_utc IS NOT OLD.ended_utc
        OR NEW.connected_s IS NOT OLD.connected_s OR NEW.charged IS NOT OLD.charged
    )
    BEGIN SELECT RAISE(ABORT, 'a call that has ended does not change'); END
    """,
    """
    CREATE TRIGGER calls_confidential_stays BEFORE UPDATE OF confidential ON calls
    WHEN (OLD.confidential AND NOT NEW.confidential)
        OR (NEW.confidential AND EXISTS (SELECT 1 FROM recordings WHERE recordings.call = NEW.id))
    BEGIN SELECT RAISE(ABORT, 'a confidential line stays so and has no recording'); END
    """,
    """
    CREATE TRIGGER recordings_never_confidential BEFORE INSERT ON recordings
    WHEN (SELECT confidential FROM calls WHERE calls.id = NEW.call)
    BEGIN SELECT RAISE(ABORT, 'a confidential line is never recorded'); END
    """,
    """
    CREATE TRIGGER events_stay BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is never rewritten'); END
    """,
    """
    CREATE TRIGGER acceptances_stay BEFORE UPDATE ON acceptances
    BEGIN SELECT RAISE(ABORT, 'an acceptance is never rewritten'); END
    """,
)
"""Promises of the database itself, whatever program writes to it."""

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    _inventory()
    _calls()
    _of_each_call()
    for rule in RULES:
        op.execute(rule)


def _inventory() -> None:
    op.create_table(
        "contacts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=16), nullable=False),
        sa.Column("confidential", sa.Boolean(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contacts")),
    )
    op.create_index("uq_contacts_number", "contacts", ["number"], unique=True, sqlite_where=sa.text("listed"))

    op.create_table(
        "phones",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("ha1", sa.String(length=32), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phones")),
    )
    op.create_table(
        "contact_phones",
        sa.Column("contact", sa.String(length=64), nullable=False),
        sa.Column("phone", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact"], ["contacts.id"], name=op.f("fk_contact_phones_contact"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["phone"], ["phones.id"], name=op.f("fk_contact_phones_phone"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("contact", "phone", name=op.f("pk_contact_phones")),
    )


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("phone", sa.String(length=64), nullable=False),
        sa.Column("contact", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("confidential", sa.Boolean(), nullable=False),
        sa.Column("created_utc", sa.String(length=27), nullable=False),
        sa.Column("connected_utc", sa.String(length=27), nullable=True),
        sa.Column("ended_utc", sa.String(length=27), nullable=True),
        sa.Column("connected_s", sa.Float(), nullable=False),
        sa.Column("limit_s", sa.Float(), nullable=False),
        sa.Column("end_reason", sa.String(length=32), nullable=True),
        sa.Column("charged", sa.Boolean(), nullable=False),
        sa.CheckConstraint("(state = 'ended') = (ended_utc IS NOT NULL)", name=op.f("ck_calls_ended_has_time")),
        sa.CheckConstraint("state != 'ended' OR end_reason IS NOT NULL", name=op.f("ck_calls_ended_has_reason")),
        sa.CheckConstraint("connected_s >= 0", name=op.f("ck_calls_connected_s")),
        sa.ForeignKeyConstraint(["contact"], ["contacts.id"], name=op.f("fk_calls_contact")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
    )
    op.create_index("ix_calls_created_utc", "calls", ["created_utc"], unique=False)
    op.create_index("ix_calls_open", "calls", ["state"], unique=False, sqlite_where=sa.text("state != 'ended'"))


def _of_each_call() -> None:
    op.create_table(
        "acceptances",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("call", sa.String(length=32), nullable=False),
        sa.Column("at_utc", sa.String(length=27), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["call"], ["calls.id"], name=op.f("fk_acceptances_call")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acceptances")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_acceptances_call", "acceptances", ["call"], unique=False)

    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("call", sa.String(length=32), nullable=False),
        sa.Column("at_utc", sa.String(length=27), nullable=False),
        sa.Column("at_monotonic", sa.Float(), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["call"], ["calls.id"], name=op.f("fk_events_call")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_call", "events", ["call"], unique=False)

    op.create_table(
        "invitations",
        sa.Column("call", sa.String(length=32), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("issued_utc", sa.String(length=27), nullable=False),
        sa.Column("expires_utc", sa.String(length=27), nullable=True),
        sa.Column("spent_utc", sa.String(length=27), nullable=True),
        sa.ForeignKeyConstraint(["call"], ["calls.id"], name=op.f("fk_invitations_call")),
        sa.PrimaryKeyConstraint("call", name=op.f("pk_invitations")),
    )
    op.create_table(
        "recordings",
        sa.Column("call", sa.String(length=32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["call"], ["calls.id"], name=op.f("fk_recordings_call")),
        sa.PrimaryKeyConstraint("call", name=op.f("pk_recordings")),
        sa.UniqueConstraint("path", name=op.f("uq_recordings_path")),
    )

"""The first schema."""

import sqlalchemy as sa
from alembic import op

from avisiod.store.migrations.triggers import postgresql, refuse

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    _inventory()
    _calls()
    _of_each_call()
    _rules()


def _rules() -> None:
    """Promises of the database itself, whatever program writes to it."""
    # What Kamailio's auth_db reads; the realm stands for the domain, HA1B is not used.
    number = "row_number() OVER (ORDER BY id)" if postgresql() else "rowid"
    op.execute(
        f"CREATE VIEW subscriber AS SELECT {number} AS id, id AS username, realm AS domain, '' AS password, ha1, "
        "'' AS ha1b FROM phones WHERE listed"
    )
    same = ("state", "end_reason", "ended_utc", "connected_s", "charged")
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in same)
    refuse(
        "calls_end_is_final",
        "BEFORE UPDATE",
        "calls",
        f"OLD.state = 'ended' AND ({changed})",
        "a call that has ended does not change",
    )
    refuse(
        "calls_confidential_stays",
        "BEFORE UPDATE OF confidential",
        "calls",
        "(OLD.confidential AND NOT NEW.confidential)"
        " OR (NEW.confidential AND EXISTS (SELECT 1 FROM recordings WHERE recordings.call = NEW.id))",
        "a confidential line stays so and has no recording",
    )
    refuse(
        "recordings_never_confidential",
        "BEFORE INSERT",
        "recordings",
        "(SELECT confidential FROM calls WHERE calls.id = NEW.call)",
        "a confidential line is never recorded",
    )
    refuse("events_stay", "BEFORE UPDATE", "events", "TRUE", "the journal is never rewritten")
    refuse("acceptances_stay", "BEFORE UPDATE", "acceptances", "TRUE", "an acceptance is never rewritten")


def _inventory() -> None:
    op.create_table(
        "contacts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=16), nullable=False),
        sa.Column("confidential", sa.Boolean(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contacts")),
    )
    listed = sa.text("listed")
    op.create_index(
        "uq_contacts_number", "contacts", ["number"], unique=True, sqlite_where=listed, postgresql_where=listed
    )

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
    still_open = sa.text("state != 'ended'")
    op.create_index("ix_calls_open", "calls", ["state"], sqlite_where=still_open, postgresql_where=still_open)


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

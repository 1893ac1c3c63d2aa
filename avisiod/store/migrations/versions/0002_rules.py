"""People, authorisations, hours, allowances, tariffs, ledger and audit."""

import sqlalchemy as sa
from alembic import op

from avisiod.store.migrations.triggers import after, refuse

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.String(length=64)
DAY = sa.String(length=10)
UTC = sa.String(length=27)
COUNTER = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
SCOPES = "scope_kind IN ('site', 'building', 'regime', 'detainee')"


def upgrade() -> None:
    """Create what is new, and let what is there grow."""
    _people()
    _inventory_grows()
    _calls_grow()
    _authorisations()
    _hours()
    _prices()
    _ledger()
    _audit()
    _first_rows()
    _rules_of_people()
    _rules_of_money()
    _rules_of_the_trail()


def _version() -> sa.Column[int]:
    return sa.Column("version", sa.Integer(), nullable=False, server_default="1")


def _people() -> None:
    op.create_table(
        "regimes",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _version(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_regimes")),
    )
    op.create_table(
        "contact_classes",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("confidential", sa.Boolean(), nullable=False),
        sa.Column("exempt", sa.Text(), nullable=False),
        _version(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_classes")),
    )
    op.create_table(
        "authorities",
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("authority", sa.String(length=16), nullable=False),
        _version(),
        sa.PrimaryKeyConstraint("status", name=op.f("pk_authorities")),
    )
    op.create_table(
        "detainees",
        sa.Column("id", ID, nullable=False),
        sa.Column("register_number", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("regime", ID, nullable=False),
        sa.Column("building", ID, nullable=False),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("identifier", sa.String(length=16)),
        sa.Column("pin_hash", sa.Text(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        _version(),
        sa.ForeignKeyConstraint(["regime"], ["regimes.id"], name=op.f("fk_detainees_regime")),
        sa.CheckConstraint("status IN ('remand', 'convicted')", name=op.f("ck_detainees_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_detainees")),
    )
    listed = sa.text("listed")
    for name in ("identifier", "register_number"):
        op.create_index(
            f"uq_detainees_{name}", "detainees", [name], unique=True, sqlite_where=listed, postgresql_where=listed
        )
    op.create_table(
        "pin_attempts",
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("last_utc", UTC, nullable=False),
        sa.CheckConstraint("wrong > 0", name=op.f("ck_pin_attempts_wrong")),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_pin_attempts")),
    )


def _inventory_grows() -> None:
    """Columns in plain SQL: SQLite takes the constraints of a new column in ADD COLUMN only."""
    op.execute(
        "INSERT INTO contact_classes (id, name, confidential, exempt) VALUES "
        "('ordinary', 'ordinary', FALSE, ''), "
        "('confidential', 'confidential', TRUE, 'schedule,quota,pause,price,authorisation')"
    )
    origin = "ADD COLUMN origin VARCHAR(16) NOT NULL DEFAULT 'inventory' CONSTRAINT ck_{}_origin CHECK (origin IN {})"
    for table, columns in {
        "phones": (
            "ADD COLUMN building VARCHAR(64) NOT NULL DEFAULT ''",
            "ADD COLUMN floor VARCHAR(64) NOT NULL DEFAULT ''",
            "ADD COLUMN shared BOOLEAN NOT NULL DEFAULT FALSE",
            "ADD COLUMN occupant VARCHAR(64) CONSTRAINT fk_phones_occupant REFERENCES detainees (id)",
            origin.format("phones", "('inventory', 'office')"),
            "ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
        ),
        "contacts": (
            "ADD COLUMN name TEXT NOT NULL DEFAULT ''",
            "ADD COLUMN relation TEXT NOT NULL DEFAULT ''",
            "ADD COLUMN language VARCHAR(16) NOT NULL DEFAULT ''",
            "ADD COLUMN class VARCHAR(64) CONSTRAINT fk_contacts_class REFERENCES contact_classes (id)",
            origin.format("contacts", "('inventory', 'office')"),
            "ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
        ),
    }.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} {column}")
    op.execute("UPDATE contacts SET class = CASE WHEN confidential THEN 'confidential' ELSE 'ordinary' END")
    op.execute("ALTER TABLE contacts DROP COLUMN confidential")


def _calls_grow() -> None:
    for column in (
        "detainee VARCHAR(64) CONSTRAINT fk_calls_detainee REFERENCES detainees (id)",
        "class VARCHAR(64)",
        "tariff VARCHAR(64)",
        "tariff_unit VARCHAR(8)",
        "tariff_price BIGINT",
        "hold_cents BIGINT NOT NULL DEFAULT 0 CONSTRAINT ck_calls_hold_cents CHECK (hold_cents >= 0)",
        "charge_cents BIGINT NOT NULL DEFAULT 0 CONSTRAINT ck_calls_charge_cents CHECK (charge_cents >= 0)",
        "extra VARCHAR(64)",
    ):
        op.execute(f"ALTER TABLE calls ADD COLUMN {column}")
    op.create_index("ix_calls_detainee", "calls", ["detainee", "connected_utc"])
    used = sa.text("extra IS NOT NULL")
    op.create_index("ix_calls_extra", "calls", ["extra"], sqlite_where=used, postgresql_where=used)


def _authorisation() -> list[sa.Column[object]]:
    return [
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("authority", sa.String(length=16), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("decided_on", DAY, nullable=False),
        sa.Column("ends_on", DAY),
        sa.Column("class", ID),
        sa.Column("changed_utc", UTC, nullable=False),
    ]


def _authorisations() -> None:
    op.create_table(
        "authorisations",
        sa.Column("detainee", ID, nullable=False),
        sa.Column("contact", ID, nullable=False),
        *_authorisation(),
        _version(),
        sa.ForeignKeyConstraint(["detainee"], ["detainees.id"], name=op.f("fk_authorisations_detainee")),
        sa.ForeignKeyConstraint(["contact"], ["contacts.id"], name=op.f("fk_authorisations_contact")),
        sa.ForeignKeyConstraint(["class"], ["contact_classes.id"], name=op.f("fk_authorisations_class")),
        sa.CheckConstraint(
            "state IN ('requested', 'granted', 'refused', 'suspended', 'withdrawn')",
            name=op.f("ck_authorisations_state"),
        ),
        sa.CheckConstraint("authority IN ('magistrate', 'head')", name=op.f("ck_authorisations_authority")),
        sa.PrimaryKeyConstraint("detainee", "contact", name=op.f("pk_authorisations")),
    )
    op.create_index("ix_authorisations_contact", "authorisations", ["contact"])
    op.create_table(
        "authorisation_history",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("detainee", ID, nullable=False),
        sa.Column("contact", ID, nullable=False),
        *_authorisation(),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authorisation_history")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_authorisation_history_detainee", "authorisation_history", ["detainee", "contact"])


def _scope(table: str) -> list[sa.Column[object] | sa.CheckConstraint]:
    return [
        sa.Column("scope_kind", sa.String(length=16), nullable=False),
        sa.Column("scope_id", ID, nullable=False),
        sa.CheckConstraint(SCOPES, name=op.f(f"ck_{table}_scope")),
    ]


def _minutes(table: str) -> list[sa.Column[object] | sa.CheckConstraint]:
    return [
        sa.Column("begins", sa.Integer(), nullable=False),
        sa.Column("ends", sa.Integer(), nullable=False),
        sa.CheckConstraint("begins >= 0 AND begins < ends AND ends <= 1440", name=op.f(f"ck_{table}_minutes")),
    ]


def _hours() -> None:
    op.create_table(
        "windows",
        sa.Column("id", ID, nullable=False),
        *_scope("windows"),
        sa.Column("weekday", sa.Integer(), nullable=False),
        *_minutes("windows"),
        sa.Column("valid_from", DAY),
        sa.Column("valid_to", DAY),
        _version(),
        sa.CheckConstraint("weekday BETWEEN 0 AND 6", name=op.f("ck_windows_weekday")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_windows")),
    )
    op.create_index("ix_windows_scope", "windows", ["scope_kind", "scope_id"])
    op.create_table(
        "schedule_exceptions",
        sa.Column("id", ID, nullable=False),
        *_scope("schedule_exceptions"),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("from_local", sa.String(length=16), nullable=False),
        sa.Column("to_local", sa.String(length=16), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        _version(),
        sa.CheckConstraint("kind IN ('closed', 'open', 'extra')", name=op.f("ck_schedule_exceptions_kind")),
        sa.CheckConstraint("from_local < to_local", name=op.f("ck_schedule_exceptions_order")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_exceptions")),
    )
    op.create_index("ix_schedule_exceptions_scope", "schedule_exceptions", ["scope_kind", "scope_id"])


def _prices() -> None:
    numbers = ("call_s", "calls_day", "calls_week", "calls_month", "minutes_day", "minutes_week", "minutes_month")
    op.create_table(
        "allowances",
        *_scope("allowances"),
        *(
            sa.Column(name, sa.Integer())
            for name in (*numbers, "rolling_days", "rolling_calls", "pause_s", "contacts_max")
        ),
        _version(),
        sa.CheckConstraint("(rolling_days IS NULL) = (rolling_calls IS NULL)", name=op.f("ck_allowances_rolling")),
        sa.PrimaryKeyConstraint("scope_kind", "scope_id", name=op.f("pk_allowances")),
    )
    op.create_table(
        "tariffs",
        sa.Column("id", ID, nullable=False),
        sa.Column("class", ID),
        sa.Column("unit", sa.String(length=8), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", DAY, nullable=False),
        sa.Column("valid_to", DAY),
        sa.Column("weekdays", sa.String(length=7), nullable=False),
        *_minutes("tariffs"),
        _version(),
        sa.ForeignKeyConstraint(["class"], ["contact_classes.id"], name=op.f("fk_tariffs_class")),
        sa.CheckConstraint("unit IN ('call', 'minute', 'second', 'free')", name=op.f("ck_tariffs_unit")),
        sa.CheckConstraint("price >= 0", name=op.f("ck_tariffs_price")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tariffs")),
    )


def _ledger() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("cents", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "cents >= 0 OR NOT (id LIKE 'detainee:%' OR id LIKE 'held:%')", name=op.f("ck_accounts_never_below_zero")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )
    op.create_table(
        "ledger_transactions",
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at_utc", UTC, nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("detainee", ID),
        sa.Column("call", sa.String(length=32)),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["detainee"], ["detainees.id"], name=op.f("fk_ledger_transactions_detainee")),
        sa.ForeignKeyConstraint(["call"], ["calls.id"], name=op.f("fk_ledger_transactions_call")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_ledger_transactions")),
    )
    op.create_index("ix_ledger_transactions_detainee", "ledger_transactions", ["detainee", "at_utc"])
    op.create_index("ix_ledger_transactions_at_utc", "ledger_transactions", ["at_utc"])
    op.create_index("ix_ledger_transactions_call", "ledger_transactions", ["call"])
    op.create_table(
        "ledger_postings",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("transaction_key", sa.String(length=128), nullable=False),
        sa.Column("account", sa.String(length=80), nullable=False),
        sa.Column("cents", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("cents <> 0", name=op.f("ck_ledger_postings_moves")),
        sa.ForeignKeyConstraint(
            ["transaction_key"],
            ["ledger_transactions.key"],
            name=op.f("fk_ledger_postings_transaction_key"),
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_postings")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ledger_postings_transaction_key", "ledger_postings", ["transaction_key"])
    op.create_index("ix_ledger_postings_account", "ledger_postings", ["account"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", COUNTER, autoincrement=False, nullable=False),
        sa.Column("at_utc", UTC, nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("object", sa.String(length=160), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_object", "audit", ["kind", "object"])
    op.create_index("ix_audit_at_utc", "audit", ["at_utc"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_head_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "audit_anchors",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("purged_utc", UTC, nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_anchors")),
    )


def _first_rows() -> None:
    op.execute("INSERT INTO regimes (id, name) VALUES ('ordinary', 'ordinary')")
    op.execute("INSERT INTO authorities (status, authority) VALUES ('remand', 'magistrate'), ('convicted', 'head')")
    op.execute(f"INSERT INTO audit_head (id, seq, digest) VALUES (1, 0, '{'0' * 64}')")


def _rules_of_people() -> None:
    columns = "detainee, contact, state, authority, author, decided_on, ends_on, class, changed_utc, version"
    values = ", ".join(f"NEW.{name}" for name in columns.split(", "))
    for event in ("insert", "update"):
        after(
            f"authorisations_{event}_history",
            event.upper(),
            "authorisations",
            f"INSERT INTO authorisation_history ({columns}) VALUES ({values})",
        )
    for event in ("UPDATE", "DELETE"):
        refuse(
            f"authorisation_history_no_{event.lower()}",
            f"BEFORE {event}",
            "authorisation_history",
            "TRUE",
            "the history of an authorisation is never rewritten",
        )


def _rules_of_money() -> None:
    changed = " OR ".join(
        f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in ("tariff", "tariff_unit", "tariff_price", "hold_cents")
    )
    refuse(
        "calls_price_stays",
        "BEFORE UPDATE",
        "calls",
        f"(OLD.hold_cents > 0 AND ({changed}))"
        " OR (OLD.state = 'ended' AND NEW.charge_cents IS DISTINCT FROM OLD.charge_cents)",
        "the price of a call does not change",
    )
    refuse(
        "ledger_postings_closed",
        "BEFORE INSERT",
        "ledger_postings",
        "EXISTS (SELECT 1 FROM ledger_transactions WHERE key = NEW.transaction_key)",
        "a transaction of the ledger takes no more postings",
    )
    refuse(
        "ledger_transactions_sum",
        "BEFORE INSERT",
        "ledger_transactions",
        "COALESCE((SELECT SUM(cents) FROM ledger_postings WHERE transaction_key = NEW.key), 1) <> 0",
        "the postings of a transaction must sum to zero",
    )
    for table in ("ledger_transactions", "ledger_postings"):
        for event in ("UPDATE", "DELETE"):
            refuse(f"{table}_no_{event.lower()}", f"BEFORE {event}", table, "TRUE", "the ledger is never rewritten")
    after(
        "ledger_postings_balance",
        "INSERT",
        "ledger_postings",
        # Two statements: an upsert would check the bare posting against the rule of never below zero.
        "INSERT INTO accounts (id, cents) VALUES (NEW.account, 0) ON CONFLICT (id) DO NOTHING; "
        "UPDATE accounts SET cents = cents + NEW.cents WHERE id = NEW.account",
    )


def _rules_of_the_trail() -> None:
    refuse("audit_no_update", "BEFORE UPDATE", "audit", "TRUE", "the trail is never rewritten")
    refuse(
        "audit_no_delete",
        "BEFORE DELETE",
        "audit",
        "OLD.seq > COALESCE((SELECT MAX(seq) FROM audit_anchors), 0)",
        "a line of the trail goes only by a recorded purge",
    )
    for event in ("UPDATE", "DELETE"):
        refuse(
            f"audit_anchors_no_{event.lower()}",
            f"BEFORE {event}",
            "audit_anchors",
            "TRUE",
            "the record of a purge is never rewritten",
        )
    refuse("audit_head_no_delete", "BEFORE DELETE", "audit_head", "TRUE", "the end of the trail is always known")

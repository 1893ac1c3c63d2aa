"""The tables that only grow: the ledger and the audit trail."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, String, Table, Text

from avisiod.store.columns import BigId, UtcText, metadata, name_column

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("cents", BigInteger, nullable=False),
    CheckConstraint("cents >= 0 OR NOT (id LIKE 'detainee:%' OR id LIKE 'held:%')", name="never_below_zero"),
)
"""What stands in each account: the sum of its postings, kept by the database itself."""

ledger_transactions = Table(
    "ledger_transactions",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("at_utc", UtcText, nullable=False),
    Column("actor", String(80), nullable=False),
    name_column("detainee"),
    Column("call", String(32)),
    Column("why", Text, nullable=False),
    ForeignKeyConstraint(["detainee"], ["detainees.id"], name="fk_ledger_transactions_detainee"),
    ForeignKeyConstraint(["call"], ["calls.id"], name="fk_ledger_transactions_call"),
)
"""Why money moved. A transaction is written after its postings, and closes them: their sum must be zero then."""
Index("ix_ledger_transactions_detainee", ledger_transactions.c.detainee, ledger_transactions.c.at_utc)
Index("ix_ledger_transactions_at_utc", ledger_transactions.c.at_utc)
Index("ix_ledger_transactions_call", ledger_transactions.c.call)

ledger_postings = Table(
    "ledger_postings",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("transaction_key", String(128), nullable=False),
    Column("account", String(80), nullable=False),
    Column("cents", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["transaction_key"],
        ["ledger_transactions.key"],
        name="fk_ledger_postings_transaction_key",
        deferrable=True,
        initially="DEFERRED",
    ),
    CheckConstraint("cents <> 0", name="moves"),
    sqlite_autoincrement=True,
)
"""What a transaction added to an account, or took from it."""
Index("ix_ledger_postings_transaction_key", ledger_postings.c.transaction_key)
Index("ix_ledger_postings_account", ledger_postings.c.account)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigId, primary_key=True, autoincrement=False),
    Column("at_utc", UtcText, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("object", String(160), nullable=False),
    Column("why", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)
"""Who did what to what, and why: each line carries the digest of the one before it."""
Index("ix_audit_object", audit.c.kind, audit.c.object)
Index("ix_audit_at_utc", audit.c.at_utc)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    CheckConstraint("id = 1", name="one"),
)
"""The last line of the trail: without it, lines cut off at the end would not be missed."""

audit_anchors = Table(
    "audit_anchors",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("purged_utc", UtcText, nullable=False),
    Column("line", BigInteger, nullable=False),
)
"""How far the trail was purged; `line` is the one that records that purge. Lines beyond the last anchor stay."""

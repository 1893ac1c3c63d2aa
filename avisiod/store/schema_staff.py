"""The tables of the staff: what a role may do, and who holds one until when."""

from sqlalchemy import Column, ForeignKeyConstraint, String, Table, Text

from avisiod.store.columns import DayText, metadata, name_column, version_column

roles = Table(
    "roles",
    metadata,
    name_column(primary_key=True),
    Column("name", Text, nullable=False),
    Column("may", Text, nullable=False),
    version_column(),
)
"""What somebody of a role may do; `may`: words with a comma between them."""

staff = Table(
    "staff",
    metadata,
    Column("user", String(32), primary_key=True),
    name_column("role", primary_key=True),
    Column("name", Text, nullable=False),
    Column("valid_from", DayText, nullable=False),
    Column("valid_to", DayText),
    version_column(),
    ForeignKeyConstraint(["role"], ["roles.id"], name="fk_staff_role"),
)
"""Who, by the name of their account on the box, holds a role; one that has ended stays."""

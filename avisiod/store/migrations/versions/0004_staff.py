"""Roles of the staff, and who holds them until when."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.String(length=64)
DAY = sa.String(length=10)
ROLES = (
    ("administrator", "everything", "everything"),
    ("supervisor", "designated to watch and to interrupt", "see_people,see_rules,see_phones,see_calls,cut_calls"),
    ("registrar", "people, contacts, authorisations", "see_people,edit_people,see_rules,see_phones,see_calls"),
    ("accountant", "money", "see_money,edit_money"),
    ("technician", "phones and copies", "see_phones,edit_phones,backup"),
    ("auditor", "the trail", "see_people,see_rules,see_phones,see_calls,see_money,see_trail,purge_trail,see_staff"),
)


def upgrade() -> None:
    """Create both, with roles to begin with."""
    roles = op.create_table(
        "roles",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("may", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
    )
    op.create_table(
        "staff",
        sa.Column("user", sa.String(length=32), nullable=False),
        sa.Column("role", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("valid_from", DAY, nullable=False),
        sa.Column("valid_to", DAY, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.ForeignKeyConstraint(["role"], ["roles.id"], name=op.f("fk_staff_role")),
        sa.PrimaryKeyConstraint("user", "role", name=op.f("pk_staff")),
    )
    op.bulk_insert(roles, [{"id": id_, "name": name, "may": may} for id_, name, may in ROLES])

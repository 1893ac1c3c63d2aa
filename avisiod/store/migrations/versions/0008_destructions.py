"""Recordings that are being destroyed; supervisors may put one under hold."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SUPERVISOR = "see_people,see_rules,see_phones,see_calls,cut_calls"


def upgrade() -> None:
    """Create the table. A role that the site has made its own stays as it is."""
    op.create_table(
        "destructions",
        sa.Column("box", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("call", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("detainee", sa.String(length=64), nullable=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("ended_utc", sa.String(length=27), nullable=False),
        sa.Column("begun_utc", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("box", "path", name=op.f("pk_destructions")),
        sa.UniqueConstraint("call", name=op.f("uq_destructions_call")),
    )
    roles = sa.table("roles", sa.column("id", sa.String), sa.column("may", sa.Text))
    op.execute(
        roles.update()
        .where(roles.c.id == "supervisor", roles.c.may == SUPERVISOR)
        .values(may=f"{SUPERVISOR},hold_recordings")
    )

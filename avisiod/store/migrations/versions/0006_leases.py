"""Boxes that share a database say that they live, and where relatives reach them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; codes of all boxes are looked up by their hash."""
    op.create_table(
        "boxes",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("public_url", sa.Text(), nullable=False),
        sa.Column("code_key", sa.String(length=64), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("beat_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_boxes")),
    )
    op.create_index("ix_invitations_hash", "invitations", ["hash"])

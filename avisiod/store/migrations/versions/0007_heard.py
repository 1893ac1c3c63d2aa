"""Reports of phones that were heard before a restart are known after it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of phones of before nothing is known: their next report is their first."""
    op.add_column("phone_health", sa.Column("heard", sa.Text(), nullable=False, server_default="{}"))

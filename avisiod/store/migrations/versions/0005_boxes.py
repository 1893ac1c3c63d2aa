"""Which box has a call, where several share a database."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Calls of before have no name of a box: any box ends those that were left open."""
    op.add_column("calls", sa.Column("box", sa.String(length=64), nullable=False, server_default=""))

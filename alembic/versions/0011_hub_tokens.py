"""tokens of the Hub, encrypted"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op
from app.db import base as types

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "hub_tokens",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("last_four", sa.String(length=4), nullable=True),
        sa.Column("set_at", types.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_hub_tokens")),
    )


def downgrade() -> None:
    op.drop_table("hub_tokens")

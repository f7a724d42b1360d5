"""jobs that several workers run together"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op
from app.db import base as types

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "node_seats",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("node_rank", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("worker_id", sa.String(length=64), nullable=True),
        sa.Column("lease_until", types.Instant(timezone=True), nullable=True),
        sa.Column("endpoint", sa.String(length=300), nullable=True),
        sa.Column("error", types.Json(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_node_seats_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "token", "node_rank", name=op.f("pk_node_seats")),
    )
    with op.batch_alter_table("node_seats", schema=None) as batch_op:
        batch_op.create_index("ix_node_seats_state", ["state"], unique=False)


def downgrade() -> None:
    op.drop_table("node_seats")

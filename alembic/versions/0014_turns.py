"""projects take turns, jobs ask for GPUs, and workers tell what they have"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op
from app.db import base as types

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("claimed_at", types.Instant(), nullable=True))
    jobs = sa.table("jobs", sa.column("claimed_at"), sa.column("started_at"), sa.column("processes"), sa.column("gpus"))
    op.execute(sa.update(jobs).values(claimed_at=jobs.c.started_at))
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", ["status", "project_id", sa.text("priority DESC"), "id"])
    op.create_index("ix_jobs_turns", "jobs", ["project_id", "claimed_at"])
    op.add_column("jobs", sa.Column("gpus", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("needs_gpus", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("gpu_memory_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(sa.update(jobs).values(gpus=jobs.c.processes))
    op.drop_column("jobs", "processes")
    op.execute("UPDATE schema_support SET oldest_code = '0014'")  # older code reads that column
    op.add_column("workers", sa.Column("name", sa.String(length=255), nullable=True))
    op.add_column("workers", sa.Column("takes", sa.String(length=8), nullable=False, server_default="any"))
    op.add_column("workers", sa.Column("cpus", sa.Integer(), nullable=True))
    op.add_column("workers", sa.Column("memory_bytes", sa.BigInteger(), nullable=True))
    op.add_column("workers", sa.Column("gpus", types.Json(none_as_null=True), nullable=False, server_default="[]"))


def downgrade() -> None:
    for column in ("gpus", "memory_bytes", "cpus", "takes", "name"):
        op.drop_column("workers", column)
    op.execute("UPDATE schema_support SET oldest_code = '0013'")
    op.add_column("jobs", sa.Column("processes", sa.Integer(), nullable=False, server_default="1"))
    jobs = sa.table("jobs", sa.column("processes"), sa.column("gpus"))
    op.execute(sa.update(jobs).values(processes=jobs.c.gpus))
    for column in ("gpu_memory_bytes", "needs_gpus", "gpus"):
        op.drop_column("jobs", column)
    op.drop_index("ix_jobs_turns", "jobs")
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", ["status", sa.text("priority DESC"), "id"])
    op.drop_column("jobs", "claimed_at")

"""projects take turns"""

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
    jobs = sa.table("jobs", sa.column("claimed_at"), sa.column("started_at"))
    op.execute(sa.update(jobs).values(claimed_at=jobs.c.started_at))
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", ["status", "project_id", sa.text("priority DESC"), "id"])
    op.create_index("ix_jobs_turns", "jobs", ["project_id", "claimed_at"])


def downgrade() -> None:
    op.drop_index("ix_jobs_turns", "jobs")
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", ["status", sa.text("priority DESC"), "id"])
    op.drop_column("jobs", "claimed_at")

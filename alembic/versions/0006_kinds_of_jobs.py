"""jobs that predict and export, and the files that they write

Plain columns and an index: on SQLite the batch mode would copy the table of jobs, and lose the order of ix_jobs_queue.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op
from app.db import base as types

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("kind", sa.String(length=16), nullable=False, server_default="training"))
    op.add_column("jobs", sa.Column("result_files", types.Json(none_as_null=True), nullable=True))
    op.create_index("ix_jobs_kind", "jobs", ["kind", "id"])
    op.add_column("files", sa.Column("job_id", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("files", "job_id")
    op.drop_index("ix_jobs_kind", "jobs")
    op.drop_column("jobs", "result_files")
    op.drop_column("jobs", "kind")

"""what finished models got wrong"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op
from app.db import base as types

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "job_mistakes",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("split", sa.String(length=16), nullable=False),
        sa.Column("rows_of", sa.String(length=16), nullable=False),
        sa.Column("num_examples", sa.Integer(), nullable=False),
        sa.Column("num_wrong", sa.Integer(), nullable=True),
        sa.Column("mistakes", types.Json(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_mistakes_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "split", name=op.f("pk_job_mistakes")),
    )


def downgrade() -> None:
    op.drop_table("job_mistakes")
